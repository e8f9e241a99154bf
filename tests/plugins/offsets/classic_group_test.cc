// tests/plugins/offsets/classic_group_test.cc: the classic protocol, step by step.
#include <gtest/gtest.h>

#include "tests/plugins/offsets/group_harness.h"

namespace keelson::offsets {
namespace {

using testing::GroupHarness;
using testing::join_call;
using testing::static_call;

const MemberBytes kPart{std::byte{7}};

/// A stable group of `count` members; their ids, the leader first.
std::vector<std::string> settle(GroupHarness& host, int count, bool fixed = false) {
  std::vector<RequestId> requests;
  for (int i = 0; i < count; ++i) {
    requests.push_back(host.join(fixed ? static_call("i" + std::to_string(i)) : join_call()));
  }
  while (!host.joins.contains(requests.back())) host.pass(500);
  std::vector<std::string> ids;
  for (const RequestId request : requests) {
    const JoinGroupAnswer& answer = host.joins.at(request);
    EXPECT_EQ(answer.error, ApiErrc::none);
    answer.member_id == answer.leader ? ids.insert(ids.begin(), answer.member_id)
                                      : ids.insert(ids.end(), answer.member_id);
  }
  const std::int32_t generation = host.group.generation();
  std::vector<SyncGroupCall::Assignment> parts;
  for (const std::string& id : ids) parts.push_back({id, kPart});
  for (std::size_t i = 1; i < ids.size(); ++i) host.sync(ids[i], generation);
  host.sync(ids[0], generation, parts);
  host.finish_writes();
  EXPECT_EQ(host.group.state(), ClassicState::stable);
  host.group.check_invariants();
  return ids;
}

TEST(ClassicGroup, NewMemberWithoutIdIsSentBackOnceWithIt) {
  GroupHarness host;
  JoinGroupCall call = join_call();
  call.member_id_required = true;
  const JoinGroupAnswer first = host.joins.at(host.join(call));
  EXPECT_EQ(first.error, ApiErrc::member_id_required);
  EXPECT_EQ(first.member_id, "c-uuid1");
  EXPECT_EQ(host.group.pending_member_count(), 1u);
  call.member_id = first.member_id;
  const RequestId second = host.join(call);
  EXPECT_EQ(host.group.pending_member_count(), 0u);
  EXPECT_FALSE(host.joins.contains(second));
  host.pass(3'000);
  EXPECT_EQ(host.joins.at(second).error, ApiErrc::none);
  EXPECT_EQ(host.joins.at(second).generation, 1);
  EXPECT_EQ(host.joins.at(second).leader, first.member_id);
}

TEST(ClassicGroup, PendingIdExpiresWithItsSession) {
  GroupHarness host;
  JoinGroupCall call = join_call();
  call.member_id_required = true;
  host.join(call);
  host.pass(10'000);
  EXPECT_EQ(host.group.pending_member_count(), 0u);
  EXPECT_TRUE(host.timers.empty());
}

TEST(ClassicGroup, InitialDelayIsExtendedByLateComersUpToTheRebalanceTimeout) {
  GroupHarness host;
  const RequestId first = host.join(join_call());
  host.pass(2'900);
  const RequestId second = host.join(join_call());
  host.pass(200);
  EXPECT_FALSE(host.joins.contains(first));
  host.pass(2'900);
  ASSERT_TRUE(host.joins.contains(first));
  ASSERT_TRUE(host.joins.contains(second));
  EXPECT_EQ(host.group.state(), ClassicState::completing_rebalance);
  EXPECT_EQ(host.joins.at(first).members.size(), 2u);  // the leader
  EXPECT_EQ(host.joins.at(second).members.size(), 0u);
}

struct JoinRefusal {
  std::function<void(JoinGroupCall&)> spoil;
  ApiErrc error;
};

TEST(ClassicGroup, RefusesWrongJoins) {
  const std::vector<JoinRefusal> table = {
      {[](auto& c) { c.group_id.clear(); }, ApiErrc::invalid_group_id},
      {[](auto& c) { c.session_timeout_ms = 5'999; }, ApiErrc::invalid_session_timeout},
      {[](auto& c) { c.session_timeout_ms = 1'800'001; }, ApiErrc::invalid_session_timeout},
      {[](auto& c) { c.member_id = "nobody"; }, ApiErrc::unknown_member_id},
      {[](auto& c) { c.protocols.clear(); }, ApiErrc::inconsistent_group_protocol},
      {[](auto& c) { c.protocol_type.clear(); }, ApiErrc::inconsistent_group_protocol},
      {[](auto& c) { c.protocol_type = "connect"; }, ApiErrc::inconsistent_group_protocol},
      {[](auto& c) { c.protocols = {{"other", {}}}; }, ApiErrc::inconsistent_group_protocol},
      {[](auto& c) { c = static_call("i9", "x"); }, ApiErrc::unknown_member_id},
      {[](auto& c) { c = static_call("i0", "x"); }, ApiErrc::fenced_instance_id},
  };
  for (std::size_t i = 0; i < table.size(); ++i) {
    GroupHarness host;
    settle(host, 1, true);
    JoinGroupCall call = join_call();
    table[i].spoil(call);
    EXPECT_EQ(host.joins.at(host.join(call)).error, table[i].error) << "row " << i;
    EXPECT_EQ(host.group.state(), ClassicState::stable) << "row " << i;
  }
}

TEST(ClassicGroup, FullGroupRefusesNewMembersAndKeepsItsOwn) {
  GroupHarness host({.members_max = 2});
  const auto ids = settle(host, 2);
  EXPECT_EQ(host.joins.at(host.join(join_call())).error, ApiErrc::group_max_size_reached);
  EXPECT_EQ(host.group.state(), ClassicState::stable);
  EXPECT_EQ(host.joins.at(host.join(join_call(ids[1]))).error, ApiErrc::none);
}

TEST(ClassicGroup, MajorityOfFirstChoicesThatAllSupportWins) {
  GroupHarness host;
  host.join(join_call({}, {"a", "c", "b"}));
  host.join(join_call({}, {"b", "c"}));
  const RequestId last = host.join(join_call({}, {"b", "c"}));
  host.pass(6'000);
  EXPECT_EQ(host.joins.at(last).protocol_name, "b");
}

TEST(ClassicGroup, RebalanceDropsWhoDoesNotRejoinAndElectsAnotherLeader) {
  GroupHarness host;
  const auto ids = settle(host, 2);
  const std::int32_t before = host.group.generation();
  const RequestId rejoin = [&] {
    JoinGroupCall call = join_call(ids[1], {"range", "extra"});
    return host.join(call);
  }();
  EXPECT_EQ(host.group.state(), ClassicState::preparing_rebalance);
  EXPECT_EQ(host.heartbeat(ids[0], before), ApiErrc::rebalance_in_progress);
  for (int i = 0; i < 12; ++i) {
    host.pass(5'000);
    host.heartbeat(ids[0], before);  // alive, but does not rejoin
  }
  ASSERT_TRUE(host.joins.contains(rejoin));
  EXPECT_EQ(host.joins.at(rejoin).leader, ids[1]);
  EXPECT_EQ(host.joins.at(rejoin).generation, before + 1);
  EXPECT_EQ(host.heartbeat(ids[0], before), ApiErrc::unknown_member_id);
}

TEST(ClassicGroup, FollowerWithSameProtocolsGetsTheCurrentGeneration) {
  GroupHarness host;
  const auto ids = settle(host, 2);
  const JoinGroupAnswer answer = host.joins.at(host.join(join_call(ids[1])));
  EXPECT_EQ(answer.error, ApiErrc::none);
  EXPECT_EQ(answer.generation, host.group.generation());
  EXPECT_EQ(host.group.state(), ClassicState::stable);
  host.join(join_call(ids[0]));  // the leader's join always begins a rebalance
  EXPECT_EQ(host.group.state(), ClassicState::preparing_rebalance);
}

TEST(ClassicGroup, SyncIsAnsweredOnlyWhenTheAssignmentIsDurable) {
  GroupHarness host;
  const RequestId join = host.join(join_call());
  host.pass(3'000);
  const std::string id = host.joins.at(join).member_id;
  const RequestId sync = host.sync(id, 1, {{id, kPart}});
  EXPECT_FALSE(host.syncs.contains(sync));
  ASSERT_EQ(host.writes.size(), 1u);
  host.finish_write();
  EXPECT_EQ(host.syncs.at(sync).assignment, kPart);
  EXPECT_EQ(host.group.state(), ClassicState::stable);
}

TEST(ClassicGroup, FailedAssignmentWriteIsToldToAllAndRebalances) {
  GroupHarness host;
  const RequestId join = host.join(join_call());
  host.pass(3'000);
  const std::string id = host.joins.at(join).member_id;
  const RequestId sync = host.sync(id, 1, {{id, kPart}});
  host.finish_write(ApiErrc::coordinator_not_available);
  EXPECT_EQ(host.syncs.at(sync).error, ApiErrc::coordinator_not_available);
  EXPECT_EQ(host.group.state(), ClassicState::preparing_rebalance);
}

TEST(ClassicGroup, RefusesWrongSyncs) {
  GroupHarness host;
  const auto ids = settle(host, 1, true);
  EXPECT_EQ(host.syncs.at(host.sync("x", 1)).error, ApiErrc::unknown_member_id);
  EXPECT_EQ(host.syncs.at(host.sync(ids[0], 9)).error, ApiErrc::illegal_generation);
  SyncGroupCall call{.group_id = "g", .generation = 1, .member_id = ids[0]};
  call.protocol_name = "other";
  host.group.sync(1'000, call);
  EXPECT_EQ(host.syncs.at(1'000).error, ApiErrc::inconsistent_group_protocol);
  call.protocol_name = "range";
  call.protocol_type = "connect";
  host.group.sync(1'001, call);
  EXPECT_EQ(host.syncs.at(1'001).error, ApiErrc::inconsistent_group_protocol);
  call.protocol_type.reset();
  call.member_id = "x";
  call.group_instance_id = "i0";
  host.group.sync(1'002, call);
  EXPECT_EQ(host.syncs.at(1'002).error, ApiErrc::fenced_instance_id);
  host.join(static_call("i0", ids[0]));  // the only member, so a new generation begins at once
  host.join(static_call("i7"));
  EXPECT_EQ(host.syncs.at(host.sync(ids[0], host.group.generation())).error,
            ApiErrc::rebalance_in_progress);
}

TEST(ClassicGroup, MembersThatDoNotSyncAreDropped) {
  GroupHarness host;
  const RequestId first = host.join(join_call());
  const RequestId second = host.join(join_call());
  host.pass(6'000);
  const std::string leader = host.joins.at(first).member_id;
  const std::string silent = host.joins.at(second).member_id;
  host.sync(leader, 1, {{leader, kPart}});
  host.finish_writes();
  for (int i = 0; i < 12; ++i) {
    host.heartbeat(leader, 1);
    host.heartbeat(silent, 1);
    host.pass(5'000);
  }
  EXPECT_FALSE(host.group.has_member(silent));
  EXPECT_TRUE(host.group.has_member(leader));
  EXPECT_EQ(host.group.state(), ClassicState::preparing_rebalance);
}

TEST(ClassicGroup, StaticMemberComesBackWithoutRebalance) {
  for (const bool skip_known : {true, false}) {
    GroupHarness host;
    const auto ids = settle(host, 2, true);
    const std::string instance = ids[0].substr(0, 2);
    JoinGroupCall call = static_call(instance);
    call.skip_assignment_known = skip_known;
    const RequestId back = host.join(call);
    EXPECT_FALSE(host.joins.contains(back));  // not before the new id is durable
    host.finish_write();
    const JoinGroupAnswer answer = host.joins.at(back);
    EXPECT_EQ(answer.error, ApiErrc::none);
    EXPECT_EQ(answer.generation, 1);
    EXPECT_EQ(answer.skip_assignment, skip_known);
    EXPECT_EQ(answer.leader, skip_known ? answer.member_id : ids[0]);
    EXPECT_EQ(answer.members.size(), skip_known ? 2u : 0u);
    EXPECT_EQ(host.group.state(), ClassicState::stable);
    EXPECT_EQ(host.group.heartbeat({"g", 1, ids[0], instance}), ApiErrc::fenced_instance_id);
    EXPECT_EQ(host.syncs.at(host.sync(answer.member_id, 1)).assignment, kPart);
    EXPECT_TRUE(host.timers.contains({GroupTimer::session, answer.member_id}));
    host.group.check_invariants();
  }
}

TEST(ClassicGroup, FailedReplacementGivesTheOldIdBack) {
  GroupHarness host;
  const auto ids = settle(host, 1, true);
  const RequestId back = host.join(static_call("i0"));
  host.finish_write(ApiErrc::coordinator_not_available);
  EXPECT_EQ(host.joins.at(back).error, ApiErrc::coordinator_not_available);
  EXPECT_EQ(host.group.heartbeat({"g", 1, ids[0], "i0"}), ApiErrc::none);
  host.group.check_invariants();
}

TEST(ClassicGroup, SessionEndRemovesMembersAndEmptiesTheGroup) {
  GroupHarness host;
  settle(host, 2, true);
  host.pass(10'000);
  host.pass(60'000);
  EXPECT_EQ(host.group.state(), ClassicState::empty);
  EXPECT_EQ(host.group.member_count(), 0u);
  host.finish_writes();
  EXPECT_TRUE(host.durable->members.empty());
  EXPECT_EQ(host.group.state_timestamp_ms(), host.durable->state_timestamp_ms);
  EXPECT_TRUE(host.timers.empty());
}

TEST(ClassicGroup, NewMemberThatNeverHearsOfItsIdGoesAfterFiveMinutes) {
  GroupHarness host({.initial_rebalance_delay_ms = 400'000});
  JoinGroupCall call = join_call();
  call.rebalance_timeout_ms = 1'000'000;
  const RequestId request = host.join(call);
  host.pass(299'999);
  EXPECT_FALSE(host.joins.contains(request));
  host.pass(1);
  EXPECT_EQ(host.joins.at(request).error, ApiErrc::unknown_member_id);
}

TEST(ClassicGroup, LeaveTakesMembersIndependentlyAndByInstance) {
  GroupHarness host;
  const auto ids = settle(host, 2, true);
  LeaveGroupCall call{.group_id = "g"};
  call.members = {{"nobody", {}, {}},
                  {"", "i9", {}},
                  {"x", ids[1].substr(0, 2), {}},
                  {"", ids[0].substr(0, 2), {}}};
  const LeaveGroupAnswer answer = host.group.leave(call);
  ASSERT_EQ(answer.members.size(), 4u);
  EXPECT_EQ(answer.members[0].error, ApiErrc::unknown_member_id);
  EXPECT_EQ(answer.members[1].error, ApiErrc::unknown_member_id);
  EXPECT_EQ(answer.members[2].error, ApiErrc::fenced_instance_id);
  EXPECT_EQ(answer.members[3].error, ApiErrc::none);
  EXPECT_EQ(host.group.member_count(), 1u);
  EXPECT_EQ(host.group.state(), ClassicState::preparing_rebalance);
}

TEST(ClassicGroup, LeavingAnswersAParkedSync) {
  GroupHarness host;
  host.join(join_call());
  const RequestId second = host.join(join_call());
  host.pass(6'000);
  const JoinGroupAnswer joined = host.joins.at(second);
  const RequestId sync = host.sync(joined.member_id, joined.generation);
  host.group.leave({"g", {{joined.member_id, {}, {}}}});
  EXPECT_EQ(host.syncs.at(sync).error, ApiErrc::unknown_member_id);
}

TEST(ClassicGroup, ChecksCommitsByStateMemberAndGeneration) {
  GroupHarness host;
  EXPECT_EQ(host.group.check_commit(-1, "", {}), ApiErrc::none);  // empty: anybody
  const auto ids = settle(host, 1, true);
  EXPECT_EQ(host.group.check_commit(-1, "", {}), ApiErrc::unknown_member_id);
  EXPECT_EQ(host.group.check_commit(1, "x", {}), ApiErrc::unknown_member_id);
  EXPECT_EQ(host.group.check_commit(1, "x", "i0"), ApiErrc::fenced_instance_id);
  EXPECT_EQ(host.group.check_commit(2, ids[0], {}), ApiErrc::illegal_generation);
  EXPECT_EQ(host.group.check_commit(1, ids[0], "i0"), ApiErrc::none);
  host.join(static_call("i0", ids[0]));
  EXPECT_EQ(host.group.state(), ClassicState::completing_rebalance);
  EXPECT_EQ(host.group.check_commit(2, ids[0], {}), ApiErrc::rebalance_in_progress);
}

TEST(ClassicGroup, RestoredGroupIsStableAndItsSessionsRun) {
  GroupHarness host;
  const auto ids = settle(host, 2);
  GroupHarness after;
  after.group.restore(*host.durable);
  after.group.begin();
  EXPECT_EQ(after.group.state(), ClassicState::stable);
  EXPECT_EQ(after.group.snapshot(), host.group.snapshot());
  EXPECT_EQ(after.heartbeat(ids[1], 1), ApiErrc::none);
  EXPECT_EQ(after.timers.size(), 2u);
}

}  // namespace
}  // namespace keelson::offsets
