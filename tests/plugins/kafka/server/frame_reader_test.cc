#include "plugins/kafka/server/frame_reader.h"

#include <gtest/gtest.h>

#include <deque>

#include "tests/plugins/kafka/server/connected.h"

namespace keelson::test {
namespace {

using engine::Errc;
using engine::Result;
using kafka::Frame;
using kafka::FrameReader;

constexpr std::uint32_t kLimit = 1 << 20;

/// A reader that cuts all that comes, and keeps the frames until told otherwise.
struct Reading : Connected {
  explicit Reading(std::uint64_t budget_bytes = 8 << 20)
      : budget(shard(), budget_bytes), reader(shard(), fd, kLimit, budget) {
    shard().spawn(run());
  }
  ~Reading() {
    peer.leave();
    world.run_for(10 * kSecond);
    shard().backend().close(fd);
  }
  engine::Task<void> run() {
    while (true) {
      Result<Frame> next = co_await reader.next();
      if (!next) {
        end = next.error();
        break;
      }
      texts.emplace_back(reinterpret_cast<const char*>(next->bytes().data()), next->size_bytes());
      if (keep) held.push_back(std::move(*next));
    }
  }
  engine::io::Semaphore budget;
  FrameReader reader;
  std::vector<std::string> texts;
  bool keep = false;
  std::deque<Frame> held;
  std::optional<engine::Error> end;
};

TEST(FrameReader, CutsManyFramesOfOneReceive) {
  Reading reading;
  std::string bytes;
  std::vector<std::string> expected;
  for (int i = 0; i < 3000; ++i) {
    expected.push_back("request " + std::to_string(i));
    bytes += frame(expected.back());
  }
  reading.send(bytes);
  reading.settle();
  EXPECT_EQ(reading.texts, expected);
  EXPECT_EQ(reading.end, std::nullopt);
}

TEST(FrameReader, BytesMayComeOneAtATime) {
  Reading reading;
  reading.world.run_task(reading.peer_node.shard(),
                         reading.peer.send_apart(frame("first") + frame("x") + frame("third")));
  reading.settle();
  EXPECT_EQ(reading.texts, (std::vector<std::string>{"first", "x", "third"}));
}

TEST(FrameReader, SizesThatCannotBeEndTheConnection) {
  for (const std::int32_t size : {0, -1, std::numeric_limits<std::int32_t>::min(),
                                  static_cast<std::int32_t>(kLimit) + 1, 0x7fffffff}) {
    Reading reading;
    reading.send(frame("before") + claim(size) + "and more");
    reading.settle();
    EXPECT_EQ(reading.texts, std::vector<std::string>{"before"}) << size;
    EXPECT_EQ(reading.end, (engine::Error{Errc::invalid_argument})) << size;
  }
}

TEST(FrameReader, AFrameAtTheLimitComesWhole) {
  Reading reading;
  std::string text(kLimit, 'k');
  for (std::size_t i = 0; i < text.size(); i += 977) text[i] = static_cast<char>('a' + i % 26);
  reading.send(frame(text) + frame("small"));
  reading.settle();
  ASSERT_EQ(reading.texts.size(), 2u);
  EXPECT_TRUE(reading.texts[0] == text);
  EXPECT_EQ(reading.texts[1], "small");
  EXPECT_EQ(reading.budget.available(), std::uint64_t{8} << 20);
}

// A peer that announces much and sends little must not cost more than it sent.
TEST(FrameReader, AClaimWithoutBytesIsChargedNothing) {
  Reading reading;
  reading.send(claim(kLimit) + "a few bytes");
  reading.settle();
  EXPECT_EQ(reading.budget.available(), std::uint64_t{8} << 20);
  EXPECT_EQ(reading.end, std::nullopt);
}

TEST(FrameReader, ChargesGrowWithWhatCameAndComeBack) {
  Reading reading;
  const std::string half(kLimit / 2, 'h');
  reading.send(claim(kLimit) + half);
  reading.settle();
  const std::uint64_t taken = (std::uint64_t{8} << 20) - reading.budget.available();
  EXPECT_GE(taken, half.size());
  EXPECT_LE(taken, 2 * half.size());
  reading.peer.leave();  // cut in the middle
  reading.settle();
  EXPECT_EQ(reading.end, (engine::Error{Errc::end_of_stream}));
  EXPECT_EQ(reading.texts.size(), 0u);
  EXPECT_EQ(reading.budget.available(), std::uint64_t{8} << 20);
}

TEST(FrameReader, WaitsForTheBudgetAndGoesOnWhenThereIsSome) {
  Reading reading(kLimit + kLimit / 2);
  reading.keep = true;
  const std::string large(kLimit, 'l');
  reading.send(frame(large));
  reading.settle();
  ASSERT_EQ(reading.texts.size(), 1u);
  reading.peer_node.shard().spawn(Connected::ignore(reading.peer.send(frame(large))));
  reading.settle();
  ASSERT_EQ(reading.texts.size(), 1u);
  EXPECT_EQ(reading.end, std::nullopt);
  reading.held.clear();
  reading.settle();
  EXPECT_EQ(reading.texts.size(), 2u);
}

TEST(FrameReader, NoBudgetForHalfAMinuteEndsTheConnection) {
  Reading reading(kLimit);
  reading.keep = true;
  const std::string large(kLimit, 'l');
  reading.send(frame(large));
  reading.settle();
  reading.peer_node.shard().spawn(Connected::ignore(reading.peer.send(frame(large))));
  reading.world.run_for(20 * kSecond);
  EXPECT_EQ(reading.end, std::nullopt);
  reading.world.run_for(20 * kSecond);
  EXPECT_EQ(reading.end, (engine::Error{Errc::overloaded}));
  reading.held.clear();
  EXPECT_EQ(reading.budget.available(), std::uint64_t{kLimit});
}

// A legal request may be larger than the whole budget: it takes all of it, and comes alone.
TEST(FrameReader, AFrameLargerThanTheBudgetComesAlone) {
  Reading reading(kLimit / 4);
  reading.keep = true;
  const std::string large(kLimit, 'l');
  reading.send(frame(large));
  reading.settle();
  ASSERT_EQ(reading.texts.size(), 1u);
  EXPECT_TRUE(reading.texts[0] == large);
  EXPECT_EQ(reading.budget.available(), 0u);
  reading.peer_node.shard().spawn(Connected::ignore(reading.peer.send(frame(large))));
  reading.settle();
  EXPECT_EQ(reading.texts.size(), 1u);
  reading.held.clear();
  reading.settle();
  EXPECT_EQ(reading.texts.size(), 2u);
  reading.held.clear();
  EXPECT_EQ(reading.budget.available(), std::uint64_t{kLimit / 4});
}

// Small requests pass however much large ones hold.
TEST(FrameReader, SmallFramesNeedNoBudget) {
  Reading reading(0);
  reading.keep = true;
  for (int i = 0; i < 20; ++i) reading.send(frame(std::string(kafka::kFreeFrameBytes, 's')));
  reading.settle();
  EXPECT_EQ(reading.texts.size(), 20u);
  reading.held.clear();
}

}  // namespace
}  // namespace keelson::test
