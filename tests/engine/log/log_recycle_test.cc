// Files of dropped segments used again for new ones: crashes, readers, and what ends it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/engine/log/recycled_log.h"

namespace keelson::engine::log {
namespace {

using test::RecycledHistory;
using test::RecycledLoad;
using test::RecycledLog;

/// Opens after a crash: every record as it was sent, from the start that was told to the end.
Task<void> check(io::Shard& shard, const RecycledLoad& load, RecycledHistory& history) {
  Result<RecycledLog> opened =
      co_await test::open_recycled(shard, test::recycled_config(load), load.retains_at_roll);
  EXPECT_TRUE(opened.has_value());
  if (!opened) co_return;
  Log& log = *opened->log;
  const std::int64_t end = log.log_end_offset().value();
  EXPECT_GE(end, history.acknowledged_end);
  EXPECT_GE(log.log_start_offset().value(), history.told_start);
  for (const std::string& finding : log.recovery().findings) {
    for (const std::string_view bad : {"withheld", "set aside", "overlaps"}) {
      EXPECT_THAT(finding, testing::Not(testing::HasSubstr(bad)));
    }
  }
  // No more than what was under way: the old bytes of a recycled file are none of it.
  EXPECT_LE(log.recovery().bytes_cut, std::uint64_t{3} << 20);
  std::int64_t at = log.log_start_offset().value();
  while (at < end) {
    const Result<ReadResult> read =
        co_await log.read(Offset{at}, Offset{end}, {.bytes_max = 300'000});
    const bool sound =
        read && !read->batches.empty() && test::as_sent(history, test::flat(read->batches), at);
    EXPECT_TRUE(sound) << "at offset " << at;
    if (!sound) co_return;
  }
  history.sent.erase(history.sent.lower_bound(end), history.sent.end());
  history.acknowledged_end = end;
  const Result<void> closed = co_await log.close();
  EXPECT_TRUE(closed.has_value());
}

class RecycleTest : public testing::TestWithParam<RecycledLoad> {};

TEST_P(RecycleTest, NoCrashBringsAnOldRecordBack) {
  const RecycledLoad& load = GetParam();
  const char* const asked = std::getenv("KEELSON_TEST_SEEDS");
  const std::uint64_t seeds = asked ? std::strtoull(asked, nullptr, 10) : 10;
  std::uint64_t recycled = 0;
  std::uint64_t reads = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    io::SimWorld world(seed);
    io::SimNode& node = world.start_node("n");
    node.faults().short_write_ppm = 20'000;
    node.faults().short_read_ppm = 20'000;
    RecycledHistory history;
    for (int round = 0; round < 3; ++round) {
      node.shard().spawn(test::serve_recycled(node.shard(), load, history));
      world.run_for(static_cast<std::int64_t>(world.rng().next() %
                                              static_cast<std::uint64_t>(load.round_ns_max)));
      if (world.rng().next() % 4 != 0) {
        world.power_cut(node);
      } else {
        world.kill_node(node);
      }
      recycled += test::last_is_recycled(node.disk()) ? 1 : 0;
      test::expect_kafka_finds_the_end(node.disk(), history);
      world.restart_node(node);
      world.run_task(node.shard(), check(node.shard(), load, history));
      EXPECT_EQ(history.bad_reads, 0u);
      ASSERT_FALSE(HasFailure());
      reads += history.reads;
    }
  }
  EXPECT_GT(recycled, seeds / 4);
  EXPECT_GT(reads, seeds);
}

INSTANTIATE_TEST_SUITE_P(Loads, RecycleTest, testing::ValuesIn(test::recycled_loads()),
                         [](const auto& parameter) { return parameter.param.name; });

std::size_t dropped_files(const io::SimDisk& disk) {
  return static_cast<std::size_t>(std::ranges::count_if(disk.files(), [](const std::string& path) {
    return path.contains(".log.") && path.ends_with(".deleted");
  }));
}

/// Appends `count` batches, so many that the log rolls more than once.
Task<void> append_alike(Log& log, int count, std::size_t value_bytes = 50'000) {
  for (int i = 0; i < count; ++i) {
    std::vector<std::byte> batch = test::alike_batch(value_bytes);
    const Result<AppendResult> appended = co_await log.append(batch, test::kRecycledEpoch);
    EXPECT_TRUE(appended.has_value());
  }
}

/// Until so many dropped files are there as are `kept`; not as long as it takes to be idle.
Task<void> drop_and_wait(io::Shard& shard, const io::SimDisk& disk, Log& log, std::size_t kept) {
  const Result<std::size_t> dropped = co_await log.apply_retention();
  EXPECT_TRUE(dropped.has_value() && *dropped > 0);
  for (int i = 0; i < 18 && dropped_files(disk) != kept; ++i) co_await shard.sleep_for_ms(1);
  EXPECT_EQ(dropped_files(disk), kept);
}

constexpr std::size_t kBlockAlignedValueBytes = 65'536 - 72;

const RecycledLoad kPlain{.name = "plain", .value_bytes = {50'000}};

TEST(Recycle, TheLoadsEndOnBlocksWhereTheySaySo) {
  for (const RecycledLoad& load : test::recycled_loads()) {
    if (!load.name.ends_with("blocks")) continue;
    for (const std::size_t bytes : load.value_bytes) {
      EXPECT_EQ(test::alike_batch(bytes).size() % io::kBlockBytes, 0u) << load.name;
    }
  }
}

// Whatever single operation fails, nothing acknowledged is lost, and nothing old comes back.
TEST(Recycle, EachFailingOperationIsSurvived) {
  const RecycledLoad load{
      .name = "plain", .value_bytes = {50'000}, .segment_bytes = 300'000, .pause_ms = 2};
  std::uint64_t failed = 0;
  for (std::uint64_t nth = 1; nth < 900; nth += 5) {
    SCOPED_TRACE(testing::Message() << "operation " << nth);
    io::SimWorld world(8);
    io::SimNode& node = world.start_node("n");
    RecycledHistory history{.may_fail = true};
    node.reset_counts();
    node.fail_nth(io::OpKind::any_disk, nth);
    node.shard().spawn(test::serve_recycled(node.shard(), load, history));
    world.run_for(30'000'000);
    failed += node.count(io::OpKind::any_disk) >= nth ? 1 : 0;
    node.faults().nth.clear();
    world.power_cut(node);
    test::expect_kafka_finds_the_end(node.disk(), history);
    world.restart_node(node);
    world.run_task(node.shard(), check(node.shard(), load, history));
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(failed, 100u);
}

// One file is kept for the next segment, which takes it; none when the log is idle or closed.
TEST(Recycle, KeepsOneFileWhileAppendsGoOn) {
  io::SimWorld world(5);
  io::SimNode& node = world.start_node("n");
  world.run_task(node.shard(), [](io::Shard& shard, io::SimNode& machine) -> Task<void> {
    Result<RecycledLog> opened = co_await test::open_recycled(shard, test::recycled_config(kPlain));
    EXPECT_TRUE(opened.has_value());
    Log& log = *opened->log;
    co_await append_alike(log, 20);
    co_await drop_and_wait(shard, machine.disk(), log, 1);
    co_await append_alike(log, 4);
    EXPECT_EQ(dropped_files(machine.disk()), 0u);
    EXPECT_TRUE(test::last_is_recycled(machine.disk()));
    co_await append_alike(log, 20);
    co_await drop_and_wait(shard, machine.disk(), log, 1);
    co_await shard.sleep_for_ms(200);  // idle
    EXPECT_EQ(dropped_files(machine.disk()), 0u);
    co_await append_alike(log, 20);
    co_await drop_and_wait(shard, machine.disk(), log, 1);
    const Result<void> closed = co_await log.close();
    EXPECT_TRUE(closed.has_value());
    EXPECT_EQ(dropped_files(machine.disk()), 0u);
  }(node.shard(), node));
}

// Nobody looks: the log keeps to retention.bytes as it rolls, and the files go round.
TEST(Recycle, AtItsRollsTheLogDropsWhatItsNextSegmentTakes) {
  io::SimWorld world(10);
  io::SimNode& node = world.start_node("n");
  world.run_task(node.shard(), [](io::Shard& shard, io::SimNode& machine) -> Task<void> {
    const LogConfig config = test::recycled_config(kPlain);
    Result<RecycledLog> opened = co_await test::open_recycled(shard, config, true);
    EXPECT_TRUE(opened.has_value());
    Log& log = *opened->log;
    std::uint64_t most_bytes = 0;
    int recycled = 0;
    for (int i = 0; i < 60; ++i) {
      co_await append_alike(log, 1);
      co_await shard.sleep_for_ms(2);
      most_bytes = std::max(most_bytes, log.size_bytes());
      recycled += test::last_is_recycled(machine.disk()) ? 1 : 0;
    }
    EXPECT_LE(most_bytes, config.segment_bytes * 3);
    EXPECT_GE(recycled, 40);
    const Result<void> closed = co_await log.close();
    EXPECT_TRUE(closed.has_value());
  }(node.shard(), node));
}

// Records of 1970 are too old for retention.ms when they come. They stay until somebody looks.
TEST(Recycle, NothingIsDroppedAtARollForItsAge) {
  io::SimWorld world(11);
  io::SimNode& node = world.start_node("n");
  world.run_task(node.shard(), [](io::Shard& shard, io::SimNode&) -> Task<void> {
    LogConfig config = test::recycled_config(kPlain);
    config.retention_bytes = kUnlimited;
    Result<RecycledLog> opened = co_await test::open_recycled(shard, config, true);
    EXPECT_TRUE(opened.has_value());
    Log& log = *opened->log;
    co_await append_alike(log, 20);
    co_await shard.sleep_for_ms(100);
    EXPECT_EQ(log.log_start_offset(), Offset{0});
    const Result<std::size_t> dropped = co_await log.apply_retention();
    EXPECT_TRUE(dropped.has_value() && *dropped > 3);
    const Result<void> closed = co_await log.close();
    EXPECT_TRUE(closed.has_value());
  }(node.shard(), node));
}

// Its offsets come back, and then nothing would tell an old batch from a new one.
TEST(Recycle, ADivergedEndIsNeverUsedAgain) {
  io::SimWorld world(6);
  io::SimNode& node = world.start_node("n");
  world.run_task(node.shard(), [](io::Shard& shard, io::SimNode& machine) -> Task<void> {
    Result<RecycledLog> opened = co_await test::open_recycled(shard, test::recycled_config(kPlain));
    EXPECT_TRUE(opened.has_value());
    Log& log = *opened->log;
    co_await append_alike(log, 20);
    const Result<void> cut = co_await log.truncate_suffix(Offset{2});
    EXPECT_TRUE(cut.has_value());
    co_await shard.sleep_for_ms(10);
    EXPECT_EQ(dropped_files(machine.disk()), 0u);
    co_await append_alike(log, 4);
    EXPECT_FALSE(test::last_is_recycled(machine.disk()));
    const Result<void> closed = co_await log.close();
    EXPECT_TRUE(closed.has_value());
  }(node.shard(), node));
}

// A file that ends with its last batch has no room for the zeros behind it. On a short disk they
// come out of the reserve, for what waits was accepted; and the spare file goes.
TEST(Recycle, TheLastBatchOfAFileFitsOnAShortDisk) {
  io::SimWorld world(9);
  io::SimNode& node = world.start_node("n");
  world.run_task(node.shard(), [](io::Shard& shard, io::SimNode& machine) -> Task<void> {
    LogConfig config = test::recycled_config(kPlain);
    const std::size_t batch_bytes = test::alike_batch(kBlockAlignedValueBytes).size();
    EXPECT_EQ(batch_bytes % io::kBlockBytes, 0u);
    config.segment_bytes = static_cast<std::int32_t>(4 * batch_bytes);
    config.retention_bytes = static_cast<std::int64_t>(config.segment_bytes);
    config.retention_ms = -1;  // the batches are of 1970
    Result<RecycledLog> opened = co_await test::open_recycled(shard, config);
    EXPECT_TRUE(opened.has_value());
    Log& log = *opened->log;
    co_await append_alike(log, 18, kBlockAlignedValueBytes);
    co_await drop_and_wait(shard, machine.disk(), log, 1);
    co_await append_alike(log, 3, kBlockAlignedValueBytes);
    EXPECT_TRUE(test::last_is_recycled(machine.disk()));
    co_await drop_and_wait(shard, machine.disk(), log, 1);
    io::SimDisk& disk = machine.disk();
    disk.set_total_bytes(disk.total_bytes() - disk.free_bytes() + (std::uint64_t{512} << 10));
    for (int i = 0; i < 4 && log.size_bytes() % (4 * batch_bytes) != 0; ++i) {
      co_await append_alike(log, 1, kBlockAlignedValueBytes);
    }
    EXPECT_EQ(log.size_bytes() % (4 * batch_bytes), 0u);  // up to the file's last byte
    EXPECT_EQ(log.durable_offset(), log.log_end_offset());
    EXPECT_EQ(dropped_files(machine.disk()), 0u);
    disk.set_total_bytes(std::uint64_t{1} << 30);
    const Result<void> closed = co_await log.close();
    EXPECT_TRUE(closed.has_value());
  }(node.shard(), node));
}

// Without a sync between its two steps a group means nothing.
TEST(Recycle, RelaxedLogsKeepNoFile) {
  io::SimWorld world(7);
  io::SimNode& node = world.start_node("n");
  world.run_task(node.shard(), [](io::Shard& shard, io::SimNode& machine) -> Task<void> {
    LogConfig config = test::recycled_config(kPlain);
    config.durability = Durability::relaxed;
    Result<RecycledLog> opened = co_await test::open_recycled(shard, config);
    EXPECT_TRUE(opened.has_value());
    co_await append_alike(*opened->log, 20);
    co_await drop_and_wait(shard, machine.disk(), *opened->log, 0);
    const Result<void> closed = co_await opened->log->close();
    EXPECT_TRUE(closed.has_value());
  }(node.shard(), node));
}

}  // namespace
}  // namespace keelson::engine::log
