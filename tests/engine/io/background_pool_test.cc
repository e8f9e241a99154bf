// Which of its two threads computes, by how long the one of the idle class was put off.
#include "engine/io/posix/background_pool.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include <chrono>
#include <thread>

#include "engine/io/give_way.h"
#include "engine/io/posix/clock.h"
#include "engine/io/posix/stand_back.h"

namespace keelson::engine::io {
namespace {

class HandClock final : public Clock {
 public:
  std::int64_t now_ns() const override { return now; }
  std::int64_t wall_ms() const override { return 0; }
  std::int64_t now = 0;
};

class BackgroundPoolTest : public testing::Test {
 protected:
  /// Computes once, which takes `took_ns` by the clock; whether the idle class did it.
  bool was_idle(std::int64_t took_ns) {
    int policy = -1;
    FsOperation operation;
    operation.code = FsCode::compute;
    operation.computation = [](void* subject) {
      *static_cast<int*>(subject) = ::sched_getscheduler(0);
    };
    operation.subject = &policy;
    pool_.submit(operation);
    while (!pool_.has_finished()) std::this_thread::yield();
    clock_.now += took_ns;
    FsOperationList finished;
    pool_.take_finished(finished);
    EXPECT_EQ(finished.pop_front(), &operation);
    return policy == SCHED_IDLE;
  }
  int pressed_in_a_row() {
    int count = 0;
    while (count < 1'000 && !was_idle(kShortNs)) ++count;
    return count;
  }

  static constexpr std::int64_t kShortNs = 1'000'000;
  static constexpr std::int64_t kLongNs = BackgroundPool::kTooLongNs + 1;

  Doorbell bell_;
  HandClock clock_;
  BackgroundPool pool_{bell_, clock_};
};

TEST_F(BackgroundPoolTest, TheIdleClassComputesWhileItGetsTheProcessor) {
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(was_idle(kShortNs));
}

TEST_F(BackgroundPoolTest, WhereItIsPutOffAFewAreComputedInItsPlace) {
  EXPECT_TRUE(was_idle(kLongNs));
  EXPECT_EQ(pressed_in_a_row(), 8);
  EXPECT_TRUE(was_idle(kLongNs));
  EXPECT_EQ(pressed_in_a_row(), 8);  // it was in time between
}

TEST_F(BackgroundPoolTest, TwiceAsManyEachTimeThatItIsPutOffAgain) {
  int expected = 8;
  for (int round = 0; round < 8; ++round) {
    ASSERT_TRUE(was_idle(kLongNs));
    for (int i = 0; i < expected; ++i) ASSERT_FALSE(was_idle(kShortNs)) << i << " of " << expected;
    expected = expected < 256 ? expected * 2 : 256;
  }
}

/// How often the thread of a computation left the processor by itself.
class Switches {
 public:
  static long count(BackgroundPool& pool) {
    Switches here;
    FsOperation operation;
    operation.code = FsCode::compute;
    operation.computation = [](void* subject) { static_cast<Switches*>(subject)->work(); };
    operation.subject = &here;
    pool.submit(operation);
    while (!pool.has_finished()) std::this_thread::yield();
    FsOperationList finished;
    pool.take_finished(finished);
    return here.count_;
  }

 private:
  void work() {
    rusage before{};
    rusage after{};
    ::getrusage(RUSAGE_THREAD, &before);
    const PosixClock clock;
    for (int step = 0; step < 100; ++step) {
      const std::int64_t until_ns = clock.now_ns() + 20'000;
      while (clock.now_ns() < until_ns) {
      }
      give_way(std::size_t{32} << 10);
    }
    ::getrusage(RUSAGE_THREAD, &after);
    count_ = after.ru_nvcsw - before.ru_nvcsw;
  }
  long count_ = 0;
};

TEST_F(BackgroundPoolTest, SleepsForDurableWritesAndNotInQuiet) {
  Operation write;
  write.code = OpCode::write;
  write.durable = true;
  foreground.note_submitted(write);
  const long beside_a_write = Switches::count(pool_);
  foreground.note_finished(write);
  EXPECT_GE(beside_a_write, 50);

  const PosixClock clock;
  for (int i = 0; i < 100 && foreground.is_busy(clock.now_ns()); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_LE(Switches::count(pool_), 3);
}

}  // namespace
}  // namespace keelson::engine::io
