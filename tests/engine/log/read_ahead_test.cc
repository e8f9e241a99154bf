#include "engine/log/read_ahead.h"

#include <gtest/gtest.h>

#include <memory>

namespace keelson::engine::log {
namespace {

/// As if `ahead` had been read.
void fill(ReadAhead& ahead) {
  static const std::byte kByte{};
  ahead.batches.push_back({nullptr, Bytes(&kByte, 1)});
}

TEST(ReadAheadBudget, TheOldestThatIsReadGoesWhereANewOneNeedsRoom) {
  ReadAheadBudget budget(100);
  const auto first = budget.begin(Offset{1}, 40);
  const auto second = budget.begin(Offset{2}, 40);
  ASSERT_TRUE(first && second);
  fill(*first);
  fill(*second);
  const auto third = budget.begin(Offset{3}, 40);
  ASSERT_TRUE(third);
  EXPECT_FALSE(first->ready());
  EXPECT_TRUE(second->ready());
  EXPECT_EQ(budget.bytes(), 80u);
}

TEST(ReadAheadBudget, ThoseStillBeingReadStay) {
  ReadAheadBudget budget(100);
  const auto first = budget.begin(Offset{1}, 60);
  EXPECT_FALSE(budget.begin(Offset{2}, 60));
  EXPECT_FALSE(budget.begin(Offset{2}, 101));
  EXPECT_EQ(budget.bytes(), 60u);
  first->drop();
  EXPECT_TRUE(budget.begin(Offset{2}, 60));
}

// One that nobody takes stays at the front; those that come and go behind it leave nothing.
TEST(ReadAheadBudget, NothingIsLeftOfThoseThatWereTaken) {
  ReadAheadBudget budget(100);
  const auto stays = budget.begin(Offset{1}, 10);
  fill(*stays);
  std::weak_ptr<ReadAhead> gone;
  for (int i = 0; i < 1000; ++i) {
    const auto passing = budget.begin(Offset{i}, 10);
    ASSERT_TRUE(passing);
    gone = passing;
  }
  EXPECT_TRUE(gone.expired());
  EXPECT_TRUE(stays->ready());
  EXPECT_EQ(budget.bytes(), 10u);
}

}  // namespace
}  // namespace keelson::engine::log
