// Waiting for each other within one shard, on the threads backend.
#include "engine/io/sync.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "tests/support/run_on_runtime.h"

namespace keelson::engine::io {
namespace {

using testing::ElementsAre;

constexpr std::int64_t kMillisecond = 1'000'000;

template <class F>
void on_shard(F function) {
  test::run_on_runtime(function, {.backend = BackendChoice::threads});
}

Task<void> take_and_note(Semaphore& semaphore, std::uint64_t units, std::vector<int>& log, int id) {
  const bool taken = co_await semaphore.take(units);
  EXPECT_TRUE(taken);
  log.push_back(id);
}

Task<void> serves_in_order(Shard& shard) {
  Semaphore semaphore(shard, 10);
  std::vector<int> log;
  EXPECT_TRUE(semaphore.try_take(8));
  TaskGroup waiting(shard);
  waiting.start(take_and_note(semaphore, 9, log, 1));
  waiting.start(take_and_note(semaphore, 1, log, 2));  // would fit, but others came first
  EXPECT_FALSE(semaphore.try_take(1));
  EXPECT_THAT(log, ElementsAre());
  semaphore.give(8);
  co_await waiting.wait();
  EXPECT_THAT(log, ElementsAre(1, 2));
  EXPECT_EQ(semaphore.available(), 0u);
  semaphore.give(10);
  EXPECT_EQ(semaphore.available(), 10u);
}

TEST(Semaphore, ServesInOrder) { on_shard(serves_in_order); }

Task<void> give_up(Shard& shard, Semaphore& semaphore, std::uint64_t units, bool& taken) {
  taken = co_await semaphore.take(units, shard.clock().now_ns() + 2 * kMillisecond);
}

Task<void> timed_out_waiter(Shard& shard) {
  Semaphore semaphore(shard, 5);
  std::vector<int> log;
  bool large_taken = true;
  TaskGroup waiting(shard);
  waiting.start(give_up(shard, semaphore, 6, large_taken));
  waiting.start(take_and_note(semaphore, 5, log, 2));
  co_await waiting.wait();  // hangs where the second is not served when the first gives up
  EXPECT_FALSE(large_taken);
  EXPECT_THAT(log, ElementsAre(2));
  EXPECT_EQ(semaphore.available(), 0u);
  const bool late = co_await semaphore.take(1, shard.clock().now_ns() - 1);
  EXPECT_FALSE(late);
}

TEST(Semaphore, AWaiterThatGivesUpLetsTheNextPass) { on_shard(timed_out_waiter); }

Task<void> wait_and_note(Event& event, std::vector<int>& log, int id) {
  co_await event.wait();
  log.push_back(id);
}

Task<void> event_wakes_all(Shard& shard) {
  Event event(shard);
  std::vector<int> log;
  TaskGroup waiting(shard);
  waiting.start(wait_and_note(event, log, 1));
  waiting.start(wait_and_note(event, log, 2));
  EXPECT_TRUE(event.has_waiters());
  event.notify();
  EXPECT_FALSE(event.has_waiters());
  EXPECT_THAT(log, ElementsAre());  // never inside the call that released them
  co_await waiting.wait();
  EXPECT_THAT(log, ElementsAre(1, 2));
  EXPECT_FALSE(event.is_set());
  event.set();
  const bool set = co_await event.wait();
  EXPECT_TRUE(set);
  event.reset();
  const bool again = co_await event.wait_until(shard.clock().now_ns() + kMillisecond);
  EXPECT_FALSE(again);
}

TEST(Event, WakesAllThatWait) { on_shard(event_wakes_all); }

struct Noted : Event::Subscription {
  int calls = 0;
};

Task<void> subscriptions(Shard& shard) {
  Event event(shard);
  Noted stays;
  Noted leaves;
  for (Noted* noted : {&stays, &leaves}) {
    noted->on_release = [](detail::Waiter& self) { ++static_cast<Noted&>(self).calls; };
    event.subscribe(*noted);
  }
  leaves.cancel();
  event.notify();
  event.notify();
  EXPECT_EQ(stays.calls, 1);
  EXPECT_EQ(leaves.calls, 0);
  co_return;
}

TEST(Event, CallsSubscribersOnce) { on_shard(subscriptions); }

Task<void> stay_inside(Shard& shard, Gate& gate, bool& left) {
  const Gate::Pass pass(gate);
  co_await shard.sleep_for_ms(2);
  left = true;
}

Task<void> gate_waits(Shard& shard) {
  Gate gate(shard);
  bool left = false;
  TaskGroup inside(shard);
  EXPECT_TRUE(gate.enter());
  inside.start(stay_inside(shard, gate, left));
  EXPECT_EQ(gate.inside(), 1u);
  co_await gate.close();
  EXPECT_TRUE(left);
  EXPECT_FALSE(gate.enter());
  co_await gate.close();  // idempotent
  co_await inside.wait();
}

TEST(Gate, CloseWaitsForThoseInside) { on_shard(gate_waits); }

Task<void> leave_at(Shard& shard, std::int64_t milliseconds, int& ended) {
  co_await shard.sleep_for_ms(milliseconds);
  ++ended;
}

Task<void> group_waits(Shard& shard) {
  TaskGroup group(shard);
  co_await group.wait();  // of none
  int ended = 0;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) group.start(leave_at(shard, i % 2, ended));
    co_await group.wait();
    EXPECT_EQ(ended, (round + 1) * 4);
  }
}

TEST(TaskGroup, WaitsForAllAndCanBeUsedAgain) { on_shard(group_waits); }

Task<void> order_of_turns(Shard& shard, std::vector<int>& log, int id) {
  for (int round = 0; round < 2; ++round) {
    log.push_back(id);
    co_await shard.yield();
  }
}

Task<void> yields_take_turns(Shard& shard) {
  std::vector<int> log;
  TaskGroup group(shard);
  group.start(order_of_turns(shard, log, 1));
  group.start(order_of_turns(shard, log, 2));
  co_await group.wait();
  EXPECT_THAT(log, ElementsAre(1, 2, 1, 2));
}

TEST(Shard, YieldsTakeTurns) { on_shard(yields_take_turns); }

Task<void> take_steps(Shard& shard, std::vector<int>& order, int name, int count) {
  for (int i = 0; i < count; ++i) {
    order.push_back(name);
    co_await shard.yield();
  }
}

Task<void> background(Shard& shard, std::vector<int>& order, const bool& over) {
  while (!over) {
    co_await shard.rest();
    order.push_back(0);
  }
}

// Whatever a chain of resumptions leads to goes first, and yet not for ever.
Task<void> rest_gives_way(Shard& shard) {
  std::vector<int> order;
  bool over = false;
  TaskGroup group(shard);
  group.start(background(shard, order, over));
  co_await take_steps(shard, order, 1, 10);
  EXPECT_EQ(order, std::vector<int>(10, 1));
  co_await take_steps(shard, order, 1, 200);
  const auto between = static_cast<std::size_t>(std::ranges::count(order, 0));
  EXPECT_GT(between, 2u);
  EXPECT_LT(between, 20u);
  over = true;
  co_await group.wait();
}
TEST(Shard, BackgroundWorkGivesWay) { on_shard(rest_gives_way); }

}  // namespace
}  // namespace keelson::engine::io
