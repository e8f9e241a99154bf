#include "plugins/kafka/fetch_sessions.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>

namespace keelson::kafka {
namespace {

class CountingRng final : public engine::io::Rng {
 public:
  std::uint64_t next() override { return next_ += 0x9e3779b97f4a7c15; }

 private:
  std::uint64_t next_ = 1;
};

SessionPartition asked(std::int32_t partition, std::int64_t offset = 0) {
  SessionPartition one;
  one.topic = {"topic", {}};
  one.partition = partition;
  one.offset = offset;
  one.bytes_max = 1000;
  return one;
}

std::vector<std::int32_t> order(SessionPartitions& partitions) {
  std::vector<std::int32_t> numbers;
  for (const SessionPartition& one : partitions) numbers.push_back(one.partition);
  return numbers;
}

FetchAnswer answer(std::int64_t high_watermark, std::int64_t log_start = 0) {
  FetchAnswer answer;
  answer.high_watermark = high_watermark;
  answer.log_start_offset = log_start;
  return answer;
}

constexpr std::int64_t kSecond = 1'000'000'000;

TEST(SessionPartition, TellsOnlyWhatIsNew) {
  SessionPartition one = asked(0);
  EXPECT_TRUE(one.note_sent(answer(5)));
  EXPECT_FALSE(one.note_sent(answer(5)));
  EXPECT_TRUE(one.note_sent(answer(6)));
  EXPECT_TRUE(one.note_sent(answer(6, 2)));
  EXPECT_FALSE(one.note_sent(answer(6, 2)));
  FetchAnswer records = answer(6, 2);
  records.records.push_back({});
  EXPECT_TRUE(one.note_sent(records));
  FetchAnswer diverging = answer(6, 2);
  diverging.diverging.emplace();
  EXPECT_TRUE(one.note_sent(diverging));
}

TEST(SessionPartition, AnErrorIsNewsEachTimeAndSoIsItsEnd) {
  SessionPartition one = asked(0);
  EXPECT_TRUE(one.note_sent(answer(5)));
  FetchAnswer failed = answer(5);
  failed.error = ApiErrc::kafka_storage_error;
  EXPECT_TRUE(one.note_sent(failed));
  EXPECT_TRUE(one.note_sent(failed));
  EXPECT_TRUE(one.note_sent(answer(5)));
  EXPECT_FALSE(one.note_sent(answer(5)));
}

TEST(SessionPartitions, KeepTheOrderOfFirstMention) {
  SessionPartitions partitions;
  for (const int partition : {3, 1, 2, 1}) partitions.update(asked(partition, partition * 10));
  EXPECT_EQ(order(partitions), (std::vector<std::int32_t>{3, 1, 2}));
  EXPECT_EQ(partitions.size(), 3u);
}

TEST(SessionPartitions, UpdateChangesWhatIsAskedAndKeepsWhatWasSent) {
  SessionPartitions partitions;
  partitions.update(asked(1, 5));
  partitions.begin()->sent_high_watermark = 9;
  SessionPartition again = asked(1, 7);
  again.current_leader_epoch = 4;
  again.last_fetched_epoch = 3;
  again.bytes_max = 11;
  partitions.update(again);
  EXPECT_EQ(partitions.begin()->offset, 7);
  EXPECT_EQ(partitions.begin()->current_leader_epoch, 4);
  EXPECT_EQ(partitions.begin()->last_fetched_epoch, 3);
  EXPECT_EQ(partitions.begin()->bytes_max, 11);
  EXPECT_EQ(partitions.begin()->sent_high_watermark, 9);
}

TEST(SessionPartitions, ForgetTakesOneAndItMayComeBack) {
  SessionPartitions partitions;
  for (const int partition : {1, 2, 3}) partitions.update(asked(partition));
  partitions.forget({"topic", {}}, 2);
  partitions.forget({"topic", {}}, 2);
  partitions.forget({"other", {}}, 1);
  partitions.forget({"", engine::make_uuid(1, 1)}, 1);
  EXPECT_EQ(order(partitions), (std::vector<std::int32_t>{1, 3}));
  partitions.update(asked(2));
  EXPECT_EQ(order(partitions), (std::vector<std::int32_t>{1, 3, 2}));
}

TEST(SessionPartitions, ServedOnesGoToTheEndAndAreStillFound) {
  SessionPartitions partitions;
  for (const int partition : {1, 2, 3}) partitions.update(asked(partition));
  partitions.move_to_end(partitions.begin());
  EXPECT_EQ(order(partitions), (std::vector<std::int32_t>{2, 3, 1}));
  partitions.update(asked(1, 77));
  EXPECT_EQ(std::prev(partitions.end())->offset, 77);
  partitions.forget({"topic", {}}, 1);
  EXPECT_EQ(order(partitions), (std::vector<std::int32_t>{2, 3}));
}

TEST(SessionPartitions, NamesAndIdsAreDifferentTopics) {
  SessionPartitions partitions;
  SessionPartition by_id = asked(1);
  by_id.topic = {"", engine::make_uuid(1, 1)};
  partitions.update(asked(1));
  partitions.update(by_id);
  EXPECT_EQ(partitions.size(), 2u);
}

// Each update costs the same however many are there: 5,000 of 5,000 took seconds by a search.
TEST(SessionPartitions, UpdatesOfThousandsAreLinear) {
  const auto time_of = [](int count) {
    const auto begin = std::chrono::steady_clock::now();
    SessionPartitions partitions;
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < count; ++i) partitions.update(asked(i, round));
    }
    for (int i = 0; i < count; ++i) partitions.forget({"topic", {}}, i);
    EXPECT_EQ(partitions.size(), 0u);
    return std::chrono::steady_clock::now() - begin;
  };
  time_of(5'000);
  EXPECT_LT(time_of(50'000), std::chrono::seconds(5));  // a search would take minutes
}

TEST(FetchSessionCache, EpochsWrapToOne) {
  EXPECT_EQ(FetchSessionCache::epoch_after(0), 1);
  EXPECT_EQ(FetchSessionCache::epoch_after(1), 2);
  EXPECT_EQ(FetchSessionCache::epoch_after(std::numeric_limits<std::int32_t>::max()), 1);
}

TEST(FetchSessionCache, FindsWhatItOpenedUntilItIsClosed) {
  CountingRng rng;
  FetchSessionCache cache(0, 1, 10, rng);
  const auto session = cache.open(0);
  ASSERT_NE(session, nullptr);
  EXPECT_GT(session->id, 0);
  EXPECT_EQ(session->next_epoch, 1);
  EXPECT_EQ(cache.find(session->id), session);
  EXPECT_EQ(cache.find(kNoSession), nullptr);
  cache.close(session->id);
  EXPECT_EQ(cache.find(session->id), nullptr);
  EXPECT_EQ(cache.size(), 0u);
}

TEST(FetchSessionCache, ShardsNeverGiveTheSameId) {
  CountingRng rng;
  std::set<std::int32_t> ids;
  for (std::uint32_t shard = 0; shard < 3; ++shard) {
    FetchSessionCache cache(shard, 3, 200, rng);
    for (int i = 0; i < 200; ++i) {
      const auto session = cache.open(0);
      ASSERT_NE(session, nullptr);
      EXPECT_GT(session->id, 0);
      EXPECT_EQ(session->id % 3, static_cast<std::int32_t>(shard));
      EXPECT_TRUE(ids.insert(session->id).second);
    }
  }
}

TEST(FetchSessionCache, TakesASlotOnlyFromWhoDidNotUseItForTwoMinutes) {
  CountingRng rng;
  FetchSessionCache cache(0, 1, 2, rng);
  const auto first = cache.open(0);
  const auto second = cache.open(1 * kSecond);
  EXPECT_EQ(cache.open(100 * kSecond), nullptr);
  first->last_used_ns = 100 * kSecond;
  const auto third = cache.open(121 * kSecond);
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(cache.find(second->id), nullptr);
  EXPECT_EQ(cache.find(first->id), first);
  EXPECT_EQ(cache.open(122 * kSecond), nullptr);
}

TEST(FetchSessionCache, NoSlotsMeansNoSessions) {
  CountingRng rng;
  FetchSessionCache cache(0, 1, 0, rng);
  EXPECT_EQ(cache.open(0), nullptr);
}

}  // namespace
}  // namespace keelson::kafka
