// How the zeros ahead of several logs of a shard get on the drive.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/sim/sim_world.h"
#include "engine/log/log.h"
#include "engine/logger.h"
#include "tests/engine/log/log_fixture.h"

namespace keelson::engine::log {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{256} << 10;

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
  return change.code == io::DiskChange::Code::write && change.bytes.size() == kPieceBytes &&
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

}  // namespace
}  // namespace keelson::engine::log
