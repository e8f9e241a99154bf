// tests/plugins/offsets/coordinator_machine.h: one partition's coordinator over the real log on a
// simulated machine whose power can be cut.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/sim/sim_world.h"
#include "plugins/offsets/partition_coordinator.h"
#include "plugins/storage/segment_store.h"
#include "replication/single_replicator.h"
#include "tests/replication/replicator_world.h"

namespace keelson::offsets::testing {

class CoordinatorMachine {
 public:
  explicit CoordinatorMachine(std::uint64_t seed) : world(seed), node_(world.start_node("broker")) {
    node_.disk().make_dir("/data", 0);
    node_.disk().sync_everything();
    settings.classic.initial_rebalance_delay_ms = 0;
    settings.retention_check_interval_ms = 1'000'000'000'000;  // when the test says so
    start();
  }
  ~CoordinatorMachine() { stop(); }

  engine::io::Shard& shard() { return node_.shard(); }
  PartitionCoordinator& coordinator() { return *process_->coordinator; }
  std::int64_t now_ms() { return node_.clock().wall_ms(); }

  void restart() {
    stop();
    world.kill_node(node_);
    world.restart_node(node_);
    start();
  }
  /// Whatever was under way is lost or was done. What the dead process held stays for ever: its
  /// tasks point there.
  void cut_power() {
    static auto& graveyard = *new std::vector<std::shared_ptr<Process>>;  // reachable for ever
    world.power_cut(node_);
    graveyard.push_back(std::move(process_));
    world.restart_node(node_);
    start();
  }

  template <class T>
  T run(engine::Task<T> task) {
    return world.run_task(shard(), std::move(task));
  }
  void jump_wall_ms(std::int64_t by_ms) { node_.clock().jump_wall_ms(by_ms); }
  /// Writes that nobody waits for end, too.
  void settle() { world.run_for(test::kSecond / 10); }

  static constexpr int kTopics = 3;
  static std::string topic_name(int number) { return "t" + std::to_string(number); }
  static engine::Uuid topic_id(const std::string& name) {
    return engine::make_uuid(77, std::hash<std::string>{}(name));
  }

  engine::io::SimWorld world;
  OffsetSettings settings;

 private:
  struct Process {
    engine::io::ShardGroup group;
    test::ShownController controller;
    std::unique_ptr<storage::SegmentStore> store;
    std::unique_ptr<replication::SingleReplicator> replicator;
    std::unique_ptr<PartitionCoordinator> coordinator;
  };

  void start() {
    process_ = std::make_shared<Process>();
    Process& process = *process_;
    process.group.add(shard());
    storage::SegmentStoreConfig config;
    config.data_dir = "/data";
    process.store = std::make_unique<storage::SegmentStore>(process.group, config);
    must(world.run_task(shard(), process.store->open()).has_value(), "open the store");
    must(world.run_task(shard(), process.store->start()).has_value(), "start the store");
    engine::log::LogConfig log_config;
    log_config.segment_bytes = 64 * 1024;
    log_config.cleanup_compact = true;
    log_config.cleanup_delete = false;
    process.replicator =
        std::make_unique<replication::SingleReplicator>(replication::SingleReplicatorParts{
            process.group, *process.store, process.controller, 1,
            [log_config](const ClusterView&, const TopicView&) { return log_config; },
            [](const ClusterView&) { return engine::log::CleanerConfig{}; }});
    must(world.run_task(shard(), process.controller.show(view())).has_value(), "show the topic");
    process.coordinator = std::make_unique<PartitionCoordinator>(PartitionCoordinatorParts{
        .shard = shard(),
        .replicator = *process.replicator,
        .key = {internal_id_, 0},
        .settings = settings,
        .view = [this] { return view(); },
        .consumer_times = [](const std::string&) { return ConsumerGroupTimes{}; }});
    process.coordinator->start();
    const std::int64_t deadline_ns = node_.clock().now_ns() + 60 * test::kSecond;
    world.run_task(shard(), process.coordinator->wait_loaded(deadline_ns));
  }
  void stop() {
    world.run_task(shard(), process_->coordinator->stop());
    process_->coordinator.reset();
    world.run_task(shard(), process_->replicator->stop());
    process_->replicator.reset();
    world.run_task(shard(), process_->store->stop());
    process_.reset();
  }
  /// The internal topic, and kTopics that groups read.
  std::shared_ptr<const ClusterView> view() const {
    auto next = std::make_shared<ClusterView>();
    for (int i = 0; i < kTopics; ++i) {
      auto read = std::make_shared<TopicView>();
      read->name = topic_name(i);
      read->id = topic_id(read->name);
      next->topics[read->name] = next->topics_by_id[read->id] = read;
    }
    auto topic = std::make_shared<TopicView>();
    topic->name = kOffsetsTopic;
    topic->id = internal_id_;
    PartitionView& partition = topic->partitions.emplace_back();
    partition.leader = 1;
    partition.leader_epoch = engine::LeaderEpoch{0};
    next->topics[topic->name] = topic;
    next->topics_by_id[topic->id] = topic;
    return next;
  }
  static void must(bool condition, const char* what) {
    test::ReplicatorWorld::must(condition, what);
  }

  const engine::Uuid internal_id_ = engine::make_uuid(11, 22);
  engine::io::SimNode& node_;
  std::shared_ptr<Process> process_;
};

}  // namespace keelson::offsets::testing
