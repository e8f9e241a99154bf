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
  Result<RecycledLog> opened = co_await test::open_recycled(shard, test::recycled_config(load));
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

}  // namespace
}  // namespace keelson::engine::log
