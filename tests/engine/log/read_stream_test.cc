#include "engine/log/read_stream.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "engine/log/entry_cursor.h"
#include "engine/log/log.h"

namespace keelson::engine::log {
namespace {

class SetClock final : public io::Clock {
 public:
  std::int64_t now_ns() const override { return now; }
  std::int64_t wall_ms() const override { return 0; }
  std::int64_t now = 10'000'000'000;
};

class ReadAheadBudgetTest : public testing::Test {
 protected:
  SetClock clock_;
  ReadAheadBudget budget_{clock_, 100};
};

TEST_F(ReadAheadBudgetTest, NothingIsTakenFromThoseWhoMayStillCome) {
  const auto first = budget_.begin(60, ReadAheadUse::expected);
  ASSERT_TRUE(first);
  first->state = ReadPiece::State::ready;
  EXPECT_FALSE(budget_.begin(60, ReadAheadUse::expected));
  EXPECT_EQ(first->state, ReadPiece::State::ready);
  EXPECT_EQ(budget_.bytes(), 60u);
}

TEST_F(ReadAheadBudgetTest, TheAbandonedMakeRoom) {
  const auto first = budget_.begin(40, ReadAheadUse::expected);
  const auto second = budget_.begin(40, ReadAheadUse::expected);
  ASSERT_TRUE(first && second);
  first->state = second->state = ReadPiece::State::ready;
  clock_.now += ReadAheadBudget::kAbandonedAfterNs + 1;
  const auto third = budget_.begin(40, ReadAheadUse::expected);
  ASSERT_TRUE(third);
  EXPECT_EQ(first->state, ReadPiece::State::gone);
  EXPECT_EQ(second->state, ReadPiece::State::ready);
  EXPECT_EQ(budget_.bytes(), 80u);
}

TEST_F(ReadAheadBudgetTest, ThoseStillBeingReadStay) {
  const auto first = budget_.begin(60, ReadAheadUse::expected);
  clock_.now += ReadAheadBudget::kAbandonedAfterNs + 1;
  EXPECT_FALSE(budget_.begin(60, ReadAheadUse::expected));
  EXPECT_FALSE(budget_.begin(101, ReadAheadUse::expected));
  EXPECT_EQ(budget_.bytes(), 60u);
  first->drop();
  EXPECT_TRUE(budget_.begin(60, ReadAheadUse::expected));
}

TEST_F(ReadAheadBudgetTest, WhatIsLessSureGetsLess) {
  const auto first = budget_.begin(30, ReadAheadUse::later);
  ASSERT_TRUE(first);
  EXPECT_FALSE(budget_.begin(10, ReadAheadUse::later));
  const auto second = budget_.begin(40, ReadAheadUse::next);
  ASSERT_TRUE(second);
  EXPECT_FALSE(budget_.begin(10, ReadAheadUse::next));
  EXPECT_TRUE(budget_.has_room(30, ReadAheadUse::expected));
  EXPECT_TRUE(budget_.begin(30, ReadAheadUse::expected));
}

// One that nobody takes stays at the front; those that come and go behind it leave nothing.
TEST_F(ReadAheadBudgetTest, NothingIsLeftOfThoseThatWereTaken) {
  const auto stays = budget_.begin(10, ReadAheadUse::expected);
  std::weak_ptr<ReadPiece> gone;
  for (int i = 0; i < 1000; ++i) {
    const auto passing = budget_.begin(10, ReadAheadUse::expected);
    ASSERT_TRUE(passing);
    gone = passing;
  }
  EXPECT_TRUE(gone.expired());
  EXPECT_EQ(budget_.bytes(), 10u);
}

constexpr std::uint32_t kBatchBytes = 10;

/// `count` batches of kBatchBytes, one record each, from offset and batch number `first` on.
EntryRun make_run(std::uint32_t first, std::uint32_t count) {
  EntryRun run;
  for (std::uint32_t i = first; i < first + count; ++i) {
    IntegrityEntry& entry = run.entries.emplace_back();
    entry.position_bytes = i * kBatchBytes;
    entry.size_bytes = kBatchBytes;
    entry.relative_last_offset = i;
  }
  return run;
}

class ReadStreamTest : public ReadAheadBudgetTest {
 protected:
  /// A piece of `count` batches behind those there are, as if it had been read.
  void add_piece(ReadStream& stream, std::uint32_t count) {
    auto piece = budget_.begin(count, ReadAheadUse::expected);
    ASSERT_TRUE(piece);
    const auto first = static_cast<std::uint32_t>(stream.tail.value());
    piece->run = make_run(first, count);
    auto memory = std::make_shared<std::vector<std::byte>>(count * kBatchBytes,
                                                           static_cast<std::byte>(first));
    piece->batches = {memory, Bytes(*memory)};
    piece->state = ReadPiece::State::ready;
    stream.pieces.push_back(std::move(piece));
    stream.tail = stream.tail + count;
  }

