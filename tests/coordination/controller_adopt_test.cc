// What another broker left in the data directory becomes the cluster's.
#include <gtest/gtest.h>

#include "tests/coordination/controller_world.h"

namespace keelson::test {
namespace {

const engine::Uuid kOrders = engine::make_uuid(1, 1);
const engine::Uuid kEvents = engine::make_uuid(2, 2);

AdoptedMetadata left_behind() {
  AdoptedMetadata found;
  found.end_position = 50;
  found.complete = true;
  found.next_producer_id = engine::ProducerId{3000};
  found.topics.push_back({"orders",
                          kOrders,
                          {{0, engine::LeaderEpoch{4}}, {1, engine::LeaderEpoch{5}}},
                          {{"retention.ms", {"77", 10}}, {"unheard.of", {"1", 11}}}});
  found.broker_defaults["message.max.bytes"] = {"1500000", 12};
  found.broker_defaults["unheard.of.too"] = {"1", 13};
  return found;
}

class Adoption : public testing::Test {
 protected:
  Adoption() {
    world.logs.adopted = left_behind();
    world.logs.logs = {{{kOrders, 0}, "orders"}, {{kOrders, 1}, "orders"}};
  }
  void start() {
    const ApiResult<void> opened = world.start();
    ASSERT_TRUE(opened) << opened.error().message;
  }
  void check_orders() {
    const TopicView* const topic = world.find("orders");
    ASSERT_NE(topic, nullptr);
    EXPECT_EQ(topic->id, kOrders);
    ASSERT_EQ(topic->partitions.size(), 2u);
    EXPECT_EQ(topic->partitions[1].leader_epoch, engine::LeaderEpoch{5});
    EXPECT_EQ(topic->partitions[0].leader, 1);
    EXPECT_EQ(topic->settings, (Settings{{"retention.ms", "77"}}));
    EXPECT_EQ(world.controller->view()->broker_defaults,
              (Settings{{"message.max.bytes", "1500000"}}));
  }
  ControllerWorld world;
};

TEST_F(Adoption, TakesOverTopicsWithIdsEpochsAndKnownSettings) {
  start();
  check_orders();
  // Above every id that Kafka gave or will ever give.
  const auto id = world.producer_id();
  ASSERT_TRUE(id);
  EXPECT_GE(id->value(), std::int64_t{1} << 52);
}

TEST_F(Adoption, IsDoneOnce) {
  start();
  ASSERT_TRUE(world.remove(kOrders));
  world.crash();
  start();
  EXPECT_EQ(world.find("orders"), nullptr);
}

TEST_F(Adoption, FollowsWhatChangedWhileTheOtherServed) {
  start();
  ASSERT_TRUE(
      world.alter(ConfigResource::topic, "orders", {{"retention.ms", SettingOp::set, "99"}}));
  world.stop();
  AdoptedMetadata& found = *world.logs.adopted;
  found.end_position = 80;
  found.topics[0].partitions[0] = engine::LeaderEpoch{9};
  found.topics[0].partitions[2] = engine::LeaderEpoch{0};
  found.topics[0].settings["segment.ms"] = {"1000", 60};
  world.logs.logs[{kOrders, 2}] = "orders";
  start();
  const TopicView* const topic = world.find("orders");
  ASSERT_EQ(topic->partitions.size(), 3u);
  EXPECT_EQ(topic->partitions[0].leader_epoch, engine::LeaderEpoch{9});
  EXPECT_EQ(topic->partitions[2].leader, 1);
  // Set here after the first time; the other did not touch it.
  EXPECT_EQ(topic->settings, (Settings{{"retention.ms", "99"}, {"segment.ms", "1000"}}));
}

TEST_F(Adoption, DropsATopicThatTheOtherDeletedAndTakesItsSuccessor) {
  start();
  world.stop();
  AdoptedMetadata& found = *world.logs.adopted;
  found.end_position = 80;
  found.topics[0].id = kEvents;
  found.removed_topics.insert(kOrders);
  world.logs.logs = {{{kEvents, 0}, "orders"}, {{kEvents, 1}, "orders"}};
  start();
  ASSERT_NE(world.find("orders"), nullptr);
  EXPECT_EQ(world.find("orders")->id, kEvents);
  EXPECT_EQ(world.controller->view()->find(kOrders), nullptr);
}

// Metadata never decides that data goes.
TEST_F(Adoption, KeepsADeletedTopicWhoseLogsAreThere) {
  start();
  world.stop();
  AdoptedMetadata& found = *world.logs.adopted;
  found.end_position = 80;
  found.topics.clear();
  found.removed_topics.insert(kOrders);
  start();
  check_orders();
  EXPECT_EQ(world.logs.logs.size(), 2u);
}

TEST_F(Adoption, PassesOverNamesAndNumbersThatCannotBe) {
  AdoptedMetadata& found = *world.logs.adopted;
  found.topics.push_back({"a/b", kEvents, {{0, engine::LeaderEpoch{0}}}, {}});
  found.topics.push_back(
      {"huge", engine::make_uuid(3, 3), {{2'000'000'000, engine::LeaderEpoch{0}}}, {}});
  found.topics.push_back({"none", engine::make_uuid(4, 4), {}, {}});
  start();
  EXPECT_EQ(world.controller->view()->topics.size(), 1u);
}

TEST_F(Adoption, OfAPartitionWithoutItsLogIsOffline) {
  world.logs.logs.erase({kOrders, 1});
  start();
  EXPECT_EQ(world.find("orders")->partitions[0].leader, 1);
  EXPECT_EQ(world.find("orders")->partitions[1].leader, kNoBroker);
  EXPECT_EQ(world.logs.logs.size(), 1u);
}

// Each transaction may be the last one before a crash: the next start finishes the work.
TEST_F(Adoption, IsFinishedAfterACrashOnTheWay) {
  AdoptedMetadata found = left_behind();
  for (std::int32_t p = 2; p < 500; ++p) found.topics[0].partitions[p] = engine::LeaderEpoch{1};
  int interrupted = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const coordination::Hostility hostile{.unknown_applied_ppm = 450'000,
                                          .unknown_not_applied_ppm = 500'000};
    ControllerWorld crashing(seed, hostile);
    crashing.logs.adopted = found;
    for (std::int32_t p = 0; p < 500; ++p) crashing.logs.logs[{kOrders, p}] = "orders";
    const ApiResult<void> first = crashing.start();
    if (!first) ++interrupted;
    crashing.crash();
    crashing.hostility = {};
    const ApiResult<void> opened = crashing.start();
    ASSERT_TRUE(opened) << "seed " << seed << ": " << opened.error().message;
    ASSERT_NE(crashing.find("orders"), nullptr) << seed;
    EXPECT_EQ(crashing.find("orders")->partitions.size(), 500u);
    EXPECT_EQ(crashing.find("orders")->settings.at("retention.ms"), "77");
  }
  EXPECT_GT(interrupted, 0);
}

}  // namespace
}  // namespace keelson::test
