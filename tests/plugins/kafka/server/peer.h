// tests/plugins/kafka/server/peer.h: the other end of a connection, and a server that does as it
// is told by the requests themselves.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/byte_order.h"
#include "engine/io/awaitables.h"
#include "engine/io/sim/sim_world.h"
#include "plugins/kafka/server/connection.h"

namespace keelson::test {

/// `text` as a frame: its size ahead of it.
inline std::string frame(std::string_view text) {
  std::string bytes(4, '\0');
  engine::store_big_endian(reinterpret_cast<std::byte*>(bytes.data()),
                           static_cast<std::int32_t>(text.size()));
  bytes += text;
  return bytes;
}
/// Only the size, without what it announces.
inline std::string claim(std::int32_t size) {
  std::string bytes(4, '\0');
  engine::store_big_endian(reinterpret_cast<std::byte*>(bytes.data()), size);
  return bytes;
}
/// The whole frames at the front of `bytes`.
inline std::vector<std::string> frames_of(std::string_view bytes) {
  std::vector<std::string> frames;
  while (bytes.size() >= 4) {
    const auto size = static_cast<std::size_t>(
        engine::load_big_endian<std::int32_t>(reinterpret_cast<const std::byte*>(bytes.data())));
    if (bytes.size() - 4 < size) break;
    frames.emplace_back(bytes.substr(4, size));
    bytes.remove_prefix(4 + size);
  }
  return frames;
}

/// A client. Lives until its shard has nothing more to do with it: close() first.
class Peer {
 public:
  explicit Peer(engine::io::Shard& shard) : shard_(shard) {}
  Peer(const Peer&) = delete;

  engine::Task<bool> connect(engine::io::Endpoint to) {
    const engine::Result<int> fd = shard_.backend().connect_socket(to);
    if (!fd) co_return false;
    fd_ = *fd;
    engine::io::IoAwaiter operation{shard_};
    operation.code = engine::io::OpCode::connect;
    operation.fd = fd_;
    const std::int64_t result = co_await operation;
    co_return result >= 0;
  }
  engine::Task<bool> send(std::string bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
      const iovec part{bytes.data() + sent, bytes.size() - sent};
      engine::io::IoAwaiter operation{shard_};
      operation.code = engine::io::OpCode::send;
      operation.fd = fd_;
      operation.buffers = &part;
      operation.buffer_count = 1;
      const std::int64_t result = co_await operation;
      if (result <= 0) co_return false;
      sent += static_cast<std::size_t>(result);
    }
    co_return true;
  }
  engine::Task<void> send_apart(std::string bytes) {
    for (const char byte : bytes) {
      const bool sent = co_await send(std::string(1, byte));
      if (!sent) co_return;
      co_await shard_.sleep_for_ms(1);
    }
  }
  /// Receives until the end. Spawn it once.
  engine::Task<void> read() {
    std::vector<char> buffer(65536);
    while (true) {
      const iovec part{buffer.data(), buffer.size()};
      engine::io::IoAwaiter operation{shard_};
      operation.code = engine::io::OpCode::receive;
      operation.fd = fd_;
      operation.buffers = &part;
      operation.buffer_count = 1;
      const std::int64_t result = co_await operation;
      if (result <= 0) break;
      received.append(buffer.data(), static_cast<std::size_t>(result));
    }
    ended = true;
  }
  /// Ends both directions, as far as this side is concerned.
  void leave() { shard_.backend().shutdown(fd_); }
  /// After read() has ended, or where it never ran.
  void close() {
    if (fd_ >= 0) shard_.backend().close(std::exchange(fd_, -1));
  }
  std::vector<std::string> answers() const { return frames_of(received); }

  std::string received;
  bool ended = false;  // the server closed, or the connection broke

 private:
  engine::io::Shard& shard_;
  int fd_ = -1;
};

/// Answers a request with its own text. Its first letter: p may overlap, others not. Its second: i
/// at once, w when released by its text, l when cancelled (or after a minute), c closes, n says
/// nothing, b is followed by the number of bytes to answer.
class ScriptedHandler final : public kafka::RequestHandler {
 public:
  bool may_overlap(engine::Bytes request) const override {
    return !request.empty() && static_cast<char>(request[0]) == 'p';
  }
  engine::Task<kafka::Reply> handle(kafka::ConnectionContext& connection,
                                    kafka::Frame request) override {
    std::string text(reinterpret_cast<const char*>(request.bytes().data()), request.size_bytes());
    started.push_back(text);
    ++running;
    most_running = std::max(most_running, running);
    const char what = text.size() > 1 ? text[1] : 'i';
    if (what == 'w') {
      auto& event = gates[text];
      if (!event) event = std::make_unique<engine::io::Event>(connection.shard);
      co_await event->wait();
    }
    if (what == 'l') {
      const std::int64_t minute_ns = 60'000'000'000;
      co_await connection.cancelled.wait_until(connection.shard.clock().now_ns() + minute_ns);
    }
    --running;
    kafka::Reply reply;
    reply.action = what == 'c'   ? kafka::Reply::Action::close
                   : what == 'n' ? kafka::Reply::Action::no_answer
                                 : kafka::Reply::Action::answer;
    if (reply.action == kafka::Reply::Action::answer) {
      if (what == 'b') text.assign(std::stoul(text.substr(2)), 'b');
      auto owned = std::make_shared<std::string>(frame(text));
      reply.bytes.push_back({owned, std::as_bytes(std::span(*owned))});
    }
    co_return reply;
  }
  void release(const std::string& text) { gates.at(text)->set(); }

  std::vector<std::string> started;
  std::size_t running = 0;
  std::size_t most_running = 0;
  std::map<std::string, std::unique_ptr<engine::io::Event>> gates;
};

inline constexpr std::int64_t kSecond = 1'000'000'000;

}  // namespace keelson::test
