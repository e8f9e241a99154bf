// Calls between shards on real threads. Meant for the tsan preset as well.
#include "engine/io/cross_shard.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/sync.h"
#include "tests/support/run_on_runtime.h"

namespace keelson::engine::io {
namespace {

TEST(MessageRing, HoldsItsCapacityInOrder) {
  auto ring = std::make_unique<MessageRing>();
  std::vector<ShardMessage> messages(MessageRing::kCapacity + 1);
  for (int lap = 0; lap < 3; ++lap) {
    EXPECT_TRUE(ring->empty());
    for (std::uint32_t i = 0; i < MessageRing::kCapacity; ++i) {
      ASSERT_TRUE(ring->push(messages[i]));
    }
    EXPECT_FALSE(ring->push(messages.back()));
    for (std::uint32_t i = 0; i < MessageRing::kCapacity; ++i) {
      ASSERT_EQ(ring->pop(), &messages[i]);
    }
    EXPECT_EQ(ring->pop(), nullptr);
  }
}

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

// More at once than a ring holds: the rest queues at home, and nothing is lost or blocked.
TEST(CallOn, QueuesBeyondTheRingsCapacity) {
  stress(BackendChoice::threads, 3 * MessageRing::kCapacity, 3);
}

}  // namespace
}  // namespace keelson::engine::io
