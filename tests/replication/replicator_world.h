// tests/replication/replicator_world.h: replicator.single over the real store, on a simulated
// machine of several shards.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/sim/sim_world.h"
#include "engine/log/batch_builder.h"
#include "plugins/storage/segment_store.h"
#include "replication/single_replicator.h"
#include "tests/replication/shown_controller.h"

namespace keelson::test {

inline constexpr std::int64_t kSecond = 1'000'000'000;
inline constexpr std::int64_t kMillisecond = 1'000'000;

class ReplicatorWorld {
 public:
  explicit ReplicatorWorld(std::uint32_t shards, std::uint64_t seed = 1)
      : world(seed), node(world.start_node("broker", shards)) {
    for (std::uint32_t i = 0; i < shards; ++i) group.add(node.shard(i));
    node.disk().make_dir("/data", 0);
    node.disk().sync_everything();
    storage::SegmentStoreConfig config;
    config.data_dir = "/data";
    store = std::make_unique<storage::SegmentStore>(group, config);
    must(world.run_task(home(), store->open()).has_value(), "open the store");
    must(world.run_task(home(), store->start()).has_value(), "start the store");
    make_replicator();
  }
  /// Whatever a test left parked, a stop ends it all.
  ~ReplicatorWorld() {
    world.run_task(home(), replicator->stop());
    replicator.reset();
    world.run_task(home(), store->stop());
    store.reset();
    world.run_for(kSecond);
    for (std::uint32_t i = 0; i < group.size(); ++i) {
      must(group.at(i).live_tasks() == 0, "tasks left behind");
    }
  }
  void make_replicator() {
    replication::SingleReplicatorParts parts{
        group,
        *store,
        controller,
        1,
        [this](const ClusterView&, const TopicView&) { return log_config; },
        [this](const ClusterView&) { return cleaner_config; }};
    replicator = std::make_unique<replication::SingleReplicator>(std::move(parts));
  }

  engine::io::Shard& home(std::uint32_t index = 0) { return group.at(index); }

  /// Shows one topic with so many partitions more than nothing; 0 takes it away.
  ApiResult<void> set_topic(std::int32_t partitions, std::int32_t leader_epoch = 0) {
    auto next = std::make_shared<ClusterView>();
    next->broker_defaults = broker_defaults;
    if (partitions > 0) {
      auto topic = std::make_shared<TopicView>();
      topic->name = "topic";
      topic->id = topic_id;
      for (std::int32_t i = 0; i < partitions; ++i) {
        PartitionView& partition = topic->partitions.emplace_back();
        partition.leader = 1;
        partition.leader_epoch = engine::LeaderEpoch{leader_epoch};
      }
      next->topics[topic->name] = topic;
      next->topics_by_id[topic->id] = topic;
    }
    return world.run_task(home(), controller.show(next));
  }
  PartitionKey key(std::int32_t partition) const { return {topic_id, partition}; }
  /// A partition that `shard` owns, of `count`.
  std::int32_t partition_on(std::uint32_t shard, std::int32_t count = 64) const {
    for (std::int32_t i = 0; i < count; ++i) {
      if (store->owner(key(i)) == shard) return i;
    }
    must(false, "a partition of that shard");
    return -1;
  }

