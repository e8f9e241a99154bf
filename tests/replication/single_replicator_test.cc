#include "replication/single_replicator.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/replication/replicator_world.h"

namespace keelson::test {
namespace {

using engine::LeaderEpoch;
using engine::Offset;

class SingleReplicator : public ReplicatorTest {};
INSTANTIATE_TEST_SUITE_P(Shards, SingleReplicator, ::testing::Values(1u, 3u));

TEST_P(SingleReplicator, GivesBackWhatWasProduced) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(6));
  for (std::int32_t partition = 0; partition < 6; ++partition) {
    EXPECT_EQ(world.produce(partition, 2, last()).base_offset, 0);
    const ProduceAnswer second = world.produce(partition, 3);
    EXPECT_EQ(second.error, ApiErrc::none);
    EXPECT_EQ(second.base_offset, 2);
    EXPECT_EQ(second.log_start_offset, 0);
  }
  const auto answers =
      world.fetch(world.fetch_of({{0, 0}, {1, 0}, {2, 2}, {3, 5}, {4, 0}, {5, 0}}), last());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].error, ApiErrc::none);
    EXPECT_EQ(answers[i].high_watermark, 5);
    EXPECT_EQ(answers[i].last_stable_offset, 5);
    EXPECT_EQ(answers[i].records.empty(), i == 3) << i;
  }
}

// The append wakes the poll: no timer in between, whatever shard each is on.
TEST_P(SingleReplicator, PipelinedAppendsKeepTheirOrder) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(12));
  for (std::int32_t partition = 0; partition < 12; ++partition) {
    std::vector<std::optional<ProduceAnswer>> answers(50);
    struct Work {
      static engine::Task<void> run(ReplicatorWorld& world, std::int32_t partition,
                                    std::uint32_t shard, int records,
                                    std::optional<ProduceAnswer>& answer) {
        answer = co_await world.append(partition, ReplicatorWorld::batch(records), shard);
      }
    };
    for (int i = 0; i < 50; ++i) {
      world.home(last()).spawn(
          Work::run(world, partition, last(), 1 + i % 3, answers[static_cast<std::size_t>(i)]));
    }
    world.world.run_for(5 * kSecond);
    std::int64_t expected = 0;
    for (int i = 0; i < 50; ++i) {
      const auto& answer = answers[static_cast<std::size_t>(i)];
      ASSERT_TRUE(answer);
      EXPECT_EQ(answer->base_offset, expected);
      expected += 1 + i % 3;
    }
  }
}

TEST_P(SingleReplicator, PartitionsOfACallAreIndependent) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(4));
  struct Work {
    static engine::Task<std::vector<ProduceAnswer>> run(ReplicatorWorld& world) {
      std::vector<std::vector<std::byte>> batches(5, ReplicatorWorld::batch(1));
      batches[1][30] ^= std::byte{1};
      ProduceCall call;
      for (std::int32_t i = 0; i < 5; ++i) {
        call.partitions.push_back(
            {world.key(i), engine::MutableBytes(batches[static_cast<std::size_t>(i)])});
      }
      co_return co_await world.replicator->produce(world.home(), std::move(call));
    }
  };
  const auto answers = world.world.run_task(world.home(), Work::run(world));
  EXPECT_EQ(answers.at(0).error, ApiErrc::none);
  EXPECT_EQ(answers.at(1).error, ApiErrc::corrupt_message);
  EXPECT_EQ(answers.at(2).error, ApiErrc::none);
  EXPECT_EQ(answers.at(3).error, ApiErrc::none);
  EXPECT_EQ(answers.at(4).error, ApiErrc::unknown_topic_or_partition);
}

void stall_next_write(ReplicatorWorld& world, std::int32_t partition) {
  engine::io::FaultPlan& faults = world.node.faults();
  faults.stall_max_ns = 10 * kSecond;
  engine::io::NthFault& fault = faults.nth.emplace_back();
  fault.kind = engine::io::OpKind::write;
  fault.action = engine::io::FaultAction::stall;
  fault.path_contains = "topic-" + std::to_string(partition) + "/";
}

