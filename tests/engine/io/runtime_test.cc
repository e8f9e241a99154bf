// Starting, calling into, and stopping shards on real threads.
#include "engine/io/runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/io/file.h"
#include "engine/io/probe.h"
#include "engine/io/sync.h"
#include "tests/support/run_on_runtime.h"
#include "tests/support/temp_dir.h"

namespace keelson::engine::io {
namespace {

Task<std::uint32_t> index_of(Shard& shard) {
  co_await shard.yield();
  co_return shard.index();
}

class RuntimeOn : public testing::TestWithParam<BackendChoice> {
 protected:
  void SetUp() override {
    if (GetParam() != BackendChoice::uring) return;
    const UringProbe probe = probe_uring();
    if (!probe.available) GTEST_SKIP() << probe.reason;
  }
  RuntimeOptions options(std::uint32_t shards) const {
    return {.shards = shards, .backend = GetParam()};
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, RuntimeOn,
                         testing::Values(BackendChoice::uring, BackendChoice::threads),
                         [](const auto& info) {
                           return info.param == BackendChoice::uring ? "uring" : "threads";
                         });

TEST_P(RuntimeOn, RunsOnTheShardAskedFor) {
  const auto runtime = test::start_runtime(options(3));
  for (std::uint32_t index = 0; index < 3; ++index) {
    EXPECT_EQ(runtime->run(index, [&] { return index_of(runtime->shard(index)); }), index);
  }
}

Task<Result<std::string>> write_and_read(Shard& shard, std::string path) {
  const Result<void> written = co_await replace_file(shard, path, "kept");
  if (!written) co_return std::unexpected(written.error());
  co_return co_await read_file(shard, path, 100);
}

TEST_P(RuntimeOn, CarriesResultsOut) {
  const test::TempDir dir;
  EXPECT_EQ(test::run_on_runtime([&](Shard& shard) { return write_and_read(shard, dir / "file"); },
                                 options(1)),
            Result<std::string>("kept"));
}

TEST_P(RuntimeOn, ServesManyCallersAtOnce) {
  const auto runtime = test::start_runtime(options(2));
  std::atomic<int> right{0};
  std::vector<std::thread> callers;
  for (std::uint32_t caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      for (std::uint32_t call = 0; call < 500; ++call) {
        const std::uint32_t target = (caller + call) % 2;
        const std::uint32_t index =
            runtime->run(target, [&] { return index_of(runtime->shard(target)); });
        if (index == target) ++right;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(right.load(), 2000);
}

Task<std::uint64_t> ask_around(Shard& home, ShardGroup& group, std::uint32_t rounds) {
  std::uint64_t sum = 0;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    Shard& target = group.at((home.index() + 1 + round) % group.size());
    sum += co_await call_on(home, target, [&target] { return index_of(target); });
  }
  co_return sum;
}

Task<void> linger(Shard& shard, ShardGroup& group, std::atomic<std::uint64_t>& total) {
  total += co_await ask_around(shard, group, 2000);
}

Task<void> start_lingering(Shard& shard, ShardGroup& group, std::atomic<std::uint64_t>& total) {
  shard.spawn(linger(shard, group, total));
  co_return;
}

// A shard that has nothing left of its own still answers the others until they have ended too.
TEST_P(RuntimeOn, StopWaitsForCallsBetweenShards) {
  std::atomic<std::uint64_t> total{0};
  for (int round = 0; round < 20; ++round) {
    const auto runtime = test::start_runtime(options(3));
    runtime->run(0, [&] { return start_lingering(runtime->shard(0), runtime->group(), total); });
    runtime->stop();
  }
  EXPECT_EQ(total.load(), 20u * 2001u);  // indexes 1, 2, 0, 1, 2, 0, …, 1, 2
}

TEST_P(RuntimeOn, StartsAndStopsWithoutWork) {
  for (int round = 0; round < 50; ++round) test::start_runtime(options(4))->stop();
}

TEST_P(RuntimeOn, MeasuresTheDataDirectory) {
  const test::TempDir dir;
  RuntimeOptions wanted = options(1);
  wanted.data_dir_for_probe = dir.path();
  wanted.pin = true;
  const auto runtime = test::start_runtime(wanted);
  EXPECT_EQ(runtime->info().name, GetParam() == BackendChoice::uring ? "uring" : "threads");
  EXPECT_FALSE(runtime->info().reason.empty());
  EXPECT_GT(runtime->info().direct_align_bytes, 0u);
}

TEST(Runtime, RefusesNoShards) {
  const auto runtime = Runtime::start({.shards = 0});
  ASSERT_FALSE(runtime.has_value());
  EXPECT_EQ(runtime.error(), (Error{Errc::invalid_argument}));
}

}  // namespace
}  // namespace keelson::engine::io
