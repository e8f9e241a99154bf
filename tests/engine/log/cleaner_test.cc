// Which logs are compacted, when, and what an idle one costs: nothing.
#include "engine/log/cleaner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "engine/io/sim/sim_world.h"
#include "tests/engine/log/compaction_support.h"

namespace keelson::engine::log {
namespace {

using test::as_bytes;
using test::compacted;

constexpr std::int64_t kMillisecond = 1'000'000;

class CleanerTest : public testing::Test {
 protected:
  CleanerTest() : world_(1) {
    world_.set_logger(logger_);  // before the node takes it
    node_ = &world_.start_node("n");
    context_ = std::make_unique<LogContext>(shard(), test::quick_limits());
  }
  ~CleanerTest() override {
    if (cleaner_) stop();
    for (auto& log : logs_) {
      if (!log) continue;
      const Result<void> closed = world_.run_task(shard(), log->close());
      EXPECT_TRUE(closed.has_value());
    }
  }

  io::Shard& shard() { return node_->shard(); }
  void start(CleanerConfig config = {}) {
    cleaner_ = std::make_unique<Cleaner>(shard(), config);
    context_->compaction = cleaner_.get();
    shard().spawn(cleaner_->run());
  }
  void stop() { world_.run_task(shard(), cleaner_->stop()); }

  Log& open(std::int32_t partition, LogConfig config = compacted()) {
    Result<std::unique_ptr<Log>> log =
        world_.run_task(shard(), Log::open(*context_, concat("table-", partition),
                                           {make_uuid(1, 2), partition}, config, {}));
    EXPECT_TRUE(log.has_value());
    logs_.push_back(std::move(*log));
    return *logs_.back();
  }
  /// `keys` of them, over and over; about 4,000 bytes a segment.
  void write(Log& log, int batches, int keys = 3, std::int64_t age_ms = 0) {
    for (int i = 0; i < batches; ++i) {
      BatchBuilder builder;
      const std::string key = concat("key", i % keys);
      const std::string value(900, 'v');
      builder.add(shard().clock().wall_ms() - age_ms, as_bytes(key), as_bytes(value));
      std::vector<std::byte> batch = builder.build();
      const Result<AppendResult> appended =
          world_.run_task(shard(), log.append(batch, LeaderEpoch{1}));
      EXPECT_TRUE(appended.has_value());
    }
  }
  void wait_ms(std::int64_t ms) { world_.run_for(ms * kMillisecond); }

  class Lines final : public Logger {
   public:
    void write(LogLevel level, std::string_view, std::string_view line) override {
      if (level >= LogLevel::info) lines.emplace_back(line);
    }
    bool enabled(LogLevel level) const override { return level >= LogLevel::info; }
    std::vector<std::string> lines;
  };

