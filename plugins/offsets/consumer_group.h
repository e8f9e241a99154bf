// plugins/offsets/consumer_group.h: one group of the consumer protocol (KIP-848), as a state
// machine.
//
//   heartbeat -> a step: records and an answer -> the records are durable -> apply() -> the answer
//
// The state is what the records of the log say, nothing else: an event does not change it but says
// which records would, so that a write that fails changes nothing, and a restart finds what was.
// Steps of one group must not overlap: each is made from the state that the one before left.
//
//   epoch             of the group: grows when members, subscriptions or their topics change
//   assignment epoch  of the target: the group's epoch that it was made for; never above it
//   member epoch      the target that the member has reached; see consumer_reconciliation.h
//
// Deterministic and synchronous: no I/O, no clock, no randomness.
// Behaviour: Kafka 4.3.1, ConsumerGroup and GroupMetadataManager.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "plugins/offsets/consumer_member.h"
#include "plugins/offsets/group_records.h"
#include "plugins/registry/cluster.h"
#include "plugins/registry/group_coordinator.h"

namespace keelson::offsets {

class ClassicGroup;

struct ConsumerGroupSettings {
  std::vector<std::string> assignors = {"uniform", "range"};  // group.consumer.assignors
  std::int32_t members_max = 0x7fffffff;                      // group.consumer.max.size
  std::int64_t regex_refresh_ms = 600'000;  // group.consumer.regex.refresh.interval.ms
};

/// What each group may have of its own; else the broker's group.consumer.*.
struct ConsumerGroupTimes {
  std::int32_t session_timeout_ms = 45'000;
  std::int32_t heartbeat_interval_ms = 5'000;
  std::int32_t assignment_interval_ms = 1'000;
};

/// The world as an event finds it.
struct ConsumerScene {
  const ClusterView& view;
  std::int64_t now_ms = 0;  // since 1970; may jump
  ConsumerGroupTimes times;
};

/// What an event comes to. With an error there are no records.
struct ConsumerStep {
  ConsumerHeartbeatAnswer answer;
  std::vector<GroupRecord> records;
  /// The client has something to give up, from now on.
  bool revocation_begins = false;
  // For ConsumerGroup::settle().
  std::optional<std::uint64_t> view_version;
  std::optional<std::int64_t> regexes_resolved_ms;
  std::optional<std::string> confirmed;  // this member has named its assignment as it now is
};

enum class ConsumerState : std::uint8_t { empty, assigning, reconciling, stable };

/// Kafka's name: "Reconciling".
std::string_view to_string(ConsumerState state);

class ConsumerGroup {
 public:
  /// Least time between two looks of a group at all topics for its patterns (source: Kafka 4.3.1).
  static constexpr std::int64_t kRegexPauseMs = 10'000;

  /// `settings` outlive it.
  ConsumerGroup(std::string group_id, const ConsumerGroupSettings& settings);

  /// What is wrong with a call whatever the group.
  static std::optional<ApiError> check(const ConsumerHeartbeatCall& call,
                                       const ConsumerGroupSettings& settings);

  // Events. `call` has passed check() and has a member id.
  ConsumerStep heartbeat(const ConsumerHeartbeatCall& call, const ConsumerScene& scene) const;
  /// The member's session has ended, or it has not given up in time what it was asked for. Nothing
  /// where it is not there.
  ConsumerStep remove(const std::string& member_id, const ConsumerScene& scene) const;
  // Members of the classic protocol: consumer_group_classic.cc
  /// The records that make a consumer group of a classic one, whose members stay. Nothing where
  /// they are no consumers, cannot be understood, or have an assignor that sends data of its own.
  static std::optional<std::vector<GroupRecord>> upgraded(const ClassicGroup& classic,
                                                          const ClusterView& view);
  /// The classic group that is left without `leaving`; nothing where anybody else speaks the
  /// consumer protocol, or nobody is left.
  std::optional<ClassicGroupState> downgraded(const std::string& leaving,
                                              const ConsumerScene& scene) const;
  /// The same where `step`, the join of `call`, puts it in the place of a static member that was
  /// the last of the consumer protocol.
  std::optional<ClassicGroupState> downgraded_by(const JoinGroupCall& call,
                                                 const ConsumerStep& step,
                                                 const ConsumerScene& scene) const;
  bool supports(const JoinGroupCall& call, const ClusterView& view) const;
  /// The answer's epoch is the generation. The group supports the call.
  ConsumerStep join_classic(const JoinGroupCall& call, std::string member_id,
                            const ConsumerScene& scene) const;
  ApiErrc check_classic(const std::string& member_id, const std::optional<std::string>& instance_id,
                        std::int32_t generation) const;
  /// Whether a classic member, which is there, has something to learn by joining again.
  bool must_rejoin(const std::string& member_id) const;
  SyncGroupAnswer sync_classic(const SyncGroupCall& call, const ClusterView& view) const;
  /// The id that a member of a LeaveGroup means.
  std::string leaving_id(const LeaveGroupCall::Member& member) const;

