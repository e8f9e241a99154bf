// tests/plugins/offsets/consumer_group_test.cc: joining, moving partitions, fencing, static
// members, patterns.
#include <gtest/gtest.h>

#include "tests/plugins/offsets/consumer_harness.h"

namespace keelson::offsets {
namespace {

using testing::consumer_join;
using testing::ConsumerHarness;
using testing::keep_alive;
using testing::TestClient;
using testing::topic_uuid;

TEST(ConsumerGroup, FirstMemberGetsEverythingAtOnce) {
  ConsumerHarness host;
  TestClient one(host, "m1");
  const ConsumerHeartbeatAnswer answer = one.beat();
  EXPECT_EQ(answer.error, ApiErrc::none);
  EXPECT_EQ(answer.member_id, "m1");
  EXPECT_EQ(answer.member_epoch, 2);
  EXPECT_EQ(answer.heartbeat_interval_ms, 5'000);
  EXPECT_EQ(one.owned.size(), 4u);
  EXPECT_EQ(host.group->state(), ConsumerState::stable);
  EXPECT_FALSE(one.beat().assignment.has_value());  // nothing changed
}

TEST(ConsumerGroup, PartitionsMoveOnlyAfterTheirOwnerHasGivenThemUp) {
  ConsumerHarness host;
  TestClient one(host, "m1");
  TestClient two(host, "m2");
  one.beat();
  two.beat();
  EXPECT_EQ(two.epoch, 3);
  EXPECT_TRUE(two.owned.empty());
  EXPECT_EQ(host.group->state(), ConsumerState::reconciling);

  // Told to give up two, m1 says that it still has them: it stays in its epoch.
  const ConsumerHeartbeatAnswer told = host.heartbeat(one.call());
  EXPECT_EQ(told.member_epoch, 2);
  ASSERT_TRUE(told.assignment.has_value());
  EXPECT_EQ(told.assignment->at(0).partitions.size(), 2u);
  EXPECT_EQ(host.heartbeat(one.call()).member_epoch, 2);
  two.beat();
  EXPECT_TRUE(two.owned.empty());
  EXPECT_EQ(host.group->members().at("m1").assignment.state, MemberState::unrevoked_partitions);

  one.learn(told);
  one.beat();
  EXPECT_EQ(one.epoch, 3);
  EXPECT_EQ(two.beat().error, ApiErrc::none);
  EXPECT_EQ(two.owned.size(), 2u);
  EXPECT_EQ(host.group->state(), ConsumerState::stable);
}

TEST(ConsumerGroup, WhoMustGiveUpMoreStaysInItsEpoch) {
  ConsumerHarness host;
  TestClient one(host, "m1");
  one.beat();
  host.heartbeat(consumer_join("m2"));
  one.beat();
  EXPECT_EQ(one.owned.size(), 2u);
  host.heartbeat(consumer_join("m3"));
  host.heartbeat(consumer_join("m4"));
  one.beat();
  EXPECT_EQ(one.owned.size(), 1u);
  EXPECT_EQ(one.epoch, 2);
  one.beat();
  EXPECT_EQ(one.epoch, 5);
}

TEST(ConsumerGroup, RefusesMalformedCalls) {
  const ConsumerGroupSettings settings;
  const auto error_of = [&](auto change) {
    ConsumerHeartbeatCall call = consumer_join("m1");
    change(call);
    const std::optional<ApiError> wrong = ConsumerGroup::check(call, settings);
    return wrong ? wrong->code : ApiErrc::none;
  };
  using Call = ConsumerHeartbeatCall;
  EXPECT_EQ(error_of([](Call&) {}), ApiErrc::none);
  EXPECT_EQ(error_of([](Call& c) { c.group_id = ""; }), ApiErrc::invalid_request);
  EXPECT_EQ(error_of([](Call& c) { c.group_instance_id = ""; }), ApiErrc::invalid_request);
  EXPECT_EQ(error_of([](Call& c) { c.rack_id = ""; }), ApiErrc::invalid_request);
  EXPECT_EQ(error_of([](Call& c) { c.member_id = ""; }), ApiErrc::invalid_request);
  EXPECT_EQ(error_of([](Call& c) { c.rebalance_timeout_ms = -1; }), ApiErrc::invalid_request);
  EXPECT_EQ(error_of([](Call& c) { c.owned.reset(); }), ApiErrc::invalid_request);
  EXPECT_EQ(error_of([](Call& c) { c.owned = {{topic_uuid("a"), {0}}}; }),
            ApiErrc::invalid_request);
  EXPECT_EQ(error_of([](Call& c) { c.topics.reset(); }), ApiErrc::invalid_request);
  EXPECT_EQ(error_of([](Call& c) { c.member_epoch = -2; }), ApiErrc::invalid_request);
  EXPECT_EQ(error_of([](Call& c) { c.member_epoch = -3; }), ApiErrc::invalid_request);
  EXPECT_EQ(error_of([](Call& c) { c.assignor = "mine"; }), ApiErrc::unsupported_assignor);
  // Version 0: the group makes the id of whoever joins, and of nobody else.
  EXPECT_EQ(error_of([](Call& c) {
              c.member_id = "";
              c.member_id_required = false;
            }),
            ApiErrc::none);
  EXPECT_EQ(error_of([](Call& c) {
              c.member_id = "";
              c.member_id_required = false;
              c.member_epoch = 3;
            }),
            ApiErrc::invalid_request);
}

TEST(ConsumerGroup, StrangersAndWrongEpochsAreRefused) {
  ConsumerHarness host;
  TestClient one(host, "m1");
  one.beat();
  EXPECT_EQ(host.heartbeat(keep_alive("m9", 2)).error, ApiErrc::unknown_member_id);
  EXPECT_EQ(host.heartbeat(keep_alive("m9", kLeaveEpoch)).error, ApiErrc::unknown_member_id);
  EXPECT_EQ(host.heartbeat(keep_alive("m1", 3)).error, ApiErrc::fenced_member_epoch);
  one.topics = {"a", "b"};
  host.set_topic("b", 1);
  one.must_tell_all = true;
  one.beat();
  EXPECT_EQ(one.epoch, 3);
  one.topics = {"b"};
  one.must_tell_all = true;
  while (one.beat().member_epoch < 4) {
  }
  EXPECT_EQ(host.heartbeat(keep_alive("m1", 2)).error, ApiErrc::fenced_member_epoch);
}

TEST(ConsumerGroup, AnEpochWhoseAnswerWasLostIsNotFencedUnlessItHasTooMuch) {
  ConsumerHarness host;
  TestClient one(host, "m1");
  one.beat();
  host.set_topic("a", 5);
  one.beat_unheard();  // epoch 3 there, 2 here
  ConsumerHeartbeatCall stale = one.call();
  stale.owned = {{topic_uuid("x"), {0}}};
  EXPECT_EQ(host.heartbeat(stale).error, ApiErrc::fenced_member_epoch);
  stale.owned.reset();
  EXPECT_EQ(host.heartbeat(stale).error, ApiErrc::fenced_member_epoch);
  EXPECT_EQ(one.beat().error, ApiErrc::none);
  EXPECT_EQ(one.epoch, 3);
  EXPECT_EQ(one.owned.size(), 5u);  // a full call is answered in full
}

// An answer can be lost without the client asking for everything again: librdkafka repeats a
// heartbeat that timed out as it was.
TEST(ConsumerGroup, AnAssignmentIsToldUntilTheMemberNamesIt) {
  ConsumerHarness host;
  TestClient one(host, "m1");
  TestClient two(host, "m2");
  one.beat();
  one.beat();
  EXPECT_FALSE(host.heartbeat(keep_alive("m1", 2)).assignment.has_value());
  two.beat();
  for (int lost = 0; lost < 3; ++lost) {
    const ConsumerHeartbeatAnswer told = host.heartbeat(keep_alive("m1", 2));
    ASSERT_TRUE(told.assignment.has_value());
    EXPECT_EQ(told.assignment->at(0).partitions.size(), 2u);
  }
  EXPECT_FALSE(host.heartbeat(one.call()).assignment.has_value());  // says that it has four
  one.learn(host.heartbeat(keep_alive("m1", 2)));
  one.beat();
  EXPECT_EQ(one.epoch, 3);
  EXPECT_FALSE(host.heartbeat(keep_alive("m1", 3)).assignment.has_value());

  // The same where partitions come, in an epoch that stays: nobody would read them.
  for (int lost = 0; lost < 3; ++lost) {
    const ConsumerHeartbeatAnswer told = host.heartbeat(keep_alive("m2", 3));
    ASSERT_TRUE(told.assignment.has_value());
    EXPECT_EQ(told.assignment->at(0).partitions.size(), 2u);
  }
  two.learn(host.heartbeat(keep_alive("m2", 3)));
  two.beat();
  EXPECT_FALSE(host.heartbeat(keep_alive("m2", 3)).assignment.has_value());

  host.restart();  // which may have cut off any answer
  EXPECT_TRUE(host.heartbeat(keep_alive("m2", 3)).assignment.has_value());
  two.beat();
  EXPECT_FALSE(host.heartbeat(keep_alive("m2", 3)).assignment.has_value());
}

TEST(ConsumerGroup, AFencedMemberComesBackWithItsId) {
  ConsumerHarness host;
  TestClient one(host, "m1");
  one.beat();
  one.epoch = 7;
  EXPECT_EQ(one.beat().error, ApiErrc::fenced_member_epoch);
  EXPECT_EQ(one.beat().error, ApiErrc::none);
  EXPECT_EQ(one.owned.size(), 4u);
}

TEST(ConsumerGroup, FailedWritesChangeNothing) {
  ConsumerHarness host;
  TestClient one(host, "m1");
  host.fail_next_write = true;
  EXPECT_EQ(one.beat().error, ApiErrc::coordinator_not_available);
  EXPECT_TRUE(host.group->members().empty());
  one.beat();
  const ConsumerGroup before = *host.group;
  TestClient two(host, "m2");
  host.fail_next_write = true;
  two.beat();
  EXPECT_TRUE(before == *host.group);
}

TEST(ConsumerGroup, LeavingGivesEverythingToTheOthers) {
  ConsumerHarness host;
  TestClient one(host, "m1");
  TestClient two(host, "m2");
  for (int i = 0; i < 3; ++i) {
    one.beat();
    two.beat();
  }
  EXPECT_EQ(one.owned.size(), 2u);
  const ConsumerHeartbeatAnswer left = host.heartbeat(keep_alive("m1", kLeaveEpoch));
  EXPECT_EQ(left.error, ApiErrc::none);
  EXPECT_EQ(left.member_epoch, -1);
  two.beat();
  EXPECT_EQ(two.owned.size(), 4u);
  host.expire("m2");
  EXPECT_EQ(host.group->state(), ConsumerState::empty);
  EXPECT_TRUE(host.group->targets().empty());
}

TEST(ConsumerGroup, TopicsThatChangeStartANewEpoch) {
  ConsumerHarness host;
  TestClient one(host, "m1");
  one.topics = {"a", "later"};
  one.beat();
  EXPECT_EQ(one.owned.size(), 4u);
  host.set_topic("other", 3);  // nobody's
  one.beat();
  EXPECT_EQ(one.epoch, 2);
  host.set_topic("a", 6);
  one.beat();
  EXPECT_EQ(one.epoch, 3);
  EXPECT_EQ(one.owned.size(), 6u);
  host.set_topic("later", 2);
  one.beat();
  EXPECT_EQ(one.owned.size(), 8u);
  host.drop_topic("a");
  one.beat();
  one.beat();
  EXPECT_EQ(one.epoch, 5);
  EXPECT_EQ(one.owned.size(), 2u);
  host.restart();
  one.beat();
  EXPECT_EQ(one.epoch, 5);  // the topics are as they were
}

TEST(ConsumerGroup, AssignmentsAreNotMadeMoreOftenThanAllowed) {
  ConsumerHarness host;
  host.times.assignment_interval_ms = 1'000;
  TestClient one(host, "m1");
  TestClient two(host, "m2");
  one.beat();
  two.beat();
  EXPECT_EQ(host.group->epoch(), 3);
  EXPECT_EQ(host.group->assignment_epoch(), 2);
  EXPECT_EQ(host.group->state(), ConsumerState::assigning);
  EXPECT_EQ(two.epoch, 2);
  host.now_ms += 1'000;
  two.beat();
  EXPECT_EQ(host.group->assignment_epoch(), 3);
  EXPECT_EQ(two.epoch, 3);
}

TEST(ConsumerGroup, AFullGroupTakesNobodyElse) {
  ConsumerHarness host;
  host.settings.members_max = 1;
  TestClient one(host, "m1");
  TestClient two(host, "m2");
  one.beat();
  EXPECT_EQ(two.beat().error, ApiErrc::group_max_size_reached);
  EXPECT_EQ(one.beat().error, ApiErrc::none);
}

TEST(ConsumerGroup, TheAssignorIsVotedFor) {
  ConsumerHarness host;
  TestClient one(host, "m1");
  one.beat();
  EXPECT_EQ(host.group->describe().assignor, "uniform");
  ConsumerHeartbeatCall call = consumer_join("m2");
  call.assignor = "range";
  host.heartbeat(call);
  EXPECT_EQ(host.group->describe().assignor, "range");
  EXPECT_EQ(host.group->targets().at("m1").at(topic_uuid("a")), (std::set<std::int32_t>{0, 1}));
}

// Static members ----------------------------------------------------------------------------------

TestClient static_client(ConsumerHarness& host, std::string id, std::string instance) {
  TestClient client(host, std::move(id));
  client.instance = std::move(instance);
  return client;
}

TEST(ConsumerGroup, AStaticMemberThatReturnsHasWhatItHad) {
  ConsumerHarness host;
  TestClient one = static_client(host, "m1", "i1");
  TestClient two = static_client(host, "m2", "i2");
  for (int i = 0; i < 3; ++i) {
    one.beat();
    two.beat();
  }
  const auto had = one.owned;
  EXPECT_EQ(had.size(), 2u);
  EXPECT_EQ(one.leave(kLeaveStaticEpoch), ApiErrc::none);
  EXPECT_EQ(host.group->members().at("m1").assignment.epoch, -2);
  two.beat();
  EXPECT_EQ(two.owned.size(), 2u);
  host.restart();
  const std::int32_t epoch = host.group->epoch();
  TestClient again = static_client(host, "m3", "i1");
  again.beat();
  EXPECT_EQ(again.owned, had);
  EXPECT_EQ(host.group->epoch(), epoch);  // nothing was to be balanced
  EXPECT_FALSE(host.group->members().contains("m1"));
  EXPECT_EQ(host.heartbeat(one.call()).error, ApiErrc::unreleased_instance_id);
  ConsumerHeartbeatCall old = keep_alive("m1", epoch);
  old.group_instance_id = "i1";
  EXPECT_EQ(host.heartbeat(old).error, ApiErrc::fenced_instance_id);
}

TEST(ConsumerGroup, AStaticMemberThatIsThereIsNotReplaced) {
  ConsumerHarness host;
  TestClient one = static_client(host, "m1", "i1");
  one.beat();
  TestClient other = static_client(host, "m2", "i1");
  EXPECT_EQ(other.beat().error, ApiErrc::unreleased_instance_id);
  ConsumerHeartbeatCall unknown = keep_alive("m2", 2);
  unknown.group_instance_id = "i9";
  EXPECT_EQ(host.heartbeat(unknown).error, ApiErrc::unknown_member_id);
  unknown.member_epoch = kLeaveStaticEpoch;
  EXPECT_EQ(host.heartbeat(unknown).error, ApiErrc::unknown_member_id);
  unknown.group_instance_id = "i1";
  EXPECT_EQ(host.heartbeat(unknown).error, ApiErrc::fenced_instance_id);
  EXPECT_EQ(one.leave(), ApiErrc::none);
  EXPECT_EQ(other.beat().error, ApiErrc::none);
}

TEST(ConsumerGroup, AStaticMemberMayComeBackWithTheIdItHad) {
  ConsumerHarness host;
  TestClient one = static_client(host, "m1", "i1");
  one.beat();
  one.leave(kLeaveStaticEpoch);
  EXPECT_EQ(host.heartbeat(keep_alive("m1", 2)).error, ApiErrc::fenced_member_epoch);
  EXPECT_EQ(one.beat().error, ApiErrc::none);
  EXPECT_EQ(one.owned.size(), 4u);
  EXPECT_EQ(one.epoch, 2);
}

// Patterns ----------------------------------------------------------------------------------------

TEST(ConsumerGroup, PatternsMatchWholeNamesAndFollowNewTopics) {
  ConsumerHarness host;
  host.set_topic("ab", 2);
  host.set_topic("xab", 2);
  TestClient one(host, "m1");
  one.topics = {};
  one.regex = "a.*";
  one.beat();
  EXPECT_EQ(one.owned.size(), 6u);
  EXPECT_EQ(host.group->regexes().at("a.*").topics, (std::set<std::string>{"a", "ab"}));
  EXPECT_TRUE(host.group->is_subscribed_to("ab"));
  EXPECT_FALSE(host.group->is_subscribed_to("xab"));
  host.set_topic("abc", 1);
  one.beat();
  EXPECT_EQ(one.owned.size(), 6u);  // looked a moment ago
  host.now_ms += ConsumerGroup::kRegexPauseMs;
  one.beat();
  EXPECT_EQ(one.owned.size(), 7u);
  host.restart();
  ConsumerHeartbeatCall named = keep_alive("m1", one.epoch);
  named.regex = "";
  named.topics = {"a"};
  named.owned = one.reported();
  one.learn(host.heartbeat(named));
  EXPECT_EQ(one.owned.size(), 4u);
  EXPECT_TRUE(host.group->regexes().empty());
}

TEST(ConsumerGroup, WrongPatternsAreRefused) {
  ConsumerHarness host;
  TestClient one(host, "m1");
  for (const std::string& bad : {std::string("("), std::string("a{2000}{2000}"),
                                 std::string("(?=x)"), std::string(20'000, 'a')}) {
    one.regex = bad;
    EXPECT_EQ(one.beat().error, ApiErrc::invalid_regular_expression) << bad.substr(0, 20);
    EXPECT_TRUE(host.log.empty());
  }
}

// Offsets -----------------------------------------------------------------------------------------

TEST(ConsumerGroup, CommitsNeedTheEpochInWhichThePartitionWasGiven) {
  ConsumerHarness host;
  EXPECT_EQ(host.group->check_commit(-1, "", true), ApiErrc::none);
  TestClient one(host, "m1");
  one.beat();
  EXPECT_EQ(host.group->check_commit(-1, "", true), ApiErrc::unknown_member_id);
  EXPECT_EQ(host.group->check_commit(2, "m9", true), ApiErrc::unknown_member_id);
  EXPECT_EQ(host.group->check_commit(2, "m1", false), ApiErrc::unsupported_version);
  EXPECT_EQ(host.group->check_commit(3, "m1", true), ApiErrc::stale_member_epoch);
  EXPECT_EQ(host.group->check_commit(2, "m1", true), ApiErrc::none);
  host.set_topic("a", 5);
  one.beat();
  EXPECT_EQ(one.epoch, 3);
  const engine::Uuid a = topic_uuid("a");
  EXPECT_EQ(host.group->check_commit_of("m1", 2, a, 0), ApiErrc::none);  // had it then, too
  EXPECT_EQ(host.group->check_commit_of("m1", 2, a, 4), ApiErrc::stale_member_epoch);
  EXPECT_EQ(host.group->check_commit_of("m1", 3, a, 4), ApiErrc::none);
  EXPECT_EQ(host.group->check_fetch(std::nullopt, -1), ApiErrc::none);
  EXPECT_EQ(host.group->check_fetch("m1", 3), ApiErrc::none);
  EXPECT_EQ(host.group->check_fetch("m1", 2), ApiErrc::stale_member_epoch);
  EXPECT_EQ(host.group->check_fetch("m9", 3), ApiErrc::unknown_member_id);
}

TEST(ConsumerGroup, MembersOfALaterVersionsStateMustStartAnew) {
  ConsumerHarness host;
  TestClient one(host, "m1");
  one.beat();
  ConsumerMemberAssignment strange = host.group->members().at("m1").assignment;
  strange.state = MemberState::unknown;
  host.group->apply(ConsumerAssignmentRecord{"g", "m1", strange});
  EXPECT_EQ(one.beat().error, ApiErrc::fenced_member_epoch);
  EXPECT_EQ(one.beat().error, ApiErrc::none);
  EXPECT_EQ(one.owned.size(), 4u);
}

TEST(ConsumerGroup, TombstonesLeaveNothing) {
  ConsumerHarness host;
  TestClient one(host, "m1");
  one.regex = "a.*";
  one.beat();
  for (const GroupRecord& record : host.group->tombstones()) host.group->apply(record);
  EXPECT_TRUE(host.group->is_gone());
}

}  // namespace
}  // namespace keelson::offsets