// The answer comes at the limit; the append goes on with the request's memory, and its record is
// there in the end, once.
TEST_P(SingleReplicator, AProduceIsAnsweredAtItsTimeLimit) {
  for (std::uint32_t owner = 0; owner < shards(); ++owner) {
    ReplicatorWorld world(shards());
    ASSERT_TRUE(world.set_topic(64));
    const std::int32_t stalled = world.partition_on(owner);
    const std::int32_t other = shards() == 1 ? 61 : world.partition_on((owner + 1) % shards());
    const std::int32_t beside = stalled == 63 ? 62 : 63;
    for (const std::int32_t partition : {stalled, other, beside}) world.produce(partition);
    stall_next_write(world, stalled);
    const std::int64_t before_ns = world.world.now_ns();
    const auto sent = world.send({stalled, other, beside, 64}, 500);
    world.world.run_for(kSecond);
    ASSERT_TRUE(sent->answers);
    EXPECT_GE(sent->ended_ns - before_ns, 500 * kMillisecond);
    EXPECT_LT(sent->ended_ns - before_ns, 520 * kMillisecond);
    EXPECT_EQ(sent->answers->at(0).error, ApiErrc::request_timed_out);
    EXPECT_EQ(sent->answers->at(0).base_offset, kNoOffset);
    EXPECT_EQ(sent->answers->at(1).base_offset, 1);
    EXPECT_EQ(sent->answers->at(2).error, ApiErrc::none);
    EXPECT_EQ(sent->answers->at(2).base_offset, 1);
    EXPECT_EQ(sent->answers->at(3).error, ApiErrc::unknown_topic_or_partition);
    EXPECT_FALSE(sent->memory.expired());
    world.world.run_for(10 * kSecond);
    EXPECT_TRUE(sent->memory.expired());
    EXPECT_EQ(world.produce(stalled).base_offset, 2);
    EXPECT_FALSE(world.fetch(world.fetch_of({{stalled, 1}})).at(0).records.empty());
  }
}

// A batch that takes long to check holds up nothing but its own partition, and what comes behind it
// there stays behind it.
TEST_P(SingleReplicator, ALongCheckHoldsUpItsPartitionOnly) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(64));
  world.log_config.max_message_bytes = 64 << 20;
  struct Answered {
    std::int64_t base_offset = -1;
    int place = 0;
  };
  struct Work {
    static engine::Task<void> run(ReplicatorWorld& world, std::int32_t partition,
                                  std::vector<std::byte> batch, Answered& answered, int& count) {
      const ProduceAnswer answer = co_await world.append(partition, std::move(batch));
      EXPECT_EQ(answer.error, ApiErrc::none) << answer.message;
      answered.base_offset = answer.base_offset;
      answered.place = ++count;
    }
  };
  const std::string zeros(64 << 20, '\0');
  engine::log::BatchBuilder builder(engine::log::Codec::zstd);
  builder.add(1'000, std::nullopt, std::as_bytes(std::span(zeros)));
  const std::vector<std::byte> bomb = builder.build();
  const std::int32_t beside = world.partition_on(0, 32);
  const auto begin = [&](std::int32_t partition, std::vector<std::byte> batch, Answered& answered,
                         int& count) {
    world.home().spawn(Work::run(world, partition, std::move(batch), answered, count));
  };
  // A first batch takes some I/O more, for the segment is made: longer than a bomb, by some seeds.
  Answered made;
  int made_count = 0;
  begin(beside, ReplicatorWorld::batch(1), made, made_count);
  world.world.run_for(kSecond);
  ASSERT_EQ(made_count, 1);
  // More bombs at once than may be under way, all on one shard.
  std::vector<std::int32_t> bombed;
  for (std::int32_t i = beside + 1; bombed.size() < 4; ++i) {
    if (world.store->owner(world.key(i)) == 0) bombed.push_back(i);
  }
  std::vector<Answered> first(4);
  std::vector<Answered> behind(4);
  Answered healthy;
  int count = 0;
  for (std::size_t i = 0; i < 4; ++i) begin(bombed[i], bomb, first[i], count);
  for (std::size_t i = 0; i < 4; ++i) begin(bombed[i], ReplicatorWorld::batch(3), behind[i], count);
  begin(beside, ReplicatorWorld::batch(1), healthy, count);
  world.world.run_for(5 * kSecond);
  EXPECT_EQ(count, 9);
  EXPECT_EQ(healthy.place, 1);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(first[i].base_offset, 0);
    EXPECT_EQ(behind[i].base_offset, 1);
    EXPECT_LT(first[i].place, behind[i].place);
  }
}

