// tests/plugins/offsets/group_model.h: what groups are, in as few words as can be: maps and rules,
// without logs, timers or waiting. The coordinator must say the same.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "plugins/registry/api_error.h"

namespace keelson::offsets::testing {

struct ModelOffset {
  std::int64_t offset = -1;
  std::string metadata;
  std::int64_t commit_ms = 0;
  std::optional<std::int64_t> expire_ms;

  friend bool operator==(const ModelOffset&, const ModelOffset&) = default;
};

struct ModelGroup {
  std::map<std::pair<std::string, std::int32_t>, ModelOffset> offsets;
  std::map<std::string, std::string> members;  // id: assignment
  std::int32_t generation = 0;
  bool has_protocol = false;  // members were there once
  std::int64_t empty_since_ms = 0;

  friend bool operator==(const ModelGroup&, const ModelGroup&) = default;
};

class GroupModel {
 public:
  static constexpr std::int64_t kRetentionMs = 7LL * 24 * 3'600 * 1'000;
  static constexpr const char* kSubscribed = "t0";  // all that members read

  std::map<std::string, ModelGroup> groups;

  const ModelGroup* find(const std::string& id) const {
    const auto found = groups.find(id);
    return found == groups.end() ? nullptr : &found->second;
  }

  ApiErrc check_commit(const std::string& id, std::int32_t generation,
                       const std::string& member) const {
    const ModelGroup* const group = find(id);
    if (group == nullptr) return generation < 0 ? ApiErrc::none : ApiErrc::group_id_not_found;
    if (group->members.empty() && generation < 0) return ApiErrc::none;
    if (!group->members.contains(member)) return ApiErrc::unknown_member_id;
    return generation == group->generation ? ApiErrc::none : ApiErrc::illegal_generation;
  }
  void commit(const std::string& id, const std::string& topic, std::int32_t partition,
              ModelOffset value) {
    groups[id].offsets[{topic, partition}] = std::move(value);
  }

  ApiErrc check_delete(const std::string& id) const {
    const ModelGroup* const group = find(id);
    if (group == nullptr) return ApiErrc::group_id_not_found;
    return group->members.empty() ? ApiErrc::none : ApiErrc::non_empty_group;
  }

  /// The answer for each partition of the topic.
  ApiErrc delete_offsets(const std::string& id, const std::string& topic) {
    ModelGroup& group = groups.at(id);
    if (!group.members.empty() && topic == kSubscribed) return ApiErrc::group_subscribed_to_topic;
    drop_offsets(group, topic);
    drop_if_nothing(id);
    return ApiErrc::none;
  }
  void forget_topic(const std::string& topic) {
    for_each([&](const std::string& id, ModelGroup& group) {
      drop_offsets(group, topic);
      drop_if_nothing(id);
    });
  }

  /// A new generation with exactly these members.
  void rebalance(const std::string& id, std::map<std::string, std::string> members,
                 std::int64_t now_ms) {
    ModelGroup& group = groups[id];
    if (members.empty()) group.empty_since_ms = now_ms;
    group.members = std::move(members);
    group.has_protocol = true;
    ++group.generation;
  }
  void silence(std::int64_t now_ms) {
    for (auto& [id, group] : groups) {
      if (!group.members.empty()) rebalance(id, {}, now_ms);
    }
  }

  /// Kafka's table of conditions (classic groups), and the end of groups without anything.
  void expire(std::int64_t now_ms) {
    for_each([&](const std::string& id, ModelGroup& group) {
      std::erase_if(group.offsets, [&](const auto& one) {
        const ModelOffset& offset = one.second;
        const bool by_group = group.has_protocol && group.members.empty();
        const bool kept =
            group.has_protocol && !group.members.empty() && one.first.first == kSubscribed;
        if (kept) return false;
        if (offset.expire_ms) return now_ms >= *offset.expire_ms;
        return now_ms - (by_group ? group.empty_since_ms : offset.commit_ms) >= kRetentionMs;
      });
      if (group.offsets.empty() && group.members.empty()) groups.erase(id);
    });
  }

 private:
  template <class Action>
  void for_each(Action action) {
    std::set<std::string> ids;
    for (const auto& [id, group] : groups) ids.insert(id);
    for (const std::string& id : ids) action(id, groups.at(id));
  }
  static void drop_offsets(ModelGroup& group, const std::string& topic) {
    std::erase_if(group.offsets, [&](const auto& one) { return one.first.first == topic; });
  }
  /// A group of offsets alone is no more than they are.
  void drop_if_nothing(const std::string& id) {
    const ModelGroup& group = groups.at(id);
    if (!group.has_protocol && group.offsets.empty()) groups.erase(id);
  }
};

}  // namespace keelson::offsets::testing