  /// How many bytes the next read gets.
  static std::size_t take(ReadStream& stream, std::int64_t below, std::uint64_t bytes_max,
                          bool at_least_one = false) {
    SliceList into;
    const ReadLimits limits{.bytes_max = bytes_max, .at_least_one_batch = at_least_one};
    const bool any = stream.take(Offset{0}, Offset{below}, limits, into);
    EXPECT_EQ(any, !into.empty());
    return total_bytes(into);
  }
};

// Never notified or waited for here, so it needs no running shard.
io::Shard& no_shard() {
  alignas(io::Shard) static std::byte memory[sizeof(io::Shard)];
  return reinterpret_cast<io::Shard&>(memory);
}

TEST_F(ReadStreamTest, GivesWholeBatchesWithinTheLimits) {
  ReadStream stream(no_shard(), Offset{0});
  add_piece(stream, 4);
  EXPECT_EQ(take(stream, 100, 25), 20u);
  EXPECT_EQ(stream.next, Offset{2});
  EXPECT_EQ(take(stream, 100, 9), 0u);
  EXPECT_EQ(take(stream, 100, 9, true), 10u);
  EXPECT_EQ(take(stream, 3, 100), 0u);  // the last is at 3
  EXPECT_EQ(take(stream, 4, 100), 10u);
  EXPECT_EQ(stream.next, Offset{4});
  EXPECT_TRUE(stream.pieces.empty());
  EXPECT_EQ(budget_.bytes(), 0u);
}

TEST_F(ReadStreamTest, ALargeReadTakesSeveralPieces) {
  ReadStream stream(no_shard(), Offset{0});
  add_piece(stream, 2);
  add_piece(stream, 3);
  add_piece(stream, 2);
  EXPECT_EQ(take(stream, 100, 65), 60u);
  EXPECT_EQ(stream.next, Offset{6});
  EXPECT_EQ(stream.pieces.size(), 1u);
  EXPECT_EQ(take(stream, 100, 65), 10u);
}

TEST_F(ReadStreamTest, WhatIsGoneIsNotGivenNorWhatIsBehindIt) {
  ReadStream stream(no_shard(), Offset{0});
  add_piece(stream, 1);
  add_piece(stream, 1);
  add_piece(stream, 1);
  stream.pieces[1]->drop();
  EXPECT_EQ(take(stream, 100, 100), 10u);
  EXPECT_EQ(take(stream, 100, 100), 0u);
  EXPECT_FALSE(stream.must_wait());
  EXPECT_EQ(stream.next, Offset{1});
}

TEST_F(ReadStreamTest, WaitsForWhatIsUnderWayOnly) {
  ReadStream stream(no_shard(), Offset{0});
  EXPECT_FALSE(stream.must_wait());
  stream.filling = true;
  EXPECT_TRUE(stream.must_wait());
  add_piece(stream, 1);
  EXPECT_FALSE(stream.must_wait());
  stream.pieces[0]->state = ReadPiece::State::reading;
  EXPECT_TRUE(stream.must_wait());
  stream.restart(Offset{7});
  stream.filling = false;
  EXPECT_FALSE(stream.must_wait());
  EXPECT_EQ(stream.next, Offset{7});
}

TEST(ReadStreams, EveryReaderHasItsOwnAndTheLastUsedStay) {
  ReadStreams streams;
  for (int i = 0; i < 8; ++i) streams.add(std::make_shared<ReadStream>(no_shard(), Offset{i}));
  EXPECT_TRUE(streams.find(Offset{0}));  // used: the oldest is that at 1 now
  streams.add(std::make_shared<ReadStream>(no_shard(), Offset{8}));
  EXPECT_TRUE(streams.find(Offset{0}));
  EXPECT_FALSE(streams.find(Offset{1}));
  EXPECT_TRUE(streams.find(Offset{8}));
}

}  // namespace
}  // namespace keelson::engine::log
