// What a log remembers of producers beyond Kafka's entries, as bytes and across restarts.
#include "engine/log/producer_history.h"

#include <gtest/gtest.h>

#include <limits>
#include <memory>

#include "engine/byte_order.h"
#include "engine/crc32c.h"
#include "engine/io/file.h"
#include "engine/io/sim/sim_world.h"
#include "engine/log/log.h"
#include "engine/log/log_side_files.h"
#include "engine/log/producer_snapshot.h"
#include "tests/engine/log/log_fixture.h"

namespace keelson::engine::log {
namespace {

using test::make_producer_batch;

constexpr LeaderEpoch kEpoch{5};
constexpr Offset kAt{1'000};
const std::string kDir = "orders-3";

BatchHeader header_of(std::int64_t producer, std::int32_t sequence, int records,
                      std::int64_t offset) {
  std::vector<std::byte> batch = make_producer_batch(producer, 0, sequence, records);
  stamp_batch(batch, Offset{offset}, kEpoch);
  return *read_batch_header(batch);
}

/// One with more batches than are remembered, one with a gap, one whose sequences wrap, one batch.
ProducerStates many_kinds() {
  ProducerStates producers;
  for (std::int32_t i = 0; i < 8; ++i) producers.note(header_of(1, i * 2, 2, i * 10));
  producers.note(header_of(2, 0, 1, 100));
  producers.note(header_of(2, 7, 1, 101));
  producers.note(header_of(3, 0x7fff'fffe, 4, 200));
  producers.note(header_of(3, 2, 4, 300));
  producers.note(header_of(4, 0, 3, 400));
  return producers;
}

void expect_same(const ProducerStates& a, const ProducerStates& b) {
  ASSERT_EQ(a.entries().size(), b.entries().size());
  for (const auto& [id, entry] : a.entries()) {
    ASSERT_TRUE(b.entries().contains(id));
    const ProducerEntry& other = b.entries().at(id);
    EXPECT_EQ(entry.epoch, other.epoch);
    EXPECT_EQ(entry.contiguous, other.contiguous);
    EXPECT_EQ(entry.last_timestamp_ms, other.last_timestamp_ms);
    ASSERT_EQ(entry.batch_count, other.batch_count);
    for (std::size_t i = 0; i < entry.batch_count; ++i) {
      const ProducerBatch& batch = entry.batches[i];
      EXPECT_EQ(batch.first_sequence, other.batches[i].first_sequence);
      EXPECT_EQ(batch.last_sequence, other.batches[i].last_sequence);
      EXPECT_EQ(batch.first_offset, other.batches[i].first_offset);
      EXPECT_EQ(batch.last_offset, other.batches[i].last_offset);
      EXPECT_EQ(batch.timestamp_ms, other.batches[i].timestamp_ms);
    }
  }
}

std::size_t batches_in(const ProducerStates& producers) {
  std::size_t count = 0;
  for (const auto& [id, entry] : producers.entries()) count += entry.batch_count;
  return count;
}

/// `content` with what `change` does to it, under CRCs that are right.
template <class Change>
std::string changed(std::string content, std::size_t producers, Change change) {
  const MutableBytes file = std::as_writable_bytes(std::span(content));
  const std::size_t start = producer_snapshot_bytes(producers);
  change(file.data() + start);
  std::byte numbers[12];
  store_big_endian(numbers, test::kIdentity.partition);
  store_big_endian(numbers + 4, kAt.value());
  std::uint32_t crc = crc32c(std::as_bytes(std::span(std::string_view("keelson producers 1"))));
  crc = crc32c(numbers, crc32c(test::kIdentity.id.bytes, crc));
  crc = crc32c(file.first(start).subspan(10), crc);
  store_big_endian(file.data() + start + 10, crc32c(file.subspan(start + 14), crc));
  stamp_producer_snapshot(file);
  return content;
}

TEST(ProducerHistory, IsReadAsItWasWritten) {
  const ProducerStates producers = many_kinds();
  const auto parsed =
      parse_snapshot(encode_snapshot(producers, test::kIdentity, kAt), test::kIdentity, kAt);
  ASSERT_TRUE(parsed);
  expect_same(producers, *parsed);
  EXPECT_EQ(batches_in(*parsed), 10u);
}

TEST(ProducerHistory, KafkaFindsItsEntriesUnchanged) {
  const std::string content = encode_snapshot(many_kinds(), test::kIdentity, kAt);
  const auto entries = parse_producer_snapshot(test::as_bytes(content));
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 4u);
  const std::string plain = encode_producer_snapshot(*entries);
  EXPECT_EQ(content.substr(6, plain.size() - 6), plain.substr(6));
  EXPECT_GT(content.size(), plain.size());
}

TEST(ProducerHistory, IsNotWrittenWhereTheEntriesSayItAll) {
  ProducerStates producers;
  producers.note(header_of(4, 0, 3, 400));
  const std::string content = encode_snapshot(producers, test::kIdentity, kAt);
  EXPECT_EQ(content.size(), producer_snapshot_bytes(1));
  const auto parsed = parse_snapshot(content, test::kIdentity, kAt);
  ASSERT_TRUE(parsed);
  expect_same(producers, *parsed);
}

TEST(ProducerHistory, OfAnotherLogOrOffsetOrVersionLeavesTheEntries) {
  const std::string content = encode_snapshot(many_kinds(), test::kIdentity, kAt);
  const auto batches = [](const Result<ProducerStates>& parsed) {
    return parsed ? batches_in(*parsed) : 0;
  };
  EXPECT_EQ(batches(parse_snapshot(content, test::kIdentity, kAt)), 10u);
  EXPECT_EQ(batches(parse_snapshot(content, {make_uuid(1, 3), 3}, kAt)), 4u);
  EXPECT_EQ(batches(parse_snapshot(content, {test::kIdentity.id, 4}, kAt)), 4u);
  EXPECT_EQ(batches(parse_snapshot(content, test::kIdentity, kAt + 1)), 4u);
  const std::string later = changed(content, 4, [](std::byte* at) { at[9] = std::byte{2}; });
  EXPECT_EQ(batches(parse_snapshot(later, test::kIdentity, kAt)), 4u);
}

TEST(ProducerHistory, DamagedFilesAreCorrupt) {
  const std::string whole = encode_snapshot(many_kinds(), test::kIdentity, kAt);
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(parse_snapshot(flipped, test::kIdentity, kAt)) << bit;
  }
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_snapshot(whole.substr(0, size), test::kIdentity, kAt)) << size;
  }
  // An answer with an offset behind the end would wait for the log to come there.
  EXPECT_FALSE(parse_snapshot(whole, test::kIdentity, Offset{402}));
}

TEST(ProducerHistory, ContradictionsUnderARightCrcLeaveTheEntries) {
  ProducerStates producers;
  for (std::int32_t i = 0; i < 3; ++i) producers.note(header_of(1, i * 2, 2, i * 10));
  const std::string good = encode_snapshot(producers, test::kIdentity, kAt);
  const auto believed = [&](auto change) {
    const auto parsed = parse_snapshot(changed(good, 1, change), test::kIdentity, kAt);
    EXPECT_TRUE(parsed.has_value());
    return parsed && batches_in(*parsed) == 3;
  };
  EXPECT_TRUE(believed([](std::byte*) {}));
  for (const std::int32_t contiguous : {-1, 0, 1, (1 << 30) + 1}) {
    EXPECT_FALSE(believed([=](std::byte* at) { store_big_endian(at + 14, contiguous); }));
  }
  for (const int count : {0, 1, 3, 4, 5, 255}) {
    EXPECT_FALSE(believed([=](std::byte* at) { at[18] = static_cast<std::byte>(count); }));
  }
  constexpr std::size_t kFirst = 19;
  constexpr std::size_t kSecond = kFirst + 24;
  for (const std::int64_t offset : {-1L, 10L, 20L, 0x7fff'ffff'ffff'ffffL}) {
    EXPECT_FALSE(believed([=](std::byte* at) { store_big_endian(at + kFirst, offset); })) << offset;
  }
  for (const std::int64_t offset : {-1L, 1L, 19L, 21L, 0x7fff'ffff'ffff'ffffL}) {
    EXPECT_FALSE(believed([=](std::byte* at) { store_big_endian(at + kSecond, offset); }))
        << offset;
  }
  for (const std::int32_t delta : {-1, 10, 0x7fff'ffff}) {
    EXPECT_FALSE(believed([=](std::byte* at) { store_big_endian(at + kFirst + 8, delta); }));
  }
  EXPECT_FALSE(believed([](std::byte* at) { store_big_endian(at + kFirst + 12, -1); }));
}

Task<std::unique_ptr<Log>> open_sound(LogContext& context, LogConfig config) {
  Result<std::unique_ptr<Log>> log = co_await Log::open(context, kDir, test::kIdentity, config, {});
  EXPECT_TRUE(log.has_value()) << (log ? "" : to_string(log.error().code));
  co_return log ? std::move(*log) : nullptr;
}

/// Batches of three producers in turn, two records each; `from` and `to` count each one's.
Task<void> append_rounds(Log& log, std::int32_t from, std::int32_t to) {
  for (std::int32_t i = from; i < to; ++i) {
    for (std::int64_t producer = 1; producer <= 3; ++producer) {
      std::vector<std::byte> batch = make_producer_batch(producer, 0, i * 2, 2);
      const Result<AppendResult> appended = co_await log.append(batch, kEpoch);
      EXPECT_TRUE(appended && !appended->duplicate);
    }
  }
}

/// Each of the last five of each producer's `count` batches is known, and the one before as one
/// whose offset is forgotten.
Task<void> expect_repeats(Log& log, std::int32_t count) {
  const Offset end = log.log_end_offset();
  for (std::int64_t producer = 1; producer <= 3; ++producer) {
    for (std::int32_t i = count - 6; i < count; ++i) {
      std::vector<std::byte> batch = make_producer_batch(producer, 0, i * 2, 2);
      const Result<AppendResult> repeat = co_await log.append(batch, kEpoch);
      if (i == count - 6) {
        EXPECT_EQ(repeat.has_value() ? Errc::corrupt : repeat.error().code,
                  Errc::duplicate_sequence_number);
        continue;
      }
      EXPECT_TRUE(repeat && repeat->duplicate) << producer << ' ' << i;
      if (repeat) EXPECT_EQ(repeat->base_offset, Offset{i * 6 + (producer - 1) * 2});
    }
  }
  EXPECT_EQ(log.log_end_offset(), end);
}

class ProducersAcrossRestarts : public testing::Test {
 protected:
  template <class Body>
  void run(io::SimNode& node, Body body) {
    LogContext context(node.shard(), limits_);
    world_.run_task(node.shard(), body(context, config_));
  }

  io::SimWorld world_{7};
  io::SimNode& node_ = world_.start_node("n");
  LogLimits limits_{.disk_reserve_bytes = 0, .idle_after_ms = 20};
  LogConfig config_;
};

TEST_F(ProducersAcrossRestarts, RepeatsAreKnownAfterACleanStop) {
  run(node_, [](LogContext& context, LogConfig config) -> Task<void> {
    std::int32_t count = 0;
    for (int round = 0; round < 3; ++round) {
      const std::unique_ptr<Log> log = co_await open_sound(context, config);
      if (count > 0) co_await expect_repeats(*log, count);
      co_await append_rounds(*log, count, count + 9);
      count += 9;
      const Result<void> closed = co_await log->close();
      EXPECT_TRUE(closed.has_value());
      const auto files = co_await io::list_dir(context.shard(), kDir);
      std::size_t snapshots = 0;
      for (const io::DirEntry& file : *files) snapshots += file.name.ends_with(".snapshot");
      EXPECT_LE(snapshots, 2u);  // of this stop and the one before
    }
  });
}

/// Serves from where `from` rounds were appended, never stops, and says when it has appended 20.
Task<void> serve_until_killed(io::Shard& shard, LogConfig config, std::int32_t from, bool& done) {
  LogLimits limits{.disk_reserve_bytes = 0, .sidecar_delay_ms = 1};
  if (from % 60 == 0) limits.producer_draft_bytes = 300;
  LogContext context(shard, limits);
  const std::unique_ptr<Log> log = co_await open_sound(context, config);
  // The newest snapshot is taken. A power cut may lose its name, and that of the one it replaced.
  const bool after_power_cut = from % 40 == 20;
  EXPECT_LT(log->recovery().batches_replayed, after_power_cut ? 60u : 15u);
  if (from > 0) co_await expect_repeats(*log, from);
  co_await append_rounds(*log, from, from + 17);
  const Result<void> checkpointed = co_await log->checkpoint();
  EXPECT_TRUE(checkpointed.has_value());
  co_await append_rounds(*log, from + 17, from + 20);
  done = true;
  while (true) co_await shard.sleep_for_ms(1'000);
}

TEST_F(ProducersAcrossRestarts, RepeatsAreKnownWithoutAStop) {
  config_.segment_bytes = 2'000;  // a roll every few rounds
  config_.producer_id_expiration_ms =
      std::numeric_limits<std::int64_t>::max();  // its batches are old
  for (std::int32_t from = 0; from < 100; from += 20) {
    bool done = false;
    node_.shard().spawn(serve_until_killed(node_.shard(), config_, from, done));
    while (!done) world_.run_for(1'000'000);
    if (from % 40 == 0) {
      world_.power_cut(node_);
    } else {
      world_.kill_node(node_);
    }
    world_.restart_node(node_);
  }
}

}  // namespace
}  // namespace keelson::engine::log