  /// The records of `step` are durable and applied.
  void settle(const ConsumerStep& step);

  /// A record of this group, from the log. Others than the consumer protocol's are not for it.
  void apply(const GroupRecord& record);
  /// Records that say what it is: applied to a new group, they make it equal to this one.
  std::vector<GroupRecord> records() const;
  /// Tombstones of all that the log may hold of it. Offsets are another matter.
  std::vector<GroupRecord> tombstones() const;
  /// A record that changes nothing: when it is durable, all that came before it was applied.
  GroupRecord fence() const { return ConsumerTopicsRecord{group_id_, std::nullopt}; }

  // Offsets.
  /// May this caller commit? `member_epochs_known`: its request's version has them.
  ApiErrc check_commit(std::int32_t member_epoch, const std::string& member_id,
                       bool member_epochs_known) const;
  /// The same for one partition, after that.
  ApiErrc check_commit_of(const std::string& member_id, std::int32_t member_epoch,
                          const engine::Uuid& topic, std::int32_t partition) const;
  ApiErrc check_fetch(const std::optional<std::string>& member_id, std::int32_t member_epoch) const;
  bool is_subscribed_to(const std::string& topic) const;

  const std::string& group_id() const { return group_id_; }
  ConsumerState state() const;
  std::int32_t epoch() const { return group_.epoch; }
  std::int32_t assignment_epoch() const { return target_.epoch; }
  const std::map<std::string, ConsumerMember>& members() const { return members_; }
  const std::map<std::string, PartitionSet>& targets() const { return targets_; }
  const std::map<std::string, ResolvedRegex>& regexes() const { return regexes_; }
  /// Nothing of it is left.
  bool is_gone() const {
    return !has_epoch_ && target_.epoch == 0 && members_.empty() && targets_.empty() &&
           regexes_.empty();
  }
  std::uint64_t rebalances() const { return rebalances_; }
  DescribedConsumerGroup describe() const;
  std::size_t memory_bytes() const;
  /// Aborts where a partition has two owners or epochs contradict each other. For tests.
  void check_invariants() const;
  friend bool operator==(const ConsumerGroup& a, const ConsumerGroup& b);

 private:
  class Draft;  // consumer_group_draft.h

  const ConsumerMember* find(const std::string& member_id) const;
  /// The static member of that name.
  const std::string* find_instance(const std::string& instance_id) const;
  void own(const std::string& member_id, const ConsumerMemberAssignment& assignment);
  void disown(const std::string& member_id, const ConsumerMemberAssignment& assignment);
  void set_member(const std::string& member_id, const ConsumerMemberRecord& record);
  void set_assignment(const std::string& member_id, const ConsumerAssignmentRecord& record);
  /// The most wanted of the assignors there are, by the members' votes; else the first.
  const std::string& pick_assignor(const std::map<std::string, std::size_t>& votes) const;

  // consumer_group_heartbeat.cc
  /// `classic` for a member of that protocol.
  ConsumerStep join(const ConsumerHeartbeatCall& call, std::optional<ClassicMemberData> classic,
                    const ConsumerScene& scene) const;
  std::optional<ConsumerMember> speaker(const ConsumerHeartbeatCall& call, bool is_classic,
                                        std::optional<std::string>& replaced, Draft& draft) const;
  void refuse_stranger(const ConsumerHeartbeatCall& call, ConsumerHeartbeatAnswer& answer) const;
  void refuse_unknown(const ConsumerHeartbeatCall& call, ConsumerHeartbeatAnswer& answer) const;
  ConsumerStep leave(const ConsumerHeartbeatCall& call, const ConsumerScene& scene) const;
  ConsumerStep without(const std::string& member_id, const ConsumerScene& scene) const;

  const std::string group_id_;
  const ConsumerGroupSettings& settings_;

  // The log's.
  bool has_epoch_ = false;
  ConsumerGroupEpoch group_;
  ConsumerTargetEpoch target_;
  std::map<std::string, ConsumerMember> members_;  // by id
  std::map<std::string, PartitionSet> targets_;    // by member; empty ones too
  std::map<std::string, ResolvedRegex> regexes_;   // by pattern

  // What follows from it.
  std::unordered_map<PartitionKey, std::string> owners_;
  std::map<std::string, std::string> static_members_;  // instance id -> member id
  std::uint64_t rebalances_ = 0;                       // epochs begun since the start

  // What a restart may forget.
  std::optional<std::uint64_t> view_version_;  // whose topics the group's epoch knows
  std::int64_t regexes_resolved_ms_ = 0;
  /// Members that have named what they are assigned: no answer that told them of it was lost.
  std::set<std::string> confirmed_;
};

}  // namespace keelson::offsets
