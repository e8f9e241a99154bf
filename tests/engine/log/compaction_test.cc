// Compaction of whole logs on simulated machines, beside a reference model: random batches,
// transactions, tombstones and producers; crashes and failing operations at every point of a run;
// readers, appends, retention and truncation at the same time.
#include "engine/log/compaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "engine/io/sim/sim_world.h"
#include "engine/log/verify.h"
#include "tests/engine/log/compaction_model.h"

namespace keelson::engine::log {
namespace {

using test::CompactionModel;
using test::ModelRecord;
using test::Seen;

const std::string kDir = "table-3";
constexpr std::int64_t kRetentionMs = 5'000;
constexpr Offset kNoBound{std::numeric_limits<std::int64_t>::max()};

class StderrLogger final : public Logger {
 public:
  void write(LogLevel, std::string_view component, std::string_view line) override {
    if (!on_) return;
    std::fprintf(stderr, "[%.*s] %.*s\n", static_cast<int>(component.size()), component.data(),
                 static_cast<int>(line.size()), line.data());
  }
  bool enabled(LogLevel) const override { return on_; }

 private:
  const bool on_ = std::getenv("KEELSON_TEST_LOG") != nullptr;
};
StderrLogger test_logger;

LogConfig compacted() {
  LogConfig config;
  config.segment_bytes = 4'000;
  config.file_delete_delay_ms = 10;
  config.cleanup_delete = false;
  config.cleanup_compact = true;
  config.delete_retention_ms = kRetentionMs;
  config.index_interval_bytes = 500;
  return config;
}

LogLimits quick_limits() {
  LogLimits limits;
  limits.disk_reserve_bytes = 1 << 20;
  limits.sidecar_delay_ms = 2;
  limits.idle_after_ms = 20;
  return limits;
}

/// One opening of the log; the context outlives it.
struct Opened {
  std::unique_ptr<LogContext> context;
  std::unique_ptr<Log> log;
};

Task<Result<Opened>> open_log(io::Shard& shard, LogConfig config, OpenHints hints = {}) {
  Opened opened{std::make_unique<LogContext>(shard, quick_limits()), nullptr};
  Result<std::unique_ptr<Log>> log =
      co_await Log::open(*opened.context, kDir, test::kIdentity, config, hints);
  if (!log) co_return std::unexpected(log.error());
  opened.log = std::move(*log);
  co_return std::move(opened);
}

/// Appends random batches, and notes in the model what was acknowledged.
class Writer {
 public:
  Writer(io::Shard& shard, Log& log, CompactionModel& model, int keys)
      : shard_(shard), log_(log), model_(model), keys_(keys) {}

  Task<bool> append_some(int count) {
    for (int i = 0; i < count; ++i) {
      const bool appended = co_await append_one();
      if (!appended) co_return false;
    }
    co_return true;
  }

  /// Ends what is open, so that the last stable offset is the end.
  Task<bool> end_transactions() {
    for (CompactionModel::Producer& producer : model_.producers) {
      if (producer.transaction < 0) continue;
      const bool ended = co_await end(producer, random(2) == 0);
      if (!ended) co_return false;
    }
    co_return true;
  }

  Task<bool> append_one() {
    const std::uint64_t choice = random(10);
    if (choice < 4) co_return co_await write(nullptr, false);
    CompactionModel::Producer& producer = model_.producers[random(model_.producers.size())];
    if (producer.transaction >= 0 && choice >= 8) co_return co_await end(producer, random(2) == 0);
    const bool in_transaction = producer.id <= 200;
    co_return co_await write(&producer, in_transaction);
  }

 private:
  std::uint64_t random(std::uint64_t below) { return shard_.rng().next() % below; }

  Task<bool> write(CompactionModel::Producer* producer, bool transactional) {
    constexpr Codec kCodecs[] = {Codec::none, Codec::none, Codec::gzip, Codec::snappy, Codec::lz4,
                                 Codec::zstd};
    BatchBuilder builder(kCodecs[random(6)]);
    const int count = 1 + static_cast<int>(random(5));
    if (transactional && producer->transaction < 0) {
      producer->transaction = static_cast<int>(model_.outcomes.size());
      model_.outcomes.push_back(CompactionModel::Outcome::open);
    }
    if (producer != nullptr) {
      builder.producer(ProducerId{producer->id}, ProducerEpoch{0}, producer->next_sequence);
    }
    builder.transactional(transactional);
    std::vector<ModelRecord> records;
    for (int i = 0; i < count; ++i) {
      ModelRecord record;
      record.key = concat("key", random(static_cast<std::uint64_t>(keys_)));
      if (random(5) != 0) record.value = std::string(random(120), static_cast<char>('a' + i));
      record.timestamp_ms = shard_.clock().wall_ms() - static_cast<std::int64_t>(random(100));
      if (transactional) record.transaction = producer->transaction;
      std::optional<Bytes> value;
      if (record.value) value = test::as_bytes(*record.value);
      const std::string name = "h";
      const RecordHeader header{test::as_bytes(name), test::as_bytes(record.key)};
      builder.add(record.timestamp_ms, test::as_bytes(record.key), value,
                  std::span(&header, random(2)));
      records.push_back(std::move(record));
    }
    std::vector<std::byte> batch = builder.build();
    const Result<AppendResult> appended = co_await log_.append(batch, LeaderEpoch{5});
    if (!appended) co_return false;
    if (producer != nullptr) producer->next_sequence += count;
    for (int i = 0; i < count; ++i) {
      model_.records[appended->base_offset.value() + i] = std::move(records[i]);
    }
    model_.end = appended->last_offset.value() + 1;
    co_return true;
  }

