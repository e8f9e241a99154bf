// Calls between shards on real threads. Meant for the tsan preset as well.
#include "engine/io/cross_shard.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/sync.h"
#include "tests/support/run_on_runtime.h"

namespace keelson::engine::io {
namespace {

/// State of one shard: touched on its thread only, so that tsan sees a call that lands elsewhere.
struct Counter {
  std::uint64_t calls = 0;
  std::uint64_t sum = 0;
};

Task<std::string> count(Shard& shard, Counter& counter, std::uint64_t value) {
  ++counter.calls;
  counter.sum += value;
  if (value % 7 == 0) co_await shard.yield();
  co_return std::to_string(value);
}

Task<void> call_many(Shard& home, ShardGroup& group, std::vector<Counter>& counters,
                     std::uint64_t calls, std::uint64_t seed) {
  for (std::uint64_t i = 0; i < calls; ++i) {
    const std::uint64_t value = seed + i;
    Shard& target = group.at(static_cast<std::uint32_t>(value % group.size()));
    Counter& counter = counters[target.index()];
    Task<std::string> call =
        call_on(home, target, [&target, &counter, value] { return count(target, counter, value); });
    const std::string found = co_await call;
    EXPECT_EQ(found, std::to_string(value));
  }
}

Task<void> call_concurrently(Shard& home, ShardGroup& group, std::vector<Counter>& counters,
                             std::uint64_t tasks, std::uint64_t calls) {
  TaskGroup all(home);
  for (std::uint64_t task = 0; task < tasks; ++task) {
    all.start(call_many(home, group, counters, calls, task * 31 + home.index()));
  }
  co_await all.wait();
}

Task<void> start_on_all(Shard& home, ShardGroup& group, std::vector<Counter>& counters,
                        std::uint64_t tasks, std::uint64_t calls) {
  TaskGroup all(home);
  const auto start = [&](Shard& target) {
    return call_on(home, target, [&target, &group, &counters, tasks, calls] {
      return call_concurrently(target, group, counters, tasks, calls);
    });
  };
  for (std::uint32_t index = 0; index < group.size(); ++index) all.start(start(group.at(index)));
  co_await all.wait();
}

void stress(BackendChoice backend, std::uint64_t tasks, std::uint64_t calls) {
  const auto runtime = test::start_runtime({.shards = 3, .backend = backend});
  std::vector<Counter> counters(3);
  ShardGroup& group = runtime->group();
  runtime->run(0, [&] { return start_on_all(group.at(0), group, counters, tasks, calls); });
  runtime->stop();
  std::uint64_t total = 0;
  for (const Counter& counter : counters) total += counter.calls;
  EXPECT_EQ(total, 3 * tasks * calls);
}

TEST(CallOn, ComesBackHomeWithItsResult) { stress(BackendChoice::automatic, 10, 2000); }

TEST(CallOn, ComesBackHomeOnThreads) { stress(BackendChoice::threads, 10, 2000); }

// One at a time, so that nearly each call finds the target asleep, or just falling asleep.
TEST(CallOn, WakesSleepingShards) {
  stress(BackendChoice::automatic, 1, 10'000);
  stress(BackendChoice::threads, 1, 10'000);
}

// Thousands under way at once, and some parked behind a yield: nothing is lost or blocked.
TEST(CallOn, HasNoLimitOfCallsUnderWay) { stress(BackendChoice::threads, 4000, 3); }

struct Numbered : ShardMessage {
  std::vector<int>* log = nullptr;
  int number = 0;
};

Task<void> post_to_itself(Shard& shard, std::vector<int>& log) {
  std::vector<Numbered> messages(100);
  for (int number = 0; number < 100; ++number) {
    Numbered& message = messages[static_cast<std::size_t>(number)];
    message.log = &log;
    message.number = number;
    message.deliver = [](ShardMessage& self) {
      auto& here = static_cast<Numbered&>(self);
      here.log->push_back(here.number);
    };
    shard.inbox().post(message);
  }
  while (log.size() < 100) co_await shard.yield();
}

TEST(CrossShardInbox, DeliversInOrder) {
  std::vector<int> log;
  test::run_on_runtime([&](Shard& shard) { return post_to_itself(shard, log); });
  std::vector<int> expected(100);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(log, expected);
}

}  // namespace
}  // namespace keelson::engine::io
