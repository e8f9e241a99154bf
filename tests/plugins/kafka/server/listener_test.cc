#include "plugins/kafka/server/listener.h"

#include <gtest/gtest.h>

#include <deque>

#include "tests/plugins/kafka/server/peer.h"

namespace keelson::test {
namespace {

using kafka::Listener;
using kafka::ListenerLimits;
using Texts = std::vector<std::string>;

/// Which shard a request was handled on.
class ShardCounter final : public kafka::RequestHandler {
 public:
  bool may_overlap(engine::Bytes) const override { return false; }
  engine::Task<kafka::Reply> handle(kafka::ConnectionContext& connection,
                                    kafka::Frame request) override {
    ++by_shard[connection.shard.index()];
    hosts.push_back(connection.peer_host);
    co_return co_await script.handle(connection, std::move(request));
  }
  std::map<std::uint32_t, int> by_shard;
  Texts hosts;
  ScriptedHandler script;
};

struct Listening {
  explicit Listening(ListenerLimits limits = {}, std::uint32_t shards = 1)
      : broker(world.start_node("broker", shards)) {
    for (std::uint32_t i = 0; i < shards; ++i) group.add(broker.shard(i));
    listener = std::make_unique<Listener>(group, handler, limits);
    endpoint = {broker.host(), 9092};
    EXPECT_TRUE(listener->bind(endpoint).has_value());
    listener->start();
  }
  /// Afterwards nothing is left of any connection.
  ~Listening() {
    if (listener) stop(kSecond);
    for (Peer& peer : peers) peer.leave();
    world.run_for(kSecond);
    for (Peer& peer : peers) peer.close();
    EXPECT_EQ(broker.descriptors_open(), 0u);
    for (std::uint32_t i = 0; i < group.size(); ++i) EXPECT_EQ(group.at(i).live_tasks(), 0u);
  }
  Peer& connect(engine::io::SimNode& node) {
    Peer& peer = peers.emplace_back(node.shard());
    world.run_task(node.shard(), connect_and_read(peer, node.shard()));
    world.run_for(kSecond / 50);
    return peer;
  }
  engine::Task<void> connect_and_read(Peer& peer, engine::io::Shard& shard) {
    const bool connected = co_await peer.connect(endpoint);
    if (connected) {
      shard.spawn(peer.read());
    } else {
      peer.ended = true;
    }
  }
  void send(Peer& peer, std::string bytes) {
    world.run_task(client.shard(), ignore(peer.send(std::move(bytes))));
    world.run_for(kSecond / 10);
  }
  static engine::Task<void> ignore(engine::Task<bool> task) { co_await task; }
  /// Returns how long it took, in virtual time.
  std::int64_t stop(std::int64_t drain_ns) {
    const std::int64_t before_ns = world.now_ns();
    world.run_task(group.at(0), listener->stop(broker.clock().now_ns() + drain_ns));
    listener.reset();  // whatever still ran would use freed memory
    return world.now_ns() - before_ns;
  }