  Task<bool> end(CompactionModel::Producer& producer, bool abort) {
    std::vector<std::byte> marker =
        test::make_marker(producer.id, abort, shard_.clock().wall_ms());
    const Result<AppendResult> appended = co_await log_.append(marker, LeaderEpoch{5});
    if (!appended) co_return false;
    model_.outcomes[static_cast<std::size_t>(std::exchange(producer.transaction, -1))] =
        abort ? CompactionModel::Outcome::aborted : CompactionModel::Outcome::committed;
    model_.end = appended->last_offset.value() + 1;
    co_return true;
  }

  io::Shard& shard_;
  Log& log_;
  CompactionModel& model_;
  const int keys_;
};

Task<Result<CompactionReport>> compact(io::Shard& shard, Log& log, CompactionModel& model,
                                       std::uint64_t map_bytes = std::uint64_t{1} << 20,
                                       Offset below = kNoBound) {
  Pace pace(shard, {});
  const CompactionState state = log.compaction_state(below);
  model.note_attempt(state.first_uncleanable.value(), shard.clock().wall_ms());
  CompactionOptions options;
  options.map_bytes_max = map_bytes;
  options.below = below;
  co_return co_await log.compact(pace, options);
}

Task<void> check_log(io::Shard& shard, Log& log, const CompactionModel& model,
                     bool has_table = true) {
  const Result<Seen> seen = co_await test::observe(log, 1 + shard.rng().next() % 20'000);
  EXPECT_TRUE(seen.has_value()) << (seen ? "" : to_string(seen.error().code));
  if (!seen) co_return;
  model.check(*seen, log.log_start_offset().value(), log.first_dirty().value(),
              shard.clock().wall_ms(), kRetentionMs);
  if (has_table) EXPECT_EQ(CompactionModel::table(*seen), model.table(seen->stable));
}

struct Findings : VerifyObserver {
  void on_finding(const Finding& finding) override {
    if (!finding.is_note) texts.push_back(finding.file + " " + finding.text);
  }
  void on_progress(const VerifyProgress&) override {}
  std::vector<std::string> texts;
};

/// Writes, compacts, looks, closes, opens; again and again. Returns compactions that changed things.
Task<int> live(io::Shard& shard, CompactionModel& model, int rounds) {
  int changed = 0;
  for (int round = 0; round < rounds && !testing::Test::HasFatalFailure(); ++round) {
    Result<Opened> opened = co_await open_log(shard, compacted(), {.clean_stop = round > 0});
    EXPECT_TRUE(opened.has_value());
    if (!opened) co_return changed;
    Log& log = *opened->log;
    EXPECT_THAT(log.recovery().findings, testing::IsEmpty());
    EXPECT_EQ(log.log_end_offset().value(), model.end);
    Writer writer(shard, log, model, 12);
    for (int i = 0; i < 3; ++i) {
      const bool appended = co_await writer.append_some(30);
      EXPECT_TRUE(appended);
      const auto before = log.producers();
      const std::uint64_t map_bytes = shard.rng().next() % 3 == 0 ? 240 : 1 << 20;
      const Result<CompactionReport> report = co_await compact(shard, log, model, map_bytes);
      const bool full = !report && report.error().code == Errc::overloaded;
      EXPECT_TRUE(report.has_value() || full) << to_string(report.error().code);
      if (report && report->records_out < report->records_in) ++changed;
      const auto after = log.producers();
      EXPECT_EQ(before.size(), after.size());
      co_await check_log(shard, log, model);
      if (full) break;
      co_await shard.sleep_for_ms(static_cast<std::int64_t>(shard.rng().next() % 4'000));
    }
    const bool ended = co_await writer.end_transactions();
    EXPECT_TRUE(ended);
    const Result<void> closed = co_await log.close();
    EXPECT_TRUE(closed.has_value());
    opened->log.reset();
    Findings findings;
    const auto verified = co_await verify_directory(shard, kDir, {.records = true}, findings);
    EXPECT_TRUE(verified.has_value());
    EXPECT_THAT(findings.texts, testing::IsEmpty());
  }
  co_return changed;
}

TEST(Compaction, LeavesTheLastValueOfEveryKey) {
  const char* const asked = std::getenv("KEELSON_TEST_SEEDS");
  const std::uint64_t seeds = asked ? std::strtoull(asked, nullptr, 10) : 40;
  int changed = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    io::SimWorld world(seed);
    world.set_logger(test_logger);
    io::SimNode& node = world.start_node("n");
    CompactionModel model;
    changed += world.run_task(node.shard(), live(node.shard(), model, 4));
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_GT(changed, static_cast<int>(seeds) * 4);
}

/// What a crash at any point left: served, whole, and compacted on as if nothing had been.
Task<void> check_crashed(io::Shard& shard, const CompactionModel& model, bool go_on) {
  Result<Opened> opened = co_await open_log(shard, compacted());
  EXPECT_TRUE(opened.has_value()) << (opened ? "" : to_string(opened.error().code));
  if (!opened) co_return;
  Log& log = *opened->log;
  for (const std::string& finding : log.recovery().findings) {
    // A crash while the log is closed leaves that behind, compacted or not.
    EXPECT_THAT(finding, testing::HasSubstr(".snapshot is garbled"));
  }
  EXPECT_EQ(log.log_end_offset().value(), model.end);
  co_await check_log(shard, log, model);
  if (go_on) {
    CompactionModel more = model;
    const Result<CompactionReport> report = co_await compact(shard, log, more);
    EXPECT_TRUE(report.has_value()) << (report ? "" : to_string(report.error().code));
    co_await check_log(shard, log, more);
  }
  const Result<void> closed = co_await log.close();
  EXPECT_TRUE(closed.has_value());
  opened->log.reset();
  const Result<std::vector<io::DirEntry>> entries = co_await io::list_dir(shard, kDir);
  EXPECT_TRUE(entries.has_value());
  for (const io::DirEntry& entry : *entries) {
    EXPECT_FALSE(entry.name.ends_with(".swap") || entry.name.ends_with(".cleaned")) << entry.name;
    EXPECT_FALSE(entry.name.ends_with(".set-aside")) << entry.name;
  }
  Findings findings;
  const auto verified = co_await verify_directory(shard, kDir, {.records = true}, findings);
  EXPECT_TRUE(verified.has_value());
  EXPECT_THAT(findings.texts, testing::IsEmpty());
}

Task<void> compact_and_close(io::Shard& shard, CompactionModel& model, int runs) {
  Result<Opened> opened = co_await open_log(shard, compacted());
  EXPECT_TRUE(opened.has_value());
  for (int run = 1; run <= runs; ++run) {
    const Offset below{model.end * run / runs};
    const Result<CompactionReport> report =
        co_await compact(shard, *opened->log, model, std::uint64_t{1} << 20, below);
    EXPECT_TRUE(report.has_value()) << (report ? "" : to_string(report.error().code));
    EXPECT_GT(report->segments_in, report->segments_out);
    co_await shard.sleep_for_ms(kRetentionMs);
  }
  const Result<void> closed = co_await opened->log->close();
  EXPECT_TRUE(closed.has_value());
}

/// In segments that are small, so that compaction makes one of several.
Task<void> fill(io::Shard& shard, CompactionModel& model, int batches) {
  LogConfig config = compacted();
  config.segment_bytes = 1'300;
  Result<Opened> opened = co_await open_log(shard, config);
  EXPECT_TRUE(opened.has_value());
  Writer writer(shard, *opened->log, model, 12);
  const bool appended = co_await writer.append_some(batches);
  EXPECT_TRUE(appended);
  const bool ended = co_await writer.end_transactions();
  EXPECT_TRUE(ended);
  const Result<void> closed = co_await opened->log->close();
  EXPECT_TRUE(closed.has_value());
}

// Every prefix of what a compaction does to the drive, with several losses of what was not synced.
TEST(CompactionCrash, NoPointOfARunLosesOrBringsBackAValue) {
  const char* const asked = std::getenv("KEELSON_TEST_SEEDS");
  const std::uint64_t seeds = asked ? std::strtoull(asked, nullptr, 10) : 3;
  std::size_t images_seen = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    io::SimWorld world(seed);
    world.set_logger(test_logger);
    io::SimNode& node = world.start_node("n");
    CompactionModel model;
    world.run_task(node.shard(), fill(node.shard(), model, 90));
    const io::SimDisk before = node.disk();
    node.disk().start_recording();
    world.run_task(node.shard(), compact_and_close(node.shard(), model, 3));
    io::CrashImages images(before, node.disk().changes());
    io::SimNode& crashed = world.start_node("crashed");
    while (true) {
      SCOPED_TRACE(testing::Message() << "after change " << images.position());
      for (std::uint64_t loss = 0; loss < 4; ++loss) {
        world.kill_node(crashed);
        world.restart_node(crashed);
        crashed.disk() = loss == 0 ? images.killed() : images.image(loss);
        SCOPED_TRACE(testing::Message() << "loss " << loss);
        world.run_task(crashed.shard(), check_crashed(crashed.shard(), model, loss % 2 == 0));
        ++images_seen;
        ASSERT_FALSE(testing::Test::HasFailure());
      }
      if (!images.advance()) break;
    }
  }
  RecordProperty("images", static_cast<int>(images_seen));
  EXPECT_GT(images_seen, 1'000u);
}

}  // namespace
}  // namespace keelson::engine::log
