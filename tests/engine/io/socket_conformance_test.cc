// Connections, on every backend.
#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "engine/io/awaitables.h"
#include "engine/io/sync.h"
#include "tests/engine/io/conformance.h"

namespace keelson::engine::io {
namespace {

class SocketConformance : public Conformance {};
INSTANTIATE_TEST_SUITE_P(Backends, SocketConformance, testing::ValuesIn(backend_sources()),
                         [](const auto& info) { return info.param.name; });

/// Starts an operation and notes its result.
Task<void> note(Task<std::int64_t> operation, std::int64_t& result) { result = co_await operation; }

void close_both(Shard& shard, const Connection& connection) {
  shard.backend().close(connection.client);
  shard.backend().close(connection.server);
}

Task<void> greet(Shard& shard) {
  const Connection connection = co_await connect_pair(shard);
  CO_ASSERT(connection.client >= 0 && connection.server >= 0);
  const std::vector<std::byte> sent = pattern(1000, 1);
  const std::int64_t count = co_await send_once(shard, connection.client, sent);
  EXPECT_EQ(count, 1000);
  std::vector<std::byte> found(2000);
  const std::int64_t received = co_await receive_once(shard, connection.server, found);
  EXPECT_EQ(received, 1000);  // one segment on loopback
  found.resize(1000);
  EXPECT_EQ(found, sent);

  const Result<Endpoint> server_seen = shard.backend().peer(connection.client);
  const Result<Endpoint> client_seen = shard.backend().peer(connection.server);
  CO_ASSERT(server_seen.has_value() && client_seen.has_value());
  EXPECT_EQ(server_seen->host, "127.0.0.1");
  EXPECT_NE(server_seen->port, client_seen->port);
  close_both(shard, connection);
}

TEST_P(SocketConformance, CarriesBytesBetweenTwoEnds) { bed_->run(greet(shard())); }

Task<void> send_stream(Shard& shard, int fd, std::size_t total_bytes) {
  std::size_t sent_bytes = 0;
  while (sent_bytes < total_bytes) {
    const std::size_t chunk_bytes = std::min<std::size_t>(1 << 20, total_bytes - sent_bytes);
    const std::vector<std::byte> chunk = pattern(chunk_bytes, sent_bytes);
    std::size_t done_bytes = 0;
    while (done_bytes < chunk_bytes) {
      const Bytes rest = Bytes(chunk).subspan(done_bytes);
      const std::int64_t result = co_await send_once(shard, fd, rest);
      CO_ASSERT(result > 0);
      done_bytes += static_cast<std::size_t>(result);
    }
    sent_bytes += chunk_bytes;
  }
  shard.backend().shutdown(fd);
}

Task<void> receive_stream(Shard& shard, int fd, std::size_t& total_bytes, bool& intact) {
  std::vector<std::byte> chunk(1 << 20);
  std::size_t filled_bytes = 0;
  intact = true;
  while (true) {
    const MutableBytes room = MutableBytes(chunk).subspan(filled_bytes);
    const std::int64_t result = co_await receive_once(shard, fd, room);
    CO_ASSERT(result >= 0);
    filled_bytes += static_cast<std::size_t>(result);
    if (filled_bytes == chunk.size() || result == 0) {
      const std::vector<std::byte> expected = pattern(filled_bytes, total_bytes);
      intact = intact && std::equal(expected.begin(), expected.end(), chunk.begin());
      total_bytes += filled_bytes;
      filled_bytes = 0;
    }
    if (result == 0) co_return;
  }
}

// Far more than the kernel buffers: both sides wait for each other again and again.
Task<void> large_stream(Shard& shard) {
  constexpr std::size_t kTotal = 40 << 20;
  const Connection connection = co_await connect_pair(shard);
  CO_ASSERT(connection.client >= 0 && connection.server >= 0);
  std::size_t total_bytes = 0;
  bool intact = false;
  TaskGroup both(shard);
  both.start(send_stream(shard, connection.client, kTotal));
  both.start(receive_stream(shard, connection.server, total_bytes, intact));
  co_await both.wait();
  EXPECT_EQ(total_bytes, kTotal);
  EXPECT_TRUE(intact);
  close_both(shard, connection);
}

TEST_P(SocketConformance, CarriesLargeStreams) { bed_->run(large_stream(shard())); }

Task<void> gather(Shard& shard) {
  const Connection connection = co_await connect_pair(shard);
  CO_ASSERT(connection.client >= 0 && connection.server >= 0);
  std::vector<std::byte> bytes = pattern(3000, 5);
  const iovec parts[3] = {
      {bytes.data(), 10}, {bytes.data() + 10, 990}, {bytes.data() + 1000, 2000}};
  IoAwaiter send{shard};
  send.code = OpCode::send;
  send.fd = connection.client;
  send.buffers = parts;
  send.buffer_count = 3;
  const std::int64_t sent = co_await send;
  EXPECT_EQ(sent, 3000);
  std::vector<std::byte> found(3000);
  const iovec into[2] = {{found.data(), 1}, {found.data() + 1, 2999}};
  IoAwaiter receive{shard};
  receive.code = OpCode::receive;
  receive.fd = connection.server;
  receive.buffers = into;
  receive.buffer_count = 2;
  const std::int64_t received = co_await receive;
  EXPECT_EQ(received, 3000);
  EXPECT_EQ(found, bytes);
  close_both(shard, connection);
}

TEST_P(SocketConformance, GathersAndScatters) { bed_->run(gather(shard())); }

Task<void> end_pending_receive(Shard& shard) {
  const Connection connection = co_await connect_pair(shard);
  CO_ASSERT(connection.client >= 0 && connection.server >= 0);
  std::vector<std::byte> room(10);
  std::int64_t own = -1;
  std::int64_t other = -1;
  TaskGroup pending(shard);
  pending.start(note(receive_once(shard, connection.client, room), own));
  pending.start(note(receive_once(shard, connection.server, room), other));
  co_await shard.sleep_for_ms(5);
  EXPECT_EQ(own, -1);
  shard.backend().shutdown(connection.client);
  co_await pending.wait();
  EXPECT_EQ(own, 0);
  EXPECT_EQ(other, 0);
  const std::int64_t later = co_await receive_once(shard, connection.client, room);
  EXPECT_EQ(later, 0);
  const std::int64_t refused = co_await send_once(shard, connection.client, room);
  EXPECT_EQ(refused, -EPIPE);  // and no SIGPIPE: this program would have ended
  close_both(shard, connection);
}

TEST_P(SocketConformance, ShutdownEndsWhatIsPending) { bed_->run(end_pending_receive(shard())); }

Task<void> gone_peer(Shard& shard) {
  const Connection connection = co_await connect_pair(shard);
  CO_ASSERT(connection.client >= 0 && connection.server >= 0);
  shard.backend().close(connection.server);
  std::vector<std::byte> bytes(1000);
  const std::int64_t end = co_await receive_once(shard, connection.client, bytes);
  EXPECT_EQ(end, 0);
  std::int64_t result = 0;
  for (int i = 0; i < 100 && result >= 0; ++i) {
    result = co_await send_once(shard, connection.client, bytes);
    if (result >= 0) co_await shard.sleep_for_ms(1);  // until the peer's refusal is back
  }
  EXPECT_TRUE(result == -EPIPE || result == -ECONNRESET) << result;
  shard.backend().close(connection.client);
}

TEST_P(SocketConformance, SendingToAPeerThatIsGoneFails) { bed_->run(gone_peer(shard())); }

struct NotedReceive : Operation {
  NotedReceive(int socket, const iovec& room) {
    code = OpCode::receive;
    fd = socket;
    buffers = &room;
    buffer_count = 1;
    on_complete = [](Operation& self) { static_cast<NotedReceive&>(self).completed = true; };
  }
  bool completed = false;
};

Task<void> cancel_receive(Shard& shard) {
  const Connection connection = co_await connect_pair(shard);
  CO_ASSERT(connection.client >= 0 && connection.server >= 0);
  std::byte byte{};
  const iovec room{&byte, 1};
  for (const bool wait_first : {true, false}) {
    NotedReceive operation(connection.server, room);
    shard.backend().submit(operation);
    if (wait_first) co_await shard.sleep_for_ms(2);
    EXPECT_FALSE(operation.completed);
    shard.backend().cancel(operation);
    while (!operation.completed) co_await shard.yield();
    EXPECT_EQ(operation.result, -ECANCELED);
  }
  // The connection has lost nothing by it.
  const std::int64_t sent = co_await send_once(shard, connection.client, {&byte, 1});
  EXPECT_EQ(sent, 1);
  const std::int64_t received = co_await receive_once(shard, connection.server, {&byte, 1});
  EXPECT_EQ(received, 1);
  close_both(shard, connection);
}

TEST_P(SocketConformance, CancelEndsAPendingReceive) { bed_->run(cancel_receive(shard())); }

// A cancel that meets the byte it waits for: the byte is in the result or still in the socket.
Task<void> cancel_against_data(Shard& shard) {
  const Connection connection = co_await connect_pair(shard);
  CO_ASSERT(connection.client >= 0 && connection.server >= 0);
  for (int round = 0; round < 300; ++round) {
    std::byte sent_byte{static_cast<unsigned char>(round)};
    std::byte found{0xff};
    const iovec room{&found, 1};
    NotedReceive operation(connection.server, room);
    if (round % 3 != 0) shard.backend().submit(operation);
    const std::int64_t sent = co_await send_once(shard, connection.client, {&sent_byte, 1});
    EXPECT_EQ(sent, 1);
    if (round % 3 == 0) shard.backend().submit(operation);
    if (round % 3 != 1 && !operation.completed) shard.backend().cancel(operation);
    while (!operation.completed) co_await shard.yield();
    std::int64_t result = operation.result;
    if (result == -ECANCELED) {
      result = co_await receive_once(shard, connection.server, {&found, 1});
    }
    EXPECT_EQ(result, 1);
    EXPECT_EQ(found, sent_byte);
  }
  close_both(shard, connection);
}

TEST_P(SocketConformance, CancelLosesNoBytes) { bed_->run(cancel_against_data(shard())); }

Task<void> pending_accept(Shard& shard) {
  Endpoint endpoint{"127.0.0.1", 0};
  const Result<int> listener = shard.backend().listen(endpoint, 8);
  CO_ASSERT(listener.has_value());
  EXPECT_NE(endpoint.port, 0);
  std::int64_t accepted = -1;
  TaskGroup accepting(shard);
  accepting.start(note(accept_once(shard, *listener), accepted));
  co_await shard.sleep_for_ms(2);
  EXPECT_EQ(accepted, -1);
  const Result<int> client = shard.backend().connect_socket(endpoint);
  CO_ASSERT(client.has_value());
  const std::int64_t connected = co_await connect_once(shard, *client);
  EXPECT_EQ(connected, 0);
  co_await accepting.wait();
  EXPECT_GE(accepted, 0);
  shard.backend().close(static_cast<int>(accepted));
  shard.backend().close(*client);

  // A listener that is told to stop ends the accept that waits on it.
  std::int64_t ended = 1;
  TaskGroup last(shard);
  last.start(note(accept_once(shard, *listener), ended));
  co_await shard.sleep_for_ms(2);
  shard.backend().shutdown(*listener);
  co_await last.wait();
  EXPECT_LT(ended, 0);
  shard.backend().close(*listener);
}

TEST_P(SocketConformance, AcceptWaitsForAConnectionOrShutdown) {
  bed_->run(pending_accept(shard()));
}

Task<void> refused_connect(Shard& shard) {
  Endpoint endpoint{"127.0.0.1", 0};
  const Result<int> listener = shard.backend().listen(endpoint, 8);
  CO_ASSERT(listener.has_value());
  Endpoint same = endpoint;
  const Result<int> taken = shard.backend().listen(same, 8);
  EXPECT_EQ(taken.error(), (Error{Errc::io, EADDRINUSE}));
  shard.backend().close(*listener);

  const Result<int> client = shard.backend().connect_socket(endpoint);
  CO_ASSERT(client.has_value());
  const std::int64_t refused = co_await connect_once(shard, *client);
  EXPECT_EQ(refused, -ECONNREFUSED);
  shard.backend().close(*client);

  Endpoint name{"localhost", 1};
  const Result<int> not_numeric = shard.backend().listen(name, 8);
  EXPECT_EQ(not_numeric.error(), (Error{Errc::io, EINVAL}));
  const Result<int> no_socket = shard.backend().connect_socket(name);
  EXPECT_EQ(no_socket.error(), (Error{Errc::io, EINVAL}));
}

TEST_P(SocketConformance, SaysWhyThereIsNoConnection) { bed_->run(refused_connect(shard())); }

Task<void> ipv6(Shard& shard, bool& has_ipv6) {
  Endpoint endpoint{"::1", 0};
  const Result<int> listener = shard.backend().listen(endpoint, 8);
  has_ipv6 = listener.has_value();
  if (!has_ipv6) co_return;
  const Result<int> client = shard.backend().connect_socket(endpoint);
  CO_ASSERT(client.has_value());
  const std::int64_t connected = co_await connect_once(shard, *client);
  EXPECT_EQ(connected, 0);
  const Result<Endpoint> peer = shard.backend().peer(*client);
  EXPECT_EQ(peer, endpoint);
  shard.backend().close(*client);
  shard.backend().close(*listener);
}

TEST_P(SocketConformance, SpeaksIpv6) {
  bool has_ipv6 = true;
  bed_->run(ipv6(shard(), has_ipv6));
  if (!has_ipv6) GTEST_SKIP() << "no IPv6 here";
}

Task<void> echo(Shard& shard, int fd) {
  std::vector<std::byte> bytes(64);
  while (true) {
    const std::int64_t received = co_await receive_once(shard, fd, bytes);
    if (received <= 0) break;
    const Bytes answer = Bytes(bytes).first(static_cast<std::size_t>(received));
    const std::int64_t sent = co_await send_once(shard, fd, answer);
    EXPECT_EQ(sent, received);
  }
  shard.backend().close(fd);
}

Task<void> talk(Shard& shard, int fd, std::uint64_t seed) {
  const std::vector<std::byte> question = pattern(64, seed);
  std::vector<std::byte> answer(64);
  for (int round = 0; round < 5; ++round) {
    const std::int64_t sent = co_await send_once(shard, fd, question);
    EXPECT_EQ(sent, 64);
    const std::int64_t received = co_await receive_once(shard, fd, answer);
    EXPECT_EQ(received, 64);
    EXPECT_EQ(answer, question);
  }
  shard.backend().close(fd);
}

// Each connection has a receive that waits: more at once than a ring's submission queue holds.
Task<void> many_connections(Shard& shard) {
  constexpr std::uint64_t kCount = 1500;
  std::vector<Connection> connections;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    const Connection connection = co_await connect_pair(shard);
    CO_ASSERT(connection.client >= 0 && connection.server >= 0);
    connections.push_back(connection);
  }
  TaskGroup all(shard);
  for (const Connection& connection : connections) all.start(echo(shard, connection.server));
  for (std::uint64_t i = 0; i < kCount; ++i) all.start(talk(shard, connections[i].client, i));
  co_await all.wait();
}

TEST_P(SocketConformance, ServesThousandsOfConnections) { bed_->run(many_connections(shard())); }

Task<void> reuse_of_numbers(Shard& shard) {
  for (int round = 0; round < 200; ++round) {
    const Connection connection = co_await connect_pair(shard);
    CO_ASSERT(connection.client >= 0 && connection.server >= 0);
    TaskGroup both(shard);
    both.start(echo(shard, connection.server));
    both.start(talk(shard, connection.client, 7));
    co_await both.wait();
  }
}

// Descriptors come back with the same numbers: nothing of the old connection may stick to them.
TEST_P(SocketConformance, ForgetsClosedConnections) { bed_->run(reuse_of_numbers(shard())); }

}  // namespace
}  // namespace keelson::engine::io
