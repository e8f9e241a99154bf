#include "plugins/offsets/consumer_group_draft.h"

#include <algorithm>
#include <utility>

#include "engine/logger.h"
#include "plugins/offsets/topic_regex.h"

namespace keelson::offsets {

void ConsumerGroup::Draft::refuse(ApiErrc error, std::string message) {
  step_ = {};
  step_.answer.error = error;
  step_.answer.message = std::move(message);
}

void ConsumerGroup::Draft::take_off(const std::string& member_id) {
  gone_ = member_id;
  add(ConsumerAssignmentRecord{group_.group_id_, member_id, std::nullopt});
  add(ConsumerTargetRecord{group_.group_id_, member_id, std::nullopt});
  add(ConsumerMemberRecord{group_.group_id_, member_id, std::nullopt});
}

void ConsumerGroup::Draft::put(std::string member_id, ConsumerMemberMetadata metadata) {
  member_id_ = std::move(member_id);
  metadata_ = std::move(metadata);
}

template <class F>
void ConsumerGroup::Draft::for_each_member(F work) const {
  for (const auto& [id, member] : group_.members_) {
    if (id != member_id_ && gone_ != id) work(id, member.metadata);
  }
  if (!member_id_.empty()) work(member_id_, metadata_);
}

// Topics ------------------------------------------------------------------------------------------

const std::set<std::string>* ConsumerGroup::Draft::topics_matching(const std::string& regex) const {
  const auto changed = regexes_.find(regex);
  if (changed != regexes_.end()) return changed->second ? &changed->second->topics : nullptr;
  const auto known = group_.regexes_.find(regex);
  return known == group_.regexes_.end() ? nullptr : &known->second.topics;
}

ResolvedRegex ConsumerGroup::Draft::evaluate(const std::string& regex) const {
  ResolvedRegex resolved;
  resolved.metadata_version = static_cast<std::int64_t>(scene_.view.version);
  resolved.resolved_ms = scene_.now_ms;
  const TopicRegex compiled(regex);
  if (!compiled.error().empty()) return resolved;  // kept by a version that could read it
  for (const auto& [name, topic] : scene_.view.topics) {
    if (compiled.matches(name)) resolved.topics.insert(resolved.topics.end(), name);
  }
  return resolved;
}

bool ConsumerGroup::Draft::resolve(const std::string& regex) {
  const TopicRegex compiled(regex);
  if (!compiled.error().empty()) {
    refuse(ApiErrc::invalid_regular_expression,
           engine::concat("SubscribedTopicRegex is not a valid regular expression: ",
                          compiled.error()));
    return false;
  }
  if (topics_matching(regex) != nullptr) return true;
  ResolvedRegex resolved = evaluate(regex);
  add(ConsumerRegexRecord{group_.group_id_, regex, resolved});
  regexes_[regex] = std::move(resolved);
  return true;
}

void ConsumerGroup::Draft::drop_unused_regexes() {
  if (group_.regexes_.empty()) return;
  std::set<std::string> used;
  for_each_member([&](const std::string&, const ConsumerMemberMetadata& member) {
    if (!member.regex.empty()) used.insert(member.regex);
  });
  for (const auto& [regex, resolved] : group_.regexes_) {
    if (used.contains(regex)) continue;
    add(ConsumerRegexRecord{group_.group_id_, regex, std::nullopt});
    regexes_[regex] = std::nullopt;
  }
}

/// Looks at all topics for all patterns. False: too soon after the last time.
bool ConsumerGroup::Draft::resolve_again() {
  const std::int64_t since_ms = scene_.now_ms - group_.regexes_resolved_ms_;
  if (since_ms >= 0 && since_ms < kRegexPauseMs) return false;
  std::set<std::string> used;
  for_each_member([&](const std::string&, const ConsumerMemberMetadata& member) {
    if (!member.regex.empty()) used.insert(member.regex);
  });
  for (const std::string& regex : used) {
    const std::set<std::string>* const before = topics_matching(regex);
    ResolvedRegex resolved = evaluate(regex);
    if (before != nullptr && *before == resolved.topics) continue;
    add(ConsumerRegexRecord{group_.group_id_, regex, resolved});
    regexes_[regex] = std::move(resolved);
    must_bump_ = true;
  }
  if (!used.empty()) step_.regexes_resolved_ms = scene_.now_ms;
  return true;
}

std::vector<engine::Uuid> ConsumerGroup::Draft::topics_of(
    const ConsumerMemberMetadata& member) const {
  std::vector<engine::Uuid> ids;
  const auto take = [&](const std::set<std::string>& names) {
    for (const std::string& name : names) {
      const TopicView* const topic = scene_.view.find(name);
      if (topic != nullptr) ids.push_back(topic->id);
    }
  };
  take(member.topics);
  const std::set<std::string>* const matching =
      member.regex.empty() ? nullptr : topics_matching(member.regex);
  if (matching != nullptr) take(*matching);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

std::vector<std::string> ConsumerGroup::Draft::racks_of(const PartitionView& partition) const {
  std::vector<std::string> racks;
  for (const BrokerView& broker : scene_.view.brokers) {
    if (broker.rack.empty()) continue;
    const auto& replicas = partition.replicas;
    if (std::find(replicas.begin(), replicas.end(), broker.id) == replicas.end()) continue;
    racks.push_back(broker.rack);
  }
  return racks;
}

/// Of all that an assignment depends on: names, ids, sizes and places of the topics. FNV-1a; zero
/// is none.
std::int64_t ConsumerGroup::Draft::metadata_hash() const {
  std::uint64_t hash = 0xcbf29ce484222325u;
  const auto mix = [&](const void* data, std::size_t size) {
    const auto* const bytes = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    hash = (hash ^ 0xff) * 0x100000001b3u;  // so that "ab","c" is not "a","bc"
  };
  std::set<engine::Uuid> topics;
  for_each_member([&](const std::string&, const ConsumerMemberMetadata& member) {
    for (const engine::Uuid& id : topics_of(member)) topics.insert(id);
  });
  if (topics.empty()) return 0;
  for (const engine::Uuid& id : topics) {
    const TopicView& topic = *scene_.view.find(id);
    const std::uint64_t count = topic.partitions.size();
    mix(id.bytes.data(), id.bytes.size());
    mix(topic.name.data(), topic.name.size());
    mix(&count, sizeof count);
    for (const PartitionView& partition : topic.partitions) {
      for (const std::string& rack : racks_of(partition)) mix(rack.data(), rack.size());
    }
  }
  return static_cast<std::int64_t>(hash);
}

void ConsumerGroup::Draft::refresh() {
  drop_unused_regexes();
  const std::int64_t since_ms = scene_.now_ms - group_.regexes_resolved_ms_;
  const bool view_is_new = group_.view_version_ != scene_.view.version;
  const bool has_regexes = !group_.regexes_.empty();
  const bool due = view_is_new || (has_regexes && since_ms >= group_.settings_.regex_refresh_ms);
  const bool all_seen = !due || resolve_again();
  std::int64_t hash = group_.group_.metadata_hash;
  if (must_bump_ || view_is_new) hash = metadata_hash();
  if (hash != group_.group_.metadata_hash) must_bump_ = true;
  if (all_seen) step_.view_version = scene_.view.version;
  if (!must_bump_) return;
  ++epoch_;
  add(ConsumerGroupRecord{group_.group_id_, ConsumerGroupEpoch{epoch_, hash}});
}

// Assignment --------------------------------------------------------------------------------------

const PartitionSet* ConsumerGroup::Draft::earlier_target(const std::string& member_id) const {
  auto found = group_.targets_.find(member_id);
  // Whoever takes a place takes what belongs to it.
  if (member_id == member_id_ && gone_) found = group_.targets_.find(*gone_);
  return found == group_.targets_.end() ? nullptr : &found->second;
}

bool ConsumerGroup::Draft::is_assignment_due() const {
  if (epoch_ == group_.target_.epoch) return false;
  if (group_.target_.epoch == 0) return true;
  std::size_t members = 0;
  for_each_member([&](const std::string&, const ConsumerMemberMetadata&) { ++members; });
  if (members == 1) return true;  // there is nobody to wait for or to disturb
  const std::int64_t since_ms = scene_.now_ms - group_.target_.made_ms;
  return since_ms < 0 || since_ms >= scene_.times.assignment_interval_ms;
}

AssignmentInput ConsumerGroup::Draft::assignment_input() const {
  AssignmentInput input;
  for_each_member([&](const std::string& id, const ConsumerMemberMetadata& metadata) {
    AssignableMember& member = input.members[id];
    member.instance_id = metadata.instance_id;
    member.rack = metadata.rack_id.value_or("");
    member.topics = topics_of(metadata);
    if (const PartitionSet* const target = earlier_target(id)) member.current = *target;
    for (const engine::Uuid& topic_id : member.topics) {
      const auto [entry, is_new] = input.topics.try_emplace(topic_id);
      if (!is_new) continue;
      const TopicView& topic = *scene_.view.find(topic_id);
      entry->second.partition_count = static_cast<std::int32_t>(topic.partitions.size());
      for (const PartitionView& partition : topic.partitions) {
        entry->second.racks.push_back(racks_of(partition));
      }
    }
  });
  return input;
}

void ConsumerGroup::Draft::assign() {
  target_epoch_ = group_.target_.epoch;
  const bool replaced = gone_.has_value();
  if (is_assignment_due()) {
    target_epoch_ = epoch_;
    std::map<std::string, std::size_t> votes;
    for_each_member([&](const std::string&, const ConsumerMemberMetadata& member) {
      if (member.assignor) ++votes[*member.assignor];
    });
    const Assignor assignor = find_assignor(group_.pick_assignor(votes));
    made_ = assignor(assignment_input());
    for (const auto& [id, target] : *made_) {
      const PartitionSet* const before = earlier_target(id);
      const bool is_new_name = replaced && id == member_id_;
      if (!is_new_name && before != nullptr && *before == target) continue;
      add(ConsumerTargetRecord{group_.group_id_, id, target});
    }
    add(ConsumerTargetEpochRecord{group_.group_id_, ConsumerTargetEpoch{epoch_, scene_.now_ms}});
  } else if (replaced) {
    const PartitionSet* const target = earlier_target(member_id_);
    add(ConsumerTargetRecord{group_.group_id_, member_id_,
                             target == nullptr ? PartitionSet{} : *target});
  }
}

PartitionSet ConsumerGroup::Draft::target() const {
  PartitionSet target;
  if (made_) {
    target = made_->at(member_id_);
  } else if (const PartitionSet* const earlier = earlier_target(member_id_)) {
    target = *earlier;
  }
  const std::vector<engine::Uuid> topics = topics_of(metadata_);
  std::erase_if(target, [&](const auto& entry) {
    return !std::binary_search(topics.begin(), topics.end(), entry.first);
  });
  return target;
}

bool ConsumerGroup::Draft::is_free(const engine::Uuid& topic, std::int32_t partition) const {
  const auto owner = group_.owners_.find({topic, partition});
  return owner == group_.owners_.end() || owner->second == member_id_ || owner->second == gone_;
}

}  // namespace keelson::offsets
