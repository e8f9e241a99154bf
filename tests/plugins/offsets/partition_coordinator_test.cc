// tests/plugins/offsets/partition_coordinator_test.cc: groups over a log that fails and restarts.
#include <gtest/gtest.h>

#include "tests/plugins/offsets/coordinator_harness.h"
#include "tests/plugins/offsets/group_harness.h"

namespace keelson::offsets {
namespace {

using testing::CoordinatorHarness;
using testing::join_call;

TEST(PartitionCoordinator, CommitsSurviveARestart) {
  CoordinatorHarness host;
  for (int i = 0; i < 9; ++i) EXPECT_EQ(host.commit(i), ApiErrc::none);
  host.restart();
  const FetchedOffsets all = host.fetch(true);
  ASSERT_EQ(all.topics.size(), 1u);
  EXPECT_EQ(all.topics[0].id, host.topic_id);
  EXPECT_EQ(all.topics[0].partitions[0].offset, 8);
  EXPECT_EQ(all.topics[0].partitions[0].metadata, "m");
  EXPECT_EQ(all.topics[0].partitions[0].leader_epoch, engine::LeaderEpoch{3});
}

TEST(PartitionCoordinator, OffsetsShowOnlyWhenDurableAndQueuedCommitsShareAnAppend) {
  CoordinatorHarness host;
  host.replicator.released.reset();
  auto first = host.begin(host.coordinator->commit_offsets(host.commit_call(1)));
  std::vector<std::shared_ptr<std::optional<CommitOffsetsAnswer>>> others;
  for (int i = 2; i < 50; ++i) {
    others.push_back(host.begin(host.coordinator->commit_offsets(host.commit_call(i))));
  }
  EXPECT_FALSE(first->has_value());
  EXPECT_EQ(host.fetch_one(), -1);
  EXPECT_TRUE(host.list().empty());
  host.replicator.released.set();
  host.turn();
  for (const auto& other : others) EXPECT_EQ((*other)->error, ApiErrc::none);
  EXPECT_EQ(host.fetch_one(), 49);
  EXPECT_EQ(host.replicator.appends, 2);
}

TEST(PartitionCoordinator, FailedAppendsChangeNothingAndSayWhy) {
  const std::vector<std::pair<ApiErrc, ApiErrc>> table = {
      {ApiErrc::unknown_topic_or_partition, ApiErrc::coordinator_not_available},
      {ApiErrc::not_enough_replicas, ApiErrc::coordinator_not_available},
      {ApiErrc::request_timed_out, ApiErrc::coordinator_not_available},
      {ApiErrc::not_leader_or_follower, ApiErrc::not_coordinator},
      {ApiErrc::kafka_storage_error, ApiErrc::not_coordinator},
      {ApiErrc::message_too_large, ApiErrc::unknown_server_error},
      {ApiErrc::record_list_too_large, ApiErrc::unknown_server_error},
  };
  for (const auto& [fault, wanted] : table) {
    CoordinatorHarness host;
    EXPECT_EQ(host.commit(5), ApiErrc::none);
    host.replicator.next_fault = fault;
    EXPECT_EQ(host.commit(6), wanted);
    EXPECT_EQ(host.fetch_one(), 5);
    host.restart();
    EXPECT_EQ(host.fetch_one(), 5);
  }
}

// The log decides: what memory says and what a restart would say are the same.
TEST(PartitionCoordinator, AnAppendWhoseAnswerWasLostIsFoundInTheLog) {
  CoordinatorHarness host;
  host.replicator.next_fault = ApiErrc::request_timed_out;
  host.replicator.lose_answer = true;
  EXPECT_EQ(host.commit(6), ApiErrc::coordinator_not_available);
  EXPECT_EQ(host.fetch_one(), 6);
  EXPECT_EQ(host.commit(7), ApiErrc::none);
  EXPECT_EQ(host.fetch_one(), 7);
  host.restart();
  EXPECT_EQ(host.fetch_one(), 7);
}

TEST(PartitionCoordinator, LoadingIsToldAndRetriedUntilTheLogCanBeRead) {
  CoordinatorHarness host;
  EXPECT_EQ(host.commit(6), ApiErrc::none);
  host.stop();
  host.replicator.read_fault = ApiErrc::not_leader_or_follower;
  host.start();
  EXPECT_EQ(host.commit(7), ApiErrc::coordinator_load_in_progress);
  EXPECT_EQ(host.fetch().error, ApiErrc::coordinator_load_in_progress);
  std::vector<ListedGroup> groups;
  EXPECT_EQ(host.coordinator->list({}, groups), ApiErrc::coordinator_load_in_progress);
  EXPECT_EQ(host.coordinator->heartbeat({.group_id = "g"}), ApiErrc::coordinator_load_in_progress);
  host.replicator.read_fault = ApiErrc::none;
  host.pass(1'000);
  EXPECT_EQ(host.fetch_one(), 6);
}

TEST(PartitionCoordinator, DamagedLogIsNotServed) {
  CoordinatorHarness host;
  EXPECT_EQ(host.commit(6), ApiErrc::none);
  host.stop();
  host.replicator.log[0].back() ^= std::byte{1};
  host.start();
  EXPECT_EQ(host.commit(7), ApiErrc::not_coordinator);
}

TEST(PartitionCoordinator, RefusesCommitsOfUnknownGenerationsAndLongMetadata) {
  CoordinatorHarness host;
  CommitOffsetsCall call = host.commit_call(1);
  call.generation = 4;
  EXPECT_EQ(host.run(host.coordinator->commit_offsets(call)).error, ApiErrc::illegal_generation);
  call.group_id_not_found_known = true;
  EXPECT_EQ(host.run(host.coordinator->commit_offsets(call)).error, ApiErrc::group_id_not_found);
  call = host.commit_call(1);
  call.topics[0].partitions.push_back({1, 2, {}, std::string(4'097, 'x')});
  const CommitOffsetsAnswer answer = host.run(host.coordinator->commit_offsets(call));
  EXPECT_EQ(answer.partitions[0][0], ApiErrc::none);
  EXPECT_EQ(answer.partitions[0][1], ApiErrc::offset_metadata_too_large);
}

// Another broker has led the partition meanwhile: what this one believes of the groups is old.
TEST(PartitionCoordinator, WritesOfAnEarlierEpochAreRefused) {
  CoordinatorHarness host;
  EXPECT_EQ(host.commit(6), ApiErrc::none);
  host.replicator.epoch = engine::LeaderEpoch{4};
  EXPECT_EQ(host.commit(7), ApiErrc::not_coordinator);
  EXPECT_EQ(host.fetch_one(), 6);
  EXPECT_EQ(host.replicator.log.size(), 1u);
  host.restart();
  EXPECT_EQ(host.commit(8), ApiErrc::none);
  EXPECT_EQ(engine::log::read_batch_header(host.replicator.log.back())->leader_epoch,
            engine::LeaderEpoch{4});
}

TEST(PartitionCoordinator, StatesAreComparedByHash) {
  CoordinatorHarness one;
  EXPECT_EQ(one.coordinator->state_hash(), 0u);
  EXPECT_EQ(one.commit(6), ApiErrc::none);
  const std::uint64_t first = one.coordinator->state_hash();
  EXPECT_EQ(one.commit(6, "u"), ApiErrc::none);
  const std::uint64_t both = one.coordinator->state_hash();
  EXPECT_NE(first, both);
  // Another one with the same log; and one in which compaction has left less of it.
  CoordinatorHarness other;
  other.stop();
  other.replicator.log = one.replicator.log;
  other.replicator.end = one.replicator.end;
  other.start();
  EXPECT_EQ(other.coordinator->state_hash(), both);
  EXPECT_EQ(other.commit(7), ApiErrc::none);
  EXPECT_NE(other.coordinator->state_hash(), both);
  const std::uint64_t newest = other.coordinator->state_hash();
  other.stop();
  other.replicator.log.erase(other.replicator.log.begin());
  other.start();
  EXPECT_EQ(other.coordinator->state_hash(), newest);
  EXPECT_EQ(other.run(other.coordinator->delete_group("g")), ApiErrc::none);
  EXPECT_EQ(other.coordinator->state_hash(), 0u);
}

TEST(PartitionCoordinator, OffsetOfAnEarlierTopicIsNone) {
  CoordinatorHarness host;
  EXPECT_EQ(host.commit(6), ApiErrc::none);
  host.topic_id = engine::make_uuid(8, 8);
  EXPECT_EQ(host.fetch_one(), -1);
  EXPECT_TRUE(host.fetch(true).topics.empty());
}

TEST(PartitionCoordinator, DeletesGroupsAndTheirOffsetsForEver) {
  CoordinatorHarness host;
  EXPECT_EQ(host.run(host.coordinator->delete_group("g")), ApiErrc::group_id_not_found);
  EXPECT_EQ(host.commit(6), ApiErrc::none);
  EXPECT_EQ(host.coordinator->describe("g", true).state, "Empty");
  host.replicator.next_fault = ApiErrc::not_enough_replicas;
  EXPECT_EQ(host.run(host.coordinator->delete_group("g")), ApiErrc::coordinator_not_available);
  EXPECT_EQ(host.fetch_one(), 6);
  EXPECT_EQ(host.run(host.coordinator->delete_group("g")), ApiErrc::none);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(host.fetch_one(), -1);
    EXPECT_TRUE(host.list().empty());
    EXPECT_EQ(host.coordinator->describe("g", true).error, ApiErrc::group_id_not_found);
    EXPECT_EQ(host.coordinator->describe("g", false).error, ApiErrc::none);
    EXPECT_EQ(host.coordinator->describe("g", false).state, "Dead");
    host.restart();
  }
}

TEST(PartitionCoordinator, DeletionCoversCommitsUnderWay) {
  CoordinatorHarness host;
  host.replicator.released.reset();
  auto commit = host.begin(host.coordinator->commit_offsets(host.commit_call(1)));
  auto deletion = host.begin(host.coordinator->delete_group("g"));
  EXPECT_EQ(host.commit_call(2).group_id, "g");
  host.replicator.released.set();
  host.turn();
  EXPECT_EQ((*commit)->error, ApiErrc::none);
  EXPECT_EQ(**deletion, ApiErrc::none);
  EXPECT_EQ(host.fetch_one(), -1);
  host.restart();
  EXPECT_EQ(host.fetch_one(), -1);
}

TEST(PartitionCoordinator, OffsetsAgeByRetentionAndTheGroupGoesWithTheLast) {
  CoordinatorHarness host;
  EXPECT_EQ(host.commit(6), ApiErrc::none);
  host.clock.at_ms += host.settings.retention_ms - 1;
  host.run(host.coordinator->expire_offsets());
  EXPECT_EQ(host.fetch_one(), 6);
  host.clock.at_ms += 1;
  host.run(host.coordinator->expire_offsets());
  EXPECT_EQ(host.fetch_one(), -1);
  EXPECT_TRUE(host.list().empty());
  CommitOffsetsCall call = host.commit_call(9);
  call.retention_ms = 10;
  EXPECT_EQ(host.run(host.coordinator->commit_offsets(call)).error, ApiErrc::none);
  host.restart();
  host.clock.at_ms += 10;
  host.run(host.coordinator->expire_offsets());
  EXPECT_EQ(host.fetch_one(), -1);
}

TEST(PartitionCoordinator, DeletedTopicsLoseTheirOffsets) {
  CoordinatorHarness host;
  EXPECT_EQ(host.commit(6), ApiErrc::none);
  EXPECT_EQ(host.commit(7, "u"), ApiErrc::none);
  auto gone = std::make_shared<GoneTopics>();
  gone->push_back({"t", host.topic_id});
  host.coordinator->forget_topics(gone);
  host.turn();
  EXPECT_EQ(host.fetch_one(), -1);
  EXPECT_EQ(host.fetch(true).topics.size(), 1u);
}

TEST(PartitionCoordinator, MembersSurviveARestartAndRulesOfLiveGroupsHold) {
  CoordinatorHarness host;
  testing::Shard& shard = host.shard;
  Parked parked(shard);
  auto join = host.begin(host.coordinator->join(join_call(), parked));
  EXPECT_FALSE(join->has_value());
  host.pass(3'000);
  ASSERT_TRUE(join->has_value());
  const std::string id = (*join)->member_id;
  Parked parked_sync(shard);
  SyncGroupCall call{.group_id = "g", .generation = 1, .member_id = id};
  call.assignments.push_back({id, {std::byte{1}}});
  EXPECT_EQ(host.run(host.coordinator->sync(call, parked_sync)).error, ApiErrc::none);
  host.restart();
  host.coordinator->check_invariants();
  const DescribedGroup group = host.coordinator->describe("g", true);
  EXPECT_EQ(group.state, "Stable");
  ASSERT_EQ(group.members.size(), 1u);
  EXPECT_EQ(group.members[0].assignment, MemberBytes{std::byte{1}});
  EXPECT_EQ(host.coordinator->heartbeat({"g", 1, id, {}}), ApiErrc::none);
  EXPECT_EQ(host.run(host.coordinator->delete_group("g")), ApiErrc::non_empty_group);
  EXPECT_EQ(host.run(host.coordinator->delete_offsets({"g", {{"t", {0}}}})).partitions[0][0],
            ApiErrc::group_subscribed_to_topic);  // its subscription cannot be read: all count
  EXPECT_EQ(host.list({{"sTaBle"}, {"CLASSIC"}}).size(), 1u);
  EXPECT_TRUE(host.list({{"Empty"}, {}}).empty());
  EXPECT_TRUE(host.list({{}, {"share"}}).empty());
  host.pass(10'000);  // the session ends
  EXPECT_EQ(host.coordinator->describe("g", true).state, "Empty");
}

TEST(PartitionCoordinator, GoneClientsAndStoppingEndParkedCalls) {
  CoordinatorHarness host;
  Parked gone(host.shard);
  auto abandoned = host.begin(host.coordinator->join(join_call(), gone));
  gone.abandon();
  host.turn();
  EXPECT_TRUE(abandoned->has_value());
  Parked waiting(host.shard);
  auto stopped = host.begin(host.coordinator->join(join_call(), waiting));
  EXPECT_FALSE(stopped->has_value());
  host.stop();
  EXPECT_EQ((*stopped)->error, ApiErrc::not_coordinator);
  EXPECT_EQ(host.shard.live_tasks(), 0u);
}

}  // namespace
}  // namespace keelson::offsets
