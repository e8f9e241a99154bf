// Compaction of whole logs on simulated machines, beside a reference model: random batches,
// transactions, tombstones and producers; crashes and failing operations at every point of a run;
// readers, appends, retention and truncation at the same time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>

#include "engine/io/sim/sim_world.h"
#include "engine/log/file_removal.h"
#include "engine/log/verify.h"
#include "tests/engine/log/compaction_support.h"

namespace keelson::engine::log {
namespace {

using test::check_log;
using test::compact;
using test::compacted;
using test::kDir;
using test::kNoBound;
using test::kRetentionMs;
using test::ModelRecord;
using test::open_log;
using test::Opened;
using test::ReferenceLog;
using test::Seen;
using test::test_logger;
using test::Writer;

struct Findings : VerifyObserver {
  void on_finding(const Finding& finding) override {
    if (!finding.is_note) texts.push_back(finding.file + " " + finding.text);
  }
  void on_progress(const VerifyProgress&) override {}
  std::vector<std::string> texts;
};

/// Writes, compacts, looks, closes, opens; again and again. Returns compactions that changed
/// things.
Task<int> live(io::Shard& shard, ReferenceLog& model, int rounds) {
  int changed = 0;
  for (int round = 0; round < rounds && !testing::Test::HasFatalFailure(); ++round) {
    Result<Opened> opened = co_await open_log(shard, compacted(), {.clean_stop = round > 0});
    EXPECT_TRUE(opened.has_value());
    if (!opened) co_return changed;
    Log& log = *opened->log;
    EXPECT_THAT(log.recovery().findings, testing::IsEmpty());
    EXPECT_EQ(log.log_end_offset().value(), model.end);
    Writer writer(shard, log, model, {.keys = 12});
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
    ReferenceLog model;
    changed += world.run_task(node.shard(), live(node.shard(), model, 4));
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_GT(changed, static_cast<int>(seeds) * 4);
}

/// What a crash at any point left: served, whole, and compacted on as if nothing had been.
Task<void> check_crashed(io::Shard& shard, const ReferenceLog& model, bool go_on) {
  Result<Opened> opened = co_await open_log(shard, compacted());
  EXPECT_TRUE(opened.has_value()) << (opened ? "" : to_string(opened.error().code));
  if (!opened) co_return;
  Log& log = *opened->log;
  EXPECT_EQ(log.log_end_offset().value(), model.end);
  co_await check_log(shard, log, model);
  if (go_on) {
    ReferenceLog more = model;
    const Result<CompactionReport> report = co_await compact(shard, log, more);
    EXPECT_TRUE(report.has_value()) << (report ? "" : to_string(report.error().code));
    co_await check_log(shard, log, more);
  }
  for (const std::string& finding : log.recovery().findings) {
    // A crash while the log is closed leaves that behind, compacted or not.
    EXPECT_THAT(finding, testing::HasSubstr(".snapshot is garbled"));
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

Task<void> compact_and_close(io::Shard& shard, ReferenceLog& model, int runs) {
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
Task<void> fill(io::Shard& shard, ReferenceLog& model, int batches) {
  LogConfig config = compacted();
  config.segment_bytes = 1'300;
  Result<Opened> opened = co_await open_log(shard, config);
  EXPECT_TRUE(opened.has_value());
  Writer writer(shard, *opened->log, model, {.keys = 12});
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
  const std::uint64_t seeds = asked ? std::strtoull(asked, nullptr, 10) : 2;
  std::size_t images_seen = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    io::SimWorld world(seed);
    world.set_logger(test_logger);
    io::SimNode& node = world.start_node("n");
    ReferenceLog model;
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

// Whatever single operation fails, nothing is lost and nothing comes back.
TEST(CompactionFaults, EachFailingOperationIsSurvived) {
  int gone_on = 0;
  for (const int why : {EIO, ENOSPC}) {
    for (std::uint64_t nth = 1;; ++nth) {
      SCOPED_TRACE(testing::Message() << "operation " << nth << " fails with errno " << why);
      io::SimWorld world(11);
      world.set_logger(test_logger);
      io::SimNode& node = world.start_node("n");
      ReferenceLog model;
      world.run_task(node.shard(), fill(node.shard(), model, 50));
      Result<Opened> opened = world.run_task(node.shard(), open_log(node.shard(), compacted()));
      ASSERT_TRUE(opened.has_value());
      node.reset_counts();
      node.fail_nth(io::OpKind::any_disk, nth, why);
      const Result<CompactionReport> report =
          world.run_task(node.shard(), compact(node.shard(), *opened->log, model));
      const bool reached = node.count(io::OpKind::any_disk) >= nth;
      EXPECT_TRUE(report.has_value() || reached);
      node.faults().nth.clear();
      if (!opened->log->failure()) {
        ++gone_on;
        world.run_task(node.shard(), check_log(node.shard(), *opened->log, model));
        Writer writer(node.shard(), *opened->log, model, {.keys = 12});
        EXPECT_TRUE(world.run_task(node.shard(), writer.append_some(5)));
        EXPECT_TRUE(world.run_task(node.shard(), writer.end_transactions()));
      }
      const Result<void> closed = world.run_task(node.shard(), opened->log->close());
      EXPECT_TRUE(closed.has_value() || opened->log->failure());
      opened->log.reset();
      world.kill_node(node);
      world.restart_node(node);
      world.run_task(node.shard(), check_crashed(node.shard(), model, true));
      ASSERT_FALSE(testing::Test::HasFailure());
      if (!reached) break;
    }
  }
  EXPECT_GT(gone_on, 50);
}

/// What goes on beside compaction; ends when `stop` is set, and counts itself out.
struct Beside {
  io::Shard& shard;
  Log& log;
  ReferenceLog& model;
  bool stop = false;
  int live = 0;
  int reads = 0;
  int runs = 0;

  std::uint64_t random(std::uint64_t below) { return shard.rng().next() % below; }

  Task<void> append() {
    Writer writer(shard, log, model, {.keys = 20});
    while (!stop) {
      const bool appended = co_await writer.append_one();
      EXPECT_TRUE(appended);
      if (random(3) == 0) co_await shard.sleep_for_ms(static_cast<std::int64_t>(random(3)));
    }
    --live;
  }

  /// From anywhere to the end, in small pieces: batches whole, in order, and as they were sent.
  Task<void> read() {
    while (!stop) {
      const std::int64_t start = log.log_start_offset().value();
      const std::int64_t end = log.durable_offset().value();
      Offset at{start +
                static_cast<std::int64_t>(random(static_cast<std::uint64_t>(end - start) + 1))};
      while (at < log.durable_offset() && !stop) {
        const Result<ReadResult> read =
            co_await log.read(at, log.durable_offset(), {.bytes_max = 1 + random(3'000)});
        if (!read && read.error().code == Errc::offset_out_of_range) break;
        EXPECT_TRUE(read.has_value()) << to_string(read.error().code);
        if (!read || read->batches.empty()) break;
        const std::vector<std::byte> bytes = test::flat(read->batches);
        for (std::size_t position = 0; position < bytes.size();) {
          const auto header = read_batch_header(Bytes(bytes).subspan(position));
          EXPECT_TRUE(header && header->next_offset() > at);
          if (!header) co_return;
          RecordReader records(Bytes(bytes).subspan(position, header->size_bytes()));
          for (auto record = records.next(); record && *record; record = records.next()) {
            const auto known = model.records.find((*record)->offset.value());
            if (header->is_control() || known == model.records.end()) continue;
            EXPECT_EQ(test::text_of(*(*record)->key), known->second.key);
            EXPECT_EQ((*record)->value.has_value(), known->second.value.has_value());
          }
          at = header->next_offset();
          position += header->size_bytes();
          ++reads;
        }
      }
      const Offset stable = log.last_stable_offset(log.durable_offset());
      const auto aborted = co_await log.aborted_transactions(log.log_start_offset(), stable);
      EXPECT_TRUE(aborted.has_value());
      const auto found = co_await log.find_time(
          shard.clock().wall_ms() - static_cast<std::int64_t>(random(5'000)), stable);
      EXPECT_TRUE(found.has_value()) << to_string(found.error().code);
      co_await shard.sleep_for_ms(1);
    }
    --live;
  }

  Task<void> keep_compacting() {
    while (!stop) {
      const Result<CompactionReport> report = co_await compact(shard, log, model);
      const bool sound = report || report.error().code == Errc::cancelled ||
                         report.error().code == Errc::not_found;
      EXPECT_TRUE(sound) << to_string(report.error().code);
      if (report && report->segments_in > 0) ++runs;
      co_await shard.sleep_for_ms(static_cast<std::int64_t>(random(20)));
    }
    --live;
  }

  Task<void> drop_old() {
    while (!stop) {
      co_await shard.sleep_for_ms(static_cast<std::int64_t>(random(200)));
      const Result<std::size_t> dropped = co_await log.apply_retention();
      EXPECT_TRUE(dropped.has_value());
      if (random(4) != 0) continue;
      const std::int64_t some = static_cast<std::int64_t>(random(40));
      const Result<void> moved =
          co_await log.advance_start(std::min(log.log_start_offset() + some, log.first_dirty()));
      EXPECT_TRUE(moved.has_value());
    }
    --live;
  }

  Task<void> run(std::int64_t for_ms) {
    live = 5;
    shard.spawn(append());
    shard.spawn(read());
    shard.spawn(read());
    shard.spawn(keep_compacting());
    shard.spawn(drop_old());
    co_await shard.sleep_for_ms(for_ms);
    stop = true;
    while (live > 0) co_await shard.sleep_for_ms(1);
  }
};

TEST(CompactionBeside, ReadersAppendsAndRetentionGoOn) {
  int runs = 0;
  int reads = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    io::SimWorld world(seed);
    world.set_logger(test_logger);
    io::SimNode& node = world.start_node("n");
    node.faults().short_read_ppm = 20'000;
    node.faults().short_write_ppm = 20'000;
    ReferenceLog model;
    LogConfig config = compacted();
    config.cleanup_delete = seed % 2 == 0;
    config.retention_bytes = 30'000;
    config.retention_ms = kUnlimited;
    Result<Opened> opened = world.run_task(node.shard(), open_log(node.shard(), config));
    ASSERT_TRUE(opened.has_value());
    Beside beside{node.shard(), *opened->log, model};
    world.run_task(node.shard(), beside.run(600));
    runs += beside.runs;
    reads += beside.reads;
    Writer writer(node.shard(), *opened->log, model, {.keys = 20});
    EXPECT_TRUE(world.run_task(node.shard(), writer.end_transactions()));
    EXPECT_THAT(opened->log->recovery().findings, testing::IsEmpty());
    const bool whole = opened->log->log_start_offset() == Offset{0};
    world.run_task(node.shard(), check_log(node.shard(), *opened->log, model, whole));
    const Result<void> closed = world.run_task(node.shard(), opened->log->close());
    EXPECT_TRUE(closed.has_value());
    opened->log.reset();
    Findings findings;
    const auto verified = world.run_task(
        node.shard(), verify_directory(node.shard(), kDir, {.records = true}, findings));
    EXPECT_TRUE(verified.has_value());
    EXPECT_THAT(findings.texts, testing::IsEmpty());
    ASSERT_FALSE(testing::Test::HasFailure());
  }
  EXPECT_GT(runs, 60);
  EXPECT_GT(reads, 10'000);
}

/// A filled log whose compaction is under way, for up to 8 ms.
struct UnderWay {
  explicit UnderWay(std::uint64_t seed) : world(seed) {
    world.set_logger(test_logger);
    node = &world.start_node("n");
    world.run_task(node->shard(), fill(node->shard(), model, 60));
    Result<Opened> log = world.run_task(node->shard(), open_log(node->shard(), compacted()));
    EXPECT_TRUE(log.has_value());
    opened = std::move(*log);
  }
  void begin(Offset below) {
    node->shard().spawn(run(*this, below));
    world.run_for(static_cast<std::int64_t>(world.rng().next() % 8'000'000));
  }
  static Task<void> run(UnderWay& self, Offset below) {
    self.report = co_await compact(self.node->shard(), *self.opened.log, self.model,
                                   std::uint64_t{1} << 20, below);
  }
  io::SimWorld world;
  io::SimNode* node = nullptr;
  ReferenceLog model;
  Opened opened;
  std::optional<Result<CompactionReport>> report;
};

struct Times {
  std::optional<Result<std::optional<TimestampOffset>>> first;
  std::optional<Result<std::optional<TimestampOffset>>> largest;
};

Task<void> find_first(Log& log, Times& times) {
  times.first = co_await log.find_time(0, log.durable_offset());
}

Task<void> find_largest(Log& log, Times& times) {
  times.largest = co_await log.find_max_time(Offset{20});
}

// Who asks for times while the segments go that hold them is told of what is left.
TEST(CompactionBeside, TimesAreFoundWhileSegmentsGo) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    UnderWay run(seed);
    io::Shard& shard = run.node->shard();
    Times times;
    shard.spawn(find_first(*run.opened.log, times));
    shard.spawn(find_largest(*run.opened.log, times));
    run.world.run_for(static_cast<std::int64_t>(run.world.rng().next() % 1'500'000));
    const Offset cut{run.model.end / 2};
    const Result<void> moved = run.world.run_task(shard, run.opened.log->advance_start(cut));
    ASSERT_TRUE(moved.has_value());
    run.world.run_until([&] { return times.first && times.largest; },
                        run.world.now_ns() + 60'000'000'000);
    ASSERT_TRUE(times.first && times.largest);
    EXPECT_TRUE(times.first->has_value());
    EXPECT_TRUE(times.largest->has_value());
    const Result<void> closed = run.world.run_task(shard, run.opened.log->close());
    EXPECT_TRUE(closed.has_value());
    run.opened.log.reset();
    ASSERT_FALSE(testing::Test::HasFailure());
  }
}

// A follower's end is cut above the high watermark, whatever compaction is at.
TEST(CompactionBeside, ACutEndIsCutAndTheRestIsWhole) {
  int cut_short = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    UnderWay run(seed);
    io::Shard& shard = run.node->shard();
    ReferenceLog& model = run.model;
    const Offset high_watermark{model.end / 2};
    run.begin(high_watermark);
    const Offset cut = high_watermark + 1 + static_cast<std::int64_t>(run.world.rng().next() % 5);
    const Result<void> done = run.world.run_task(shard, run.opened.log->truncate_suffix(cut));
    ASSERT_TRUE(done.has_value()) << to_string(done.error().code);
    run.world.run_until([&] { return run.report.has_value(); },
                        run.world.now_ns() + 60'000'000'000);
    ASSERT_TRUE(run.report.has_value());
    if (!*run.report) {
      ++cut_short;
      EXPECT_THAT(run.report->error().code, testing::AnyOf(Errc::cancelled, Errc::not_found));
    }
    ASSERT_LE(run.opened.log->log_end_offset(), cut);
    const std::int64_t end = run.opened.log->log_end_offset().value();
    model.records.erase(model.records.lower_bound(end), model.records.end());
    model.end = end;
    const Result<Seen> seen = run.world.run_task(shard, test::observe(*run.opened.log, 10'000));
    ASSERT_TRUE(seen.has_value());
    // What was open where it was cut is decided by nobody here: values of the rest count.
    for (const auto& [offset, record] : seen->records) {
      ASSERT_TRUE(model.records.contains(offset));
      ASSERT_TRUE(record.same_content(model.records.at(offset)));
    }
    const Result<void> closed = run.world.run_task(shard, run.opened.log->close());
    EXPECT_TRUE(closed.has_value());
  }
  EXPECT_GT(cut_short, 0);
}

TEST(CompactionBeside, ClosingAndRemovingEndARun) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    UnderWay run(seed);
    io::Shard& shard = run.node->shard();
    run.begin(kNoBound);
    const bool remove = seed % 2 == 0;
    if (remove) {
      const Result<std::string> left = run.world.run_task(shard, run.opened.log->remove());
      ASSERT_TRUE(left.has_value());
      io::Event hurry(shard);
      const Result<void> gone = run.world.run_task(shard, remove_directory(shard, *left, hurry));
      EXPECT_TRUE(gone.has_value());
    } else {
      const Result<void> closed = run.world.run_task(shard, run.opened.log->close());
      EXPECT_TRUE(closed.has_value());
    }
    ASSERT_TRUE(run.report.has_value());
    run.opened.log.reset();
    if (remove) {
      EXPECT_THAT(run.node->disk().files(), testing::IsEmpty());
    } else {
      run.world.run_task(shard, check_crashed(shard, run.model, true));
    }
    ASSERT_FALSE(testing::Test::HasFailure());
  }
}

std::vector<std::byte> open_transaction(std::int32_t sequence) {
  BatchBuilder builder;
  builder.producer(ProducerId{900}, ProducerEpoch{0}, sequence).transactional();
  const std::string text = "undecided";
  builder.add(1'000, test::as_bytes(text), test::as_bytes(text));
  return builder.build();
}

/// A transaction that is open, in a compacted log that then begins behind its first record.
Task<void> begin_behind_an_open_one(io::Shard& shard, ReferenceLog& model, LogConfig config) {
  Result<Opened> opened = co_await open_log(shard, config);
  EXPECT_TRUE(opened.has_value());
  Log& log = *opened->log;
  const Result<CompactionReport> report = co_await compact(shard, log, model);
  EXPECT_TRUE(report.has_value() && report->first_dirty > Offset{0});
  std::vector<std::byte> first = open_transaction(0);
  const Result<AppendResult> begun = co_await log.append(first, LeaderEpoch{5});
  EXPECT_TRUE(begun.has_value());
  Writer writer(shard, log, model, {.producers = false});
  const bool appended = co_await writer.append_some(20);
  EXPECT_TRUE(appended);
  const Result<void> moved = co_await log.advance_start(begun->last_offset + 5);
  EXPECT_TRUE(moved.has_value());
  std::vector<std::byte> second = open_transaction(1);
  const Result<AppendResult> went_on = co_await log.append(second, LeaderEpoch{5});
  EXPECT_TRUE(went_on.has_value());
  const Result<void> closed = co_await log.close();
  EXPECT_TRUE(closed.has_value());
}

// Compaction never saw it: that the log starts behind its beginning does not decide it.
TEST(CompactionStart, AnOpenTransactionStaysOpenWhereTheLogStartsBehindItsBeginning) {
  io::SimWorld world(4);
  io::SimNode& node = world.start_node("n");
  ReferenceLog model;
  world.run_task(node.shard(), fill(node.shard(), model, 60));
  LogConfig config = compacted();
  config.cleanup_delete = true;
  config.retention_ms = kUnlimited;
  world.run_task(node.shard(), begin_behind_an_open_one(node.shard(), model, config));
  Result<Opened> opened = world.run_task(node.shard(), open_log(node.shard(), config));
  ASSERT_TRUE(opened.has_value());
  Log& log = *opened->log;
  EXPECT_EQ(log.last_stable_offset(log.durable_offset()), log.log_start_offset());
  const Result<void> closed = world.run_task(node.shard(), log.close());
  EXPECT_TRUE(closed.has_value());
}

}  // namespace
}  // namespace keelson::engine::log
