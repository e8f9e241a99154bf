// Two clients' bytes into a whole broker on a simulated machine: frames, handlers, groups, logs.
//   connections_fuzz -rss_limit_mb=2048 CORPUS fuzz/plugins/kafka/corpus/connections
//
// An input is a list of steps: a byte that says what and on which connection (bit 0), and for
// sending two bytes of length and so many bytes.
//   0 send the bytes as they are       2 send them as one frame
//   4 let a second pass                6 leave and come back
// Afterwards a healthy client must be answered, and the broker must stop without a trace.
#include <algorithm>
#include <deque>
#include <span>

#include "plugins/kafka/messages/api_versions.h"
#include "tests/plugins/kafka/broker_world.h"
#include "tests/plugins/kafka/server/peer.h"

namespace {

using keelson::test::BrokerWorld;
using keelson::test::Peer;

constexpr std::size_t kStepsMax = 64;

class Clients {
 public:
  explicit Clients(BrokerWorld& broker)
      : broker_(broker),
        node_(broker.world.start_node("client")),
        endpoint_{broker.node.host(), 9092} {
    current_[0] = &connect();
    current_[1] = &connect();
  }
  ~Clients() {
    for (Peer& peer : peers_) peer.leave();
    broker_.world.run_for(1'000'000'000);
    for (Peer& peer : peers_) peer.close();
  }
  void step(unsigned what, std::string bytes) {
    const unsigned side = what & 1;
    switch (what & 6) {
      case 0: send(*current_[side], std::move(bytes)); break;
      case 2: send(*current_[side], keelson::test::frame(bytes)); break;
      case 4: broker_.world.run_for(1'000'000'000); break;
      default: current_[side]->leave(); current_[side] = &connect();
    }
    broker_.world.run_for(1'000'000);
  }
  /// Whether a new client gets its answer.
  bool is_served() {
    keelson::kafka::messages::ApiVersionsRequest request;
    Peer& peer = connect();
    send(peer, keelson::test::frame(BrokerWorld::encode(request, 0)));
    return broker_.world.run_until([&] { return !peer.answers().empty(); },
                                   broker_.world.now_ns() + 60'000'000'000);
  }

 private:
  Peer& connect() {
    Peer& peer = peers_.emplace_back(node_.shard());
    node_.shard().spawn(begin(peer));
    broker_.world.run_for(5'000'000);
    return peer;
  }
  keelson::engine::Task<void> begin(Peer& peer) {
    const bool connected = co_await peer.connect(endpoint_);
    if (connected) co_await peer.read();
  }
  void send(Peer& peer, std::string bytes) { node_.shard().spawn(ignore(peer, std::move(bytes))); }
  static keelson::engine::Task<void> ignore(Peer& peer, std::string bytes) {
    co_await peer.send(std::move(bytes));
  }

  BrokerWorld& broker_;
  keelson::engine::io::SimNode& node_;
  const keelson::engine::io::Endpoint endpoint_;
  std::deque<Peer> peers_;
  Peer* current_[2] = {};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  BrokerWorld broker(2);
  broker.create_topic("t", 3);
  {
    Clients clients(broker);
    std::span<const std::uint8_t> rest(data, size);
    for (std::size_t steps = 0; steps < kStepsMax && !rest.empty(); ++steps) {
      const unsigned what = rest[0];
      rest = rest.subspan(1);
      std::string bytes;
      if ((what & 4) == 0) {
        if (rest.size() < 2) break;
        const std::size_t length =
            std::min<std::size_t>(rest[0] * std::size_t{256} + rest[1], rest.size() - 2);
        bytes.assign(reinterpret_cast<const char*>(rest.data()) + 2, length);
        rest = rest.subspan(2 + length);
      }
      clients.step(what, std::move(bytes));
    }
    BrokerWorld::must(clients.is_served(), "a healthy client is not answered");
  }
  return 0;
}