// Kafka does not count the leader's own write against the limit, so 0 is no refusal.
TEST_P(SingleReplicator, ATimeLimitOfNothingIsNone) {
  for (const std::int32_t timeout_ms : {0, -1}) {
    ReplicatorWorld world(shards());
    ASSERT_TRUE(world.set_topic(1));
    world.produce(0);
    stall_next_write(world, 0);
    const auto sent = world.send({0}, timeout_ms);
    world.world.run_for(5 * kSecond);
    ASSERT_FALSE(sent->answers);
    world.world.run_for(6 * kSecond);
    ASSERT_TRUE(sent->answers);
    EXPECT_EQ(sent->answers->at(0).error, ApiErrc::none);
  }
}

// A stop waits for what goes on behind its answer.
TEST_P(SingleReplicator, AStopWaitsForLateAppends) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(1));
  world.produce(0);
  stall_next_write(world, 0);
  const auto sent = world.send({0}, 10, last());
  world.world.run_for(kSecond);
  ASSERT_TRUE(sent->answers);
  EXPECT_FALSE(sent->memory.expired());
  world.world.run_task(world.home(), world.replicator->stop());
  EXPECT_TRUE(sent->memory.expired());
}

// Requests that were answered and not ended are bounded: beyond, answers wait.
TEST_P(SingleReplicator, LateAppendsAreBounded) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(1));
  world.produce(0);
  stall_next_write(world, 0);
  std::vector<std::unique_ptr<ReplicatorWorld::Sent>> sent;
  for (int i = 0; i < 5'000; ++i) sent.push_back(world.send({0}, 10));
  world.world.run_for(kSecond);
  const auto answered = [&] {
    return std::count_if(sent.begin(), sent.end(), [](const auto& one) { return !!one->answers; });
  };
  EXPECT_EQ(answered(), 4096);
  world.world.run_for(11 * kSecond);
  EXPECT_EQ(answered(), 5'000);
  EXPECT_EQ(sent.back()->answers->at(0).error, ApiErrc::none);
}

TEST_P(SingleReplicator, DeletionEndsLongPollsAndRefusesProduce) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(12));
  world.produce(0, 3);
  auto parked = world.park(world.fetch_of({{0, 3}, {1, 0}, {2, 0}}, 60'000), last());
  struct Work {
    // Produces until it is refused; every answer before was none.
    static engine::Task<void> run(ReplicatorWorld& world, std::int32_t partition,
                                  std::uint32_t shard, ApiErrc& last) {
      while (last == ApiErrc::none) {
        const ProduceAnswer answer =
            co_await world.append(partition, ReplicatorWorld::batch(1), shard);
        last = answer.error;
      }
    }
  };
  std::vector<ApiErrc> ends(12, ApiErrc::none);
  for (std::int32_t i = 3; i < 12; ++i) {
    const auto shard = static_cast<std::uint32_t>(i) % shards();
    world.home(shard).spawn(Work::run(world, i, shard, ends[static_cast<std::size_t>(i)]));
  }
  world.world.run_for(20 * kMillisecond);
  ASSERT_FALSE(parked->answers);
  EXPECT_TRUE(world.set_topic(0));
  world.world.run_for(kSecond);
  ASSERT_TRUE(parked->answers);
  // The first partition to go ends the wait; the others may still have been there then.
  EXPECT_EQ(std::count_if(parked->answers->begin(), parked->answers->end(),
                          [](const FetchAnswer& answer) {
                            return answer.error != ApiErrc::none &&
                                   answer.error != ApiErrc::unknown_topic_or_partition;
                          }),
            0);
  EXPECT_EQ(world.fetch(world.fetch_of({{0, 3}}, 60'000)).at(0).error,
            ApiErrc::unknown_topic_or_partition);
  for (std::int32_t i = 3; i < 12; ++i) {
    EXPECT_EQ(ends[static_cast<std::size_t>(i)], ApiErrc::unknown_topic_or_partition) << i;
  }
  EXPECT_EQ(world.produce(0).error, ApiErrc::unknown_topic_or_partition);
  // Made again under the same id, it is empty.
  ASSERT_TRUE(world.set_topic(12));
  EXPECT_EQ(world.produce(0).base_offset, 0);
}

TEST_P(SingleReplicator, GrowthIsTakenBack) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(2));
  world.produce(1);
  ASSERT_TRUE(world.set_topic(5));
  world.produce(4);
  EXPECT_EQ(world.produce(1).base_offset, 1);
  ASSERT_TRUE(world.set_topic(2));
  EXPECT_EQ(world.produce(4).error, ApiErrc::unknown_topic_or_partition);
  EXPECT_EQ(world.produce(1).base_offset, 2);
  ASSERT_TRUE(world.set_topic(5));
  EXPECT_EQ(world.produce(4).base_offset, 0);
}

TEST_P(SingleReplicator, EpochsFenceReadersAndWriters) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(1, /*leader_epoch=*/5));
  world.produce(0, 4);
  const auto error_of = [&](std::int32_t epoch) {
    FetchCall call = world.fetch_of({{0, 0}});
    call.partitions[0].current_leader_epoch = LeaderEpoch{epoch};
    return world.fetch(std::move(call), last()).at(0).error;
  };
  EXPECT_EQ(error_of(-1), ApiErrc::none);
  EXPECT_EQ(error_of(5), ApiErrc::none);
  EXPECT_EQ(error_of(4), ApiErrc::fenced_leader_epoch);
  EXPECT_EQ(error_of(6), ApiErrc::unknown_leader_epoch);
  const auto end_of = [&](std::int32_t epoch, std::int32_t current) {
    return world.world.run_task(
        world.home(last()), world.replicator->epoch_end(world.home(last()), world.key(0),
                                                        LeaderEpoch{epoch}, LeaderEpoch{current}));
  };
  EXPECT_EQ(end_of(5, -1)->end_offset, Offset{4});
  EXPECT_EQ(end_of(6, 5)->end_offset, Offset{-1});
  EXPECT_EQ(end_of(6, 5)->epoch, LeaderEpoch{-1});
  EXPECT_EQ(end_of(5, 4).error().code, ApiErrc::fenced_leader_epoch);
  const auto append_as = [&](std::int32_t epoch) {
    std::vector<std::byte> bytes = ReplicatorWorld::batch(1);
    ProduceCall call;
    call.partitions.push_back({world.key(0), engine::MutableBytes(bytes), LeaderEpoch{epoch}});
    return world.world
        .run_task(world.home(last()),
                  world.replicator->produce(world.home(last()), std::move(call)))
        .at(0);
  };
  EXPECT_EQ(append_as(4).error, ApiErrc::fenced_leader_epoch);
  EXPECT_EQ(append_as(6).error, ApiErrc::unknown_leader_epoch);
  EXPECT_EQ(append_as(5).error, ApiErrc::none);
  EXPECT_EQ(end_of(5, 6).error().code, ApiErrc::unknown_leader_epoch);
}

