#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "coordination/controller/topic_names.h"
#include "coordination/controller/values.h"
#include "tests/coordination/controller_world.h"

namespace keelson::test {
namespace {

template <class T>
ApiErrc code_of(const ApiResult<T>& result) {
  return result ? ApiErrc::none : result.error().code;
}

class Controller : public testing::Test {
 protected:
  void SetUp() override {
    const ApiResult<void> opened = world.start();
    ASSERT_TRUE(opened) << opened.error().message;
  }
  ControllerWorld world;
};

TEST_F(Controller, CreatedTopicIsOpenedShownAndKept) {
  const auto made = world.create(
      {.name = "orders", .partition_count = 3, .settings = {{"retention.ms", "1000"}}});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(world.logs.logs.size(), 3u);
  const engine::Uuid id = (*made)->id;
  for (const bool clean : {true, false}) {
    clean ? world.stop() : world.crash();
    ASSERT_TRUE(world.start());
    const TopicView* const topic = world.find("orders");
    ASSERT_NE(topic, nullptr);
    EXPECT_EQ(topic->id, id);
    EXPECT_EQ(topic->settings.at("retention.ms"), "1000");
    ASSERT_EQ(topic->partitions.size(), 3u);
    EXPECT_EQ(topic->partitions[2].leader, 1);
    EXPECT_EQ(topic->partitions[2].leader_epoch, engine::LeaderEpoch{0});
    EXPECT_EQ(world.controller->view()->find(id), topic);
  }
}

TEST_F(Controller, RefusesWhatKafkaRefuses) {
  const auto code = [&](NewTopic topic) { return code_of(world.create(std::move(topic))); };
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string(250, 'a'),
        std::string("a/b"), std::string("a\0b", 3), std::string("a b"), std::string("a\n"),
        std::string("a:b"), std::string("*"), std::string("\xc3\xa4")}) {
    EXPECT_EQ(code({.name = name}), ApiErrc::invalid_topic_exception) << name;
  }
  for (const std::string& name : {std::string("..."), std::string("-"), std::string(249, 'a')}) {
    EXPECT_EQ(code({.name = name}), ApiErrc::none) << name;
  }
  EXPECT_EQ(code({.name = "-"}), ApiErrc::topic_already_exists);
  EXPECT_EQ(code({.name = "x.y_z"}), ApiErrc::none);
  EXPECT_EQ(code({.name = "x_y.z"}), ApiErrc::invalid_topic_exception);
  EXPECT_EQ(code({.name = "t", .partition_count = 0}), ApiErrc::invalid_partitions);
  EXPECT_EQ(code({.name = "t", .partition_count = -5}), ApiErrc::invalid_partitions);
  EXPECT_EQ(code({.name = "t", .partition_count = 0x7fffffff}), ApiErrc::policy_violation);
  EXPECT_EQ(code({.name = "t", .replication_factor = 0}), ApiErrc::invalid_replication_factor);
  EXPECT_EQ(code({.name = "t", .replication_factor = 32767}), ApiErrc::invalid_replication_factor);
  EXPECT_EQ(code({.name = "t", .settings = {{"no.such", "1"}}}), ApiErrc::invalid_config);
  EXPECT_EQ(code({.name = "t", .settings = {{"segment.bytes", "x"}}}), ApiErrc::invalid_config);
  EXPECT_EQ(code({.name = "t", .settings = {{"segment.bytes", "10"}}}), ApiErrc::invalid_config);
  EXPECT_EQ(
      code({.name = "t", .partition_count = -1, .replication_factor = -1, .assignment = {{77}}}),
      ApiErrc::invalid_replica_assignment);
  EXPECT_EQ(
      code({.name = "t", .partition_count = -1, .replication_factor = -1, .assignment = {{}}}),
      ApiErrc::invalid_replica_assignment);
  EXPECT_EQ(
      code({.name = "t", .partition_count = -1, .replication_factor = -1, .assignment = {{1, 1}}}),
      ApiErrc::invalid_replica_assignment);
  EXPECT_EQ(code({.name = "t", .assignment = {{1}}}), ApiErrc::invalid_request);
  EXPECT_EQ(code({.name = "__consumer_offsets"}), ApiErrc::invalid_topic_exception);
  EXPECT_EQ(code({.name = "__cluster_metadata"}), ApiErrc::invalid_request);
  EXPECT_EQ(code({.name = "__consumer_offsets", .internal = true}), ApiErrc::none);
  EXPECT_EQ(world.find("t"), nullptr);
  EXPECT_EQ(code({.name = "t", .partition_count = -1, .replication_factor = -1}), ApiErrc::none);
}

