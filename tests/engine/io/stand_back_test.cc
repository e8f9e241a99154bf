// When a computation sleeps, by a clock that is moved by hand.
#include "engine/io/posix/stand_back.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace keelson::engine::io {
namespace {

using testing::AllOf;
using testing::Gt;
using testing::Lt;

constexpr std::int64_t kStepNs = 20'000;

/// Works and sleeps as it is told for `span_ns`; how much of it was work.
std::int64_t worked_ns(StandBack& thread, std::int64_t span_ns, bool writes_under_way,
                       bool is_busy) {
  std::int64_t now = 0;
  std::int64_t worked = 0;
  thread.begin(now);
  while (now < span_ns) {
    now += kStepNs;
    worked += kStepNs;
    while (const std::int64_t sleep = thread.sleep_ns(now, writes_under_way, is_busy)) {
      now += sleep;
      thread.woke(now);
    }
  }
  return worked;
}

TEST(StandBackTest, HowMuchItWorks) {
  constexpr std::int64_t kSpanNs = 100'000'000;
  StandBack quiet;
  EXPECT_EQ(worked_ns(quiet, kSpanNs, false, false), kSpanNs);
  StandBack busy;
  EXPECT_THAT(worked_ns(busy, kSpanNs, false, true), AllOf(Gt(90'000'000), Lt(92'000'000)));
  StandBack writing;
  EXPECT_THAT(worked_ns(writing, kSpanNs, true, true), AllOf(Gt(24'000'000), Lt(30'000'000)));
}

TEST(StandBackTest, TakesItsBreathAfterAStretchOfWork) {
  StandBack thread;
  thread.begin(1'000);
  EXPECT_EQ(thread.sleep_ns(1'000 + StandBack::kStretchNs - 1, false, true), 0);
  EXPECT_EQ(thread.sleep_ns(1'000 + StandBack::kStretchNs, false, true), StandBack::kBreathNs);
  thread.woke(400'000);
  EXPECT_EQ(thread.sleep_ns(400'000 + StandBack::kStretchNs - 1, false, true), 0);
}

TEST(StandBackTest, SleepsUntilTheWritesAreDone) {
  StandBack thread;
  thread.begin(0);
  EXPECT_EQ(thread.sleep_ns(100'000, false, true), 0);
  std::int64_t now = 100'000;
  for (int look = 0; look < 4; ++look) {
    ASSERT_EQ(thread.sleep_ns(now, true, true), StandBack::kLookNs);
    now += StandBack::kLookNs;
    thread.woke(now);
  }
  EXPECT_EQ(thread.sleep_ns(now, false, true), 0);
}

TEST(StandBackTest, LosesPatienceWithAWriteThatHangs) {
  StandBack thread;
  thread.begin(0);
  std::int64_t now = 1'000'000'000;  // worked long and undisturbed
  std::int64_t slept = 0;
  while (const std::int64_t sleep = thread.sleep_ns(now, true, true)) {
    if (sleep == StandBack::kBreathNs) break;
    now += sleep;
    slept += sleep;
    thread.woke(now);
    ASSERT_LE(slept, StandBack::kPatienceNsMax + StandBack::kLookNs);
  }
  EXPECT_GE(slept, StandBack::kPatienceNsMax);
}

TEST(ForegroundTest, EveryoneSeesWhatOneOfThemFound) {
  Foreground foreground;
  EXPECT_FALSE(foreground.is_busy(0));
  Operation receive;
  receive.code = OpCode::receive;
  foreground.note_submitted(receive);
  EXPECT_FALSE(foreground.is_busy(0));  // it waits for its request
  foreground.note_finished(receive);
  EXPECT_TRUE(foreground.is_busy(0));
  EXPECT_TRUE(foreground.is_busy(1));  // another thread that computes
  EXPECT_TRUE(foreground.is_busy(Foreground::kQuietNs - 1));
  EXPECT_FALSE(foreground.is_busy(Foreground::kQuietNs));
}

TEST(ForegroundTest, DurableWritesAreCounted) {
  Foreground foreground;
  Operation durable;
  durable.code = OpCode::write;
  durable.durable = true;
  Operation relaxed;
  relaxed.code = OpCode::write;
  foreground.note_submitted(relaxed);
  EXPECT_FALSE(foreground.has_durable_writes());
  foreground.note_submitted(durable);
  foreground.note_submitted(durable);
  foreground.note_finished(durable);
  EXPECT_TRUE(foreground.has_durable_writes());
  EXPECT_TRUE(foreground.is_busy(0));
  foreground.note_finished(durable);
  foreground.note_finished(relaxed);
  EXPECT_FALSE(foreground.has_durable_writes());
}

}  // namespace
}  // namespace keelson::engine::io
