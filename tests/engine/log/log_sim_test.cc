// The log on simulated machines: crashes, failing operations, a full disk.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

#include "engine/io/sim/sim_world.h"
#include "engine/log/log.h"
#include "tests/engine/log/log_fixture.h"
#include "tests/engine/log/log_history.h"
#include "tests/engine/log/stderr_logger.h"

namespace keelson::engine::log {
namespace {

using history::check;
using history::History;
using history::kEpoch;
using history::kMillisecond;
using history::Load;
using history::open_log;
using history::Opened;
using history::serve;
using history::small_segments;
using test::make_batch;
using test::test_logger;

struct CrashCase {
  std::string name;
  Durability durability = Durability::durable;
  std::uint64_t segment_bytes = 20'000;
  Load load;
  std::int64_t round_ns_max = 60 * kMillisecond;
  std::uint64_t seeds = 60;
};

class CrashTest : public testing::TestWithParam<CrashCase> {};

TEST_P(CrashTest, EveryAcknowledgedBatchOutlivesKillsAndPowerCuts) {
  const CrashCase& given = GetParam();
  const char* const asked = std::getenv("KEELSON_TEST_SEEDS");
  const std::uint64_t seeds = asked ? std::strtoull(asked, nullptr, 10) : given.seeds;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    io::SimWorld world(seed);
    world.set_logger(test_logger);
    io::SimNode& node = world.start_node("n");
    node.faults().short_write_ppm = 50'000;
    node.faults().short_read_ppm = 50'000;
    History history;
    LogConfig config = small_segments();
    config.segment_bytes = given.segment_bytes;
    config.durability = given.durability;
    for (int round = 0; round < 4; ++round) {
      node.shard().spawn(
          [](io::Shard& shard, History& told, LogConfig with, Load load) -> Task<void> {
            co_await serve(shard, told, with, 4, 1'000'000, true, load);
          }(node.shard(), history, config, given.load));
      world.run_for(static_cast<std::int64_t>(world.rng().next() %
                                              static_cast<std::uint64_t>(given.round_ns_max)));
      if (given.durability == Durability::durable && world.rng().next() % 2 == 0) {
        world.power_cut(node);
      } else {
        world.kill_node(node);
      }
      world.restart_node(node);
      const bool sound = world.run_task(node.shard(), check(node.shard(), history, config, false));
      ASSERT_TRUE(sound);
    }
  }
}

// Large ones come in commits that go to reserved space, and in turns with small ones, for which
// zeros are written there.
constexpr Load kBulk{.usual_bytes = 300'000, .large_bytes = 600'000};
constexpr Load kMixed{.usual_bytes = 300, .large_bytes = 3'000'000};

INSTANTIATE_TEST_SUITE_P(Loads, CrashTest,
                         testing::Values(CrashCase{.name = "durable"},
                                         CrashCase{.name = "relaxed",
                                                   .durability = Durability::relaxed},
                                         CrashCase{.name = "bulk",
                                                   .segment_bytes = 20'000'000,
                                                   .load = kBulk,
                                                   .round_ns_max = 30 * kMillisecond,
                                                   .seeds = 10},
                                         CrashCase{.name = "mixed",
                                                   .segment_bytes = 20'000'000,
                                                   .load = kMixed,
                                                   .round_ns_max = 30 * kMillisecond,
                                                   .seeds = 10},
                                         CrashCase{.name = "relaxed_bulk",
                                                   .durability = Durability::relaxed,
                                                   .segment_bytes = 20'000'000,
                                                   .load = kBulk,
                                                   .round_ns_max = 30 * kMillisecond,
                                                   .seeds = 5}),
                         [](const auto& parameter) { return parameter.param.name; });

/// Moves the start on and on, and notes every start that a reader could be told of. `told` and
/// `moves` outlive the process.
Task<void> move_the_start(io::Shard& shard, LogConfig config, std::int64_t& told, int& moves) {
  struct Watch {
    static Task<void> starts(io::Shard& shard, const Log& log, std::int64_t& told) {
      while (true) {
        told = std::max(told, log.log_start_offset().value());
        co_await shard.sleep_until(shard.clock().now_ns() + 5'000);
      }
    }
  };
  const Result<Opened> opened = co_await open_log(shard, config);
  EXPECT_TRUE(opened.has_value());
  Log& log = *opened->log;
  shard.spawn(Watch::starts(shard, log, told));
  while (true) {
    for (int i = 0; i < 6; ++i) {
      std::vector<std::byte> batch = make_batch(std::string(5'000, 'x'));
      const Result<AppendResult> appended = co_await log.append(batch, kEpoch);
      EXPECT_TRUE(appended.has_value());
    }
    const Offset start = log.log_start_offset();
    if (moves % 2 == 0) {
      const Result<void> moved = co_await log.advance_start(start + 1 + moves % 4);
      EXPECT_TRUE(moved.has_value());
    } else {
      const Result<std::size_t> dropped = co_await log.apply_retention();
      EXPECT_TRUE(dropped.has_value());
    }
    if (log.log_start_offset() > start) ++moves;
  }
}

// A start that a reader could see stays: it was durable before it was visible.
TEST(LogStart, NoPowerCutTakesAToldStartBack) {
  LogConfig config = small_segments();
  config.retention_bytes = 30'000;
  int moves = 0;
  for (std::uint64_t seed = 1; seed <= 80; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    io::SimWorld world(seed);
    world.set_logger(test_logger);
    io::SimNode& node = world.start_node("n");
    std::int64_t told = 0;
    for (int round = 0; round < 3; ++round) {
      node.shard().spawn(move_the_start(node.shard(), config, told, moves));
      world.run_for(static_cast<std::int64_t>(world.rng().next() % (20 * kMillisecond)));
      world.power_cut(node);
      world.restart_node(node);
      const std::int64_t start =
          world.run_task(node.shard(), [](io::Shard& shard, LogConfig with) -> Task<std::int64_t> {
            const Result<Opened> log = co_await open_log(shard, with);
            EXPECT_TRUE(log.has_value());
            const std::int64_t found = log->log->log_start_offset().value();
            const Result<void> closed = co_await log->log->close();
            EXPECT_TRUE(closed.has_value());
            co_return found;
          }(node.shard(), config));
      ASSERT_GE(start, told);
    }
  }
  EXPECT_GT(moves, 100);
}

// Whatever single operation fails, nothing acknowledged is lost and nothing is made up.
TEST(LogFaults, EachFailingOperationIsSurvived) {
  for (std::uint64_t nth = 1;; ++nth) {
    SCOPED_TRACE(testing::Message() << "operation " << nth);
    io::SimWorld world(7);
    world.set_logger(test_logger);
    io::SimNode& node = world.start_node("n");
    History history;
    node.reset_counts();
    node.fail_nth(io::OpKind::any_disk, nth);
    world.run_task(node.shard(), serve(node.shard(), history, small_segments(), 3, 12, true));
    const bool reached = node.count(io::OpKind::any_disk) >= nth;
    node.faults().nth.clear();
    world.kill_node(node);
    world.restart_node(node);
    ASSERT_TRUE(
        world.run_task(node.shard(), check(node.shard(), history, small_segments(), false)));
    if (!reached) break;
  }
}

TEST(LogSpace, RefusesBeforeTheDiskIsFullAndResumes) {
  io::SimWorld world(11);
  io::SimNode& node = world.start_node("n");
  node.disk().set_total_bytes(8 << 20);
  History history;
  LogConfig config;
  const auto outcome = world.run_task(
      node.shard(), [](io::Shard& shard, io::SimNode& machine, LogConfig with) -> Task<bool> {
        Result<Opened> opened = co_await open_log(shard, with);
        EXPECT_TRUE(opened.has_value());
        Log& log = *opened->log;
        bool refused = false;
        for (int i = 0; i < 4'000 && !refused; ++i) {
          std::vector<std::byte> batch = make_batch(std::string(10'000, 'x'));
          const Result<AppendResult> appended = co_await log.append(batch, kEpoch);
          refused = !appended;
          if (refused) EXPECT_EQ(appended.error().code, Errc::no_space);
        }
        EXPECT_TRUE(refused);
        EXPECT_GT(machine.disk().free_bytes(), 0u);
        EXPECT_FALSE(log.failure().has_value());
        machine.disk().set_total_bytes(64 << 20);
        bool resumed = false;
        for (int i = 0; i < 100 && !resumed; ++i) {
          std::vector<std::byte> batch = make_batch(std::string(10'000, 'x'));
          const Result<AppendResult> appended = co_await log.append(batch, kEpoch);
          resumed = appended.has_value();
          co_await shard.sleep_for_ms(10);
        }
        EXPECT_TRUE(resumed);
        const Result<void> closed = co_await log.close();
        co_return closed.has_value();
      }(node.shard(), node, config));
  EXPECT_TRUE(outcome);
}

}  // namespace
}  // namespace keelson::engine::log
