#include "engine/io/sim/sim_network.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "engine/io/awaitables.h"
#include "engine/io/sim/sim_world.h"

namespace keelson::engine::io {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

Task<std::int64_t> transfer(Shard& shard, OpCode code, int fd, char* bytes, std::size_t count) {
  const iovec buffer{bytes, count};
  IoAwaiter operation{shard};
  operation.code = code;
  operation.fd = fd;
  operation.buffers = &buffer;
  operation.buffer_count = 1;
  const std::int64_t result = co_await operation;
  co_return result;
}

Task<std::int64_t> connect_to(Shard& shard, Endpoint endpoint, int* fd) {
  *fd = shard.backend().connect_socket(endpoint).value();
  IoAwaiter operation{shard};
  operation.code = OpCode::connect;
  operation.fd = *fd;
  const std::int64_t result = co_await operation;
  co_return result;
}

char pattern(std::uint64_t position) { return static_cast<char>(position * 31 + position / 251); }

struct Traffic {
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;
  std::int64_t end = 1;  // what the receiver saw last: 0 or -errno
  std::int64_t send_error = 0;
  bool in_order = true;
  bool paused = false;  // the receiver leaves the bytes where they are
  int client_fd = -1;
};

Task<void> serve(Shard& shard, int listener, Traffic& traffic) {
  const std::int64_t fd = co_await transfer(shard, OpCode::accept, listener, nullptr, 0);
  if (fd < 0) co_return;
  std::string buffer(3'000, '\0');
  while (true) {
    while (traffic.paused) co_await shard.sleep_for_ms(1);
    traffic.end = co_await transfer(shard, OpCode::receive, static_cast<int>(fd), buffer.data(),
                                    buffer.size());
    if (traffic.end <= 0) break;
    for (std::int64_t i = 0; i < traffic.end; ++i) {
      traffic.in_order &= buffer[static_cast<std::size_t>(i)] == pattern(traffic.received_bytes++);
    }
  }
  shard.backend().close(static_cast<int>(fd));
}

Task<void> send_all(Shard& shard, Endpoint endpoint, std::uint64_t bytes, Traffic& traffic) {
  const std::int64_t connected = co_await connect_to(shard, endpoint, &traffic.client_fd);
  if (connected < 0) {
    traffic.send_error = connected;
    co_return;
  }
  std::string buffer(10'000, '\0');
  while (traffic.sent_bytes < bytes) {
    const std::size_t part = std::min<std::uint64_t>(buffer.size(), bytes - traffic.sent_bytes);
    for (std::size_t i = 0; i < part; ++i) buffer[i] = pattern(traffic.sent_bytes + i);
    const std::int64_t sent =
        co_await transfer(shard, OpCode::send, traffic.client_fd, buffer.data(), part);
    if (sent < 0) {
      traffic.send_error = sent;
      break;
    }
    traffic.sent_bytes += static_cast<std::uint64_t>(sent);
  }
  shard.backend().close(traffic.client_fd);
}

struct Pair {
  explicit Pair(std::uint64_t seed) : world(seed) {
    endpoint = Endpoint{server.host(), 9092};
    listener = server.shard().backend().listen(endpoint, 16).value();
    server.shard().spawn(serve(server.shard(), listener, traffic));
  }
  void start(std::uint64_t bytes) {
    client.shard().spawn(send_all(client.shard(), endpoint, bytes, traffic));
  }
  Traffic traffic;
  SimWorld world;
  SimNode& server = world.start_node("server");
  SimNode& client = world.start_node("client");
  Endpoint endpoint;
  int listener = -1;
};

TEST(SimNetwork, BytesArriveOnceAndInOrder) {
  constexpr std::uint64_t kBytes = 2'000'000;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Pair pair(seed);
    pair.client.faults().short_send_ppm = 300'000;
    pair.server.faults().short_receive_ppm = 300'000;
    pair.world.network().set_buffer_bytes(64 * 1024);
    pair.start(kBytes);
    // A cut on the way: the stream waits and goes on.
    pair.world.run_for(pair.world.rng().between(100'000, 3'000'000));
    pair.world.network().partition(pair.server, pair.client, true);
    pair.world.run_for(5 * kSecondNs);
    EXPECT_LT(pair.traffic.received_bytes, kBytes);
    pair.world.network().partition(pair.server, pair.client, false);
    ASSERT_TRUE(pair.world.run_until([&] { return pair.traffic.end <= 0; },
                                     pair.world.now_ns() + 60 * kSecondNs));
    EXPECT_EQ(pair.traffic.end, 0);
    EXPECT_EQ(pair.traffic.received_bytes, kBytes);
    EXPECT_TRUE(pair.traffic.in_order);
    EXPECT_EQ(pair.world.network().connections(), 0u);
  }
}

TEST(SimNetwork, SendWaitsWhereNobodyReads) {
  Pair pair(1);
  pair.world.network().set_buffer_bytes(50'000);
  pair.traffic.paused = true;
  pair.start(1'000'000);
  pair.world.run_for(10 * kSecondNs);
  EXPECT_EQ(pair.traffic.sent_bytes, 50'000u);
  pair.traffic.paused = false;
  ASSERT_TRUE(pair.world.run_until([&] { return pair.traffic.end == 0; },
                                   pair.world.now_ns() + 60 * kSecondNs));
  EXPECT_EQ(pair.traffic.received_bytes, 1'000'000u);
  EXPECT_TRUE(pair.traffic.in_order);
}

TEST(SimNetwork, NobodyListensIsRefusedAndSilenceTimesOut) {
  SimWorld world(1);
  SimNode& server = world.start_node("server");
  SimNode& client = world.start_node("client");
  int fd = -1;
  EXPECT_EQ(
      world.run_task(client.shard(), connect_to(client.shard(), Endpoint{server.host(), 1}, &fd)),
      -ECONNREFUSED);
  EXPECT_EQ(
      world.run_task(client.shard(), connect_to(client.shard(), Endpoint{"10.9.9.9", 1}, &fd)),
      -ETIMEDOUT);
  EXPECT_EQ(client.shard().backend().connect_socket(Endpoint{"name", 1}).error().sys_errno, EINVAL);
}

TEST(SimNetwork, KilledPeerClosesPowerCutIsSilent) {
  Pair killed(1);
  killed.start(1'000'000'000);
  killed.world.run_for(kSecondNs / 100);
  killed.world.kill_node(killed.client);
  ASSERT_TRUE(killed.world.run_until([&] { return killed.traffic.end <= 0; },
                                     killed.world.now_ns() + kSecondNs));

  Pair dark(2);
  dark.start(1'000'000'000);
  dark.world.run_for(kSecondNs / 100);
  dark.world.power_cut(dark.server);
  dark.world.run_for(60 * kSecondNs);
  EXPECT_EQ(dark.traffic.send_error, 0);  // half-open: the sender waits for ever
  dark.world.restart_node(dark.server);
  ASSERT_TRUE(dark.world.run_until([&] { return dark.traffic.send_error != 0; },
                                   dark.world.now_ns() + 10 * kSecondNs));
  EXPECT_EQ(dark.traffic.send_error, -ECONNRESET);
}

TEST(SimNetwork, ResetReachesBothEnds) {
  Pair pair(3);
  pair.start(1'000'000'000);
  pair.world.run_for(kSecondNs / 100);
  pair.world.network().reset_connections(pair.server, pair.client);
  pair.world.run_for(kSecondNs);
  EXPECT_EQ(pair.traffic.send_error, -ECONNRESET);
  EXPECT_EQ(pair.traffic.end, -ECONNRESET);
}

Task<std::int64_t> receive_until_cancelled(Shard& shard, int fd, IoAwaiter** under_way) {
  char byte = 0;
  const iovec buffer{&byte, 1};
  IoAwaiter operation{shard};
  operation.code = OpCode::receive;
  operation.fd = fd;
  operation.buffers = &buffer;
  operation.buffer_count = 1;
  *under_way = &operation;
  const std::int64_t result = co_await operation;
  co_return result;
}

TEST(SimNetwork, CancelAndShutdownEndWaitingOperations) {
  Pair pair(4);
  int fd = -1;
  Shard& shard = pair.client.shard();
  ASSERT_EQ(pair.world.run_task(shard, connect_to(shard, pair.endpoint, &fd)), 0);
  IoAwaiter* under_way = nullptr;
  pair.world.at(pair.world.now_ns() + kSecondNs, [&] { shard.backend().cancel(*under_way); });
  EXPECT_EQ(pair.world.run_task(shard, receive_until_cancelled(shard, fd, &under_way)), -ECANCELED);
  pair.world.at(pair.world.now_ns() + kSecondNs, [&] { shard.backend().shutdown(fd); });
  EXPECT_EQ(pair.world.run_task(shard, receive_until_cancelled(shard, fd, &under_way)), 0);
  char byte = 'x';
  EXPECT_EQ(pair.world.run_task(shard, transfer(shard, OpCode::send, fd, &byte, 1)), -EPIPE);
  shard.backend().close(fd);
  pair.world.run_for(kSecondNs);
  EXPECT_EQ(pair.traffic.end, 0);
}

}  // namespace
}  // namespace keelson::engine::io
