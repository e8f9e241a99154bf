// tests/plugins/offsets/log_offset_store_test.cc: coordinators come and go with the leadership of
// their partitions.
#include "plugins/offsets/log_offset_store.h"

#include <gtest/gtest.h>

#include "tests/plugins/offsets/coordinator_harness.h"
#include "tests/replication/shown_controller.h"

namespace keelson::offsets {
namespace {

using testing::CoordinatorHarness;

constexpr BrokerId kSelf = 1;
constexpr BrokerId kOther = 2;

/// A store over the log and the shard of a CoordinatorHarness, whose own coordinator stands for
/// another broker's.
class StoreHarness {
 public:
  StoreHarness() {
    other.stop();
    shards.add(other.shard);
    OffsetSettings settings;
    settings.retention_check_interval_ms = 1'000'000'000;
    store.emplace(LogOffsetStoreParts{.shards = shards,
                                      .replicator = other.replicator,
                                      .controller = controller,
                                      .owner = [](const PartitionKey&) { return 0u; },
                                      .self = kSelf,
                                      .settings = settings,
                                      .fixed = fixed});
    other.run(store->start());
    lead(kSelf, 0);
  }
  ~StoreHarness() {
    other.run(store->stop());
    other.turn();
  }

  /// The replicator's view is the same: it is told before the groups are.
  std::shared_ptr<std::optional<ApiResult<void>>> lead(BrokerId leader, std::int32_t epoch) {
    auto view = std::make_shared<ClusterView>(*other.view());
    view->version = ++version;
    auto topic = std::make_shared<TopicView>();
    topic->name = kOffsetsTopic;
    topic->id = engine::make_uuid(3, 4);
    topic->partitions.resize(1);
    topic->partitions[0].leader = leader;
    topic->partitions[0].leader_epoch = engine::LeaderEpoch{epoch};
    view->topics_by_id[topic->id] = topic;
    view->topics[topic->name] = std::move(topic);
    return other.begin(controller.show(std::move(view)));
  }

  ApiErrc commit(std::int64_t offset) {
    return other.run(store->commit_offsets(other.shard, other.commit_call(offset))).error;
  }
  FetchedOffsets fetch() {
    FetchOffsetsCall call;
    call.groups.push_back({"g", {}, -1, {{{"t", other.topic_id, {0}}}}});
    return other.run(store->fetch_offsets(other.shard, std::move(call))).at(0);
  }
  std::int64_t fetch_one() { return fetch().topics.at(0).partitions.at(0).offset; }

  /// A member that waits for the first rebalance's delay.
  std::shared_ptr<std::optional<JoinGroupAnswer>> begin_join() {
    JoinGroupCall call;
    call.group_id = "waiting";
    call.session_timeout_ms = 30'000;
    call.rebalance_timeout_ms = 30'000;
    call.protocol_type = "consumer";
    call.protocols.push_back({"range", {}});
    return other.begin(store->join(other.shard, std::move(call), cancelled));
  }

  CoordinatorHarness other;
  engine::io::ShardGroup shards;
  test::ShownController controller;
  BrokerSettings fixed;
  engine::io::Event cancelled{other.shard};
  std::optional<LogOffsetStore> store;
  std::uint64_t version = 1;
};

TEST(LogOffsetStore, ANewEpochMakesTheCoordinatorAnew) {
  StoreHarness host;
  EXPECT_EQ(host.commit(6), ApiErrc::none);
  const auto joining = host.begin_join();
  EXPECT_FALSE(joining->has_value());

  // Another broker leads, and writes; this one does not know yet.
  host.other.replicator.epoch = engine::LeaderEpoch{1};
  host.other.start();
  EXPECT_EQ(host.other.commit(7), ApiErrc::none);
  host.other.stop();
  host.other.replicator.epoch = engine::LeaderEpoch{2};
  EXPECT_EQ(host.commit(8), ApiErrc::not_coordinator);
  EXPECT_EQ(host.fetch_one(), 6);
  EXPECT_FALSE(joining->has_value());

  host.other.replicator.read_fault = ApiErrc::not_leader_or_follower;  // for a moment
  EXPECT_TRUE(host.lead(kSelf, 2)->has_value());
  ASSERT_TRUE(joining->has_value());
  EXPECT_EQ((*joining)->error, ApiErrc::not_coordinator);
  EXPECT_EQ(host.commit(8), ApiErrc::coordinator_load_in_progress);
  EXPECT_EQ(host.fetch().error, ApiErrc::coordinator_load_in_progress);
  host.other.replicator.read_fault = ApiErrc::none;
  host.other.pass(1'000);
  EXPECT_EQ(host.fetch_one(), 7);
  EXPECT_EQ(host.commit(8), ApiErrc::none);
  EXPECT_EQ(host.fetch_one(), 8);
  EXPECT_EQ(engine::log::read_batch_header(host.other.replicator.log.back())->leader_epoch,
            engine::LeaderEpoch{2});
}

TEST(LogOffsetStore, OtherChangesLeaveTheCoordinatorAlone) {
  StoreHarness host;
  const auto joining = host.begin_join();
  host.lead(kSelf, 0);
  EXPECT_FALSE(joining->has_value());
  host.other.pass(4'000);  // the delay
  ASSERT_TRUE(joining->has_value());
  EXPECT_EQ((*joining)->error, ApiErrc::none);
}

TEST(LogOffsetStore, WhoLosesThePartitionServesItNoMore) {
  StoreHarness host;
  EXPECT_EQ(host.commit(6), ApiErrc::none);
  const auto joining = host.begin_join();
  host.lead(kOther, 1);
  ASSERT_TRUE(joining->has_value());
  EXPECT_EQ((*joining)->error, ApiErrc::not_coordinator);
  EXPECT_EQ(host.commit(7), ApiErrc::not_coordinator);
  host.lead(kSelf, 2);
  EXPECT_EQ(host.fetch_one(), 6);
}

// What the old coordinator still has under way may be in the log or not: the new one must not have
// read past it.
TEST(LogOffsetStore, WritesUnderWayEndBeforeTheNewCoordinatorReads) {
  StoreHarness host;
  host.other.replicator.released.reset();
  const auto committing =
      host.other.begin(host.store->commit_offsets(host.other.shard, host.other.commit_call(6)));
  const auto shown = host.lead(kSelf, 1);
  EXPECT_FALSE(committing->has_value());
  EXPECT_FALSE(shown->has_value());
  EXPECT_EQ(host.fetch().error, ApiErrc::coordinator_load_in_progress);
  host.other.replicator.released.set();
  host.other.turn();
  ASSERT_TRUE(committing->has_value());
  EXPECT_EQ((*committing)->error, ApiErrc::none);
  EXPECT_TRUE(shown->has_value());
  EXPECT_EQ(host.fetch_one(), 6);
}

}  // namespace
}  // namespace keelson::offsets
