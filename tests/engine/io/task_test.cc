// Coroutines that hand their result to whoever awaits them.
#include "engine/task.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/run_on_runtime.h"

namespace keelson::engine {
namespace {

using io::BackendChoice;
using io::Shard;

/// Counts itself, to see what is destroyed when.
struct Tracked {
  explicit Tracked(int& alive) : alive(&alive) { ++alive; }
  Tracked(const Tracked& other) : alive(other.alive) { ++*alive; }
  Tracked& operator=(const Tracked&) = delete;
  ~Tracked() { --*alive; }
  int* alive;
};

Task<int> answer(Tracked) { co_return 42; }

TEST(Task, IsLazyAndFreesWhatItHolds) {
  int alive = 0;
  {
    Task<int> task = answer(Tracked(alive));
    EXPECT_EQ(alive, 1);
    Task<int> moved = std::move(task);
    EXPECT_FALSE(task.valid());  // NOLINT(bugprone-use-after-move)
    EXPECT_TRUE(moved.valid());
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

Task<std::unique_ptr<std::string>> make_text() {
  co_return std::make_unique<std::string>("moved out");
}

Task<std::size_t> use_text() {
  const std::unique_ptr<std::string> text = co_await make_text();
  co_return text->size();
}

TEST(Task, HandsMoveOnlyResultsOn) {
  EXPECT_EQ(
      test::run_on_runtime([](Shard&) { return use_text(); }, {.backend = BackendChoice::threads}),
      9u);
}

Task<int> depth(int levels) {
  if (levels == 0) co_return 0;
  const int below = co_await depth(levels - 1);
  co_return below + 1;
}

TEST(Task, NestsDeeply) {
  EXPECT_EQ(
      test::run_on_runtime([](Shard&) { return depth(1000); }, {.backend = BackendChoice::threads}),
      1000);
}

Task<void> add_one(Shard& shard, int& sum) {
  co_await shard.yield();
  ++sum;
}

Task<int> many_in_a_row(Shard& shard) {
  int sum = 0;
  for (int i = 0; i < 100'000; ++i) co_await add_one(shard, sum);
  co_return sum;
}

TEST(Task, LoopsDoNotGrowTheStack) {
  EXPECT_EQ(test::run_on_runtime([](Shard& shard) { return many_in_a_row(shard); },
                                 {.backend = BackendChoice::threads}),
            100'000);
}

}  // namespace
}  // namespace keelson::engine