TEST_F(Controller, ValidateOnlyChangesNothing) {
  ASSERT_TRUE(world.create({.name = "t"}, /*validate_only=*/true));
  EXPECT_EQ(world.find("t"), nullptr);
  EXPECT_TRUE(world.logs.logs.empty());
}

TEST_F(Controller, ManyPartitionsTakeSeveralTransactions) {
  ASSERT_TRUE(world.create({.name = "wide", .partition_count = 1000}));
  ASSERT_TRUE(world.grow("wide", 1500));
  EXPECT_EQ(code_of(world.grow("wide", 1500)), ApiErrc::invalid_partitions);
  EXPECT_EQ(code_of(world.grow("none", 2)), ApiErrc::unknown_topic_or_partition);
  world.crash();
  ASSERT_TRUE(world.start());
  ASSERT_EQ(world.find("wide")->partitions.size(), 1500u);
  EXPECT_EQ(world.logs.logs.size(), 1500u);
  ASSERT_TRUE(world.remove(world.find("wide")->id));
  EXPECT_TRUE(world.logs.logs.empty());
  const auto left = world.store->map.list("/keelson/test-cluster-id-000000/v1/partitions/");
  EXPECT_TRUE(left.empty());
}

TEST_F(Controller, TotalOfPartitionsIsBounded) {
  world.stop();
  world.options.partitions_total_max = 10;
  ASSERT_TRUE(world.start());
  ASSERT_TRUE(world.create({.name = "a", .partition_count = 8}));
  EXPECT_EQ(code_of(world.create({.name = "b", .partition_count = 3})), ApiErrc::policy_violation);
  EXPECT_EQ(code_of(world.grow("a", 11)), ApiErrc::policy_violation);
  ASSERT_TRUE(world.remove(world.find("a")->id));
  EXPECT_TRUE(world.create({.name = "b", .partition_count = 10}));
}

TEST_F(Controller, FailedCreationIsTakenBack) {
  world.maker.refused = "bad";
  const auto made = world.create({.name = "bad", .partition_count = 2});
  EXPECT_EQ(code_of(made), ApiErrc::kafka_storage_error);
  EXPECT_EQ(world.find("bad"), nullptr);
  world.maker.refused.clear();
  world.crash();
  ASSERT_TRUE(world.start());
  EXPECT_EQ(world.find("bad"), nullptr);
  EXPECT_TRUE(world.create({.name = "bad"}));
}

TEST_F(Controller, FailedGrowthIsTakenBack) {
  ASSERT_TRUE(world.create({.name = "t", .partition_count = 1}));
  world.maker.refused = "t";
  EXPECT_EQ(code_of(world.grow("t", 4)), ApiErrc::kafka_storage_error);
  EXPECT_EQ(world.find("t")->partitions.size(), 1u);
  world.maker.refused.clear();
  world.crash();
  ASSERT_TRUE(world.start());
  EXPECT_EQ(world.find("t")->partitions.size(), 1u);
  EXPECT_TRUE(world.grow("t", 4));
}

