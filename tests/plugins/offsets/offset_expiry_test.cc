// tests/plugins/offsets/offset_expiry_test.cc: which offsets age, and from when on (source: Kafka
// 4.3.1, OffsetExpirationConditionImpl and ClassicGroup.offsetExpirationCondition).
#include <gtest/gtest.h>

#include "engine/byte_order.h"
#include "engine/log/batch_builder.h"
#include "tests/plugins/offsets/coordinator_harness.h"
#include "tests/plugins/offsets/group_harness.h"

namespace keelson::offsets {
namespace {

using testing::CoordinatorHarness;
using testing::join_call;

constexpr std::int64_t kRetentionMs = 100'000;

/// A coordinator of group "g" whose members outlive the ages of the offsets.
struct Expiry : CoordinatorHarness {
  Expiry() {
    stop();
    settings.retention_ms = kRetentionMs;
    settings.retention_check_interval_ms = 1'000'000'000;  // when the test says so
    settings.classic.initial_rebalance_delay_ms = 0;
    start();
  }

  /// Members wait for nothing here: no time passes for their timers.
  void age(std::int64_t milliseconds) { clock.at_ms += milliseconds; }
  void expire() { run(coordinator->expire_offsets()); }
  std::size_t topics_left() { return fetch(true).topics.size(); }
  bool has(const std::string& topic) {
    for (const auto& found : fetch(true).topics) {
      if (found.name == topic) return true;
    }
    return false;
  }

  /// A member that has joined and synced; subscribed to "t" where it is a consumer.
  std::string join(const std::string& protocol_type = "consumer") {
    JoinGroupCall call = join_call();
    call.session_timeout_ms = 1'800'000;
    call.rebalance_timeout_ms = 1'800'000;
    call.protocol_type = protocol_type;
    // Version 0, one topic "t", no user data.
    for (const char byte : {0, 0, 0, 0, 0, 1, 0, 1, int{'t'}, -1, -1, -1, -1}) {
      call.protocols[0].metadata.push_back(static_cast<std::byte>(byte));
    }
    Parked parked(shard);
    const JoinGroupAnswer joined = run(coordinator->join(call, parked));
    EXPECT_EQ(joined.error, ApiErrc::none);
    Parked parked_sync(shard);
    SyncGroupCall sync{
        .group_id = "g", .generation = joined.generation, .member_id = joined.member_id};
    EXPECT_EQ(run(coordinator->sync(sync, parked_sync)).error, ApiErrc::none);
    generation = joined.generation;
    return joined.member_id;
  }
  void commit_as(const std::string& member, const std::string& topic) {
    CommitOffsetsCall call = commit_call(1, topic);
    call.member_id = member;
    call.generation = generation;
    EXPECT_EQ(run(coordinator->commit_offsets(call)).error, ApiErrc::none);
  }

  /// One offset of "t" and, where it ends the transaction, its marker: into the log at once.
  void append_transaction(std::int64_t offset, std::optional<bool> commits) {
    engine::log::BatchBuilder builder;
    builder.producer(engine::ProducerId{9}, engine::ProducerEpoch{0}, 0).transactional();
    if (commits) {
      std::byte key[4] = {};
      engine::store_big_endian(key + 2, static_cast<std::int16_t>(*commits ? 1 : 0));
      std::byte value[6] = {};
      builder.control().add(clock.at_ms, engine::Bytes(key), engine::Bytes(value));
    } else {
      const auto record = encode(OffsetRecord{
          "g", "t", 0,
          StoredOffset{
              .offset = offset, .commit_timestamp_ms = clock.at_ms, .topic_id = topic_id}});
      builder.add(clock.at_ms, record->key, engine::Bytes(*record->value));
    }
    std::vector<std::byte> batch = builder.build();
    engine::log::stamp_batch(batch, engine::Offset{replicator.end}, engine::LeaderEpoch{0});
    replicator.log.push_back(std::move(batch));
    ++replicator.end;
  }

