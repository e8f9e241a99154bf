// The log on real backends: append, read, close, reopen, roll, time, retention.
#include "engine/log/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/engine/log/log_fixture.h"
#include "tests/support/run_on_runtime.h"
#include "tests/support/temp_dir.h"

namespace keelson::engine::log {
namespace {

using test::flat;
using test::make_batch;
using test::make_producer_batch;
using test::stamped;

constexpr LeaderEpoch kEpoch{5};

Task<Result<AppendResult>> append(Log& log, std::vector<std::byte> batch) {
  co_return co_await log.append(batch, kEpoch);
}

class LogTest : public testing::TestWithParam<io::BackendChoice> {
 protected:
  template <class F>
  auto run(F function) {
    return test::run_on_runtime(
        [&](io::Shard& shard) { return with_context(shard, function, limits_); },
        {.backend = GetParam()});
  }
  template <class F>
  static auto with_context(io::Shard& shard, F& function, LogLimits limits)
      -> std::invoke_result_t<F&, LogContext&> {
    LogContext context(shard, limits);
    auto task = function(context);
    co_return co_await task;
  }
  std::string dir() const { return directory_ / "orders-3"; }

  test::TempDir directory_;
  LogLimits limits_{.disk_reserve_bytes = 0};
  LogConfig config_;
};

Task<int> append_and_reopen(LogContext& context, std::string dir, LogConfig config, int batches) {
  std::vector<std::byte> expected;
  {
    Result<std::unique_ptr<Log>> log =
        co_await Log::open(context, dir, test::kIdentity, config, {});
    EXPECT_TRUE(log.has_value());
    if (!log) co_return 1;
    for (int i = 0; i < batches; ++i) {
      std::vector<std::byte> batch = make_batch("value " + std::to_string(i), 1 + i % 3);
      const std::int64_t base = (*log)->log_end_offset().value();
      const Result<AppendResult> appended = co_await append(**log, batch);
      EXPECT_TRUE(appended.has_value());
      if (!appended) co_return 1;
      EXPECT_EQ(appended->base_offset.value(), base);
      const std::vector<std::byte> stored = stamped(batch, base, kEpoch.value());
      expected.insert(expected.end(), stored.begin(), stored.end());
    }
    EXPECT_EQ((*log)->durable_offset(), (*log)->log_end_offset());
    const Result<std::vector<std::byte>> seen = co_await test::read_all(**log, 1000);
    EXPECT_TRUE(seen.has_value() && *seen == expected);
    const Result<void> closed = co_await (*log)->close();
    EXPECT_TRUE(closed.has_value());
  }
  for (const bool clean : {true, false}) {
    Result<std::unique_ptr<Log>> log =
        co_await Log::open(context, dir, test::kIdentity, config, {.clean_stop = clean});
    EXPECT_TRUE(log.has_value());
    if (!log) co_return 1;
    EXPECT_THAT((*log)->recovery().findings, testing::IsEmpty());
    EXPECT_EQ((*log)->latest_epoch(), kEpoch);
    for (const std::uint64_t piece : {1, 100'000}) {
      const Result<std::vector<std::byte>> seen = co_await test::read_all(**log, piece);
      EXPECT_TRUE(seen.has_value()) << (seen ? "" : to_string(seen.error().code));
      EXPECT_TRUE(seen && *seen == expected);
    }
    std::vector<std::byte> batch = make_batch("again");
    const std::int64_t base = (*log)->log_end_offset().value();
    const Result<AppendResult> appended = co_await append(**log, batch);
    EXPECT_TRUE(appended.has_value());
    if (!appended) co_return 1;
    EXPECT_EQ(appended->base_offset.value(), base);
    const std::vector<std::byte> stored = stamped(batch, base, kEpoch.value());
    expected.insert(expected.end(), stored.begin(), stored.end());
    const Result<std::vector<std::byte>> seen = co_await test::read_all(**log, 100'000);
    EXPECT_TRUE(seen && *seen == expected);
    const Result<void> closed = co_await (*log)->close();
    EXPECT_TRUE(closed.has_value());
  }
  co_return 0;
}

TEST_P(LogTest, ReadsBackWhatWasAppendedAfterCloseAndReopen) {
  run([&](LogContext& context) { return append_and_reopen(context, dir(), config_, 300); });
}

TEST_P(LogTest, RollsAtSegmentBytesAndReadsAcross) {
  config_.segment_bytes = 2'000;
  run([&](LogContext& context) { return append_and_reopen(context, dir(), config_, 200); });
  EXPECT_TRUE(std::filesystem::exists(dir() + "/00000000000000000000.index"));
}

Task<int> append_many(LogContext& context, std::string dir, LogConfig config) {
  Result<std::unique_ptr<Log>> log = co_await Log::open(context, dir, test::kIdentity, config, {});
  EXPECT_TRUE(log.has_value());
  if (!log) co_return 1;
  std::vector<std::byte> expected;
  std::vector<std::int64_t> order;
  for (int i = 0; i < 500; ++i) {
    std::vector<std::byte> batch = make_batch(std::string(1 + (i * 7919) % 5000, 'x'));
    const std::vector<std::byte> stored = stamped(batch, i, kEpoch.value());
    expected.insert(expected.end(), stored.begin(), stored.end());
    context.shard().spawn(
        [](Log& to, std::vector<std::byte> bytes, std::vector<std::int64_t>& done) -> Task<void> {
          const Result<AppendResult> appended = co_await to.append(bytes, kEpoch);
          EXPECT_TRUE(appended.has_value());
          if (appended) done.push_back(appended->base_offset.value());
        }(**log, std::move(batch), order));
  }
  while (order.size() < 500) co_await context.shard().yield();
  for (int i = 0; i < 500; ++i) EXPECT_EQ(order[i], i);
  const Result<std::vector<std::byte>> seen = co_await test::read_all(**log, 10'000);
  EXPECT_TRUE(seen && *seen == expected);
  const Result<void> closed = co_await (*log)->close();
  EXPECT_TRUE(closed.has_value());
  co_return 0;
}

TEST_P(LogTest, AcknowledgesManyAppendsInTheirOrder) {
  run([&](LogContext& context) { return append_many(context, dir(), config_); });
}

TEST_P(LogTest, AcknowledgesManyRelaxedAppendsInTheirOrder) {
  config_.durability = Durability::relaxed;
  config_.segment_bytes = 300'000;
  run([&](LogContext& context) { return append_many(context, dir(), config_); });
}

INSTANTIATE_TEST_SUITE_P(Backends, LogTest,
                         testing::Values(io::BackendChoice::threads, io::BackendChoice::automatic),
                         [](const auto& parameter) {
                           return parameter.param == io::BackendChoice::threads ? "threads"
                                                                                : "automatic";
                         });

}  // namespace
}  // namespace keelson::engine::log