TEST_P(SingleReplicator, ADivergedReaderIsToldWhere) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(1, /*leader_epoch=*/5));
  world.produce(0, 4);
  const auto fetch = [&](std::int64_t offset, std::int32_t last_fetched) {
    FetchCall call = world.fetch_of({{0, offset}});
    call.partitions[0].last_fetched_epoch = LeaderEpoch{last_fetched};
    return world.fetch(std::move(call), last()).at(0);
  };
  EXPECT_FALSE(fetch(4, 5).diverging);
  EXPECT_EQ(fetch(4, 5).error, ApiErrc::none);
  const FetchAnswer beyond = fetch(9, 5);  // out of range as well: the divergence counts
  ASSERT_TRUE(beyond.diverging);
  EXPECT_EQ(beyond.error, ApiErrc::none);
  EXPECT_EQ(beyond.diverging->epoch, LeaderEpoch{5});
  EXPECT_EQ(beyond.diverging->end_offset, Offset{4});
  EXPECT_TRUE(beyond.records.empty());
}

TEST_P(SingleReplicator, RecordsBelowTheNewStartAreGone) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(3));
  for (int i = 0; i < 10; ++i) world.produce(2);
  const auto remove = [&](std::int64_t offset) {
    return world.world.run_task(world.home(last()), world.replicator->delete_records(
                                                        world.home(last()), world.key(2), offset));
  };
  EXPECT_EQ(*remove(4), 4);
  EXPECT_EQ(*remove(2), 4);  // below the start: nothing to do
  EXPECT_EQ(remove(11).error().code, ApiErrc::offset_out_of_range);
  EXPECT_EQ(remove(-2).error().code, ApiErrc::offset_out_of_range);
  EXPECT_EQ(world.fetch(world.fetch_of({{2, 3}})).at(0).error, ApiErrc::offset_out_of_range);
  EXPECT_EQ(world.fetch(world.fetch_of({{2, 4}})).at(0).log_start_offset, 4);
  EXPECT_EQ(*remove(kNoOffset), 10);
  world.log_config.cleanup_delete = false;
  world.log_config.cleanup_compact = true;
  ASSERT_TRUE(world.set_topic(3));
  EXPECT_EQ(remove(kNoOffset).error().code, ApiErrc::policy_violation);
}

