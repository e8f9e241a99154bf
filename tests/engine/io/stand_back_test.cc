// When a computation sleeps, by a clock that is moved by hand.
#include "engine/io/posix/stand_back.h"

#include <gtest/gtest.h>

namespace keelson::engine::io {
namespace {

constexpr std::int64_t kStepNs = 20'000;

/// Works and sleeps as it is told for `span_ns`; how much of it was work.
std::int64_t worked_ns(StandBack& thread, std::int64_t span_ns, bool writes_under_way,
                       bool requests_come) {
  std::int64_t now = 0;
  std::int64_t worked = 0;
  thread.begin(now);
  while (now < span_ns) {
    now += kStepNs;
    worked += kStepNs;
    while (const std::int64_t sleep = thread.sleep_ns(now, writes_under_way, requests_come)) {
      now += sleep;
      thread.woke(now);
    }
  }
  return worked;
}

TEST(StandBackTest, WorksWithoutWritesButForABreath) {
  StandBack thread;
  const std::int64_t worked = worked_ns(thread, 100'000'000, false, true);
  EXPECT_GT(worked, 90'000'000);
  EXPECT_LT(worked, 92'000'000);
}

TEST(StandBackTest, TakesNoBreathWhereNothingComes) {
  StandBack thread;
  EXPECT_EQ(worked_ns(thread, 100'000'000, false, false), 100'000'000);
}

TEST(StandBackTest, BreathesForAWhileAfterTheLastRequest) {
  StandBack thread;
  thread.begin(0);
  EXPECT_EQ(thread.sleep_ns(10'000, false, true), 0);
  EXPECT_EQ(thread.sleep_ns(StandBack::kQuietNs, false, false), StandBack::kBreathNs);
  EXPECT_EQ(thread.sleep_ns(StandBack::kQuietNs + 10'000, false, false), 0);
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
    ASSERT_EQ(thread.sleep_ns(now, true, false), StandBack::kLookNs);
    now += StandBack::kLookNs;
    thread.woke(now);
  }
  EXPECT_EQ(thread.sleep_ns(now, false, true), 0);
}

TEST(StandBackTest, KeepsAQuarterWhereThereAreAlwaysWrites) {
  StandBack thread;
  const std::int64_t worked = worked_ns(thread, 100'000'000, true, false);
  EXPECT_GT(worked, 24'000'000);
  EXPECT_LT(worked, 30'000'000);
}

TEST(StandBackTest, LosesPatienceWithAWriteThatHangs) {
  StandBack thread;
  thread.begin(0);
  std::int64_t now = 1'000'000'000;  // worked long and undisturbed
  std::int64_t slept = 0;
  while (const std::int64_t sleep = thread.sleep_ns(now, true, false)) {
    if (sleep == StandBack::kBreathNs) break;
    now += sleep;
    slept += sleep;
    thread.woke(now);
    ASSERT_LE(slept, StandBack::kPatienceNsMax + StandBack::kLookNs);
  }
  EXPECT_GE(slept, StandBack::kPatienceNsMax);
}

}  // namespace
}  // namespace keelson::engine::io