TEST_F(Controller, DeletedTopicIsGoneAndItsNameFree) {
  const engine::Uuid first = world.create({.name = "t"}).value()->id;
  ASSERT_TRUE(world.remove(first));
  EXPECT_EQ(world.find("t"), nullptr);
  EXPECT_EQ(code_of(world.remove(first)), ApiErrc::unknown_topic_or_partition);
  EXPECT_TRUE(world.logs.logs.empty());
  EXPECT_NE(world.create({.name = "t"}).value()->id, first);
}

// A crash, or a busy disk, between the answer and the removal of the data.
TEST_F(Controller, InterruptedDeletionIsFinishedAtTheNextStart) {
  const engine::Uuid id = world.create({.name = "t", .partition_count = 2}).value()->id;
  world.maker.refuse_removal = true;
  ASSERT_TRUE(world.remove(id));
  EXPECT_EQ(world.logs.logs.size(), 2u);
  world.maker.refuse_removal = false;
  world.crash();
  ASSERT_TRUE(world.start());
  EXPECT_TRUE(world.logs.logs.empty());
  EXPECT_TRUE(world.controller->unclaimed_logs().empty());
  EXPECT_TRUE(world.store->map.list("/keelson/test-cluster-id-000000/v1/deleted/").empty());
}

// Fault model D20.
TEST_F(Controller, LogsThatNoTopicClaimsAreReportedAndLeft) {
  world.stop();
  const PartitionKey stranger{engine::make_uuid(1, 2), 0};
  world.logs.logs[stranger] = "stranger";
  ASSERT_TRUE(world.start());
  EXPECT_EQ(world.controller->unclaimed_logs().size(), 1u);
  EXPECT_TRUE(world.logs.logs.contains(stranger));
  EXPECT_THAT(world.ram.logger.lines, testing::HasSubstr("stranger-0"));
}

TEST_F(Controller, LostLogGetsNoEmptyOneInItsPlace) {
  const engine::Uuid id = world.create({.name = "t", .partition_count = 2}).value()->id;
  world.stop();
  world.logs.logs.erase({id, 1});
  ASSERT_TRUE(world.start());
  EXPECT_EQ(world.find("t")->partitions[0].leader, 1);
  EXPECT_EQ(world.find("t")->partitions[1].leader, kNoBroker);
  EXPECT_FALSE(world.logs.logs.contains({id, 1}));
  EXPECT_THAT(world.ram.logger.lines, testing::HasSubstr("t-1 is not on disk any more"));
  ASSERT_TRUE(world.alter(ConfigResource::topic, "t", {{"retention.ms", SettingOp::set, "5"}}));
  EXPECT_EQ(world.find("t")->partitions[1].leader, kNoBroker);
  ASSERT_TRUE(world.remove(id));
  EXPECT_TRUE(world.create({.name = "t", .partition_count = 2}));
}

TEST_F(Controller, CreationWhoseLogsWereNotMadeIsFinished) {
  const engine::Uuid id = world.create({.name = "t", .partition_count = 2}).value()->id;
  world.crash();  // before any later change took the mark away
  world.logs.logs.clear();
  ASSERT_TRUE(world.start());
  EXPECT_EQ(world.find("t")->partitions[0].leader, 1);
  EXPECT_TRUE(world.logs.logs.contains({id, 0}));
}