// Dynamic settings of the broker reach what the store does by itself.
TEST_P(SingleReplicator, CompactionTakesANewRate) {
  ReplicatorWorld world(shards());
  world.log_config.segment_bytes = 4'000;
  world.log_config.cleanup_delete = false;
  world.log_config.cleanup_compact = true;
  world.cleaner_config.pace.bytes_per_second = 1;
  world.broker_defaults["log.cleaner.io.max.bytes.per.second"] = "1";
  ASSERT_TRUE(world.set_topic(1));
  engine::log::BatchBuilder builder;
  builder.add(1'000, std::as_bytes(std::span(std::string_view("key"))), std::nullopt);
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(world.world.run_task(world.home(), world.append(0, builder.build())).error,
              ApiErrc::none);
  }
  const auto runs = [&] {
    std::uint64_t all = 0;
    for (const auto& stats : world.world.run_task(world.home(), world.store->compaction_stats())) {
      all += stats.runs;
    }
    return all;
  };
  world.world.run_for(60 * kSecond);
  EXPECT_EQ(runs(), 0u);
  world.cleaner_config.pace.bytes_per_second = 1e9;
  world.broker_defaults["log.cleaner.io.max.bytes.per.second"] = "1000000000";
  ASSERT_TRUE(world.set_topic(1));
  world.world.run_for(60 * kSecond);
  EXPECT_GT(runs(), 0u);
}

TEST_P(SingleReplicator, SpecialTimes) {
  ReplicatorWorld world(shards());
  ASSERT_TRUE(world.set_topic(1));
  world.produce(0, 5);  // at 1000 to 1004
  const auto find = [&](std::int64_t time) {
    return world.world.run_task(
        world.home(last()), world.replicator->list_offset(world.home(last()), world.key(0), time,
                                                          false, engine::kNoLeaderEpoch));
  };
  EXPECT_EQ(find(kLatestTime)->offset, 5);
  EXPECT_EQ(find(kEarliestTime)->offset, 0);
  EXPECT_EQ(find(kEarliestLocalTime)->offset, 0);
  EXPECT_EQ(find(kLatestTieredTime)->offset, -1);
  EXPECT_EQ(find(kEarliestPendingUploadTime)->offset, -1);
  EXPECT_EQ(find(kMaxTime)->offset, 4);
  EXPECT_EQ(find(kMaxTime)->timestamp_ms, 1004);
  EXPECT_EQ(find(1002)->offset, 2);
  EXPECT_EQ(find(1005)->offset, -1);
  EXPECT_EQ(find(0)->offset, 0);
  EXPECT_EQ(find(-7).error().code, ApiErrc::unsupported_version);
}

}  // namespace
}  // namespace keelson::test
