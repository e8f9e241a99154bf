// What opening a log costs after a crash, and what it leaves for later, on a simulated machine.
#include <gtest/gtest.h>

#include <memory>

#include "engine/io/file.h"
#include "engine/io/sim/sim_world.h"
#include "engine/log/log.h"
#include "engine/logger.h"
#include "tests/engine/log/log_fixture.h"

namespace keelson::engine::log {
namespace {

using test::make_batch;
using test::make_producer_batch;

constexpr LeaderEpoch kEpoch{5};
const std::string kDir = "orders-3";
const std::string kLogPath = kDir + "/00000000000000000000.log";
const std::string kEntriesPath = kDir + "/00000000000000000000.integrity";
constexpr std::uint64_t kLookBytesMax = 8'192;

Task<std::unique_ptr<Log>> open_sound(LogContext& context) {
  Result<std::unique_ptr<Log>> log = co_await Log::open(context, kDir, test::kIdentity, {}, {});
  EXPECT_TRUE(log.has_value()) << (log ? "" : to_string(log.error().code));
  co_return log ? std::move(*log) : nullptr;
}

Task<void> append_sound(Log& log, std::vector<std::byte> batch) {
  const Result<AppendResult> appended = co_await log.append(batch, kEpoch);
  EXPECT_TRUE(appended.has_value());
}

Task<std::uint64_t> file_bytes(io::Shard& shard, std::string path) {
  const Result<io::FileStat> stat = co_await io::stat(shard, std::move(path));
  co_return stat ? stat->size_bytes : 0;
}

class RecoveryTest : public testing::Test {
 protected:
  /// A process that appends `count` batches of 4 KB, waits, and is killed.
  void append_and_die(int count, std::int64_t wait_ms, bool power_cut = false) {
    bool done = false;
    node_.shard().spawn(serve(node_.shard(), limits_, count, wait_ms, done));
    die_when(done, power_cut);
  }
  void die_when(const bool& done, bool power_cut = false) {
    while (!done) world_.run_for(1'000'000);
    if (power_cut) {
      world_.power_cut(node_);
    } else {
      world_.kill_node(node_);
    }
    world_.restart_node(node_);
  }
  static Task<void> serve(io::Shard& shard, LogLimits limits, int count, std::int64_t wait_ms,
                          bool& done) {
    LogContext context(shard, limits);
    const std::unique_ptr<Log> log = co_await open_sound(context);
    for (int i = 0; i < count; ++i)
      co_await append_sound(*log, make_batch(std::string(4'000, 'v')));
    co_await shard.sleep_for_ms(wait_ms);
    done = true;
    while (true) co_await shard.sleep_for_ms(1'000);
  }

  /// What opening the log reports, with `records` in it; the process lives on afterwards.
  RecoveryReport open_and_read(std::int64_t records) {
    RecoveryReport report;
    world_.run_task(node_.shard(), open_and_read(node_.shard(), limits_, records, report));
    return report;
  }
  static Task<void> open_and_read(io::Shard& shard, LogLimits limits, std::int64_t records,
                                  RecoveryReport& report) {
    LogContext context(shard, limits);
    context.leave_files = true;  // the process is killed, later
    const std::unique_ptr<Log> log = co_await open_sound(context);
    report = log->recovery();
    EXPECT_EQ(log->log_end_offset(), Offset{records});
    const auto all = co_await test::read_all(*log, 100'000);
    EXPECT_TRUE(all.has_value());
    const Result<void> closed = co_await log->close();
    EXPECT_TRUE(closed.has_value());
  }
  std::uint64_t changes() const {
    std::uint64_t count = 0;
    for (const io::OpKind kind : {io::OpKind::write, io::OpKind::sync_data, io::OpKind::sync_dir,
                                  io::OpKind::truncate, io::OpKind::rename, io::OpKind::unlink}) {
      count += node_.count(kind);
    }
    return count;
  }

  io::SimWorld world_{7};
  io::SimNode& node_ = world_.start_node("n");
  LogLimits limits_{.disk_reserve_bytes = 0};
};

TEST_F(RecoveryTest, IdleLogIsOpenedByOneSmallReadAndNothingIsWritten) {
  append_and_die(100, /*wait_ms=*/1'000);
  const std::uint64_t before = changes();
  const RecoveryReport report = open_and_read(100);
  EXPECT_GT(report.bytes_read, 0u);
  EXPECT_LE(report.bytes_read, kLookBytesMax);
  EXPECT_EQ(report.bytes_cut, 0u);
  EXPECT_EQ(changes(), before);
}

// The entries of the last batches were in memory only: those are read, and become durable again
// without being written.
TEST_F(RecoveryTest, TailWithoutEntriesIsReadAndKeptThroughAPowerCut) {
  limits_.sidecar_delay_ms = limits_.idle_after_ms = 60'000;
  append_and_die(100, /*wait_ms=*/0);
  const std::uint64_t before = changes();
  const RecoveryReport report = open_and_read(100);
  EXPECT_GT(report.bytes_read, 100u * 4'000u);
  EXPECT_LE(changes(), before + 5);  // the file is synced; the epochs were in memory only, too
  world_.power_cut(node_);
  world_.restart_node(node_);
  open_and_read(100);
  append_and_die(1, /*wait_ms=*/0);  // the first append writes what recovery left
  const auto entries = world_.run_task(node_.shard(), file_bytes(node_.shard(), kEntriesPath));
  EXPECT_EQ(entries, 100u * 32u);
  open_and_read(101);
}

/// Not zeros, a block behind the end of the records, where space is prepared.
Task<void> litter(io::Shard& shard, std::uint64_t position_bytes) {
  Result<io::File> file = co_await io::File::open(shard, kLogPath, {.write = true});
  EXPECT_TRUE(file.has_value());
  const std::string litter(3'000, '!');
  const Result<void> written =
      co_await file->write_at(position_bytes, test::as_bytes(litter), /*durable=*/true);
  EXPECT_TRUE(written.has_value());
}

Task<void> append_behind_litter(io::Shard& shard, LogLimits limits) {
  LogContext context(shard, limits);
  const std::unique_ptr<Log> log = co_await open_sound(context);
  EXPECT_EQ(log->recovery().bytes_cut, 0u);  // not looked at
  co_await append_sound(*log, make_batch(std::string(40'000, 'w')));
  EXPECT_GT(log->recovery().bytes_cut, 3'000u);
  const Result<void> closed = co_await log->close();
  EXPECT_TRUE(closed.has_value());
}

// Part of a later commit, with an earlier one missing: never followed by an append that reaches it.
TEST_F(RecoveryTest, LitterBehindZerosIsCutBeforeTheFirstAppend) {
  append_and_die(4, /*wait_ms=*/1'000);
  world_.run_task(node_.shard(), litter(node_.shard(), 28'672));
  open_and_read(4);
  world_.run_task(node_.shard(), append_behind_litter(node_.shard(), limits_));
  const RecoveryReport report = open_and_read(5);
  EXPECT_TRUE(report.findings.empty());
  const auto bytes = world_.run_task(node_.shard(), file_bytes(node_.shard(), kLogPath));
  EXPECT_LT(bytes, 60'000u);  // closed: the records and no more
}

Task<void> append_slowly(io::Shard& shard, LogLimits limits, bool& done) {
  LogContext context(shard, limits);
  const std::unique_ptr<Log> log = co_await open_sound(context);
  for (int i = 0; i < 20; ++i) {
    co_await append_sound(*log, make_batch("v"));
    co_await shard.sleep_for_ms(2 * limits.sidecar_delay_ms);
    const std::uint64_t entries = co_await file_bytes(shard, kEntriesPath);
    EXPECT_EQ(entries, static_cast<std::uint64_t>(i + 1) * 32u);
  }
  const Result<void> closed = co_await log->close();
  EXPECT_TRUE(closed.has_value());
  done = true;
}

// Also those that come when the ones before are in their file, long before the log is idle.
TEST_F(RecoveryTest, EntriesReachTheirFileWhileAppendsGoOn) {
  bool done = false;
  world_.run_task(node_.shard(), append_slowly(node_.shard(), limits_, done));
  EXPECT_TRUE(done);
}

Task<void> produce(io::Shard& shard, LogLimits limits, int count, bool& done) {
  LogContext context(shard, limits);
  const std::unique_ptr<Log> log = co_await open_sound(context);
  for (int i = 0; i < count; ++i) {
    co_await append_sound(*log, make_producer_batch(9, 0, i * 10, 10));
    co_await shard.sleep_for_ms(1);
  }
  done = true;
  while (true) co_await shard.sleep_for_ms(1'000);
}

Task<void> expect_known(io::Shard& shard, LogLimits limits, int count, std::uint64_t replayed_max) {
  LogContext context(shard, limits);
  context.leave_files = true;
  const std::unique_ptr<Log> log = co_await open_sound(context);
  EXPECT_LE(log->recovery().batches_replayed, replayed_max);
  std::vector<std::byte> repeat = make_producer_batch(9, 0, (count - 1) * 10, 10);
  const Result<AppendResult> answered = co_await log->append(repeat, kEpoch);
  EXPECT_TRUE(answered && answered->duplicate);
  const Result<void> closed = co_await log->close();
  EXPECT_TRUE(closed.has_value());
}

// Without a checkpoint, which comes once a minute: else every header since would be read.
TEST_F(RecoveryTest, BusyLogKeepsItsProducersWithinReach) {
  limits_.sidecar_delay_ms = 5;
  limits_.producer_draft_bytes = 2'000;
  for (const bool power_cut : {false, true}) {
    constexpr int kBatches = 300;
    bool done = false;
    node_.shard().spawn(produce(node_.shard(), limits_, power_cut ? 0 : kBatches, done));
    die_when(done, power_cut);
    const std::uint64_t replayed_max = power_cut ? kBatches : 40;  // a draft is not synced
    world_.run_task(node_.shard(), expect_known(node_.shard(), limits_, kBatches, replayed_max));
  }
}

LogConfig small_segments() {
  LogConfig config;
  config.segment_bytes = 10'000;
  return config;
}

Task<std::unique_ptr<Log>> open_small(LogContext& context) {
  Result<std::unique_ptr<Log>> log =
      co_await Log::open(context, kDir, test::kIdentity, small_segments(), {});
  EXPECT_TRUE(log.has_value());
  co_return std::move(*log);
}

/// A producer of the first segment, which is full then, and a batch in the second.
Task<void> fill_one_segment(io::Shard& shard, bool& done) {
  LogContext context(shard, {.disk_reserve_bytes = 0});
  const std::unique_ptr<Log> log = co_await open_small(context);
  co_await append_sound(*log, make_producer_batch(77, 0, 5));
  // Until all side files are there: with none to write the next open makes no name durable.
  co_await shard.sleep_for_ms(300);
  co_await append_sound(*log, make_batch(std::string(9'000, 'v')));
  co_await append_sound(*log, make_batch(std::string(9'000, 'w')));
  EXPECT_EQ(log->segment_count(), 2u);
  co_await shard.sleep_for_ms(5);
  done = true;
  while (true) co_await shard.sleep_for_ms(1'000);
}

Task<void> drop_the_first_segment(io::Shard& shard, bool& done) {
  LogContext context(shard, {.disk_reserve_bytes = 0});
  const std::unique_ptr<Log> log = co_await open_small(context);
  const Result<void> moved = co_await log->advance_start(Offset{2});
  EXPECT_TRUE(moved.has_value());
  EXPECT_EQ(log->segment_count(), 1u);
  done = true;
  while (true) co_await shard.sleep_for_ms(1'000);
}

Task<void> expect_producer(io::Shard& shard, std::int32_t last_sequence) {
  LogContext context(shard, {.disk_reserve_bytes = 0});
  const std::unique_ptr<Log> log = co_await open_small(context);
  const std::vector<Log::ProducerInfo> known = log->producers();
  EXPECT_EQ(known.size(), 1u);
  if (known.size() == 1) EXPECT_EQ(known[0].last_sequence, last_sequence);
  const Result<void> closed = co_await log->close();
  EXPECT_TRUE(closed.has_value());
}

/// With true, a crash came between the roll and its snapshot; else before that had a durable name.
class SnapshotAtARoll : public RecoveryTest, public testing::WithParamInterface<bool> {};

// Who wrote only to what is dropped later is known still.
TEST_P(SnapshotAtARoll, IsThereBeforeWhatItTellsOfIsDropped) {
  bool done = false;
  node_.shard().spawn(fill_one_segment(node_.shard(), done));
  die_when(done);
  const std::string snapshot = concat("/", kDir, "/00000000000000000002.snapshot");
  ASSERT_TRUE(node_.disk().content(snapshot).has_value());
  if (GetParam()) ASSERT_EQ(node_.disk().unlink(snapshot), 0);

  done = false;
  const io::SimDisk before = node_.disk();
  node_.disk().start_recording();
  node_.shard().spawn(drop_the_first_segment(node_.shard(), done));
  die_when(done);
  EXPECT_TRUE(node_.disk().content(snapshot).has_value());

  // Wherever a power cut ends that: its name may be lost as long as the first segment is there.
  io::CrashImages images(before, node_.disk().changes());
  io::SimNode& crashed = world_.start_node("crashed");
  do {
    for (std::uint64_t loss = 1; loss <= 100; ++loss) {
      SCOPED_TRACE(testing::Message() << "after change " << images.position() << ", " << loss);
      world_.kill_node(crashed);
      world_.restart_node(crashed);
      crashed.disk() = images.image(loss);
      world_.run_task(crashed.shard(), expect_producer(crashed.shard(), 5));
      ASSERT_FALSE(HasFailure());
    }
  } while (images.advance());
}

INSTANTIATE_TEST_SUITE_P(Missing, SnapshotAtARoll, testing::Bool());

}  // namespace
}  // namespace keelson::engine::log
