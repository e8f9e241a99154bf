// tests/plugins/offsets/partition_migration_test.cc: groups that change their protocol while their
// members go on.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>

#include "engine/byte_order.h"
#include "plugins/offsets/consumer_classic.h"
#include "tests/plugins/offsets/consumer_harness.h"
#include "tests/plugins/offsets/coordinator_harness.h"
#include "tests/plugins/offsets/group_harness.h"

namespace keelson::offsets {
namespace {

using testing::CoordinatorHarness;
using testing::TestClient;

void put16(MemberBytes& bytes, std::size_t value) {
  bytes.push_back(std::byte(value >> 8));
  bytes.push_back(std::byte(value & 0xff));
}
void put32(MemberBytes& bytes, std::uint32_t value) {
  put16(bytes, value >> 16);
  put16(bytes, value & 0xffff);
}

/// ConsumerProtocolSubscription, version 1, of the topic "t".
MemberBytes subscription(const std::set<std::int32_t>& owned) {
  MemberBytes bytes;
  put16(bytes, 1);
  put32(bytes, 1);
  put16(bytes, 1);
  bytes.push_back(std::byte('t'));
  put32(bytes, 0xffffffff);  // no user data
  put32(bytes, owned.empty() ? 0 : 1);
  if (owned.empty()) return bytes;
  put16(bytes, 1);
  bytes.push_back(std::byte('t'));
  put32(bytes, static_cast<std::uint32_t>(owned.size()));
  for (const std::int32_t partition : owned) put32(bytes, static_cast<std::uint32_t>(partition));
  return bytes;
}

struct World : CoordinatorHarness {
  World() { times.assignment_interval_ms = 0; }

  TestClient client(std::string id) {
    TestClient made(
        [this](const ConsumerHeartbeatCall& call) {
          ConsumerHeartbeatAnswer answer = run(coordinator->consumer_heartbeat(call));
          coordinator->check_invariants();
          return answer;
        },
        std::move(id));
    made.topics = {"t"};
    return made;
  }
  std::string kind() { return list().at(0).type + " " + list().at(0).state; }
};

/// A consumer of the classic protocol: cooperative, or one that gives all up before it joins.
struct ClassicClient {
  explicit ClassicClient(World& world) : host(&world) {}

  JoinGroupCall call() const {
    JoinGroupCall joins = testing::join_call(id, {"cooperative-sticky", "range"});
    for (GroupProtocol& protocol : joins.protocols) protocol.metadata = subscription(owned);
    joins.member_id_required = true;
    return joins;
  }
  /// Asks to join; the answer comes when it comes.
  void begin_join() {
    if (is_eager) owned.clear();
    parked = std::make_unique<Parked>(host->shard);
    joining = host->begin(host->coordinator->join(call(), *parked));
    if (joining->has_value() && (*joining)->error == ApiErrc::member_id_required) {
      id = (*joining)->member_id;
      parked = std::make_unique<Parked>(host->shard);
      joining = host->begin(host->coordinator->join(call(), *parked));
    }
  }
  bool end_join() {
    if (!joining || !joining->has_value()) return false;
    joined = **joining;
    joining.reset();
    if (joined.error != ApiErrc::none) return false;
    id = joined.member_id;
    generation = joined.generation;
    return true;
  }
  ApiErrc sync(std::vector<SyncGroupCall::Assignment> assignments = {}) {
    SyncGroupCall syncs{.group_id = "g", .generation = generation, .member_id = id};
    syncs.assignments = std::move(assignments);
    parked = std::make_unique<Parked>(host->shard);
    const SyncGroupAnswer answer = host->run(host->coordinator->sync(std::move(syncs), *parked));
    if (answer.error != ApiErrc::none) return answer.error;
    const auto view = host->view();
    const auto has = read_assignment(answer.assignment, *view);
    EXPECT_TRUE(has.has_value());
    const auto topic = has->partitions.find(host->topic_id);
    const std::set<std::int32_t> now =
        topic == has->partitions.end() ? std::set<std::int32_t>{} : topic->second;
    gave_up = !std::includes(now.begin(), now.end(), owned.begin(), owned.end());
    owned = now;
    return ApiErrc::none;
  }
  ApiErrc heartbeat() {
    const ApiErrc error =
        host->coordinator->heartbeat({.group_id = "g", .generation = generation, .member_id = id});
    host->turn();
    return error;
  }
  /// As its heartbeat tells it, against a consumer group.
  void beat() {
    const ApiErrc error = heartbeat();
    if (error == ApiErrc::none && !std::exchange(gave_up, false)) return;
    if (error == ApiErrc::unknown_member_id || error == ApiErrc::illegal_generation) forget();
    begin_join();
    if (!end_join()) return;
    if (sync() != ApiErrc::none) gave_up = true;  // joins again
  }
  void forget() {
    id.clear();
    generation = -1;
    owned.clear();
  }
  void leave() {
    host->run(host->coordinator->leave({"g", {{id, {}, {}}}}));
    forget();
  }

