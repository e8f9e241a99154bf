// plugins/offsets/partition_classic_members.cc: JoinGroup and its kin where the group is one of the
// consumer protocol, and changes of a group's protocol.
#include <utility>

#include "plugins/offsets/consumer_classic.h"
#include "plugins/offsets/partition_coordinator.h"
#include "plugins/offsets/partition_group.h"

namespace keelson::offsets {

using engine::Task;
using Pass = engine::io::Gate::Pass;

/// Empty groups change their protocol whenever somebody wants it.
Task<ApiErrc> PartitionCoordinator::leave_consumer_protocol(Group& group) {
  const ApiErrc outcome = co_await write_and_wait(group.consumer->tombstones());
  if (outcome != ApiErrc::none) doubt(group);
  co_return outcome;
}

/// Joins at once: what the member shall have is known without the others.
Task<JoinGroupAnswer> PartitionCoordinator::join_consumer(Group& group, JoinGroupCall call) {
  JoinGroupAnswer answer;
  answer.member_id = call.member_id;
  const std::shared_ptr<const ClusterView> view = parts_.view();
  if (!group.consumer->supports(call, *view)) {
    answer.error = ApiErrc::inconsistent_group_protocol;
    co_return answer;
  }
  std::string member_id = call.member_id;
  if (member_id.empty()) {
    member_id = call.group_instance_id.value_or(call.client_id) + "-" + group.new_uuid();
    if (call.member_id_required && !call.group_instance_id) {
      answer.error = ApiErrc::member_id_required;
      answer.member_id = std::move(member_id);
      co_return answer;
    }
  }
  const ConsumerScene now = scene(call.group_id, *view);
  ConsumerStep step = group.consumer->join_classic(call, member_id, now);
  answer.error = step.answer.error;
  if (answer.error != ApiErrc::none) co_return answer;
  answer.generation = step.answer.member_epoch;
  answer.protocol_type = kConsumerProtocolType;
  answer.protocol_name = call.protocols.front().name;
  std::optional<ClassicGroupState> classic = group.consumer->downgraded_by(call, step, now);
  if (classic) answer.protocol_name = classic->protocol_name;
  const bool is_behind = classic && classic->generation != answer.generation;
  turn_classic(group, step, std::move(classic));
  const ApiErrc outcome = co_await take(group, step);
  answer.error = outcome;
  if (outcome != ApiErrc::none) co_return answer;
  if (group.becomes_classic) {
    finish_downgrade(group, is_behind);
  } else {
    group.consumer->settle(step);
    tend(group, member_id, step);
    group.disarm(GroupTimer::join, member_id);
    group.arm(GroupTimer::sync, member_id, call.rebalance_timeout_ms);
  }
  answer.member_id = std::move(member_id);
  co_return answer;
}

SyncGroupAnswer PartitionCoordinator::sync_consumer(Group& group, const SyncGroupCall& call) {
  const std::shared_ptr<const ClusterView> view = parts_.view();
  SyncGroupAnswer answer = group.consumer->sync_classic(call, *view);
  if (answer.error == ApiErrc::rebalance_in_progress) await_join(group, call.member_id);
  if (answer.error != ApiErrc::none) return answer;
  group.disarm(GroupTimer::sync, call.member_id);
  restart_session(group, call.member_id);
  return answer;
}

ApiErrc PartitionCoordinator::heartbeat_consumer(Group& group, const HeartbeatCall& call) {
  const ApiErrc wrong =
      group.consumer->check_classic(call.member_id, call.group_instance_id, call.generation);
  if (wrong != ApiErrc::none) return wrong;
  restart_session(group, call.member_id);
  if (!group.consumer->must_rejoin(call.member_id)) return ApiErrc::none;
  await_join(group, call.member_id);
  return ApiErrc::rebalance_in_progress;
}

/// Gives a member that is to join again its time for that, once.
void PartitionCoordinator::await_join(Group& group, const std::string& member_id) {
  if (group.timers.contains({GroupTimer::join, member_id})) return;
  const ConsumerMemberMetadata& member = group.consumer->members().at(member_id).metadata;
  group.arm(GroupTimer::join, member_id, member.rebalance_timeout_ms);
}

Task<LeaveGroupAnswer> PartitionCoordinator::leave(LeaveGroupCall call) {
  LeaveGroupAnswer answer;
  answer.error = ApiErrc::not_coordinator;
  if (!gate_.enter()) co_return answer;
  const Pass pass(gate_);
  answer.error = call.group_id.empty() ? ApiErrc::invalid_group_id : refusal();
  if (answer.error != ApiErrc::none) co_return answer;
  Group* const group = find(call.group_id);
  if (group == nullptr) {
    for (const LeaveGroupCall::Member& member : call.members) {
      answer.members.push_back(
          {member.member_id, member.group_instance_id, ApiErrc::unknown_member_id});
    }
    co_return answer;
  }
  Group::Visit visit(*group);
  co_await group->turn.take(1);
  visit.begin();
  answer.error = refusal();
  if (answer.error != ApiErrc::none) co_return answer;
  if (!group->consumer) co_return group->classic.leave(call);
  for (const LeaveGroupCall::Member& member : call.members) {
    const ApiErrc error = co_await leave_one(*group, member);
    answer.members.push_back({member.member_id, member.group_instance_id, error});
  }
  co_return answer;
}

Task<ApiErrc> PartitionCoordinator::leave_one(Group& group, LeaveGroupCall::Member member) {
  if (const ApiErrc doubt = co_await clear_doubt(group); doubt != ApiErrc::none) co_return doubt;
  if (!group.consumer) {
    // The one before was the last of the consumer protocol.
    const LeaveGroupAnswer left = group.classic.leave({group.classic.group_id(), {member}});
    co_return left.members.empty() ? left.error : left.members.front().error;
  }
  const std::string id = group.consumer->leaving_id(member);
  const auto known = group.consumer->members().find(id);
  if (known == group.consumer->members().end() || !known->second.metadata.classic) {
    co_return ApiErrc::unknown_member_id;
  }
  if (member.group_instance_id && known->second.metadata.instance_id != member.group_instance_id) {
    co_return ApiErrc::fenced_instance_id;
  }
  co_return co_await remove_member(group, id);
}

// Changes of protocol -----------------------------------------------------------------------------

/// What makes a consumer group of a classic one with members; nothing where that may not be.
std::optional<std::vector<GroupRecord>> PartitionCoordinator::upgrade(
    const Group& group, const ClusterView& view) const {
  const bool fits = group.classic.member_count() <=
                    static_cast<std::size_t>(parts_.settings.consumer.members_max);
  if (!parts_.settings.consumer_upgrade || !fits) return std::nullopt;
  return ConsumerGroup::upgraded(group.classic, view);
}

/// The members of a classic group are those of a consumer group now.
void PartitionCoordinator::finish_upgrade(Group& group) {
  group.forget_timers();
  group.classic.restore({});
  begin_consumers(group);
}

void PartitionCoordinator::turn_classic(Group& group, ConsumerStep& step,
                                        std::optional<ClassicGroupState> classic) {
  const auto members_max = static_cast<std::size_t>(parts_.settings.classic.members_max);
  if (!classic || !parts_.settings.consumer_downgrade || classic->members.size() > members_max) {
    return;
  }
  step.records = group.consumer->tombstones();
  step.records.push_back(ClassicGroupRecord{group.consumer->group_id(), std::move(classic)});
  group.becomes_classic = true;
}

void PartitionCoordinator::finish_downgrade(Group& group, bool rebalance) {
  group.becomes_classic = false;
  if (group.consumer) return;
  group.forget_timers();
  group.classic.begin();
  if (rebalance) group.classic.rebalance();
}

/// A member goes; where only classic ones are left the group becomes theirs. Has the turn.
Task<ApiErrc> PartitionCoordinator::remove_member(Group& group, std::string member_id) {
  const std::shared_ptr<const ClusterView> view = parts_.view();
  const ConsumerScene now = scene(group.consumer->group_id(), *view);
  ConsumerStep step = group.consumer->remove(member_id, now);
  if (step.records.empty()) co_return ApiErrc::none;
  turn_classic(group, step, group.consumer->downgraded(member_id, now));
  const ApiErrc outcome = co_await take(group, step);
  if (outcome != ApiErrc::none) co_return outcome;
  if (group.becomes_classic) {
    finish_downgrade(group, true);
  } else if (group.consumer) {
    group.consumer->settle(step);
  }
  co_return outcome;
}

}  // namespace keelson::offsets
