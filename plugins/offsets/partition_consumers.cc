// plugins/offsets/partition_consumers.cc: groups of the consumer protocol, one step after the
// other.
#include <utility>

#include "engine/io/random_uuid.h"
#include "engine/logger.h"
#include "plugins/offsets/partition_coordinator.h"
#include "plugins/offsets/partition_group.h"

namespace keelson::offsets {

using engine::Task;
using Pass = engine::io::Gate::Pass;

namespace {

constexpr std::int64_t kRetryMs = 1'000;  // of what the coordinator itself has to write
constexpr std::int64_t kDoubtMs = 500;    // sooner than a retry, which then knows the truth
const std::string kNobody;  // in place of a member: the group's own timer, that clears its doubt

ConsumerHeartbeatAnswer refused_heartbeat(ApiErrc error, std::string message = {}) {
  ConsumerHeartbeatAnswer answer;
  answer.error = error;
  answer.message = std::move(message);
  return answer;
}

}  // namespace

engine::Uuid PartitionCoordinator::topic_id(const std::string& topic) const {
  const std::shared_ptr<const ClusterView> view = parts_.view();
  const TopicView* const found = view->find(topic);
  return found == nullptr ? engine::Uuid{} : found->id;
}

ConsumerScene PartitionCoordinator::scene(const std::string& group_id,
                                          const ClusterView& view) const {
  return {view, parts_.shard.clock().wall_ms(), parts_.consumer_times(group_id)};
}

// Records -----------------------------------------------------------------------------------------

void PartitionCoordinator::apply_consumer(const GroupRecord& record) {
  const std::string id = std::visit([](const auto& any) { return any.group_id; }, record);
  const bool is_tombstone = std::visit([](const auto& any) { return !any.value; }, record);
  Group* group = find(id);
  if (is_tombstone && (group == nullptr || !group->consumer)) return;
  if (group == nullptr) group = &find_or_make(id);
  if (!group->consumer) {
    group->consumer = std::make_unique<ConsumerGroup>(id, parts_.settings.consumer);
  }
  group->consumer->apply(record);
  if (!group->consumer->is_gone()) return;
  past_rebalances_ += group->consumer->rebalances();
  group->consumer.reset();
  sweep(id);
}

/// What was written for the group may be in the log or not; it is found out soon, or before its
/// next step.
void PartitionCoordinator::doubt(Group& group) {
  group.doubtful = true;
  group.arm(GroupTimer::session, kNobody, kDoubtMs);
}

/// A record behind the one that failed tells what became of it: the log is read in order.
Task<ApiErrc> PartitionCoordinator::clear_doubt(Group& group) {
  if (!group.doubtful) co_return ApiErrc::none;
  std::vector<GroupRecord> fence;
  fence.push_back(ConsumerTopicsRecord{group.classic.group_id(), std::nullopt});
  const ApiErrc outcome = co_await write_and_wait(std::move(fence));
  if (outcome != ApiErrc::none) {
    doubt(group);
    co_return outcome;
  }
  group.doubtful = false;
  group.disarm(GroupTimer::session, kNobody);
  if (std::exchange(group.becomes_consumer, false) && group.consumer) finish_upgrade(group);
  if (group.becomes_classic) finish_downgrade(group, true);
  begin_consumers(group);
  co_return outcome;
}

Task<ApiErrc> PartitionCoordinator::take(Group& group, ConsumerStep& step) {
  if (step.records.empty()) co_return ApiErrc::none;
  std::vector<std::string> gone;
  for (const GroupRecord& record : step.records) {
    const auto* member = std::get_if<ConsumerMemberRecord>(&record);
    if (member != nullptr && !member->value) gone.push_back(member->member_id);
  }
  if (group.has_record) {
    step.records.push_back(ClassicGroupRecord{group.classic.group_id(), std::nullopt});
  }
  const ApiErrc outcome = co_await write_and_wait(std::move(step.records));
  if (outcome != ApiErrc::none) {
    doubt(group);
    co_return outcome;
  }
  for (const std::string& member_id : gone) {
    if (group.consumer && group.consumer->members().contains(member_id)) continue;
    for (const GroupTimer kind :
         {GroupTimer::session, GroupTimer::revocation, GroupTimer::join, GroupTimer::sync}) {
      group.disarm(kind, member_id);
    }
  }
  co_return outcome;
}

// Members -----------------------------------------------------------------------------------------

/// Timers of a member after its step.
void PartitionCoordinator::tend(Group& group, const std::string& member_id,
                                const ConsumerStep& step) {
  const auto member = group.consumer->members().find(member_id);
  if (member == group.consumer->members().end()) return;
  const ConsumerMemberAssignment& has = member->second.assignment;
  if (has.state != MemberState::unrevoked_partitions || has.epoch == kLeaveStaticEpoch) {
    group.disarm(GroupTimer::revocation, member_id);
  } else if (step.revocation_begins && !member->second.metadata.classic) {
    group.arm(GroupTimer::revocation, member_id, member->second.metadata.rebalance_timeout_ms);
  }
  if (has.epoch == kLeaveStaticEpoch) return;  // its time runs on
  restart_session(group, member_id);
}

void PartitionCoordinator::restart_session(Group& group, const std::string& member_id) {
  const auto& classic = group.consumer->members().at(member_id).metadata.classic;
  group.arm(GroupTimer::session, member_id,
            classic ? classic->session_timeout_ms
                    : parts_.consumer_times(group.consumer->group_id()).session_timeout_ms);
}

/// Sessions begin of members that come from the log, and not from a step that was answered.
void PartitionCoordinator::begin_consumers(Group& group) {
  if (!group.consumer) return;
  for (const auto& [id, member] : group.consumer->members()) {
    if (group.timers.contains({GroupTimer::session, id})) continue;
    restart_session(group, id);
    if (member.assignment.state != MemberState::unrevoked_partitions) continue;
    if (member.metadata.classic) continue;
    group.arm(GroupTimer::revocation, id, member.metadata.rebalance_timeout_ms);
  }
}

Task<ConsumerHeartbeatAnswer> PartitionCoordinator::consumer_heartbeat(ConsumerHeartbeatCall call) {
  if (!gate_.enter()) co_return refused_heartbeat(ApiErrc::not_coordinator);
  const Pass pass(gate_);
  if (const ApiErrc error = refusal(); error != ApiErrc::none) co_return refused_heartbeat(error);
  const bool joins = call.member_epoch == kJoinEpoch;
  if (!joins && find(call.group_id) == nullptr) {
    co_return refused_heartbeat(ApiErrc::group_id_not_found,
                                engine::concat("Group ", call.group_id, " not found."));
  }
  Group& group = find_or_make(call.group_id);
  Group::Visit visit(group);
  co_await group.turn.take(1);
  visit.begin();
  if (const ApiErrc error = refusal(); error != ApiErrc::none) co_return refused_heartbeat(error);
  if (const ApiErrc doubt = co_await clear_doubt(group); doubt != ApiErrc::none) {
    co_return refused_heartbeat(doubt);
  }
  const std::shared_ptr<const ClusterView> view = parts_.view();
  const bool is_live = group.classic.state() != ClassicState::empty;
  std::optional<std::vector<GroupRecord>> upgraded;
  if (!group.consumer && is_live && joins) upgraded = upgrade(group, *view);
  if (!group.consumer && (!joins || (is_live && !upgraded))) {
    co_return refused_heartbeat(
        ApiErrc::group_id_not_found,
        engine::concat("Group ", call.group_id,
                       is_visible(group) ? " is not a consumer group, and cannot become one now."
                                         : " not found."));
  }
  if (call.member_id.empty()) {
    call.member_id = engine::to_string(engine::io::random_uuid(parts_.shard.rng()));
  }

  if (call.member_epoch == kLeaveEpoch) {
    co_return co_await leave_for_good(group, std::move(call));
  }
  ConsumerGroup fresh(call.group_id, parts_.settings.consumer);
  if (upgraded) {
    for (const GroupRecord& record : *upgraded) fresh.apply(record);
  }
  const bool begins = !group.consumer;
  const ConsumerGroup& consumer = begins ? fresh : *group.consumer;
  ConsumerStep step = consumer.heartbeat(call, scene(call.group_id, *view));
  if (step.answer.error != ApiErrc::none) co_return std::move(step.answer);
  if (upgraded) {
    // Whoever waits is told to join again, and then joins the group that this one becomes.
    group.classic.abandon_all(ApiErrc::rebalance_in_progress);
    group.becomes_consumer = true;
    step.records.insert(step.records.begin(), upgraded->begin(), upgraded->end());
  }
  const ApiErrc outcome = co_await take(group, step);
  if (outcome != ApiErrc::none) co_return refused_heartbeat(outcome);
  group.becomes_consumer = false;
  if (begins) finish_upgrade(group);
  group.consumer->settle(step);
  tend(group, call.member_id, step);
  co_return std::move(step.answer);
}

Task<ConsumerHeartbeatAnswer> PartitionCoordinator::leave_for_good(Group& group,
                                                                   ConsumerHeartbeatCall call) {
  const std::shared_ptr<const ClusterView> view = parts_.view();
  ConsumerStep step = group.consumer->heartbeat(call, scene(call.group_id, *view));
  if (step.answer.error != ApiErrc::none) co_return std::move(step.answer);
  const ApiErrc outcome = co_await remove_member(group, call.member_id);
  if (outcome != ApiErrc::none) co_return refused_heartbeat(outcome);
  co_return std::move(step.answer);
}

/// A member's time is over, unless it was heard of while this waited for its turn.
Task<void> PartitionCoordinator::end_member(std::string group_id, GroupTimer timer,
                                            std::string member_id) {
  const Pass pass(gate_);
  Group* const found = find(group_id);
  if (found == nullptr) co_return;
  Group& group = *found;
  Group::Visit visit(group);
  co_await group.turn.take(1);
  visit.begin();
  if (phase_ != Phase::active || group.timers.contains({timer, member_id})) co_return;
  if (const ApiErrc doubt = co_await clear_doubt(group); doubt != ApiErrc::none) {
    if (group.consumer && member_id != kNobody) group.arm(timer, member_id, kRetryMs);
    co_return;
  }
  if (!group.consumer) co_return;
  const auto member = group.consumer->members().find(member_id);
  if (member == group.consumer->members().end()) co_return;
  const bool revokes = member->second.assignment.state == MemberState::unrevoked_partitions;
  if (timer == GroupTimer::revocation && !revokes) co_return;

  const ApiErrc outcome = co_await remove_member(group, member_id);
  if (outcome == ApiErrc::none || phase_ != Phase::active || !group.consumer) co_return;
  group.arm(timer, member_id, kRetryMs);
}

DescribedConsumerGroup PartitionCoordinator::describe_consumer(const std::string& group_id) const {
  DescribedConsumerGroup answer;
  answer.group_id = group_id;
  answer.error = refusal();
  if (answer.error != ApiErrc::none) return answer;
  const Group* const group = find(group_id);
  if (group != nullptr && group->consumer) return group->consumer->describe();
  const bool is_classic = group != nullptr && is_visible(*group);
  answer.error = ApiErrc::group_id_not_found;
  answer.message =
      engine::concat("Group ", group_id, is_classic ? " is not a consumer group." : " not found.");
  return answer;
}

}  // namespace keelson::offsets
