// tests/plugins/kafka/server/connected.h: one simulated connection: a peer, and the server's end.
#pragma once

#include <optional>
#include <string>

#include "engine/io/sim/sim_world.h"
#include "tests/plugins/kafka/server/peer.h"

namespace keelson::test {

struct Connected {
  explicit Connected(std::uint64_t seed = 1, bool reading = true) : world(seed) {
    engine::io::Endpoint endpoint{broker.host(), 9092};
    const auto listening = shard().backend().listen(endpoint, 16);
    if (!listening) return;
    listener = *listening;
    std::int64_t accepted = -1;
    shard().spawn(accept(accepted));
    if (!world.run_task(peer_node.shard(), peer.connect(endpoint))) return;
    world.run_until([&] { return accepted >= 0; }, world.now_ns() + kSecond);
    fd = static_cast<int>(accepted);
    if (reading) peer_node.shard().spawn(peer.read());
  }
  ~Connected() {
    peer.leave();
    world.run_for(kSecond);
    peer.close();
    shard().backend().close(listener);
  }

  engine::io::Shard& shard() { return broker.shard(); }
  engine::Task<void> accept(std::int64_t& accepted) {
    engine::io::IoAwaiter operation{shard()};
    operation.code = engine::io::OpCode::accept;
    operation.fd = listener;
    accepted = co_await operation;
  }
  void send(std::string bytes) {
    world.run_task(peer_node.shard(), ignore(peer.send(std::move(bytes))));
  }
  static engine::Task<void> ignore(engine::Task<bool> task) { co_await task; }
  /// Runs until everything that can happen without much time passing has happened.
  void settle() { world.run_for(kSecond / 10); }

  engine::io::SimWorld world;
  engine::io::SimNode& broker = world.start_node("broker");
  engine::io::SimNode& peer_node = world.start_node("peer");
  Peer peer{peer_node.shard()};
  int listener = -1;
  int fd = -1;
};

}  // namespace keelson::test
