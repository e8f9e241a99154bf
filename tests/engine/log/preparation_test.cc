// How the zeros ahead of several logs of a shard get on the drive.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/sim/sim_world.h"
#include "engine/log/chunk_cache.h"
#include "engine/log/compaction.h"
#include "engine/log/log.h"
#include "engine/log/pace.h"
#include "engine/log/verify.h"
#include "engine/logger.h"
#include "tests/engine/log/log_fixture.h"

namespace keelson::engine::log {
namespace {

Task<std::unique_ptr<Log>> open_log(LogContext& context, int partition) {
  LogIdentity identity = test::kIdentity;
  identity.partition = partition;
  const std::string dir = concat("orders-", partition);
  Result<std::unique_ptr<Log>> log = co_await Log::open(context, dir, identity, {}, {});
  EXPECT_TRUE(log.has_value());
  co_return log ? std::move(*log) : nullptr;
}

/// Appends 8 KiB at a time, to one log after the other, until each has so much.
Task<void> append_in_turn(const std::vector<std::unique_ptr<Log>>& logs, std::size_t log_bytes) {
  constexpr std::size_t kValueBytes = 8'000;
  for (std::size_t bytes = 0; bytes < log_bytes; bytes += kValueBytes) {
    for (const std::unique_ptr<Log>& log : logs) {
      std::vector<std::byte> batch = test::make_batch(std::string(kValueBytes, 'v'));
      const Result<AppendResult> appended = co_await log->append(batch, LeaderEpoch{1});
      EXPECT_TRUE(appended.has_value());
    }
  }
}

Task<void> close_all(std::vector<std::unique_ptr<Log>>& logs) {
  for (const std::unique_ptr<Log>& log : logs) {
    const Result<void> closed = co_await log->close();
    EXPECT_TRUE(closed.has_value());
  }
}

Task<void> fill_four_logs(io::Shard& shard, std::size_t log_bytes) {
  LogContext context(shard, {.disk_reserve_bytes = 0});
  std::vector<std::unique_ptr<Log>> logs;
  for (int partition = 0; partition < 4; ++partition) {
    logs.push_back(co_await open_log(context, partition));
  }
  co_await append_in_turn(logs, log_bytes);
  EXPECT_FALSE(context.zeroing_unhurried);
  co_await close_all(logs);
}

bool is_piece_of_zeros(const io::DiskChange& change) {
  return change.code == io::DiskChange::Code::write && change.bytes.size() == kChunkBytesMax &&
         std::ranges::all_of(change.bytes, [](char byte) { return byte == '\0'; });
}

// Logs that grow alike need zeros at the same time. One has all of its step before another begins.
TEST(PreparationTest, OneLogOfAShardAtATime) {
  io::SimWorld world(5);
  io::SimNode& node = world.start_node("n");
  node.disk().start_recording();
  world.run_task(node.shard(), fill_four_logs(node.shard(), std::size_t{3} << 20));

  io::InodeId writer = 0;
  std::size_t steps = 0;
  std::size_t pieces = 0;
  for (const io::DiskChange& change : node.disk().changes()) {
    if (!is_piece_of_zeros(change)) continue;
    if (change.inode != writer) ++steps;
    writer = change.inode;
    ++pieces;
  }
  // Of each log 256 KiB, 512 KiB, 1 MiB, 2 MiB and 4 MiB.
  EXPECT_EQ(pieces, 4u * (1 + 2 + 4 + 8 + 16));
  EXPECT_LE(steps, 4u * 5);
}

Task<void> fill_beside_another(io::Shard& shard) {
  LogContext context(shard, {.disk_reserve_bytes = 0});
  context.zeroing_unhurried = true;
  std::vector<std::unique_ptr<Log>> logs;
  logs.push_back(co_await open_log(context, 0));
  co_await append_in_turn(logs, std::size_t{3} << 20);
  EXPECT_TRUE(context.zeroing_unhurried);
  co_await close_all(logs);
}

// Another log has the turn and never ends: who needs space gets it all the same.
TEST(PreparationTest, NoLogWaitsForAnother) {
  io::SimWorld world(6);
  io::SimNode& node = world.start_node("n");
  world.run_task(node.shard(), fill_beside_another(node.shard()));
}

/// Appends 8 KiB batches of a few keys until the log has `log_bytes` and zeros are being written
/// ahead. How many.
Task<std::int64_t> append_until_zeroing(LogContext& context, Log& log, std::size_t log_bytes = 0) {
  std::int64_t count = 0;
  const auto is_there = [&] { return context.zeroing_unhurried && log.size_bytes() >= log_bytes; };
  for (; !is_there() && count < 1'000; ++count) {
    const std::string key = concat("key ", count % 5);
    const std::string value(8'000, 'v');
    BatchBuilder builder;
    builder.add(1'000, test::as_bytes(key), test::as_bytes(value));
    std::vector<std::byte> batch = builder.build();
    const Result<AppendResult> appended = co_await log.append(batch, LeaderEpoch{1});
    EXPECT_TRUE(appended.has_value());
  }
  EXPECT_TRUE(context.zeroing_unhurried);
  co_return count;
}

Task<void> append_large(Log& log, std::size_t value_bytes) {
  const std::string key = "large";
  const std::string value(value_bytes, 'w');
  BatchBuilder builder;
  builder.add(1'000, test::as_bytes(key), test::as_bytes(value));
  std::vector<std::byte> batch = builder.build();
  const Result<AppendResult> appended = co_await log.append(batch, LeaderEpoch{1});
  EXPECT_TRUE(appended.has_value());
}

/// The next write to a segment takes 0.2 s.
void stall_next_write(io::SimNode& node) {
  node.faults().stall_max_ns = 200'000'000;
  node.faults().nth.push_back(
      {.kind = io::OpKind::write, .action = io::FaultAction::stall, .path_contains = ".log"});
}

std::ptrdiff_t pieces_of_zeros(const io::SimDisk& disk) {
  return std::ranges::count_if(disk.changes(), is_piece_of_zeros);
}

Task<void> roll_while_zeroing(io::Shard& shard, io::SimNode& node) {
  LogContext context(shard, {.disk_reserve_bytes = 0});
  LogConfig config;
  config.segment_bytes = 8 << 20;
  Result<std::unique_ptr<Log>> log =
      co_await Log::open(context, "orders-3", test::kIdentity, config, {});
  EXPECT_TRUE(log.has_value());
  co_await append_until_zeroing(context, **log, /*log_bytes=*/1 << 20);
  const std::ptrdiff_t before = pieces_of_zeros(node.disk());
  stall_next_write(node);
  io::TaskGroup large(shard);
  large.start(append_large(**log, 7'500'000));
  EXPECT_EQ((*log)->segment_count(), 2u);
  co_await shard.sleep_for_ms(50);
  EXPECT_GE(pieces_of_zeros(node.disk()) - before, 3);
  co_await large.wait();
  const Result<void> closed = co_await (*log)->close();
  EXPECT_TRUE(closed.has_value());
}

// Nobody waits for zeros at first. A roll does: several writes at once, though one takes long.
TEST(PreparationTest, WhoIsWaitedForHurries) {
  io::SimWorld world(8);
  io::SimNode& node = world.start_node("n");
  node.disk().start_recording();
  world.run_task(node.shard(), roll_while_zeroing(node.shard(), node));
}

/// The log rolls while its zeros are on their way, for long, and is compacted at once.
Task<void> compact_what_just_rolled(io::Shard& shard, io::SimNode& node) {
  LogContext context(shard, {.disk_reserve_bytes = 0});
  LogConfig config;
  config.segment_bytes = 1 << 20;
  config.cleanup_compact = true;
  Result<std::unique_ptr<Log>> log =
      co_await Log::open(context, "table-3", test::kIdentity, config, {});
  EXPECT_TRUE(log.has_value());
  const std::int64_t count = co_await append_until_zeroing(context, **log);
  stall_next_write(node);
  io::TaskGroup large(shard);
  large.start(append_large(**log, 900'000));
  EXPECT_EQ((*log)->segment_count(), 2u);
  EXPECT_TRUE(context.zeroing_unhurried);
  Pace pace(shard, {});
  const Result<CompactionReport> report = co_await (*log)->compact(pace, {});
  EXPECT_TRUE(report && report->first_dirty == Offset{count});
  co_await large.wait();
  const Result<void> closed = co_await (*log)->close();
  EXPECT_TRUE(closed.has_value());
}

struct Findings : VerifyObserver {
  void on_finding(const Finding& finding) override {
    if (!finding.is_note) texts.push_back(finding.text);  // compaction leaves gaps
  }
  void on_progress(const VerifyProgress&) override {}
  std::vector<std::string> texts;
};

Task<void> expect_sound(io::Shard& shard) {
  Findings findings;
  const auto verified = co_await verify_directory(shard, "table-3", {.records = true}, findings);
  EXPECT_TRUE(verified.has_value());
  EXPECT_THAT(findings.texts, testing::IsEmpty());
}

// A rolled segment is written to by name until its files are finished, and that waits for zeros.
TEST(PreparationTest, CompactionWaitsForARollThatIsNotFinished) {
  io::SimWorld world(7);
  io::SimNode& node = world.start_node("n");
  world.run_task(node.shard(), compact_what_just_rolled(node.shard(), node));
  world.run_task(node.shard(), expect_sound(node.shard()));
}

}  // namespace
}  // namespace keelson::engine::log