  static std::vector<std::byte> batch(int records, std::size_t value_bytes = 10) {
    engine::log::BatchBuilder builder;
    for (int i = 0; i < records; ++i) {
      const std::string value(value_bytes, static_cast<char>('a' + i % 26));
      builder.add(1'000 + i, std::nullopt, std::as_bytes(std::span(value)));
    }
    return builder.build();
  }
  engine::Task<ProduceAnswer> append(
      std::int32_t partition, std::vector<std::byte> bytes, std::uint32_t shard = 0,
      engine::log::BatchOrigin origin = engine::log::BatchOrigin::client) {
    ProduceCall call;
    call.origin = origin;
    call.partitions.push_back({key(partition), engine::MutableBytes(bytes)});
    std::vector<ProduceAnswer> answers = co_await replicator->produce(home(shard), std::move(call));
    co_return std::move(answers.at(0));
  }
  /// A produce request with a time limit that goes on while the test does other things.
  struct Sent {
    std::optional<std::vector<ProduceAnswer>> answers;
    std::int64_t ended_ns = 0;
    std::weak_ptr<const void> memory;  // the request's
  };
  std::unique_ptr<Sent> send(std::vector<std::int32_t> partitions, std::int32_t timeout_ms,
                             std::uint32_t shard = 0) {
    auto sent = std::make_unique<Sent>();
    home(shard).spawn(run(*sent, std::move(partitions), timeout_ms, shard));
    return sent;
  }
  engine::Task<void> run(Sent& sent, std::vector<std::int32_t> partitions, std::int32_t timeout_ms,
                         std::uint32_t shard) {
    const auto memory =
        std::make_shared<std::vector<std::vector<std::byte>>>(partitions.size(), batch(1));
    sent.memory = memory;
    ProduceCall call;
    call.timeout_ms = timeout_ms;
    call.memory = memory;
    for (std::size_t i = 0; i < partitions.size(); ++i) {
      call.partitions.push_back({key(partitions[i]), engine::MutableBytes((*memory)[i])});
    }
    std::vector<ProduceAnswer> answers = co_await replicator->produce(home(shard), std::move(call));
    sent.answers = std::move(answers);
    sent.ended_ns = world.now_ns();
  }
  ProduceAnswer produce(std::int32_t partition, int records = 1, std::uint32_t shard = 0) {
    return world.run_task(home(shard), append(partition, batch(records), shard));
  }
  FetchCall fetch_of(std::vector<std::pair<std::int32_t, std::int64_t>> partitions,
                     std::int32_t max_wait_ms = 0, std::int32_t min_bytes = 1) const {
    FetchCall call;
    call.max_wait_ms = max_wait_ms;
    call.min_bytes = min_bytes;
    for (const auto& [partition, offset] : partitions) {
      FetchPartition& wanted = call.partitions.emplace_back();
      wanted.key = key(partition);
      wanted.offset = engine::Offset{offset};
    }
    return call;
  }
  std::vector<FetchAnswer> fetch(FetchCall call, std::uint32_t shard = 0) {
    engine::io::Event cancelled(home(shard));
    return world.run_task(home(shard), replicator->fetch(home(shard), std::move(call), cancelled));
  }

  /// A fetch that goes on while the test does other things.
  struct Parked {
    explicit Parked(engine::io::Shard& shard) : cancelled(shard) {}
    engine::io::Event cancelled;
    std::optional<std::vector<FetchAnswer>> answers;
    std::int64_t ended_ns = 0;
  };
  std::unique_ptr<Parked> park(FetchCall call, std::uint32_t shard = 0) {
    auto parked = std::make_unique<Parked>(home(shard));
    home(shard).spawn(run(*parked, std::move(call), shard));
    world.run_for(50 * kMillisecond);
    return parked;
  }
  engine::Task<void> run(Parked& parked, FetchCall call, std::uint32_t shard) {
    std::vector<FetchAnswer> answers =
        co_await replicator->fetch(home(shard), std::move(call), parked.cancelled);
    parked.answers = std::move(answers);
    parked.ended_ns = world.now_ns();
  }
  static std::size_t bytes_of(const FetchAnswer& answer) {
    return engine::total_bytes(answer.records);
  }

  static void must(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "replicator world: %s\n", what);
    std::abort();
  }

  engine::io::SimWorld world;
  engine::io::SimNode& node;
  engine::io::ShardGroup group;
  engine::Uuid topic_id = engine::make_uuid(11, 22);
  engine::log::LogConfig log_config;
  engine::log::CleanerConfig cleaner_config;
  Settings broker_defaults;  // of what set_topic() shows
  ShownController controller;
  std::unique_ptr<storage::SegmentStore> store;
  std::unique_ptr<replication::SingleReplicator> replicator;
};

/// By how many shards the machine has.
class ReplicatorTest : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  std::uint32_t shards() const { return GetParam(); }
  std::uint32_t last() const { return shards() - 1; }
};

}  // namespace keelson::test
