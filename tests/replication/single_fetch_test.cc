// Fetch of replicator.single: long polls, what ends them, and the limits of an answer.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/replication/replicator_world.h"

namespace keelson::test {
namespace {

class SingleFetch : public ReplicatorTest {};
INSTANTIATE_TEST_SUITE_P(Shards, SingleFetch, ::testing::Values(1u, 3u));

TEST_P(SingleFetch, ALongPollIsWokenByTheAppend) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(12));
  for (std::uint32_t home = 0; home < shards(); ++home) {
    for (std::uint32_t owner = 0; owner < shards(); ++owner) {
      const std::int32_t partition = world.partition_on(owner, 12);
      const std::int64_t offset = world.produce(partition).base_offset + 1;
      auto parked = world.park(world.fetch_of({{partition, offset}}, 60'000), home);
      ASSERT_FALSE(parked->answers);
      const std::int64_t before_ns = world.world.now_ns();
      world.produce(partition, 1, (home + 1) % shards());
      world.world.run_for(50 * kMillisecond);
      ASSERT_TRUE(parked->answers);
      EXPECT_LT(parked->ended_ns - before_ns, 50 * kMillisecond);
      EXPECT_FALSE(parked->answers->at(0).records.empty());
      EXPECT_EQ(parked->answers->at(0).high_watermark, offset + 1);
    }
  }
}

TEST_P(SingleFetch, ALongPollOverAllShardsIsWokenByAnyOfThem) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(12));
  std::vector<std::pair<std::int32_t, std::int64_t>> all;
  for (std::int32_t i = 0; i < 12; ++i) all.emplace_back(i, 0);
  for (std::int32_t i = 0; i < 12; ++i) {
    auto parked = world.park(world.fetch_of(all, 60'000), last());
    world.produce(i);
    world.world.run_for(50 * kMillisecond);
    ASSERT_TRUE(parked->answers);
    EXPECT_FALSE(parked->answers->at(static_cast<std::size_t>(i)).records.empty());
    all[static_cast<std::size_t>(i)].second = 1;
  }
}

TEST_P(SingleFetch, ALongPollEndsAtItsDeadline) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(12));
  const std::int64_t before_ns = world.world.now_ns();
  auto parked = world.park(world.fetch_of({{0, 0}, {1, 0}, {2, 0}}, 500));
  world.world.run_for(kSecond);
  ASSERT_TRUE(parked->answers);
  EXPECT_GE(parked->ended_ns - before_ns, 500 * kMillisecond);
  EXPECT_LT(parked->ended_ns - before_ns, 520 * kMillisecond);
  EXPECT_TRUE(parked->answers->at(0).records.empty());
  EXPECT_EQ(parked->answers->at(0).error, ApiErrc::none);
  EXPECT_EQ(parked->answers->at(0).high_watermark, 0);
}