  Lines logger_;
  io::SimWorld world_;
  io::SimNode* node_ = nullptr;
  std::unique_ptr<LogContext> context_;
  std::unique_ptr<Cleaner> cleaner_;
  std::vector<std::unique_ptr<Log>> logs_;
};

TEST_F(CleanerTest, CompactsALogOnceItIsDirtyEnough) {
  start();
  Log& log = open(0);
  write(log, 30);
  wait_ms(1'000);
  EXPECT_GT(log.first_dirty(), Offset{0});
  EXPECT_LT(log.size_bytes(), 15'000u);
  EXPECT_EQ(cleaner_->stats().due_logs, 0u);
  EXPECT_GT(cleaner_->stats().records_dropped, 10u);
  EXPECT_GE(cleaner_->stats().last_run_ms, 0);
  const std::uint64_t runs = cleaner_->stats().runs;
  // Until it is dirty again, nothing happens.
  wait_ms(100'000);
  EXPECT_EQ(cleaner_->stats().runs, runs);
}

TEST_F(CleanerTest, IdleLogsCostNothing) {
  start();
  constexpr std::int32_t kLogs = 400;
  for (std::int32_t i = 0; i < kLogs; ++i) open(i);
  write(*logs_[7], 10);
  wait_ms(60'000);  // logs that were written to have gone to rest
  EXPECT_EQ(cleaner_->stats().due_logs, 0u);
  EXPECT_FALSE(shard().next_deadline_ns().has_value());  // no timer at all
  const std::int64_t before = world_.now_ns();
  EXPECT_FALSE(world_.step(before + 3'600'000 * kMillisecond));  // and nothing else to do
}

TEST_F(CleanerTest, TakesTheDirtiestFirst) {
  Log& little = open(0);
  Log& much = open(1);
  write(little, 30, 1'000);
  write(much, 30, 1'000);
  start();
  little.set_config(compacted());
  wait_ms(1'000);
  ASSERT_EQ(cleaner_->stats().runs, 1u);  // of `little`: it has something clean now
  write(little, 24, 1'000);
  ASSERT_EQ(cleaner_->stats().runs, 1u);
  logger_.lines.clear();
  stop();
  start();
  little.set_config(compacted());
  much.set_config(compacted());
  wait_ms(60'000);
  ASSERT_GE(logger_.lines.size(), 1u);
  EXPECT_THAT(logger_.lines[0], testing::StartsWith("table-1: compacted"));
}

TEST_F(CleanerTest, WaitsForTheSmallestLagAndNotBeyondTheLargest) {
  start({.backoff_ms = 100});
  LogConfig late = compacted();
  late.min_compaction_lag_ms = 20'000;
  Log& log = open(0, late);
  write(log, 30);
  wait_ms(15'000);
  EXPECT_EQ(log.first_dirty(), Offset{0});
  wait_ms(10'000);
  EXPECT_GT(log.first_dirty(), Offset{0});

  LogConfig soon = compacted();
  soon.min_cleanable_dirty_ratio = 1;  // never, for its sake
  soon.max_compaction_lag_ms = 30'000;
  Log& other = open(1, soon);
  write(other, 30);
  wait_ms(20'000);
  EXPECT_EQ(other.first_dirty(), Offset{0});
  wait_ms(20'000);
  EXPECT_GT(other.first_dirty(), Offset{0});
}

TEST_F(CleanerTest, AnOpenTransactionHoldsItBackUntilItEnds) {
  start({.backoff_ms = 100});
  Log& log = open(0);
  BatchBuilder builder;
  builder.producer(ProducerId{5}, ProducerEpoch{0}, 0).transactional();
  builder.add(shard().clock().wall_ms(), as_bytes("k"), as_bytes("v"));
  std::vector<std::byte> batch = builder.build();
  ASSERT_TRUE(world_.run_task(shard(), log.append(batch, LeaderEpoch{1})).has_value());
  write(log, 30);
  wait_ms(5'000);
  EXPECT_EQ(cleaner_->stats().runs, 0u);
  std::vector<std::byte> marker = test::make_marker(5, false);
  ASSERT_TRUE(world_.run_task(shard(), log.append(marker, LeaderEpoch{1})).has_value());
  wait_ms(5'000);
  EXPECT_GT(log.first_dirty(), Offset{0});
}

TEST_F(CleanerTest, KeepsToTheRate) {
  CleanerConfig config;
  config.pace.bytes_per_second = 20'000;
  Log& log = open(0);
  write(log, 60, 1'000);  // about 56 kB: read twice, written once
  start(config);
  log.set_config(compacted());
  const std::int64_t began = world_.now_ns();
  world_.run_until([&] { return cleaner_->stats().runs > 0; }, began + 600'000 * kMillisecond);
  const CleanerStats stats = cleaner_->stats();
  EXPECT_EQ(stats.runs, 1u);
  EXPECT_GT((world_.now_ns() - began) / kMillisecond,
            static_cast<std::int64_t>(stats.bytes_read + stats.bytes_written) * 1'000 / 20'000 / 2);
  EXPECT_GT(stats.bytes_read, 100'000u);
}

TEST_F(CleanerTest, ARunUnderWayTakesANewRate) {
  CleanerConfig config;
  config.pace.bytes_per_second = 1;  // for days
  Log& log = open(0);
  write(log, 60, 1'000);
  start(config);
  log.set_config(compacted());
  wait_ms(60'000);
  ASSERT_TRUE(cleaner_->stats().running);
  config.pace.bytes_per_second = 1e9;
  cleaner_->set_config(config);
  wait_ms(2'000);
  EXPECT_EQ(cleaner_->stats().runs, 1u);
}

TEST_F(CleanerTest, AFullDriveIsTriedAgainAndAStallIsTold) {
  CleanerConfig config;
  config.backoff_ms = 1'000;
  config.stall_after_ms = 5'000;
  Log& log = open(0);
  write(log, 30);
  start(config);
  node_->disk().set_total_bytes(node_->disk().total_bytes() - node_->disk().free_bytes() +
                                1'000'000);
  log.set_config(compacted());
  wait_ms(20'000);
  EXPECT_EQ(cleaner_->stats().runs, 0u);
  EXPECT_GT(cleaner_->stats().runs_given_up, 5u);
  EXPECT_TRUE(cleaner_->stats().stalled);
  int told = 0;
  for (const std::string& line : logger_.lines) told += line.starts_with("compaction is behind");
  EXPECT_EQ(told, 1);
  node_->disk().set_total_bytes(std::uint64_t{1} << 33);
  wait_ms(3'000);
  EXPECT_EQ(cleaner_->stats().runs, 1u);
  EXPECT_FALSE(cleaner_->stats().stalled);
}

TEST_F(CleanerTest, ALogThatIsClosedOrRemovedIsForgotten) {
  CleanerConfig config;
  config.pace.bytes_per_second = 5'000;  // so that it is at work
  Log& log = open(0);
  write(log, 60, 1'000);
  start(config);
  log.set_config(compacted());
  wait_ms(2'000);
  ASSERT_TRUE(cleaner_->stats().running);
  const Result<std::string> removed = world_.run_task(shard(), log.remove());
  EXPECT_TRUE(removed.has_value());
  logs_[0].reset();
  wait_ms(60'000);
  EXPECT_FALSE(cleaner_->stats().running);
  EXPECT_EQ(cleaner_->stats().due_logs, 0u);
  EXPECT_FALSE(shard().next_deadline_ns().has_value());
}

}  // namespace
}  // namespace keelson::engine::log