  World* host;
  std::string id;
  std::int32_t generation = -1;
  std::set<std::int32_t> owned;
  bool gave_up = false;
  bool is_eager = false;
  JoinGroupAnswer joined;
  std::unique_ptr<Parked> parked;
  std::shared_ptr<std::optional<JoinGroupAnswer>> joining;
};

MemberBytes assigned(const World& host, const std::set<std::int32_t>& partitions) {
  PartitionEpochs epochs;
  for (const std::int32_t partition : partitions) epochs[host.topic_id][partition] = 1;
  return write_assignment(epochs, *host.view(), 1);
}

/// Two classic members, stable, with two partitions each.
void make_classic(World& host, ClassicClient& one, ClassicClient& two, bool user_data = false) {
  one.begin_join();
  two.begin_join();
  host.pass(6'000);
  ASSERT_TRUE(one.end_join());
  ASSERT_TRUE(two.end_join());
  ClassicClient& leader = one.joined.leader == one.id ? one : two;
  ClassicClient& other = &leader == &one ? two : one;
  MemberBytes first = assigned(host, {0, 1});
  if (user_data) {
    first.resize(first.size() - 4);
    put32(first, 1);
    first.push_back(std::byte{7});
  }
  ASSERT_EQ(leader.sync({{one.id, first}, {two.id, assigned(host, {2, 3})}}), ApiErrc::none);
  ASSERT_EQ(other.sync(), ApiErrc::none);
  ASSERT_EQ(host.kind(), "classic Stable");
}

std::size_t total(const ClassicClient& one, const ClassicClient& two, const TestClient& three) {
  std::set<std::int32_t> all = one.owned;
  all.insert(two.owned.begin(), two.owned.end());
  for (const auto& [topic, partition] : three.owned) all.insert(partition);
  EXPECT_EQ(all.size(), one.owned.size() + two.owned.size() + three.owned.size());
  return all.size();
}

TEST(PartitionMigration, UpAndDownWithoutTwoOwnersOfAnything) {
  World host;
  ClassicClient one(host);
  ClassicClient two(host);
  make_classic(host, one, two);
  TestClient three = host.client("m3");
  EXPECT_EQ(three.beat().error, ApiErrc::none);
  EXPECT_EQ(host.kind(), "consumer Reconciling");
  EXPECT_EQ(one.heartbeat(), ApiErrc::rebalance_in_progress);
  for (int i = 0; i < 4; ++i) {
    one.beat();
    total(one, two, three);
    two.beat();
    total(one, two, three);
    three.beat();
    total(one, two, three);
  }
  EXPECT_EQ(host.kind(), "consumer Stable");
  EXPECT_EQ(total(one, two, three), 4u);
  EXPECT_EQ(three.owned.size(), 1u);
  EXPECT_EQ(one.heartbeat(), ApiErrc::none);
  const DescribedConsumerGroup shown = host.coordinator->describe_consumer("g");
  EXPECT_EQ(std::count_if(shown.members.begin(), shown.members.end(),
                          [](const auto& member) { return member.is_classic; }),
            2);

  host.restart();
  EXPECT_EQ(host.kind(), "consumer Stable");
  EXPECT_EQ(one.heartbeat(), ApiErrc::none);
  EXPECT_EQ(three.beat().error, ApiErrc::none);

  EXPECT_EQ(three.leave(), ApiErrc::none);
  EXPECT_EQ(host.kind(), "classic PreparingRebalance");
  EXPECT_EQ(one.heartbeat(), ApiErrc::rebalance_in_progress);
  one.begin_join();
  two.begin_join();
  host.turn();
  ASSERT_TRUE(one.end_join());
  ASSERT_TRUE(two.end_join());
  EXPECT_GT(one.generation, shown.epoch);
  host.restart();
  EXPECT_EQ(host.list().at(0).type, "classic");
}

TEST(PartitionMigration, ClassicMembersOfAConsumerGroupFollowItsRules) {
  World host;
  TestClient three = host.client("m3");
  three.beat();
  ClassicClient one(host);
  one.begin_join();
  ASSERT_TRUE(one.end_join());
  EXPECT_EQ(one.generation, 3);
  EXPECT_EQ(one.sync(), ApiErrc::none);
  EXPECT_TRUE(one.owned.empty());
  EXPECT_EQ(one.heartbeat(), ApiErrc::none);  // m3 has not given up anything yet
  three.beat();
  three.beat();
  EXPECT_EQ(one.heartbeat(), ApiErrc::rebalance_in_progress);  // now it has
  one.beat();
  EXPECT_EQ(one.owned.size(), 2u);
  EXPECT_EQ(one.heartbeat(), ApiErrc::none);

  const auto heartbeat_as = [&](std::string id, std::int32_t generation) {
    return host.coordinator->heartbeat(
        {.group_id = "g", .generation = generation, .member_id = std::move(id)});
  };
  EXPECT_EQ(heartbeat_as(one.id, 1), ApiErrc::illegal_generation);
  EXPECT_EQ(heartbeat_as("x", 2), ApiErrc::unknown_member_id);
  EXPECT_EQ(heartbeat_as("m3", 2), ApiErrc::unknown_member_id);  // not of this protocol
  CommitOffsetsCall commit = host.commit_call(3);
  commit.member_id = one.id;
  commit.generation = 1;
  EXPECT_EQ(host.run(host.coordinator->commit_offsets(commit)).error, ApiErrc::illegal_generation);
  commit.generation = one.generation;
  EXPECT_EQ(host.run(host.coordinator->commit_offsets(commit)).error, ApiErrc::none);

  JoinGroupCall wrong = one.call();
  wrong.member_id.clear();
  wrong.protocol_type = "connect";
  Parked parked(host.shard);
  EXPECT_EQ(host.run(host.coordinator->join(wrong, parked)).error,
            ApiErrc::inconsistent_group_protocol);
  wrong = one.call();
  wrong.member_id = "other";
  for (GroupProtocol& protocol : wrong.protocols) protocol.name = "mine";
  Parked parked_too(host.shard);
  EXPECT_EQ(host.run(host.coordinator->join(wrong, parked_too)).error,
            ApiErrc::inconsistent_group_protocol);

  const LeaveGroupAnswer left =
      host.run(host.coordinator->leave({"g", {{one.id, {}, {}}, {"x", {}, {}}, {"m3", {}, {}}}}));
  ASSERT_EQ(left.members.size(), 3u);
  EXPECT_EQ(left.members[0].error, ApiErrc::none);
  EXPECT_EQ(left.members[1].error, ApiErrc::unknown_member_id);
  EXPECT_EQ(left.members[2].error, ApiErrc::unknown_member_id);
  three.beat();
  EXPECT_EQ(three.owned.size(), 4u);
}

TEST(PartitionMigration, ClassicMembersThatDoNotJoinAgainOrFallSilentGo) {
  World host;
  ClassicClient one(host);
  ClassicClient two(host);
  make_classic(host, one, two);
  TestClient three = host.client("m3");
  three.beat();
  for (int i = 0; i < 12; ++i) {
    host.pass(5'000);
    one.heartbeat();  // is told to join again, and does not
    three.beat();
    if (i == 2) {
      EXPECT_EQ(host.coordinator->describe_consumer("g").members.size(), 2u);  // two is silent
    }
  }
  host.pass(6'000);  // since it was told
  three.beat();
  EXPECT_EQ(three.owned.size(), 4u);
}

TEST(PartitionMigration, HappensOnlyWhereItIsAllowed) {
  World host;
  host.settings.consumer_upgrade = false;
  ClassicClient one(host);
  ClassicClient two(host);
  make_classic(host, one, two);
  TestClient three = host.client("m3");
  const ConsumerHeartbeatAnswer refused = three.beat();
  EXPECT_EQ(refused.error, ApiErrc::group_id_not_found);
  EXPECT_EQ(refused.message, "Group g is not a consumer group, and cannot become one now.");
  EXPECT_EQ(one.heartbeat(), ApiErrc::none);
  host.settings.consumer_upgrade = true;
  host.settings.consumer_downgrade = false;
  EXPECT_EQ(three.beat().error, ApiErrc::none);
  EXPECT_EQ(three.leave(), ApiErrc::none);
  EXPECT_EQ(host.list().at(0).type, "consumer");
  EXPECT_EQ(one.heartbeat(), ApiErrc::rebalance_in_progress);
}

// Members of both kinds come, go, lose answers and fall behind, over a log that fails and a broker
// that restarts. One of the consumer protocol stays, so that the group does.
TEST(PartitionMigration, MixedGroupsNeverGiveAPartitionToTwo) {
  std::size_t classic_shares = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const auto pick = [&](std::uint64_t bound) { return random() % bound; };
    World host;
    host.topic_partitions = 7;
    host.replicator.delay_lost = seed % 2 == 0;
    std::deque<TestClient> consumers;
    for (int i = 0; i < 3; ++i) consumers.push_back(host.client("m" + std::to_string(i)));
    std::deque<ClassicClient> classics;
    for (int i = 0; i < 3; ++i) classics.emplace_back(host).is_eager = i == 2;
    const auto check = [&] {
      std::set<std::int32_t> held;
      for (const TestClient& one : consumers) {
        for (const auto& [topic, partition] : one.owned) EXPECT_TRUE(held.insert(partition).second);
      }
      for (const ClassicClient& one : classics) {
        for (const std::int32_t partition : one.owned) EXPECT_TRUE(held.insert(partition).second);
      }
      return held.size();
    };
    consumers[0].beat();
    for (int i = 0; i < 200; ++i) {
      if (pick(6) == 0) {
        const bool lost = pick(2) == 0;
        host.replicator.next_fault =
            lost ? ApiErrc::request_timed_out : ApiErrc::not_enough_replicas;
        host.replicator.lose_answer = lost;
      }
      TestClient& consumer = consumers[pick(consumers.size())];
      ClassicClient& classic = classics[pick(classics.size())];
      switch (pick(10)) {
        case 0:
          if (&consumer != &consumers[0]) consumer.leave();
          break;
        case 1: classic.leave(); break;
        case 2: consumer.beat_unheard(); break;
        case 3:
          host.replicator.next_fault = ApiErrc::none;
          host.replicator.lose_answer = false;
          host.replicator.show_late();
          host.restart();
          break;
        case 4:
        case 5:
        case 6: consumer.beat(); break;
        default: classic.beat();
      }
      check();
      if (::testing::Test::HasFailure()) return;
    }
    host.replicator.next_fault = ApiErrc::none;
    host.replicator.lose_answer = false;
    for (int i = 0; i < 30; ++i) {
      host.pass(4'000);  // those that went unheard go, too
      for (TestClient& one : consumers) one.beat();
      for (ClassicClient& one : classics) one.beat();
      check();
    }
    EXPECT_EQ(check(), 7u);
    EXPECT_EQ(host.kind(), "consumer Stable");
    for (const ClassicClient& one : classics) classic_shares += one.owned.size();
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GE(classic_shares, 60u * 3);
}

TEST(PartitionMigration, GroupsWhoseAssignorSendsDataOfItsOwnStayClassic) {
  World host;
  ClassicClient one(host);
  ClassicClient two(host);
  make_classic(host, one, two, true);
  TestClient three = host.client("m3");
  EXPECT_EQ(three.beat().error, ApiErrc::group_id_not_found);
  EXPECT_EQ(host.kind(), "classic Stable");
  EXPECT_EQ(one.heartbeat(), ApiErrc::none);
}

TEST(PartitionMigration, AClassicMemberInThePlaceOfTheLastOtherLeavesAClassicGroup) {
  for (const bool alone : {true, false}) {
    World host;
    TestClient last = host.client("m1");
    last.instance = "i1";
    last.beat();
    ClassicClient classic(host);
    if (!alone) {
      while (classic.owned.size() < 2) {
        classic.beat();
        last.beat();
      }
    }
    const std::size_t had = last.owned.size();
    ClassicClient next(host);
    Parked parked(host.shard);
    JoinGroupCall call = testing::static_call("i1");
    call.protocols[0].metadata = subscription({});
    const JoinGroupAnswer joined = host.run(host.coordinator->join(call, parked));
    EXPECT_EQ(joined.error, ApiErrc::none);
    EXPECT_EQ(joined.protocol_name, "range");
    EXPECT_EQ(host.kind(), "classic Stable");
    next.id = joined.member_id;
    next.generation = joined.generation;
    EXPECT_EQ(next.sync(), ApiErrc::none);
    EXPECT_EQ(next.owned.size(), had);
    EXPECT_EQ(next.heartbeat(), ApiErrc::none);
    if (!alone) {
      EXPECT_EQ(classic.heartbeat(), ApiErrc::none);  // nobody has to join again
    }
    EXPECT_EQ(last.beat().error, ApiErrc::group_id_not_found);
    host.restart();
    EXPECT_EQ(host.kind(), "classic Stable");
    EXPECT_EQ(next.heartbeat(), ApiErrc::none);
  }
}

// The generation is the group's, and this one has something to give up before it reaches that.
TEST(PartitionMigration, WhoTakesTheLastPlaceInARebalanceJoinsAgain) {
  World host;
  TestClient last = host.client("m1");
  last.instance = "i1";
  last.beat();
  ClassicClient classic(host);
  classic.begin_join();
  ASSERT_TRUE(classic.end_join());
  ASSERT_EQ(classic.sync(), ApiErrc::none);
  EXPECT_TRUE(classic.owned.empty());
  last.beat();  // told to give up two
  Parked parked(host.shard);
  JoinGroupCall call = testing::static_call("i1");
  call.protocols[0].metadata = subscription({0, 1, 2, 3});
  const JoinGroupAnswer joined = host.run(host.coordinator->join(call, parked));
  EXPECT_EQ(joined.error, ApiErrc::none);
  EXPECT_EQ(host.kind(), "classic PreparingRebalance");
  EXPECT_EQ(classic.heartbeat(), ApiErrc::rebalance_in_progress);
}

TEST(PartitionMigration, AFailedWriteLeavesTheKindOfGroupAsItWas) {
  for (const bool lost : {false, true}) {
    World host;
    ClassicClient one(host);
    ClassicClient two(host);
    make_classic(host, one, two);
    TestClient three = host.client("m3");
    host.replicator.next_fault = lost ? ApiErrc::request_timed_out : ApiErrc::not_enough_replicas;
    host.replicator.lose_answer = lost;
    host.replicator.delay_lost = lost;
    EXPECT_EQ(three.beat().error, ApiErrc::coordinator_not_available);
    EXPECT_EQ(host.kind(), "classic Stable");
    EXPECT_EQ(three.beat().error, ApiErrc::none);
    EXPECT_EQ(host.kind(), "consumer Reconciling");
    EXPECT_EQ(one.heartbeat(), ApiErrc::rebalance_in_progress);

    host.replicator.next_fault = lost ? ApiErrc::request_timed_out : ApiErrc::not_enough_replicas;
    host.replicator.lose_answer = lost;
    EXPECT_EQ(three.leave(), ApiErrc::coordinator_not_available);
    EXPECT_EQ(host.list().at(0).type, "consumer");
    const ApiErrc left = three.leave();
    EXPECT_EQ(left, lost ? ApiErrc::group_id_not_found : ApiErrc::none);
    EXPECT_EQ(host.kind(), "classic PreparingRebalance");
    host.restart();
    EXPECT_EQ(host.kind(), "classic Stable");
  }
}

}  // namespace
}  // namespace keelson::offsets
