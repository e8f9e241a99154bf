// Sleeping and waking, on every backend.
#include <sys/resource.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "engine/io/cross_shard.h"
#include "engine/io/file.h"
#include "engine/io/sync.h"
#include "tests/engine/io/conformance.h"

namespace keelson::engine::io {
namespace {

class WaitConformance : public Conformance {};
INSTANTIATE_TEST_SUITE_P(Backends, WaitConformance, testing::ValuesIn(backend_sources()),
                         [](const auto& info) { return info.param.name; });

constexpr std::int64_t kMillisecond = 1'000'000;

TEST_P(WaitConformance, APastDeadlineDoesNotSleep) {
  Backend& backend = shard().backend();
  for (const std::int64_t deadline : {std::int64_t{0}, shard().clock().now_ns()}) {
    EXPECT_EQ(backend.poll(deadline), 0u);
  }
}

TEST_P(WaitConformance, SleepsUntilTheDeadline) {
  for (const std::int64_t wait_ns : {300'000L, 5 * kMillisecond, 20 * kMillisecond}) {
    const std::int64_t deadline_ns = shard().clock().now_ns() + wait_ns;
    int wakes = 0;
    while (shard().clock().now_ns() < deadline_ns) {
      shard().backend().poll(deadline_ns);
      ++wakes;
    }
    EXPECT_LE(wakes, 3);
  }
}

TEST_P(WaitConformance, AWakeBeforeTheSleepEndsIt) {
  shard().backend().wake();
  EXPECT_EQ(shard().backend().poll(std::nullopt), 0u);  // would hang
  // Neither does a look without sleep use it up.
  shard().backend().wake();
  shard().backend().poll(0);
  EXPECT_EQ(shard().backend().poll(std::nullopt), 0u);
}

TEST_P(WaitConformance, AnotherThreadEndsTheSleep) {
  if (!bed_->is_native()) GTEST_SKIP() << "no threads here";
  // Both sides answer each other, so that wakes fall before, within and after the sleep.
  constexpr int kRounds = 20'000;
  std::atomic<int> asked{0};
  std::atomic<int> answered{0};
  std::thread other([&] {
    for (int round = 1; round <= kRounds; ++round) {
      asked.store(round);
      shard().backend().wake();
      while (answered.load() < round) std::this_thread::yield();
    }
  });
  for (int round = 1; round <= kRounds; ++round) {
    while (asked.load() < round) shard().backend().poll(std::nullopt);
    answered.store(round);
  }
  other.join();
}

TEST_P(WaitConformance, AnIdleSleepIsOneSleep) {
  if (!bed_->is_native()) GTEST_SKIP() << "no threads here";
  rusage before{};
  rusage after{};
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    shard().backend().wake();
  });
  ::getrusage(RUSAGE_THREAD, &before);
  EXPECT_EQ(shard().backend().poll(std::nullopt), 0u);
  ::getrusage(RUSAGE_THREAD, &after);
  other.join();
  // One, and a few that the system may add. A tick of 20 ms would make it twenty.
  EXPECT_LE(after.ru_nvcsw - before.ru_nvcsw, 10);
}

struct Posted : ShardMessage {
  std::atomic<int>* delivered = nullptr;
  Event* all = nullptr;
  int expected = 0;
};

Task<void> wait_for(Event& event) { co_await event.wait(); }

TEST_P(WaitConformance, PostedMessagesArriveInASleepingShard) {
  if (!bed_->is_native()) GTEST_SKIP() << "no threads here";
  constexpr int kThreads = 4;
  constexpr int kEach = 5000;
  std::atomic<int> delivered{0};
  Event all(shard());
  std::vector<std::vector<Posted>> messages(kThreads);
  std::vector<std::thread> senders;
  for (std::vector<Posted>& own : messages) {
    own = std::vector<Posted>(kEach);
    senders.emplace_back([&] {
      for (Posted& message : own) {
        message.delivered = &delivered;
        message.all = &all;
        message.deliver = [](ShardMessage& self) {
          auto& here = static_cast<Posted&>(self);
          if (++*here.delivered == kThreads * kEach) here.all->set();
        };
        shard().inbox().post(message);
      }
    });
  }
  bed_->run(wait_for(all));
  for (std::thread& sender : senders) sender.join();
  EXPECT_EQ(delivered.load(), kThreads * kEach);
}

Task<void> sleepers(Shard& shard) {
  const std::int64_t start_ns = shard.clock().now_ns();
  co_await shard.sleep_until(start_ns + 3 * kMillisecond);
  EXPECT_GE(shard.clock().now_ns(), start_ns + 3 * kMillisecond);
  Event never(shard);
  const bool set = co_await never.wait_until(shard.clock().now_ns() + 2 * kMillisecond);
  EXPECT_FALSE(set);
}

TEST_P(WaitConformance, TimersRunOnTime) { bed_->run(sleepers(shard())); }

Task<void> keep_yielding(Shard& shard, const bool& done, std::uint64_t& turns) {
  while (!done) {
    ++turns;
    co_await shard.yield();
  }
}

Task<void> work_beside(Shard& shard, std::string path, bool& done) {
  for (int i = 0; i < 20; ++i) {
    const Result<void> written = co_await replace_file(shard, path, "x");
    EXPECT_TRUE(written.has_value());
  }
  const Connection connection = co_await connect_pair(shard);
  EXPECT_GE(connection.server, 0);
  shard.backend().close(connection.client);
  shard.backend().close(connection.server);
  done = true;
}

Task<void> both(Shard& shard, std::string path, std::uint64_t& turns) {
  bool done = false;
  TaskGroup group(shard);
  group.start(keep_yielding(shard, done, turns));
  group.start(work_beside(shard, path, done));
  co_await group.wait();
}

TEST_P(WaitConformance, ABusyCoroutineDoesNotStarveTheBackend) {
  std::uint64_t turns = 0;
  bed_->run(both(shard(), path("file"), turns));
  EXPECT_GT(turns, 20u);
}

}  // namespace
}  // namespace keelson::engine::io