  engine::io::SimWorld world{1};
  engine::io::SimNode& broker;
  engine::io::SimNode& client = world.start_node("client");
  engine::io::SimNode& other = world.start_node("other");
  engine::io::ShardGroup group;
  ShardCounter handler;
  engine::io::Endpoint endpoint;
  std::unique_ptr<Listener> listener;
  std::deque<Peer> peers;
};

TEST(Listener, SpreadsConnectionsOverShards) {
  Listening listening({}, 3);
  for (int i = 0; i < 12; ++i) listening.send(listening.connect(listening.client), frame("ai"));
  EXPECT_EQ(listening.handler.by_shard, (std::map<std::uint32_t, int>{{0, 4}, {1, 4}, {2, 4}}));
  EXPECT_EQ(listening.handler.hosts.front(), listening.client.host());
}

TEST(Listener, RefusesAboveTheLimitAndAcceptsAgainWhenOneLeft) {
  ListenerLimits limits;
  limits.connections_max = 3;
  Listening listening(limits, 2);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(listening.connect(listening.client).ended);
  EXPECT_TRUE(listening.connect(listening.client).ended);
  listening.peers.front().leave();
  listening.world.run_for(kSecond);
  Peer& peer = listening.connect(listening.client);
  listening.send(peer, frame("ai"));
  EXPECT_EQ(peer.answers(), Texts{"ai"});
}

TEST(Listener, LimitsConnectionsOfAnAddress) {
  ListenerLimits limits;
  limits.connections_per_ip_max = 2;
  Listening listening(limits);
  EXPECT_FALSE(listening.connect(listening.client).ended);
  EXPECT_FALSE(listening.connect(listening.client).ended);
  EXPECT_TRUE(listening.connect(listening.client).ended);
  EXPECT_FALSE(listening.connect(listening.other).ended);
}

TEST(Listener, ClosesIdleConnectionsAndThoseThatDoNotRead) {
  ListenerLimits limits;
  limits.idle_ms_max = 10'000;
  Listening listening(limits, 2);
  Peer& silent = listening.connect(listening.client);
  Peer& waiting = listening.connect(listening.client);
  listening.send(waiting, frame("al"));  // a long poll is not idle
  Peer& busy = listening.connect(listening.client);
  for (int i = 0; i < 20; ++i) {
    listening.send(busy, frame("ai"));
    listening.world.run_for(kSecond);
  }
  EXPECT_TRUE(silent.ended);
  EXPECT_FALSE(waiting.ended);
  EXPECT_FALSE(busy.ended);
}

TEST(Listener, OutOfDescriptorsIsSurvived) {
  Listening listening;
  listening.broker.set_descriptors_max(3);  // the listener and two connections
  listening.connect(listening.client);
  listening.connect(listening.client);
  listening.connect(listening.client);
  listening.world.run_for(kSecond);
  listening.peers[0].leave();
  listening.world.run_for(kSecond);
  listening.send(listening.peers[1], frame("ai"));
  EXPECT_EQ(listening.peers[1].answers(), Texts{"ai"});
  Peer& peer = listening.connect(listening.client);
  (void)peer;
  listening.broker.set_descriptors_max(100);
  listening.world.run_for(kSecond);
  listening.send(peer, frame("ai"));
  EXPECT_EQ(peer.answers(), Texts{"ai"});
}

TEST(Listener, StopAnswersLongPollsAndTakesNoTime) {
  Listening listening({}, 3);
  for (int i = 0; i < 30; ++i) listening.send(listening.connect(listening.client), frame("al"));
  EXPECT_LT(listening.stop(30 * kSecond), kSecond);
  listening.world.run_for(kSecond);
  for (Peer& peer : listening.peers) {
    EXPECT_EQ(peer.answers(), Texts{"al"});
    EXPECT_TRUE(peer.ended);
  }
}

// A handler that takes its time is waited for, within the deadline; a peer that does not read is
// cut at the deadline.
TEST(Listener, StopCutsWhoDoesNotReadAtTheDeadline) {
  Listening listening({}, 2);
  Peer& deaf = listening.peers.emplace_back(listening.client.shard());
  listening.world.run_task(listening.client.shard(),
                           Listening::ignore(deaf.connect(listening.endpoint)));
  listening.send(deaf, frame("ab9000000"));
  const std::int64_t took_ns = listening.stop(5 * kSecond);
  EXPECT_GE(took_ns, 5 * kSecond);
  EXPECT_LT(took_ns, 6 * kSecond);
}

TEST(Listener, ManyConnectionsComeAndGoWithoutATrace) {
  Listening listening({}, 2);
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 100; ++i) {
      Peer& peer = listening.peers.emplace_back(listening.client.shard());
      listening.client.shard().spawn(listening.connect_and_read(peer, listening.client.shard()));
    }
    listening.world.run_for(kSecond);
    listening.world.network().reset_connections(listening.broker, listening.client);
    listening.world.run_for(kSecond);
    EXPECT_EQ(listening.broker.descriptors_open(), 1u);
    EXPECT_LE(listening.group.at(1).live_tasks(), 1u);  // the idle sweep at most
    for (Peer& peer : listening.peers) {
      EXPECT_TRUE(peer.ended);
      peer.close();
    }
    listening.peers.clear();
  }
}

}  // namespace
}  // namespace keelson::test
