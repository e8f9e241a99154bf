// What happens when.
#include "engine/io/timer_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

namespace keelson::engine::io {
namespace {

using testing::ElementsAre;

struct NotedTimer : Timer {
  explicit NotedTimer(std::vector<int>& log, int id = 0) : log(&log), id(id) {
    on_due = [](Timer& self) {
      auto& noted = static_cast<NotedTimer&>(self);
      EXPECT_FALSE(noted.armed());
      noted.log->push_back(noted.id);
    };
  }
  std::vector<int>* log;
  int id;
};

TEST(TimerQueue, RunsInOrderOfDeadlineThenOfArming) {
  std::vector<int> log;
  TimerQueue queue;
  NotedTimer late(log, 1), first(log, 2), second(log, 3), early(log, 4);
  queue.arm(late, 30);
  queue.arm(first, 20);
  queue.arm(second, 20);
  queue.arm(early, 10);
  EXPECT_EQ(queue.next_deadline_ns(), 10);
  EXPECT_EQ(queue.run_due(9), 0u);
  EXPECT_EQ(queue.run_due(20), 3u);
  EXPECT_THAT(log, ElementsAre(4, 2, 3));
  EXPECT_EQ(queue.next_deadline_ns(), 30);
  queue.disarm(late);
  queue.disarm(late);  // allowed
  EXPECT_EQ(queue.next_deadline_ns(), std::nullopt);
}

TEST(TimerQueue, WhatIsArmedMeanwhileWaits) {
  struct Again : Timer {
    TimerQueue* queue = nullptr;
    int runs = 0;
  };
  TimerQueue queue;
  Again timer;
  timer.queue = &queue;
  timer.on_due = [](Timer& self) {
    auto& again = static_cast<Again&>(self);
    ++again.runs;
    again.queue->arm(again, 0);  // due already: a loop without end if it ran at once
  };
  queue.arm(timer, 0);
  EXPECT_EQ(queue.run_due(100), 1u);
  EXPECT_EQ(timer.runs, 1);
  EXPECT_EQ(queue.run_due(100), 1u);
  queue.disarm(timer);
}

// A newly armed timer that is due sooner must not hold up one that was there.
TEST(TimerQueue, WhatIsArmedMeanwhileHoldsUpNothing) {
  struct Armer : Timer {
    TimerQueue* queue = nullptr;
    Timer* other = nullptr;
  };
  std::vector<int> log;
  TimerQueue queue;
  NotedTimer added(log, 1), waiting(log, 2);
  Armer armer;
  armer.queue = &queue;
  armer.other = &added;
  armer.on_due = [](Timer& self) {
    auto& here = static_cast<Armer&>(self);
    here.queue->arm(*here.other, 5);
  };
  queue.arm(armer, 10);
  queue.arm(waiting, 20);
  EXPECT_EQ(queue.run_due(30), 2u);
  EXPECT_THAT(log, ElementsAre(2));
  EXPECT_EQ(queue.run_due(30), 1u);
  EXPECT_THAT(log, ElementsAre(2, 1));
}

TEST(TimerQueue, OneThatRunsDisarmsAnother) {
  struct Disarmer : Timer {
    TimerQueue* queue = nullptr;
    Timer* other = nullptr;
  };
  std::vector<int> log;
  TimerQueue queue;
  NotedTimer spared(log, 1), last(log, 2);
  Disarmer disarmer;
  disarmer.queue = &queue;
  disarmer.other = &spared;
  disarmer.on_due = [](Timer& self) {
    auto& here = static_cast<Disarmer&>(self);
    EXPECT_TRUE(here.other->armed());
    here.queue->disarm(*here.other);
    EXPECT_FALSE(here.other->armed());
  };
  queue.arm(disarmer, 1);
  queue.arm(spared, 2);
  queue.arm(last, 3);
  EXPECT_EQ(queue.run_due(10), 2u);
  EXPECT_THAT(log, ElementsAre(2));
}

TEST(TimerQueue, AgreesWithASortedMap) {
  const std::uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  std::vector<int> log;
  TimerQueue queue;
  std::vector<std::unique_ptr<NotedTimer>> timers;
  for (int id = 0; id < 200; ++id) timers.push_back(std::make_unique<NotedTimer>(log, id));
  std::map<std::pair<std::int64_t, std::uint64_t>, int> model;
  std::map<int, std::pair<std::int64_t, std::uint64_t>> keys;
  std::int64_t now = 0;
  std::uint64_t sequence = 0;
  for (int step = 0; step < 20'000; ++step) {
    const int id = static_cast<int>(random() % 200);
    if (random() % 4 == 0) {
      now += static_cast<std::int64_t>(random() % 20);
      std::vector<int> expected;
      while (!model.empty() && model.begin()->first.first <= now) {
        expected.push_back(model.begin()->second);
        keys.erase(model.begin()->second);
        model.erase(model.begin());
      }
      log.clear();
      EXPECT_EQ(queue.run_due(now), expected.size());
      ASSERT_EQ(log, expected);
    } else if (timers[id]->armed()) {
      queue.disarm(*timers[id]);
      model.erase(keys.at(id));
      keys.erase(id);
    } else {
      const std::int64_t deadline = now + static_cast<std::int64_t>(random() % 100);
      queue.arm(*timers[id], deadline);
      model[{deadline, sequence}] = id;
      keys[id] = {deadline, sequence++};
    }
    const auto next = model.empty() ? std::nullopt : std::optional(model.begin()->first.first);
    ASSERT_EQ(queue.next_deadline_ns(), next);
  }
}

}  // namespace
}  // namespace keelson::engine::io
