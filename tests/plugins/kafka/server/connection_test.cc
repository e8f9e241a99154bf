#include "plugins/kafka/server/connection.h"

#include <gtest/gtest.h>

#include "tests/plugins/kafka/server/connected.h"

namespace keelson::test {
namespace {

using kafka::Connection;
using kafka::ConnectionLimits;
using Texts = std::vector<std::string>;

struct Serving : Connected {
  explicit Serving(ConnectionLimits limits = {}, std::uint64_t seed = 1, bool reading = true)
      : Connected(seed, reading), memory(shard(), std::uint64_t{64} << 20) {
    tasks_before = shard().live_tasks();
    descriptors_before = broker.descriptors_open() - 1;
    connection.emplace(shard(), fd, 7, handler, limits, memory);
    shard().spawn(serve());
  }
  /// Nothing may be left: no task, no descriptor, no memory.
  ~Serving() {
    peer.leave();
    world.run_for(120 * kSecond);
    EXPECT_TRUE(done);
    EXPECT_EQ(shard().live_tasks(), tasks_before);
    EXPECT_EQ(broker.descriptors_open(), descriptors_before);
    EXPECT_EQ(memory.available(), std::uint64_t{64} << 20);
    EXPECT_EQ(handler.running, 0u);
  }
  engine::Task<void> serve() {
    co_await connection->serve();
    connection.reset();
    done = true;
  }
  engine::io::Semaphore memory;
  ScriptedHandler handler;
  std::optional<Connection> connection;
  std::size_t tasks_before = 0;
  std::size_t descriptors_before = 0;
  bool done = false;
};

TEST(Connection, AnswersInTheOrderOfRequests) {
  Serving serving;
  serving.send(frame("pw1") + frame("pw2") + frame("pi3"));
  serving.settle();
  EXPECT_EQ(serving.handler.started, (Texts{"pw1", "pw2", "pi3"}));  // side by side
  serving.handler.release("pw2");
  serving.settle();
  EXPECT_EQ(serving.peer.answers(), Texts{});  // the first is not answered yet
  serving.handler.release("pw1");
  serving.settle();
  EXPECT_EQ(serving.peer.answers(), (Texts{"pw1", "pw2", "pi3"}));
}

TEST(Connection, OtherRequestsRunAlone) {
  Serving serving;
  serving.send(frame("pw1") + frame("aw2") + frame("pw3") + frame("ai4"));
  serving.settle();
  EXPECT_EQ(serving.handler.started, Texts{"pw1"});
  serving.handler.release("pw1");
  serving.settle();
  EXPECT_EQ(serving.handler.started, (Texts{"pw1", "aw2"}));
  serving.handler.release("aw2");
  serving.settle();
  EXPECT_EQ(serving.handler.started, (Texts{"pw1", "aw2", "pw3"}));
  serving.handler.release("pw3");
  serving.settle();
  EXPECT_EQ(serving.peer.answers(), (Texts{"pw1", "aw2", "pw3", "ai4"}));
  EXPECT_EQ(serving.handler.most_running, 1u);
}

TEST(Connection, TenThousandRequestsInOneWriteAreAnsweredInOrder) {
  Serving serving;
  std::string bytes;
  Texts expected;
  for (int i = 0; i < 10'000; ++i) {
    expected.push_back((i % 3 == 0 ? "ai" : "pi") + std::to_string(i));
    bytes += frame(expected.back());
  }
  serving.send(bytes);
  serving.world.run_for(5 * kSecond);
  EXPECT_TRUE(serving.peer.answers() == expected);
  EXPECT_LE(serving.handler.most_running, ConnectionLimits{}.queued_requests_max);
}

TEST(Connection, RequestsBeyondTheQueueWait) {
  ConnectionLimits limits;
  limits.queued_requests_max = 4;
  Serving serving(limits);
  std::string bytes;
  for (int i = 0; i < 20; ++i) bytes += frame("pw" + std::to_string(i));
  serving.send(bytes);
  serving.settle();
  EXPECT_EQ(serving.handler.started.size(), 4u);
  for (int i = 0; i < 20; ++i) {
    serving.handler.release("pw" + std::to_string(i));
    serving.settle();
  }
  EXPECT_EQ(serving.peer.answers().size(), 20u);
}

TEST(Connection, WhatWasAskedBeforeTheEndIsAnswered) {
  Serving serving;
  serving.send(frame("pi1") + frame("al2") + frame("ai3") + std::string("\0\0\0\x20half", 8));
  serving.settle();
  EXPECT_EQ(serving.peer.answers(), Texts{"pi1"});  // the second is a long poll
  // A peer's shutdown() in the simulation ends both directions, so look at what ran.
  serving.peer.leave();
  serving.settle();
  EXPECT_EQ(serving.handler.started, (Texts{"pi1", "al2", "ai3"}));
  EXPECT_TRUE(serving.done);  // and did not wait for the long poll's minute
}

TEST(Connection, ABadFrameEndsItAfterWhatWasBefore) {
  for (const std::int32_t size : {0, -5, 0x7fffffff}) {
    Serving serving;
    serving.send(frame("pi1") + frame("al2") + frame("ai3") + claim(size) + frame("ai5"));
    serving.settle();
    EXPECT_EQ(serving.peer.answers(), (Texts{"pi1", "al2", "ai3"})) << size;
    EXPECT_TRUE(serving.peer.ended);
    EXPECT_TRUE(serving.done);
  }
}

TEST(Connection, CloseComesAfterEarlierAnswersAndDropsTheRest) {
  Serving serving;
  serving.send(frame("pw1") + frame("pc2") + frame("pi3") + frame("ai4"));
  serving.settle();
  EXPECT_FALSE(serving.peer.ended);
  serving.handler.release("pw1");
  serving.settle();
  EXPECT_EQ(serving.peer.answers(), Texts{"pw1"});
  EXPECT_TRUE(serving.peer.ended);
  EXPECT_TRUE(serving.done);
}

TEST(Connection, NoAnswerLeavesNoGap) {
  Serving serving;
  serving.send(frame("pn1") + frame("pi2") + frame("an3") + frame("ai4"));
  serving.settle();
  EXPECT_EQ(serving.peer.answers(), (Texts{"pi2", "ai4"}));
}

// Its answers stay few, its requests unread, until it reads on; then all come.
TEST(Connection, APeerThatDoesNotReadHoldsLittle) {
  ConnectionLimits limits;
  limits.output_bytes_max = 1 << 20;
  Serving serving(limits, 1, /*reading=*/false);
  constexpr int kRequests = 40;
  std::string bytes;
  for (int i = 0; i < kRequests; ++i) bytes += frame("ab1000000");
  serving.send(bytes);
  serving.settle();
  EXPECT_LE(serving.handler.started.size(), 4u);
  EXPECT_TRUE(serving.connection->output_waiting());
  serving.peer_node.shard().spawn(serving.peer.read());
  serving.world.run_for(60 * kSecond);
  EXPECT_EQ(serving.peer.answers().size(), std::size_t{kRequests});
  EXPECT_FALSE(serving.connection->output_waiting());
}

TEST(Connection, ShutDownAnswersWhatRunsAndEnds) {
  Serving serving;
  serving.send(frame("pw1") + frame("al2"));
  serving.settle();
  serving.connection->shut_down(false);
  serving.settle();
  EXPECT_FALSE(serving.done);
  serving.handler.release("pw1");
  serving.settle();
  EXPECT_EQ(serving.peer.answers(), (Texts{"pw1", "al2"}));
  EXPECT_TRUE(serving.done);
}

TEST(Connection, ShutDownOfAnIdleOneEndsItAtOnce) {
  Serving serving;
  serving.settle();
  serving.connection->shut_down(false);
  serving.settle();
  EXPECT_TRUE(serving.done);
  EXPECT_TRUE(serving.peer.ended);
}

TEST(Connection, ShutDownAtOnceDropsAnswers) {
  Serving serving;
  serving.send(frame("al1") + frame("ai2") + frame("ai3"));
  serving.settle();
  serving.connection->shut_down(true);
  serving.settle();
  EXPECT_TRUE(serving.done);
  EXPECT_TRUE(serving.peer.ended);
  EXPECT_EQ(serving.handler.started, Texts{"al1"});
  EXPECT_EQ(serving.peer.answers(), Texts{});
}

TEST(Connection, AResetEndsLongPolls) {
  Serving serving;
  serving.send(frame("pw1") + frame("al2"));
  serving.settle();
  serving.world.network().reset_connections(serving.broker, serving.peer_node);
  serving.settle();
  EXPECT_FALSE(serving.done);  // its handler still runs
  serving.handler.release("pw1");
  serving.settle();
  EXPECT_TRUE(serving.done);
}

}  // namespace
}  // namespace keelson::test
