// A start that is told to stop while the logs open.
#include <gtest/gtest.h>

#include <memory>

#include "tests/replication/replicator_world.h"

namespace keelson::test {
namespace {

constexpr std::int32_t kPartitions = 60;

/// The store and its replicator once more, as a start after a crash has them: the one before is
/// not closed, its files are left as they are.
struct Start {
  Start(ReplicatorWorld& world, std::function<bool()> stop_asked) : world(world) {
    storage::SegmentStoreConfig config;
    config.data_dir = "/data";
    config.stop_asked = std::move(stop_asked);
    store = std::make_unique<storage::SegmentStore>(world.group, config);
    replicator = std::make_unique<replication::SingleReplicator>(replication::SingleReplicatorParts{
        world.group, *store, controller, 1,
        [this](const ClusterView&, const TopicView&) { return this->world.log_config; },
        [](const ClusterView&) { return engine::log::CleanerConfig{}; }});
  }
  ~Start() { stop(); }
  void stop() {
    world.world.run_task(world.home(), replicator->stop());
    world.world.run_task(world.home(), store->stop());
  }
  ApiResult<void> open() {
    ApiResult<void> opened = world.world.run_task(world.home(), store->open());
    if (!opened) return opened;
    opened = world.world.run_task(world.home(), controller.show(world.controller.view()));
    if (!opened) return opened;
    return world.world.run_task(world.home(), store->start());
  }

  ReplicatorWorld& world;
  ShownController controller;
  std::unique_ptr<storage::SegmentStore> store;
  std::unique_ptr<replication::SingleReplicator> replicator;
};

TEST(Start, EndsSoonWhereAStopIsAskedForAndLosesNothing) {
  ReplicatorWorld world(2);
  ASSERT_TRUE(world.set_topic(kPartitions).has_value());
  for (std::int32_t i = 0; i < kPartitions; ++i) ASSERT_EQ(world.produce(i).error, ApiErrc::none);
  world.world.run_task(world.home(), world.replicator->stop());
  world.world.run_task(world.home(), world.store->stop());

  for (const int looks : {1, 30, 70, 100}) {
    int looked = 0;
    Start start(world, [&] { return ++looked > looks; });
    const ApiResult<void> opened = start.open();
    ASSERT_FALSE(opened.has_value()) << looks;
    EXPECT_EQ(opened.error().code, ApiErrc::not_leader_or_follower);
    const std::uint64_t writes = world.node.count(engine::io::OpKind::sync_data);
    start.stop();
    // The checkpoint files alone: no log is closed file by file.
    EXPECT_LE(world.node.count(engine::io::OpKind::sync_data), writes + 3) << looks;
  }

  Start whole(world, {});
  ASSERT_TRUE(whole.open().has_value());
  for (std::int32_t i = 0; i < kPartitions; ++i) {
    const auto end = world.world.run_task(
        world.home(), whole.replicator->list_offset(world.home(), world.key(i), kLatestTime, false,
                                                    engine::kNoLeaderEpoch));
    ASSERT_TRUE(end.has_value()) << i;
    EXPECT_EQ(end->offset, 1) << i;
  }
}

}  // namespace
}  // namespace keelson::test