TEST_F(Controller, SettingsOfTopics) {
  ASSERT_TRUE(world.create({.name = "t"}));
  const auto alter = [&](std::vector<SettingChange> changes, bool all = false) {
    return code_of(world.alter(ConfigResource::topic, "t", std::move(changes), all));
  };
  EXPECT_EQ(alter({{"cleanup.policy", SettingOp::append, "compact"}}), ApiErrc::none);
  EXPECT_EQ(world.find("t")->settings.at("cleanup.policy"), "delete,compact");
  EXPECT_EQ(alter({{"cleanup.policy", SettingOp::subtract, "delete"}}), ApiErrc::none);
  EXPECT_EQ(world.find("t")->settings.at("cleanup.policy"), "compact");
  EXPECT_EQ(alter({{"retention.ms", SettingOp::remove, {}}}), ApiErrc::none);
  EXPECT_EQ(alter({{"retention.ms", SettingOp::set, "7"}, {"no.such", SettingOp::set, "1"}}),
            ApiErrc::invalid_config);
  EXPECT_FALSE(world.find("t")->settings.contains("retention.ms"));
  EXPECT_EQ(alter({{"retention.ms", SettingOp::set, "9"}}, /*all=*/true), ApiErrc::none);
  EXPECT_EQ(world.find("t")->settings, (Settings{{"retention.ms", "9"}}));
  EXPECT_EQ(code_of(world.alter(ConfigResource::topic, "u", {})),
            ApiErrc::unknown_topic_or_partition);
  world.crash();
  ASSERT_TRUE(world.start());
  EXPECT_EQ(world.find("t")->settings, (Settings{{"retention.ms", "9"}}));
}

TEST_F(Controller, SettingsOfBrokersAndGroups) {
  using enum ConfigResource;
  EXPECT_EQ(code_of(world.alter(broker, "1", {{"log.dirs", SettingOp::set, "/x"}})),
            ApiErrc::invalid_request);
  EXPECT_EQ(code_of(world.alter(broker, "2", {})), ApiErrc::invalid_request);
  ASSERT_TRUE(world.alter(broker, "", {{"message.max.bytes", SettingOp::set, "2000000"}}));
  ASSERT_TRUE(world.alter(broker, "1", {{"message.max.bytes", SettingOp::set, "3000000"}}));
  ASSERT_TRUE(
      world.alter(group, "g/1", {{"consumer.session.timeout.ms", SettingOp::set, "50000"}}));
  EXPECT_EQ(code_of(world.alter(group, "", {})), ApiErrc::invalid_request);
  EXPECT_EQ(code_of(world.alter(group, std::string(600, 'g'), {})), ApiErrc::invalid_request);
  world.crash();
  ASSERT_TRUE(world.start());
  const auto view = world.controller->view();
  EXPECT_EQ(view->broker_defaults.at("message.max.bytes"), "2000000");
  EXPECT_EQ(view->broker_settings.at(1).at("message.max.bytes"), "3000000");
  EXPECT_EQ(view->group_settings.at("g/1").size(), 1u);
  ASSERT_TRUE(world.alter(group, "g/1", {}, /*replace_all=*/true));
  EXPECT_FALSE(world.controller->view()->group_settings.contains("g/1"));
}

TEST_F(Controller, ProducerIdsAreNeverGivenTwice) {
  std::set<engine::ProducerId> seen;
  for (int start = 0; start < 4; ++start) {
    for (int i = 0; i < 1500; ++i) ASSERT_TRUE(seen.insert(world.producer_id().value()).second);
    world.crash();
    ASSERT_TRUE(world.start());
  }
}

TEST_F(Controller, RegisteredBrokerIsShown) {
  ASSERT_TRUE(world.ram.run(world.controller->register_broker(
      {.id = 1, .endpoints = {{"PLAINTEXT", "host", 9092}}, .rack = "r"})));
  ASSERT_EQ(world.controller->view()->brokers.size(), 1u);
  EXPECT_EQ(world.controller->view()->brokers[0].endpoints[0].port, 9092);
  EXPECT_FALSE(world.ram.run(world.controller->register_broker({.id = 2})));
  world.crash();
  ASSERT_TRUE(world.start());
  EXPECT_TRUE(world.controller->view()->brokers.empty());  // leased
}

