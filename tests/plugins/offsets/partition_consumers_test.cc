// tests/plugins/offsets/partition_consumers_test.cc: consumer groups over a log that fails and
// restarts; their timers, their offsets, their end.
#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "tests/plugins/offsets/consumer_harness.h"
#include "tests/plugins/offsets/coordinator_harness.h"
#include "tests/plugins/offsets/group_harness.h"

namespace keelson::offsets {
namespace {

using testing::CoordinatorHarness;
using testing::TestClient;

struct World : CoordinatorHarness {
  World() { times.assignment_interval_ms = 0; }

  ConsumerHeartbeatAnswer heartbeat(const ConsumerHeartbeatCall& call) {
    ConsumerHeartbeatAnswer answer = run(coordinator->consumer_heartbeat(call));
    coordinator->check_invariants();
    return answer;
  }
  TestClient client(std::string id) {
    TestClient made([this](const ConsumerHeartbeatCall& call) { return heartbeat(call); },
                    std::move(id));
    made.topics = {"t"};
    return made;
  }
  DescribedConsumerGroup describe() { return coordinator->describe_consumer("g"); }
  ApiErrc commit_as(const std::string& member, std::int32_t epoch, std::int64_t offset = 1) {
    CommitOffsetsCall call = commit_call(offset);
    call.member_id = member;
    call.generation = epoch;
    call.group_id_not_found_known = true;
    const CommitOffsetsAnswer answer = run(coordinator->commit_offsets(std::move(call)));
    return answer.error != ApiErrc::none ? answer.error : answer.partitions.at(0).at(0);
  }
};

std::string text(const DescribedConsumerGroup& group) {
  std::string all = group.group_id + " " + group.state + " " + std::to_string(group.epoch) + " " +
                    std::to_string(group.assignment_epoch) + "\n";
  for (const auto& member : group.members) {
    all += member.member_id + " " + std::to_string(member.member_epoch);
    for (const auto* list : {&member.assignment, &member.target}) {
      all += " |";
      for (const TopicPartitions& topic : *list) {
        for (const std::int32_t partition : topic.partitions) {
          all += " " + to_string(topic.topic_id) + "-" + std::to_string(partition);
        }
      }
    }
    all += "\n";
  }
  return all;
}

TEST(PartitionConsumers, ARestartKeepsMembersEpochsAndAssignments) {
  World host;
  TestClient one = host.client("m1");
  TestClient two = host.client("m2");
  one.beat();
  two.beat();
  one.beat();  // in the middle of giving up
  const std::string before = text(host.describe());
  host.restart();
  EXPECT_EQ(text(host.describe()), before);
  one.beat();
  two.beat();
  EXPECT_EQ(one.owned.size(), 2u);
  EXPECT_EQ(two.owned.size(), 2u);
  EXPECT_EQ(host.describe().state, "Stable");
}

TEST(PartitionConsumers, AnswersComeWhenDurableAndOnePerGroupAtATime) {
  World host;
  host.replicator.released.reset();
  auto first =
      host.begin(host.coordinator->consumer_heartbeat(testing::consumer_join("m1", {"t"})));
  auto second =
      host.begin(host.coordinator->consumer_heartbeat(testing::consumer_join("m2", {"t"})));
  EXPECT_FALSE(first->has_value());
  EXPECT_EQ(host.describe().error, ApiErrc::group_id_not_found);
  EXPECT_TRUE(host.list().empty());
  host.replicator.released.set();
  host.turn();
  EXPECT_EQ((*first)->member_epoch, 2);
  EXPECT_EQ((*second)->member_epoch, 3);
  EXPECT_EQ(host.describe().members.size(), 2u);
}

TEST(PartitionConsumers, AFailedWriteIsToldAndLeavesNoTrace) {
  World host;
  TestClient one = host.client("m1");
  host.replicator.next_fault = ApiErrc::not_enough_replicas;
  EXPECT_EQ(one.beat().error, ApiErrc::coordinator_not_available);
  EXPECT_TRUE(host.list().empty());
  host.replicator.next_fault = ApiErrc::kafka_storage_error;
  EXPECT_EQ(one.beat().error, ApiErrc::not_coordinator);
  EXPECT_EQ(one.beat().error, ApiErrc::none);
  EXPECT_EQ(one.epoch, 2);
  EXPECT_EQ(one.owned.size(), 4u);
}

// The append happens, its answer does not come: what is in the log counts, and the next step of the
// group is made from that, even where it cannot be read before another append is durable.
void lost_write_is_read_back(bool delayed) {
  World host;
  host.replicator.delay_lost = delayed;
  TestClient one = host.client("m1");
  TestClient two = host.client("m2");
  host.replicator.next_fault = ApiErrc::request_timed_out;
  host.replicator.lose_answer = true;
  EXPECT_EQ(one.beat().error, ApiErrc::coordinator_not_available);
  two.beat();
  EXPECT_EQ(two.epoch, 3);
  EXPECT_TRUE(two.owned.empty());  // m1 has them, though it does not know
  one.epoch = 0;
  one.beat();
  one.beat();
  two.beat();
  EXPECT_EQ(one.owned.size() + two.owned.size(), 4u);
  const std::string before = text(host.describe());
  host.restart();
  EXPECT_EQ(text(host.describe()), before);
}

TEST(PartitionConsumers, AWriteWhoseAnswerWasLostIsReadBackBeforeTheNextStep) {
  lost_write_is_read_back(false);
  lost_write_is_read_back(true);
}

// Its client never came back: nobody but the coordinator itself will find out.
TEST(PartitionConsumers, AMemberWhoseJoinWasLostGoesWithItsSession) {
  for (const bool delayed : {false, true}) {
    World host;
    host.replicator.delay_lost = delayed;
    host.replicator.next_fault = ApiErrc::request_timed_out;
    host.replicator.lose_answer = true;
    host.client("m1").beat();
    host.pass(2'000);
    EXPECT_EQ(host.describe().members.size(), 1u);
    host.pass(45'000);
    EXPECT_EQ(host.describe().state, "Empty");
  }
}

TEST(PartitionConsumers, SilentMembersGo) {
  World host;
  TestClient one = host.client("m1");
  TestClient two = host.client("m2");
  one.beat();
  two.beat();
  host.pass(30'000);
  two.beat();
  host.pass(15'000);
  EXPECT_EQ(host.describe().members.size(), 1u);
  two.beat();
  EXPECT_EQ(two.owned.size(), 4u);
  EXPECT_EQ(one.beat().error, ApiErrc::unknown_member_id);
  host.restart();
  host.pass(45'000);  // sessions begin anew
  EXPECT_EQ(host.describe().state, "Empty");
}

TEST(PartitionConsumers, AnEndOfASessionThatCannotBeWrittenIsTriedAgain) {
  World host;
  TestClient one = host.client("m1");
  one.beat();
  host.replicator.next_fault = ApiErrc::not_enough_replicas;
  host.pass(45'000);
  EXPECT_EQ(host.describe().members.size(), 1u);
  host.pass(1'500);
  EXPECT_TRUE(host.describe().members.empty());
}

TEST(PartitionConsumers, AMemberThatDoesNotGiveUpInTimeIsFenced) {
  World host;
  TestClient one = host.client("m1");
  TestClient two = host.client("m2");
  one.beat();
  two.beat();
  host.heartbeat(one.call());  // asked to give up
  for (int i = 0; i < 11; ++i) {
    host.pass(5'000);
    EXPECT_EQ(host.heartbeat(one.call()).error, ApiErrc::none);
    two.beat();
  }
  EXPECT_TRUE(two.owned.empty());
  host.pass(5'000);
  EXPECT_EQ(host.heartbeat(one.call()).error, ApiErrc::unknown_member_id);
  two.beat();
  EXPECT_EQ(two.owned.size(), 4u);
}

TEST(PartitionConsumers, AreListedAndDescribedByTheirKind) {
  World host;
  TestClient one = host.client("m1");
  one.beat();
  ASSERT_EQ(host.list().size(), 1u);
  EXPECT_EQ(host.list()[0].type, "consumer");
  EXPECT_EQ(host.list()[0].protocol_type, "consumer");
  EXPECT_EQ(host.list()[0].state, "Stable");
  EXPECT_TRUE(host.list({.states = {}, .types = {"classic"}}).empty());
  EXPECT_EQ(host.list({.states = {"STABLE"}, .types = {"Consumer"}}).size(), 1u);
  const DescribedGroup classic = host.coordinator->describe("g", true);
  EXPECT_EQ(classic.error, ApiErrc::group_id_not_found);
  EXPECT_EQ(classic.message, "Group g is not a classic group.");
  EXPECT_EQ(host.coordinator->describe("g", false).state, "Dead");
  EXPECT_EQ(host.coordinator->describe_consumer("x").message, "Group x not found.");
  GroupCounters counters;
  host.coordinator->count(counters);
  EXPECT_EQ(counters.groups, 1u);
  EXPECT_EQ(counters.members, 1u);
  EXPECT_EQ(counters.rebalances, 1u);
}

TEST(PartitionConsumers, OffsetsFollowTheRulesOfTheProtocol) {
  World host;
  EXPECT_EQ(host.heartbeat(testing::keep_alive("m1", 3)).error, ApiErrc::group_id_not_found);
  TestClient one = host.client("m1");
  one.beat();
  EXPECT_EQ(host.commit_as("m1", 2, 8), ApiErrc::none);
  EXPECT_EQ(host.commit_as("m1", 3), ApiErrc::stale_member_epoch);
  EXPECT_EQ(host.commit_as("m9", 2), ApiErrc::unknown_member_id);
  EXPECT_EQ(host.commit_as("", -1), ApiErrc::unknown_member_id);
  const auto fetch = [&](std::optional<std::string> member, std::int32_t epoch) {
    FetchOffsetsCall::Group call{"g", std::move(member), epoch, {}};
    return host.run(host.coordinator->fetch_offsets(std::move(call), false));
  };
  EXPECT_EQ(fetch("m1", 2).topics.at(0).partitions.at(0).offset, 8);
  EXPECT_EQ(fetch("m1", 3).error, ApiErrc::stale_member_epoch);
  EXPECT_EQ(fetch(std::nullopt, -1).error, ApiErrc::none);
  const DeleteOffsetsAnswer deleted =
      host.run(host.coordinator->delete_offsets({"g", {{"t", {0}}, {"u", {0}}}}));
  EXPECT_EQ(deleted.partitions[0][0], ApiErrc::group_subscribed_to_topic);
  EXPECT_EQ(deleted.partitions[1][0], ApiErrc::none);
  EXPECT_EQ(host.run(host.coordinator->delete_group("g")), ApiErrc::non_empty_group);
  EXPECT_EQ(one.leave(), ApiErrc::none);
  EXPECT_EQ(host.commit_as("", -1, 9), ApiErrc::none);  // an administrator
  EXPECT_EQ(host.fetch_one(), 9);
}

TEST(PartitionConsumers, DeletionAndAgeTakeAllOfAnEmptyGroup) {
  for (const bool by_age : {false, true}) {
    World host;
    TestClient one = host.client("m1");
    one.beat();
    host.commit_as("m1", 2);
    one.leave();
    if (by_age) {
      host.clock.at_ms += host.settings.retention_ms;
      host.run(host.coordinator->expire_offsets());
    } else {
      EXPECT_EQ(host.run(host.coordinator->delete_group("g")), ApiErrc::none);
    }
    EXPECT_TRUE(host.list().empty());
    EXPECT_EQ(host.fetch_one(), -1);
    host.restart();
    EXPECT_TRUE(host.list().empty());
    EXPECT_EQ(one.beat().error, ApiErrc::none);
    EXPECT_EQ(one.epoch, 2);  // a new group
  }
}

TEST(PartitionConsumers, OffsetsOfSubscribedTopicsDoNotAge) {
  World host;
  TestClient one = host.client("m1");
  one.beat();
  host.commit_as("m1", 2);
  host.times.session_timeout_ms = 0x7fffffff;
  one.beat();
  host.clock.at_ms += host.settings.retention_ms;
  host.run(host.coordinator->expire_offsets());
  EXPECT_EQ(host.fetch_one(), 1);
}

TEST(PartitionConsumers, AnEmptyGroupTakesTheOtherProtocol) {
  World host;
  EXPECT_EQ(host.commit(5), ApiErrc::none);  // a simple group
  TestClient one = host.client("m1");
  EXPECT_EQ(one.beat().error, ApiErrc::none);
  EXPECT_EQ(host.fetch_one(), 5);
  host.restart();
  EXPECT_EQ(host.list().at(0).type, "consumer");
  one.leave();
  Parked parked(host.shard);
  JoinGroupCall call = testing::join_call();
  call.session_timeout_ms = 10'000;
  auto joined = host.begin(host.coordinator->join(call, parked));
  host.pass(3'000);
  ASSERT_TRUE(joined->has_value());
  EXPECT_EQ((*joined)->error, ApiErrc::none);
  EXPECT_EQ(host.list().at(0).type, "classic");
  EXPECT_EQ(host.fetch_one(), 5);
  host.restart();
  EXPECT_EQ(host.list().at(0).type, "classic");
}

// As consumer_history_test.cc, with a log between: appends fail, are lost, and the broker restarts.
TEST(PartitionConsumers, NoPartitionEverHasTwoOwnersWhateverTheLogDoes) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const auto pick = [&](std::uint64_t bound) { return random() % bound; };
    World host;
    host.settings.retention_check_interval_ms = 1'000'000'000;
    std::deque<TestClient> clients;
    host.replicator.delay_lost = seed % 2 == 0;
    for (int i = 0; i < 4; ++i) clients.push_back(host.client("m" + std::to_string(i)));
    const auto check = [&] {
      TestClient::Owned held;
      for (const TestClient& client : clients) {
        for (const auto& partition : client.owned) EXPECT_TRUE(held.insert(partition).second);
      }
    };
    for (int i = 0; i < 150; ++i) {
      TestClient& client = clients[pick(clients.size())];
      if (pick(5) == 0) {
        host.replicator.next_fault =
            pick(2) == 0 ? ApiErrc::request_timed_out : ApiErrc::not_enough_replicas;
        host.replicator.lose_answer =
            host.replicator.next_fault == ApiErrc::request_timed_out && pick(2) == 0;
      }
      switch (pick(12)) {
        case 0: client.leave(); break;
        case 1: client.beat_unheard(); break;
        case 2: {
          host.replicator.next_fault = ApiErrc::none;
          host.replicator.lose_answer = false;
          const std::string before = text(host.describe());
          const bool all_read = host.replicator.late.empty();
          host.replicator.show_late();
          host.restart();
          if (all_read) EXPECT_EQ(text(host.describe()), before);
          break;
        }
        case 3:
          if (pick(4) == 0) {
            ++host.view_version;
            ++host.topic_partitions;
          }
          break;
        default: client.beat(); break;
      }
      check();
      if (::testing::Test::HasFailure()) return;
    }
    host.replicator.next_fault = ApiErrc::none;
    host.replicator.lose_answer = false;
    for (int i = 0; i < 10; ++i) {
      for (TestClient& client : clients) client.beat();
      check();
    }
    std::size_t owned = 0;
    for (const TestClient& client : clients) owned += client.owned.size();
    EXPECT_EQ(owned, host.topic_partitions);
    EXPECT_EQ(host.describe().state, "Stable");
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace keelson::offsets
