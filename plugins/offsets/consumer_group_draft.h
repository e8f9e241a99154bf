// plugins/offsets/consumer_group_draft.h: a group with one event done to it: what changed lies over
// the group that is, and as records in a step. Private to this folder.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "plugins/offsets/consumer_assignors.h"
#include "plugins/offsets/consumer_group.h"

namespace keelson::offsets {

class ConsumerGroup::Draft {
 public:
  Draft(const ConsumerGroup& group, const ConsumerScene& scene)
      : group_(group),
        scene_(scene),
        epoch_(group.has_epoch_ ? group.group_.epoch : kEpochBeforeFirst) {}

  void add(GroupRecord record) { step_.records.push_back(std::move(record)); }
  /// Tombstones of a member that goes, or whose place another takes.
  void take_off(const std::string& member_id);
  /// What the member of this event says of itself from now on. Its records are the caller's.
  void put(std::string member_id, ConsumerMemberMetadata metadata);
  void rebalance() { must_bump_ = true; }
  /// Evaluates a pattern now. False: it is none, and the step refuses it.
  bool resolve(const std::string& regex);

  /// Brings patterns, the topics' state and the epoch up to date; after put() and take_off().
  void refresh();
  /// Makes a new target where there is reason to and the last one is old enough.
  void assign();
  std::int32_t target_epoch() const { return target_epoch_; }
  /// Of the event's member: what it shall have of the topics it subscribes to.
  PartitionSet target() const;
  /// No member has it, save the event's own.
  bool is_free(const engine::Uuid& topic, std::int32_t partition) const;

  void refuse(ApiErrc error, std::string message);
  ConsumerStep& step() { return step_; }

 private:
  template <class F>
  void for_each_member(F work) const;
  const std::set<std::string>* topics_matching(const std::string& regex) const;
  /// Of the topics subscribed to by `member`, those that exist.
  std::vector<engine::Uuid> topics_of(const ConsumerMemberMetadata& member) const;
  ResolvedRegex evaluate(const std::string& regex) const;
  void drop_unused_regexes();
  bool resolve_again();
  std::int64_t metadata_hash() const;
  bool is_assignment_due() const;
  AssignmentInput assignment_input() const;
  const PartitionSet* earlier_target(const std::string& member_id) const;
  std::vector<std::string> racks_of(const PartitionView& partition) const;

  const ConsumerGroup& group_;
  const ConsumerScene& scene_;
  ConsumerStep step_;
  std::int32_t epoch_;
  std::int32_t target_epoch_ = 0;
  bool must_bump_ = false;
  std::string member_id_;  // empty: the event leaves no member
  ConsumerMemberMetadata metadata_;
  std::optional<std::string> gone_;
  std::map<std::string, std::optional<ResolvedRegex>> regexes_;  // changed ones; nothing: dropped
  std::optional<Assignments> made_;
};

}  // namespace keelson::offsets