TEST_P(SingleFetch, ALongPollEndsWhenCancelled) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(12));
  auto parked = world.park(world.fetch_of({{0, 0}, {1, 0}, {2, 0}}, 60'000), last());
  parked->cancelled.set();
  world.world.run_for(50 * kMillisecond);
  EXPECT_TRUE(parked->answers);
  // One that begins when it is cancelled already does not wait.
  auto late = std::make_unique<ReplicatorWorld::Parked>(world.home(last()));
  late->cancelled.set();
  world.home(last()).spawn(world.run(*late, world.fetch_of({{0, 0}}, 60'000), last()));
  world.world.run_for(50 * kMillisecond);
  EXPECT_TRUE(late->answers);
}

TEST_P(SingleFetch, MinBytesAreWaitedFor) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(12));
  const auto size = static_cast<std::int32_t>(ReplicatorWorld::batch(1).size());
  auto parked = world.park(world.fetch_of({{0, 0}, {1, 0}, {2, 0}}, 60'000, 3 * size), last());
  world.produce(0);
  world.produce(1);
  world.world.run_for(50 * kMillisecond);
  EXPECT_FALSE(parked->answers);
  world.produce(1);
  world.world.run_for(50 * kMillisecond);
  ASSERT_TRUE(parked->answers);
  EXPECT_EQ(parked->answers->at(0).high_watermark, 1);
  EXPECT_EQ(parked->answers->at(1).high_watermark, 2);
}

// Nobody waits for more than may be answered.
TEST_P(SingleFetch, MinBytesAboveTheLimitAreCapped) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(1));
  world.produce(0, 100);
  FetchCall call = world.fetch_of({{0, 0}}, 60'000, 1'000'000);
  call.bytes_max = 50;
  const std::int64_t before_ns = world.world.now_ns();
  EXPECT_FALSE(world.fetch(std::move(call)).at(0).records.empty());
  EXPECT_LT(world.world.now_ns() - before_ns, kSecond);
}

TEST_P(SingleFetch, AnErrorEndsTheWait) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(3));
  const std::int64_t before_ns = world.world.now_ns();
  const auto answers = world.fetch(world.fetch_of({{0, 0}, {7, 0}, {1, 99}}, 60'000), last());
  EXPECT_EQ(answers.at(0).error, ApiErrc::none);
  EXPECT_EQ(answers.at(1).error, ApiErrc::unknown_topic_or_partition);
  EXPECT_EQ(answers.at(2).error, ApiErrc::offset_out_of_range);
  EXPECT_LT(world.world.now_ns() - before_ns, kSecond);
}

// KIP-74: the first partition with records gets a batch whatever the limits, the others obey.
TEST_P(SingleFetch, LimitsHoldOverAllPartitions) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(12));
  const std::size_t size = ReplicatorWorld::batch(1).size();
  for (std::int32_t i = 0; i < 12; ++i) {
    for (int n = 0; n < 4; ++n) world.produce(i);
  }
  std::vector<std::pair<std::int32_t, std::int64_t>> all;
  for (std::int32_t i = 0; i < 12; ++i) all.emplace_back(i, 0);
  const auto total = [&](FetchCall call) {
    std::size_t bytes = 0;
    for (const FetchAnswer& answer : world.fetch(std::move(call), last())) {
      EXPECT_EQ(answer.error, ApiErrc::none);
      bytes += ReplicatorWorld::bytes_of(answer);
    }
    return bytes;
  };
  FetchCall call = world.fetch_of(all);
  EXPECT_EQ(total(call), 48 * size);
  call.bytes_max = 1;
  EXPECT_EQ(total(call), size);
  call.bytes_max = 0;
  EXPECT_EQ(total(call), size);
  call.bytes_max = static_cast<std::int32_t>(10 * size + size / 2);
  EXPECT_LE(total(call), 10 * size + size / 2);
  EXPECT_GE(total(call), 7 * size);
  call = world.fetch_of(all);
  for (FetchPartition& partition : call.partitions) {
    partition.bytes_max = static_cast<std::int32_t>(2 * size);
  }
  EXPECT_EQ(total(call), 24 * size);
  for (FetchPartition& partition : call.partitions) partition.bytes_max = 0;
  EXPECT_EQ(total(call), size);
}

// A failed log brings nothing more: its readers wait for their time, they do not spin.
TEST_P(SingleFetch, ALongPollOfAFailedLogWaitsQuietly) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(1));
  world.produce(0, 3);
  for (int i = 1; i <= 50; ++i) {
    world.node.fail_nth(engine::io::OpKind::write, static_cast<std::uint64_t>(i));
  }
  const ProduceAnswer refused = world.produce(0);
  EXPECT_EQ(refused.error, ApiErrc::kafka_storage_error);
  EXPECT_EQ(world.produce(0).error, ApiErrc::kafka_storage_error);
  auto parked = world.park(world.fetch_of({{0, 3}}, 10'000));
  int steps = 0;
  while (!parked->answers && steps < 200'000) {
    world.world.step(world.world.now_ns() + 20 * kSecond);
    ++steps;
  }
  EXPECT_LT(steps, 20'000);
  ASSERT_TRUE(parked->answers);
  EXPECT_TRUE(parked->answers->at(0).records.empty());
  // What was acknowledged is still served.
  EXPECT_FALSE(world.fetch(world.fetch_of({{0, 0}})).at(0).records.empty());
}

TEST_P(SingleFetch, StopEndsLongPolls) {
  auto world = std::make_unique<ReplicatorWorld>(shards());
  ASSERT_TRUE(world->set_topic(12));
  std::vector<std::unique_ptr<ReplicatorWorld::Parked>> parked;
  for (std::int32_t i = 0; i < 12; ++i) {
    parked.push_back(world->park(world->fetch_of({{i, 0}, {(i + 1) % 12, 0}}, 600'000), last()));
  }
  const std::int64_t before_ns = world->world.now_ns();
  world->world.run_task(world->home(), world->replicator->stop());
  EXPECT_LT(world->world.now_ns() - before_ns, kSecond);
  world->world.run_for(kSecond);
  for (const auto& one : parked) EXPECT_TRUE(one->answers);
}

// The first batch ends so close to the end of its chunk that the next header lies in two.
TEST_P(SingleFetch, ZstdIsRefusedWhereverItsHeaderLies) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(1));
  std::vector<std::byte> first = ReplicatorWorld::batch(1, 4'000 - engine::log::kBatchHeaderBytes);
  const std::size_t missing = 4'096 - 30 - first.size();
  first = ReplicatorWorld::batch(1, 4'000 - engine::log::kBatchHeaderBytes + missing);
  ASSERT_EQ(first.size(), 4'096u - 30);
  engine::log::BatchBuilder builder(engine::log::Codec::zstd);
  builder.add(1'000, std::nullopt, std::as_bytes(std::span("zstd")));
  for (std::vector<std::byte> batch : {first, builder.build()}) {
    const ProduceAnswer answer =
        world.world.run_task(world.home(), world.append(0, std::move(batch)));
    ASSERT_EQ(answer.error, ApiErrc::none);
  }
  FetchCall call = world.fetch_of({{0, 0}});
  const FetchAnswer given = std::move(world.fetch(call, last()).at(0));
  EXPECT_EQ(given.error, ApiErrc::none);
  ASSERT_GE(given.records.size(), 2u);  // slices
  EXPECT_EQ(given.records.at(0).bytes.size(), 4'096u);
  call.zstd_allowed = false;
  EXPECT_EQ(world.fetch(call, last()).at(0).error, ApiErrc::unsupported_compression_type);
}

}  // namespace
}  // namespace keelson::test
