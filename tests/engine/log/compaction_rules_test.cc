// The rules of compaction one by one: the map of keys, which part of a log may go, what becomes of
// tombstones, markers, emptied batches and codecs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <unordered_map>

#include "engine/io/give_way.h"
#include "engine/io/sim/sim_world.h"
#include "engine/log/compaction_plan.h"
#include "engine/log/key_map.h"
#include "tests/engine/log/compaction_support.h"

namespace keelson::engine::log {
namespace {

using test::as_bytes;
using test::compacted;
using test::kNoBound;
using test::open_log;
using test::Opened;
using test::Seen;

// --- keys ---------------------------------------------------------------------------------------

// From the reference implementation: key 00..0f, message 00, 01, 02 … of the length.
TEST(KeyHasher, IsSipHash128) {
  const KeyHasher hasher(0x0706050403020100, 0x0f0e0d0c0b0a0908);
  const auto hex = [](KeyHash hash) {
    std::string out;
    for (const std::uint64_t word : {hash.low, hash.high}) {
      for (int i = 0; i < 8; ++i) {
        char text[3];
        std::snprintf(text, sizeof text, "%02x", static_cast<unsigned>(word >> (8 * i) & 0xff));
        out += text;
      }
    }
    return out;
  };
  std::byte message[64];
  for (int i = 0; i < 64; ++i) message[i] = static_cast<std::byte>(i);
  EXPECT_EQ(hex(hasher(Bytes{})), "a3817f04ba25a8e66df67214c7550293");
  EXPECT_EQ(hex(hasher(Bytes(message, 1))), "da87c1d86b99af44347659119b22fc45");
  EXPECT_EQ(hex(hasher(Bytes(message, 15))), "5493e99933b0a8117e08ec0f97cfc3d9");
  EXPECT_EQ(hex(hasher(Bytes(message, 63))), "5150d1772f50834a503e069a973fbd7c");
}

TEST(KeyMap, KnowsTheLastOffsetOfEachKeyAsItGrows) {
  std::mt19937_64 random(5);
  KeyMap map({1, 2}, std::uint64_t{32} << 20);
  std::unordered_map<std::string, std::int64_t> model;
  for (std::int64_t offset = 0; offset < 300'000; ++offset) {
    const std::string key = std::to_string(random() % 100'000);
    ASSERT_TRUE(map.put(as_bytes(key), Offset{offset}));
    model[key] = offset;
  }
  EXPECT_EQ(map.size(), model.size());
  for (const auto& [key, offset] : model) {
    ASSERT_EQ(map.last_offset(as_bytes(key)).value(), offset);
  }
  EXPECT_EQ(map.last_offset(as_bytes("never")), Offset{-1});
  // Twice what the keys need, and a table that is growing.
  EXPECT_LT(map.memory_bytes(), model.size() * kKeySlotBytes * 3);
}

thread_local int times_given_way = 0;

// Within one put() too: its tables grow nearly all at once.
TEST(KeyMap, GivesWayAsItGrows) {
  io::set_give_way([] { ++times_given_way; });
  times_given_way = 0;
  KeyMap map({5, 6}, std::uint64_t{32} << 20);
  for (std::int64_t offset = 0; offset < 100'000; ++offset) {
    ASSERT_TRUE(map.put(as_bytes(std::to_string(offset)), Offset{offset}));
  }
  io::set_give_way(nullptr);
  constexpr std::uint64_t kStretchBytes = std::uint64_t{32} << 10;
  EXPECT_GE(static_cast<std::uint64_t>(times_given_way), map.memory_bytes() / kStretchBytes);
}

TEST(KeyMap, KeepsToItsBoundAndUsesIt) {
  for (const std::uint64_t bound : {std::uint64_t{100}, std::uint64_t{10'000},
                                    std::uint64_t{300'000}, std::uint64_t{8} << 20}) {
    KeyMap map({3, 4}, bound);
    std::int64_t offset = 0;
    while (map.put(as_bytes(std::to_string(offset)), Offset{offset})) ++offset;
    EXPECT_EQ(map.size(), static_cast<std::uint64_t>(offset));
    EXPECT_LE(map.memory_bytes(), bound) << bound;
    if (bound >= 300'000) EXPECT_GE(map.size() * kKeySlotBytes, bound * 7 / 10) << bound;
    EXPECT_GT(offset, 0);
    // Full, it still takes what it knows, and has lost nothing.
    EXPECT_TRUE(map.put(as_bytes("0"), Offset{offset}));
    EXPECT_EQ(map.last_offset(as_bytes("0")), Offset{offset});
    for (std::int64_t i = 1; i < offset; ++i) {
      ASSERT_EQ(map.last_offset(as_bytes(std::to_string(i))).value(), i);
    }
  }
}

// --- plan ---------------------------------------------------------------------------------------

SegmentFacts facts(std::int64_t base, std::int64_t next, std::uint64_t bytes,
                   std::int64_t max_ms = 1'000, std::int64_t first_ms = 1'000) {
  return {Offset{base}, Offset{next}, bytes, 1'000, max_ms, first_ms};
}

TEST(CompactionPlan, IsDueAboveTheDirtyRatio) {
  LogConfig config;
  const std::vector<SegmentFacts> segments = {facts(0, 10, 500), facts(10, 20, 500),
                                              facts(20, 25, 900)};
  const auto due = [&](std::int64_t dirty, std::int64_t stable, double ratio) {
    config.min_cleanable_dirty_ratio = ratio;
    return survey_log(segments, config, Offset{dirty}, Offset{stable}, 5'000).due;
  };
  EXPECT_TRUE(due(0, 25, 0.99));  // all of it is dirty, the active segment not counted
  EXPECT_FALSE(due(0, 25, 1));
  EXPECT_FALSE(due(10, 25, 0.5));  // strictly above
  EXPECT_TRUE(due(10, 25, 0.49));
  EXPECT_FALSE(due(20, 25, 0));
  EXPECT_FALSE(due(10, 19, 0.1));  // an open transaction holds the segment back
  const CompactionState held = survey_log(segments, config, Offset{10}, Offset{15}, 5'000);
  EXPECT_TRUE(held.held_back);
  EXPECT_EQ(held.first_uncleanable, Offset{15});
  EXPECT_EQ(survey_log(segments, config, Offset{10}, Offset{25}, 5'000).first_uncleanable,
            Offset{20});
}

TEST(CompactionPlan, LeavesWhatIsYoungerThanTheSmallestLag) {
  LogConfig config;
  config.min_compaction_lag_ms = 1'000;
  const std::vector<SegmentFacts> segments = {facts(0, 10, 500, 3'000), facts(10, 20, 500, 4'500),
                                              facts(20, 30, 500, 3'000), facts(30, 35, 900)};
  CompactionState state = survey_log(segments, config, Offset{0}, Offset{35}, 5'000);
  EXPECT_EQ(state.first_uncleanable, Offset{10});
  EXPECT_EQ(state.cleanable_bytes, 500u);
  EXPECT_EQ(state.look_again_ms, 5'501);
  state = survey_log(segments, config, Offset{0}, Offset{35}, 5'501);
  EXPECT_EQ(state.first_uncleanable, Offset{30});
  EXPECT_EQ(state.look_again_ms, std::nullopt);
}

TEST(CompactionPlan, IsDueWhateverTheRatioPastTheLargestLag) {
  LogConfig config;
  config.max_compaction_lag_ms = 2'000;
  const std::vector<SegmentFacts> segments = {facts(0, 10, 9'000), facts(10, 20, 10, 3'000, 3'000),
                                              facts(20, 25, 900)};
  CompactionState state = survey_log(segments, config, Offset{10}, Offset{25}, 5'000);
  EXPECT_FALSE(state.due);
  EXPECT_EQ(state.look_again_ms, 5'001);
  state = survey_log(segments, config, Offset{10}, Offset{25}, 5'001);
  EXPECT_TRUE(state.due);
  EXPECT_EQ(state.overdue_ms, 1);
}

TEST(CompactionPlan, GroupsBySizeIndexAndOffsets) {
  LogConfig config;
  config.segment_bytes = 1'000;
  const auto groups = [&](const std::vector<SegmentFacts>& segments, std::int64_t end) {
    return group_segments(segments, config, Offset{end}, Offset{end});
  };
  using Sizes = std::vector<std::size_t>;
  const std::vector<SegmentFacts> segments = {
      facts(0, 10, 400),  facts(10, 20, 600),   facts(20, 30, 1), facts(30, 40, 0),
      facts(40, 50, 999), facts(50, 60, 1'500), facts(60, 70, 10)};
  EXPECT_EQ(groups(segments, 60), (Sizes{2, 3, 1}));
  EXPECT_EQ(groups(segments, 41), (Sizes{2, 3}));
  EXPECT_EQ(groups(segments, 40), (Sizes{2, 2}));
  const std::int64_t far = std::int64_t{1} << 31;
  EXPECT_EQ(groups({facts(0, 10, 1), facts(10, 20, 1), facts(far, far + 1, 1),
                    facts(far + 1, far + 2, 1)},
                   far + 1),
            (Sizes{2, 1}));
  EXPECT_EQ(groups({facts(0, 10, 1), facts(10, 20, 1), facts(far + 1, far + 2, 1),
                    facts(far + 2, far + 3, 1)},
                   far + 2),
            (Sizes{1, 2}));
  config.segment_index_bytes = 120;
  config.index_interval_bytes = 1;
  const std::vector<SegmentFacts> indexed = {{Offset{0}, Offset{10}, 400, 6, 0, 0},
                                             {Offset{10}, Offset{20}, 400, 4, 0, 0},
                                             {Offset{20}, Offset{30}, 100, 1, 0, 0},
                                             facts(30, 40, 1)};
  EXPECT_EQ(groups(indexed, 30), (Sizes{2, 1}));
}

// --- batches ------------------------------------------------------------------------------------

/// A log of one's own making, compacted when asked; `filler` rolls it.
class Bench {
 public:
  Bench() : world_(1), node_(world_.start_node("n")) {
    world_.set_logger(test::test_logger);
    config_ = compacted();
    reopen();
  }
  ~Bench() {
    if (opened_) close();
  }

  Log& log() { return *opened_->log; }
  io::Shard& shard() { return node_.shard(); }
  void close() {
    const Result<void> closed = world_.run_task(shard(), log().close());
    EXPECT_TRUE(closed.has_value());
    opened_.reset();
  }
  void reopen() {
    Result<Opened> opened = world_.run_task(shard(), open_log(shard(), config_));
    EXPECT_TRUE(opened.has_value());
    opened_ = std::move(*opened);
  }
  Offset add(std::vector<std::byte> batch) {
    const Result<AppendResult> appended =
        world_.run_task(shard(), log().append(batch, LeaderEpoch{5}));
    EXPECT_TRUE(appended.has_value());
    return appended->base_offset;
  }
  Offset add(const std::string& key, std::optional<std::string> value, Codec codec = Codec::none) {
    BatchBuilder builder(codec);
    std::optional<Bytes> bytes;
    if (value) bytes = as_bytes(*value);
    builder.add(shard().clock().wall_ms(), as_bytes(key), bytes);
    return add(builder.build());
  }
  /// Seals what was appended so far.
  void roll() {
    const std::string large(3'900, '.');
    add(concat("filler", ++fillers_), large);
    add(concat("filler", ++fillers_), large);
  }
  CompactionReport compact() {
    Pace pace(shard(), {});
    Result<CompactionReport> report = world_.run_task(shard(), log().compact(pace, {}));
    EXPECT_TRUE(report.has_value()) << (report ? "" : to_string(report.error().code));
    return report.value_or(CompactionReport{});
  }
  Seen see() {
    Result<Seen> seen = world_.run_task(shard(), test::observe(log(), 10'000));
    EXPECT_TRUE(seen.has_value());
    return std::move(*seen);
  }
  std::optional<BatchHeader> batch_at(Offset offset) {
    for (const auto& [header, bytes] : see().batches) {
      if (header.base_offset <= offset && offset <= header.last_offset()) return header;
    }
    return std::nullopt;
  }
  bool has(Offset offset) { return see().records.contains(offset.value()); }
  void wait_ms(std::int64_t ms) { world_.run_for(ms * 1'000'000); }
  io::SimDisk& disk() { return node_.disk(); }

 private:
  io::SimWorld world_;
  io::SimNode& node_;
  LogConfig config_;
  std::optional<Opened> opened_;
  int fillers_ = 0;
};

TEST(CompactionRules, ATombstoneStaysForItsTimeFromWhenItIsFirstSeen) {
  Bench bench;
  const Offset value = bench.add("k", "v");
  const Offset tombstone = bench.add("k", std::nullopt);
  bench.roll();
  bench.wait_ms(20'000);  // before it is seen, no time runs
  const std::int64_t seen_ms = bench.shard().clock().wall_ms();
  const std::int64_t record_ms = bench.see().records.at(tombstone.value()).timestamp_ms;
  bench.compact();
  EXPECT_FALSE(bench.has(value));
  ASSERT_TRUE(bench.has(tombstone));
  const BatchHeader header = *bench.batch_at(tombstone);
  EXPECT_TRUE(header.attributes & kAttributeDeleteHorizon);
  EXPECT_GE(header.base_timestamp, seen_ms + test::kRetentionMs);
  EXPECT_LE(header.base_timestamp, seen_ms + test::kRetentionMs + 1'000);
  EXPECT_EQ(header.max_timestamp, record_ms);
  EXPECT_EQ(bench.see().records.at(tombstone.value()).timestamp_ms, record_ms);

  bench.wait_ms(test::kRetentionMs - 1'500);
  bench.add("other", "v");
  bench.roll();
  bench.compact();
  EXPECT_TRUE(bench.has(tombstone));
  EXPECT_EQ(bench.batch_at(tombstone)->base_timestamp, header.base_timestamp);  // not later

  bench.wait_ms(3'000);
  bench.add("other", "v");
  bench.roll();
  bench.compact();
  EXPECT_FALSE(bench.has(tombstone));
}

TEST(CompactionRules, AMarkerOutlivesItsRecordsAndGoesAfterItsTime) {
  for (const bool abort : {false, true}) {
    SCOPED_TRACE(abort);
    Bench bench;
    BatchBuilder builder;
    builder.producer(ProducerId{7}, ProducerEpoch{0}, 0).transactional();
    builder.add(1'000, as_bytes("k"), as_bytes("v"));
    const Offset data = bench.add(builder.build());
    const Offset marker = bench.add(test::make_marker(7, abort));
    // The producer's last batch is another, so that nothing else keeps these.
    BatchBuilder last;
    last.producer(ProducerId{7}, ProducerEpoch{0}, 1).transactional();
    last.add(1'000, as_bytes("last"), as_bytes("v"));
    bench.add(last.build());
    bench.add(test::make_marker(7, false));
    bench.roll();
    bench.compact();
    EXPECT_EQ(bench.has(data), !abort);
    ASSERT_TRUE(bench.batch_at(marker).has_value());
    EXPECT_FALSE(bench.batch_at(marker)->attributes & kAttributeDeleteHorizon);
    if (!abort) {
      bench.add("k", "newer");
      bench.roll();
      bench.compact();
      EXPECT_FALSE(bench.has(data));
      EXPECT_FALSE(bench.batch_at(marker)->attributes & kAttributeDeleteHorizon);
    }
    // Its time begins with the first run that finds nothing for it to end.
    bench.add("x", "y");
    bench.roll();
    bench.compact();
    const BatchHeader header = *bench.batch_at(marker);
    EXPECT_TRUE(header.attributes & kAttributeDeleteHorizon);
    EXPECT_TRUE(header.is_control() && header.is_transactional());
    bench.wait_ms(test::kRetentionMs + 10);
    bench.add("x", "y");
    bench.roll();
    bench.compact();
    EXPECT_EQ(bench.batch_at(marker), std::nullopt);
    EXPECT_TRUE(bench.log().open_transactions().empty());
    bench.close();
    bench.reopen();
    EXPECT_TRUE(bench.log().open_transactions().empty());
  }
}

TEST(CompactionRules, TheLastBatchOfAProducerStaysAsAHeader) {
  Bench bench;
  const auto send = [&](int sequence) {
    BatchBuilder builder(Codec::zstd);
    builder.producer(ProducerId{9}, ProducerEpoch{3}, sequence);
    builder.add(1'000, as_bytes("a"), as_bytes("1"));
    builder.add(2'000, as_bytes("b"), as_bytes("2"));
    return bench.add(builder.build());
  };
  const Offset first = send(0);
  const Offset last = send(2);
  bench.add("a", "later");
  bench.add("b", "later");
  bench.roll();
  bench.compact();
  EXPECT_EQ(bench.batch_at(first), std::nullopt);
  const std::optional<BatchHeader> header = bench.batch_at(last);
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->record_count, 0);
  EXPECT_EQ(header->size_bytes(), kBatchHeaderBytes);
  EXPECT_EQ(header->codec_id(), 0);
  EXPECT_EQ(header->base_offset, last);
  EXPECT_EQ(header->last_offset_delta, 1);
  EXPECT_EQ(header->base_sequence, 2);
  EXPECT_EQ(header->producer_epoch, ProducerEpoch{3});
  EXPECT_EQ(header->leader_epoch, LeaderEpoch{5});
  EXPECT_EQ(header->base_timestamp, kNoTimestamp);
  EXPECT_EQ(header->max_timestamp, 2'000);
  // Without a snapshot the log alone tells of the producer.
  bench.close();
  const std::vector<std::string> files = bench.disk().files();
  for (const std::string& file : files) {
    if (file.ends_with(".snapshot")) bench.disk().erase(file);
  }
  bench.reopen();
  const std::vector<Log::ProducerInfo> producers = bench.log().producers();
  ASSERT_EQ(producers.size(), 1u);
  EXPECT_EQ(producers[0].last_sequence, 3);
  EXPECT_EQ(producers[0].epoch, ProducerEpoch{3});
  // A newer batch takes over.
  send(4);
  bench.roll();
  bench.compact();
  EXPECT_EQ(bench.batch_at(last), std::nullopt);
}

TEST(CompactionRules, BatchesKeepTheirCodecAndTheirOffsets) {
  for (const Codec codec : {Codec::none, Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd}) {
    SCOPED_TRACE(static_cast<int>(codec));
    Bench bench;
    BatchBuilder builder(codec);
    for (int i = 0; i < 5; ++i) {
      const std::string key = concat("k", i);
      const RecordHeader header{as_bytes(key), std::nullopt};
      builder.add(1'000 - i, as_bytes(key), as_bytes("value"), std::span(&header, 1));
    }
    const Offset base = bench.add(builder.build());
    for (const int gone : {0, 3, 4}) bench.add(concat("k", gone), "later");
    bench.roll();
    bench.compact();
    const BatchHeader header = *bench.batch_at(base + 1);
    EXPECT_EQ(header.codec_id(), static_cast<std::uint8_t>(codec));
    EXPECT_EQ(header.base_offset, base);
    EXPECT_EQ(header.last_offset_delta, 4);
    EXPECT_EQ(header.record_count, 2);
    EXPECT_EQ(header.max_timestamp, 999);
    const Seen seen = bench.see();
    EXPECT_EQ(seen.records.at(base.value() + 1).timestamp_ms, 999);
    EXPECT_EQ(seen.records.at(base.value() + 2).timestamp_ms, 998);
    EXPECT_FALSE(seen.records.contains(base.value() + 3));
  }
}

TEST(CompactionRules, LogAppendTimeStaysWhatItWas) {
  Bench bench;
  BatchBuilder builder;
  builder.add(1'000, as_bytes("k"), as_bytes("v"));
  builder.add(1'000, as_bytes("gone"), std::nullopt);
  std::vector<std::byte> batch = builder.build();
  stamp_log_append_time(batch, 77'000);
  const Offset base = bench.add(batch);
  bench.roll();
  bench.compact();  // sets a horizon
  EXPECT_TRUE(bench.batch_at(base)->attributes & kAttributeDeleteHorizon);
  EXPECT_TRUE(bench.batch_at(base)->is_log_append_time());
  EXPECT_EQ(bench.see().records.at(base.value()).timestamp_ms, 77'000);
  EXPECT_EQ(bench.see().records.at(base.value() + 1).timestamp_ms, 77'000);
}

// A topic that was not always compacted.
TEST(CompactionRules, RecordsWithoutAKeyGo) {
  Bench bench;
  BatchBuilder builder;
  builder.add(1'000, std::nullopt, as_bytes("no key"));
  builder.add(1'000, as_bytes(""), as_bytes("an empty key is one"));
  const Offset base = bench.add(builder.build());
  bench.roll();
  const CompactionReport report = bench.compact();
  EXPECT_EQ(report.records_without_key, 1u);
  EXPECT_FALSE(bench.has(base));
  EXPECT_TRUE(bench.has(base + 1));
}

TEST(CompactionRules, ASegmentThatLosesNothingIsLeftAsItIs) {
  Bench bench;
  bench.add("a", "1");
  bench.roll();
  bench.compact();
  const std::string name = concat("/", test::kDir, "/00000000000000000000.log");
  const std::string before = *bench.disk().content(name);
  bench.add("b", "1");
  bench.roll();
  const CompactionReport report = bench.compact();
  EXPECT_EQ(report.records_in, report.records_out);
  EXPECT_EQ(*bench.disk().content(name), before);
}

TEST(CompactionRules, DamageIsReportedAndTheRestIsKept) {
  Bench bench;
  const Offset first = bench.add("k", std::string(500, 'x'));
  bench.add("k", "later");
  bench.roll();
  bench.close();
  const std::string name = concat("/", test::kDir, "/00000000000000000000.log");
  ASSERT_TRUE(bench.disk().flip_bit(name, 300, 1));
  bench.reopen();
  Pace pace(bench.shard(), {});
  EXPECT_TRUE(bench.log().compaction_state(kNoBound).due);
  io::Shard& shard = bench.shard();
  std::optional<Result<CompactionReport>> report;
  shard.spawn(
      [](Log& log, Pace& with, std::optional<Result<CompactionReport>>& into) -> Task<void> {
        into = co_await log.compact(with, {});
      }(bench.log(), pace, report));
  bench.wait_ms(1'000);
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->error().code, Errc::quarantined);
  EXPECT_THAT(bench.log().recovery().findings, testing::Contains(testing::HasSubstr("withheld")));
  EXPECT_FALSE(bench.log().compaction_state(kNoBound).due);  // not again and again
  EXPECT_EQ(first, Offset{0});
}

}  // namespace
}  // namespace keelson::engine::log