TEST_F(Controller, SecondControllerIsRefusedWhileTheFirstLeads) {
  coordination::ControllerStandard second{
      {world.ram.shard, world.group, *world.coordinator, world.logs, world.settings}, {}};
  EXPECT_EQ(code_of(world.ram.run(second.open())), ApiErrc::not_controller);
  world.coordinator->end_lease();
  EXPECT_TRUE(world.ram.run(second.open()));
  EXPECT_EQ(code_of(world.create({.name = "t"})), ApiErrc::not_controller);
  EXPECT_TRUE(world.store->map.list("/keelson/test-cluster-id-000000/v1/topics/").empty());
  world.ram.run(second.stop());
}

engine::Task<void> create_and_count(ControllerWorld& world, std::string name, int& made,
                                    int& existing) {
  const auto result = co_await world.controller->create_topic(
      world.ram.shard, NewTopic{.name = std::move(name)}, false);
  if (result) ++made;
  if (!result && result.error().code == ApiErrc::topic_already_exists) ++existing;
}

TEST_F(Controller, ConcurrentCreatesOfOneNameMakeOne) {
  int made = 0;
  int existing = 0;
  for (int i = 0; i < 50; ++i) {
    world.ram.shard.spawn(create_and_count(world, "t", made, existing));
  }
  world.ram.settle();
  EXPECT_EQ(made, 1);
  EXPECT_EQ(existing, 49);
  EXPECT_EQ(world.logs.logs.size(), 1u);
}

// Loading and each change take a small part of a second with 10,000 topics. The limits are wide:
// they catch what grows with the square, not a slow machine.
TEST_F(Controller, TenThousandTopicsAreLoadedAndChangedQuickly) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::time_point since) {
    return std::chrono::duration<double>(Clock::now() - since).count();
  };
  world.stop();
  const coordination::Keys keys{world.options.root, world.logs.cluster_id()};
  const PartitionView partition{.leader = 1,
                                .leader_epoch = engine::LeaderEpoch{0},
                                .replicas = {1},
                                .in_sync_replicas = {1}};
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    const engine::Uuid id = engine::make_uuid(i << 16, 7);
    const coordination::TopicValue topic{"topic-" + std::to_string(i), false, 1, {}};
    world.store->map.apply({{keys.topic(id), encode(topic)},
                            {keys.topic_name(topic.name), coordination::encode(id)},
                            {keys.partition(id, 0), coordination::encode(partition)}});
    world.logs.logs[{id, 0}] = topic.name;
  }
  auto since = Clock::now();
  ASSERT_TRUE(world.start());
  std::printf("10,000 topics loaded in %.0f ms\n", 1e3 * seconds(since));
  EXPECT_LT(seconds(since), 20);
  ASSERT_EQ(world.controller->view()->topics.size(), 10'000u);
  since = Clock::now();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(world.create({.name = "new-" + std::to_string(i)}));
  std::printf("a topic more takes %.2f ms\n", 10 * seconds(since));
  EXPECT_LT(seconds(since), 20);
}

TEST(ControllerValues, DecodingIsExact) {
  const coordination::TopicValue topic{"t", true, 3, {{"a", "b"}}};
  const std::string bytes = encode(topic);
  ASSERT_TRUE(coordination::decode_topic(bytes));
  EXPECT_EQ(coordination::decode_topic(bytes)->settings, topic.settings);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    EXPECT_FALSE(coordination::decode_topic(std::string_view(bytes).substr(0, cut)));
  }
  EXPECT_FALSE(coordination::decode_topic(bytes + "x"));
  EXPECT_FALSE(coordination::decode_number(coordination::encode_number(-1)));
}

TEST_F(Controller, UnreadableMetadataRefusesTheStartAndNamesTheKey) {
  world.create({.name = "t"}).value();
  world.stop();
  const std::string prefix = "/keelson/test-cluster-id-000000/v1/topics/";
  const KeyValue entry = world.store->map.list(prefix).at(0);
  world.store->map.apply({{entry.key, "rubbish"}});
  const ApiResult<void> opened = world.start();
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, testing::HasSubstr(entry.key));
  EXPECT_EQ(world.logs.logs.size(), 1u);
}

}  // namespace
}  // namespace keelson::test
