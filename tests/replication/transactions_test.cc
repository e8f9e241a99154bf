// What readers of committed and of all records are given where transactions are under way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/byte_order.h"
#include "tests/replication/replicator_world.h"

namespace keelson::test {
namespace {

using engine::Offset;
using engine::ProducerEpoch;
using engine::ProducerId;
using engine::log::AbortedTransaction;
using engine::log::BatchBuilder;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Optional;

class ReadCommitted : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  void SetUp() override { ASSERT_TRUE(world.set_topic(6)); }

  void add(std::vector<std::byte> batch) {
    const ProduceAnswer answer = world.world.run_task(
        world.home(), world.append(0, std::move(batch), 0, engine::log::BatchOrigin::internal));
    EXPECT_EQ(answer.error, ApiErrc::none);
  }
  void add_data(std::int64_t producer, std::int32_t sequence) {
    BatchBuilder builder;
    builder.producer(ProducerId{producer}, ProducerEpoch{0}, sequence).transactional();
    builder.add(1'000, std::nullopt, std::nullopt);
    add(builder.build());
  }
  void add_marker(std::int64_t producer, bool abort) {
    std::byte key[4] = {};
    std::byte value[6] = {};
    engine::store_big_endian(key + 2, std::int16_t{abort ? std::int16_t{0} : std::int16_t{1}});
    BatchBuilder builder;
    builder.producer(ProducerId{producer}, ProducerEpoch{0}, engine::kNoSequence);
    builder.transactional().control().add(1'000, engine::Bytes(key), engine::Bytes(value));
    add(builder.build());
  }

  FetchCall call_of(std::int64_t offset, bool read_committed, std::int32_t max_wait_ms = 0) {
    FetchCall call = world.fetch_of({{0, offset}}, max_wait_ms);
    call.read_committed = read_committed;
    return call;
  }
  FetchAnswer fetch(std::int64_t offset, bool read_committed) {
    return std::move(world.fetch(call_of(offset, read_committed), last()).at(0));
  }
  std::int64_t latest(bool read_committed) {
    engine::io::Shard& home = world.home(last());
    const auto found = world.world.run_task(
        home, world.replicator->list_offset(home, world.key(0), kLatestTime, read_committed,
                                            engine::kNoLeaderEpoch));
    return found ? found->offset : -2;
  }
  std::uint32_t last() const { return GetParam() - 1; }

  ReplicatorWorld world{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Shards, ReadCommitted, ::testing::Values(1u, 3u));

TEST_P(ReadCommitted, EndsBeforeTheFirstOpenTransaction) {
  world.produce(0, 2);
  add_data(7, 0);
  world.produce(0, 3);
  EXPECT_EQ(latest(true), 2);
  EXPECT_EQ(latest(false), 6);
  const FetchAnswer committed = fetch(0, true);
  EXPECT_EQ(committed.last_stable_offset, 2);
  EXPECT_EQ(committed.high_watermark, 6);
  EXPECT_EQ(ReplicatorWorld::bytes_of(committed), ReplicatorWorld::batch(2).size());
  EXPECT_THAT(committed.aborted_transactions, Optional(IsEmpty()));
  const FetchAnswer all = fetch(0, false);
  EXPECT_EQ(all.last_stable_offset, 2);
  EXPECT_GT(ReplicatorWorld::bytes_of(all), ReplicatorWorld::bytes_of(committed));
  EXPECT_FALSE(all.aborted_transactions);
  // Between the stable offset and the end there is nothing, and no error.
  const FetchAnswer beyond = fetch(4, true);
  EXPECT_EQ(beyond.error, ApiErrc::none);
  EXPECT_TRUE(beyond.records.empty());
}

TEST_P(ReadCommitted, IsToldWhatWasAborted) {
  add_data(7, 0);
  add_data(8, 0);
  add_data(7, 1);
  add_marker(8, false);
  EXPECT_EQ(latest(true), 0);
  add_marker(7, true);
  EXPECT_EQ(latest(true), 5);
  const AbortedTransaction aborted{ProducerId{7}, Offset{0}};
  for (std::int64_t offset = 0; offset < 5; ++offset) {
    const FetchAnswer committed = fetch(offset, true);
    EXPECT_THAT(committed.aborted_transactions, Optional(ElementsAre(aborted))) << offset;
    EXPECT_EQ(ReplicatorWorld::bytes_of(committed),
              ReplicatorWorld::bytes_of(fetch(offset, false)));
  }
  EXPECT_THAT(fetch(5, true).aborted_transactions, Optional(IsEmpty()));
  EXPECT_FALSE(fetch(99, true).aborted_transactions);  // out of range
}

// Records above the stable offset are nothing that such a reader waits for.
TEST_P(ReadCommitted, WaitsForTheMarker) {
  world.produce(0);
  add_data(7, 0);
  auto parked = world.park(call_of(1, true, 60'000), last());
  auto impatient = world.park(call_of(1, false, 60'000), last());
  EXPECT_TRUE(impatient->answers);
  world.produce(0, 5);
  world.world.run_for(kSecond);
  EXPECT_FALSE(parked->answers);
  add_marker(7, false);
  world.world.run_for(50 * kMillisecond);
  ASSERT_TRUE(parked->answers);
  EXPECT_EQ(parked->answers->at(0).last_stable_offset, 8);
  EXPECT_FALSE(parked->answers->at(0).records.empty());
}

}  // namespace
}  // namespace keelson::test