  std::int32_t generation = -1;
};

TEST(OffsetExpiry, OfASimpleConsumerCountsFromTheCommit) {
  Expiry host;
  EXPECT_EQ(host.commit(1, "t"), ApiErrc::none);
  host.age(kRetentionMs / 2);
  EXPECT_EQ(host.commit(1, "u"), ApiErrc::none);
  host.age(kRetentionMs / 2);
  host.expire();
  EXPECT_FALSE(host.has("t"));
  EXPECT_TRUE(host.has("u"));
}

TEST(OffsetExpiry, OfAnEmptyGroupCountsFromWhenItBecameEmpty) {
  Expiry host;
  const std::string member = host.join();
  host.commit_as(member, "t");
  host.age(kRetentionMs - 1);
  host.commit_as(member, "u");
  (void)host.run(host.coordinator->leave({"g", {{member, {}, {}}}}));
  host.turn();
  host.age(kRetentionMs - 1);
  host.restart();  // the time is in the group's record
  host.expire();
  EXPECT_EQ(host.topics_left(), 2u);
  host.age(1);
  host.expire();
  EXPECT_EQ(host.topics_left(), 0u);
  EXPECT_TRUE(host.list().empty());
}

// Records of old brokers do not say since when.
TEST(OffsetExpiry, OfAnEmptyGroupCountsFromTheCommitWhereNothingElseIsKnown) {
  Expiry host;
  ClassicGroupState state;
  state.protocol_type = "consumer";
  const auto record = encode(ClassicGroupRecord{"g", state});
  engine::log::BatchBuilder builder;
  builder.add(host.clock.at_ms, record->key, engine::Bytes(*record->value));
  std::vector<std::byte> batch = builder.build();
  engine::log::stamp_batch(batch, engine::Offset{0}, engine::LeaderEpoch{0});
  host.replicator.log.push_back(std::move(batch));
  ++host.replicator.end;
  host.restart();
  ASSERT_EQ(host.coordinator->describe("g", true).protocol_type, "consumer");
  EXPECT_EQ(host.commit(1), ApiErrc::none);
  host.age(kRetentionMs - 1);
  host.expire();
  EXPECT_TRUE(host.has("t"));
  host.age(1);
  host.expire();
  EXPECT_FALSE(host.has("t"));
}

TEST(OffsetExpiry, OfALiveConsumerGroupTakesOnlyTopicsThatNobodySubscribesTo) {
  Expiry host;
  const std::string member = host.join();
  host.commit_as(member, "t");
  host.commit_as(member, "u");
  host.age(kRetentionMs);
  host.expire();
  EXPECT_TRUE(host.has("t"));
  EXPECT_FALSE(host.has("u"));
}

TEST(OffsetExpiry, OfALiveGroupOfAnotherTypeTakesNothing) {
  Expiry host;
  const std::string member = host.join("connect");
  host.commit_as(member, "u");
  host.age(kRetentionMs * 3);
  host.expire();
  EXPECT_TRUE(host.has("u"));
}

TEST(OffsetExpiry, WhileAGroupRebalancesTakesNothing) {
  Expiry host;
  const std::string member = host.join();
  host.commit_as(member, "u");
  Parked parked(host.shard);
  auto joining = host.begin(host.coordinator->join(join_call(), parked));
  ASSERT_EQ(host.coordinator->describe("g", true).state, "PreparingRebalance");
  host.age(kRetentionMs * 3);
  host.expire();
  EXPECT_TRUE(host.has("u"));
  host.stop();
}

TEST(OffsetExpiry, AGivenTimeWinsOverEveryOther) {
  Expiry host;
  const std::string member = host.join();
  CommitOffsetsCall call = host.commit_call(1, "u");
  call.member_id = member;
  call.generation = host.generation;
  call.retention_ms = 10;
  EXPECT_EQ(host.run(host.coordinator->commit_offsets(call)).error, ApiErrc::none);
  (void)host.run(host.coordinator->leave({"g", {{member, {}, {}}}}));
  host.turn();
  call = host.commit_call(1, "t");
  call.retention_ms = kRetentionMs * 5;
  EXPECT_EQ(host.run(host.coordinator->commit_offsets(call)).error, ApiErrc::none);
  host.age(9);
  host.expire();
  EXPECT_TRUE(host.has("u"));
  host.age(1);
  host.expire();
  EXPECT_FALSE(host.has("u"));
  host.age(kRetentionMs * 4);
  host.expire();
  EXPECT_TRUE(host.has("t"));
}

TEST(OffsetExpiry, AnOffsetThatATransactionWillReplaceStays) {
  Expiry host;
  EXPECT_EQ(host.commit(1), ApiErrc::none);
  host.append_transaction(2, std::nullopt);
  host.restart();
  host.age(kRetentionMs * 2);
  host.expire();
  EXPECT_EQ(host.fetch_one(), 1);
  host.append_transaction(2, false);
  host.restart();
  host.expire();
  EXPECT_EQ(host.fetch_one(), -1);
}

TEST(OffsetExpiry, TheGroupGoesWithItsLastOffsetAndNotBefore) {
  Expiry host;
  EXPECT_EQ(host.commit(1, "t"), ApiErrc::none);
  host.age(kRetentionMs / 2);
  EXPECT_EQ(host.commit(1, "u"), ApiErrc::none);
  host.age(kRetentionMs / 2);
  host.expire();
  EXPECT_EQ(host.list().size(), 1u);
  host.age(kRetentionMs / 2);
  host.expire();
  EXPECT_TRUE(host.list().empty());
  host.restart();
  EXPECT_TRUE(host.list().empty());
}

TEST(OffsetExpiry, IsLookedAtEveryCheckInterval) {
  CoordinatorHarness host;
  host.stop();
  host.settings.retention_ms = 3'000;
  host.settings.retention_check_interval_ms = 5'000;
  host.start();
  EXPECT_EQ(host.commit(1), ApiErrc::none);
  host.pass(4'000);
  EXPECT_EQ(host.fetch_one(), 1);
  host.pass(1'500);
  EXPECT_EQ(host.fetch_one(), -1);
}

}  // namespace
}  // namespace keelson::offsets
