// engine/io/sim/sim_network.h: stream connections between simulated nodes.
//
// Bytes of a direction arrive in order after a seeded delay. While a link is cut its packets wait,
// as retransmission would have it, and come after it is healed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "engine/io/backend.h"
#include "engine/io/sim/sim_event.h"

namespace keelson::engine::io {

class SimNode;
class SimWorld;

using SocketId = std::uint64_t;  // connection * 2 + side, or a listener

struct SimLink {
  bool up = true;
  std::int64_t delay_min_ns = 20'000;
  std::int64_t delay_max_ns = 500'000;
};

class SimNetwork {
 public:
  explicit SimNetwork(SimWorld& world) : world_(world) {}

  // For tests.
  /// Both directions between two nodes.
  void partition(const SimNode& left, const SimNode& right, bool cut);
  /// One direction. Loopback (a node and itself) cannot be cut.
  void set_link(const SimNode& from, const SimNode& to, SimLink link);
  /// Resets every connection between two nodes: both ends get ECONNRESET.
  void reset_connections(const SimNode& left, const SimNode& right);
  /// `forgetful` loses its connections with `peer` without a word: the peer's ends are half-open.
  void half_open(const SimNode& forgetful, const SimNode& peer);
  /// Bytes a connection holds per direction before send waits.
  void set_buffer_bytes(std::size_t bytes) { buffer_bytes_ = bytes; }
  void set_connect_timeout_ns(std::int64_t timeout_ns) { connect_timeout_ns_ = timeout_ns; }
  std::size_t connections() const { return connections_.size(); }

 private:
  friend class SimBackend;
  friend class SimWorld;

  struct Side {
    SimNode* node = nullptr;
    Endpoint local;
    bool open = false;  // a process holds it, or it waits in a listener's queue
    bool connected = false;
    bool shut = false;  // shutdown() was called here
    bool fin_arrived = false;
    int error = 0;
    std::string received;
    std::size_t taken_bytes = 0;           // of `received`
    std::deque<std::string> in_flight;     // towards this side
    std::size_t unacknowledged_bytes = 0;  // sent from here and not read by the peer
    std::int64_t last_arrival_ns = 0;
    std::deque<std::uint32_t> receives;  // pending operations, oldest first
    std::deque<std::uint32_t> sends;
    std::optional<std::uint32_t> connecting;
  };
  struct Connection {
    Side side[2];
  };
  struct Listener {
    SimNode* node = nullptr;
    Endpoint local;
    std::size_t backlog = 0;
    bool shut = false;
    std::deque<SocketId> queue;
    std::deque<std::uint32_t> accepts;
  };

  // From SimBackend.
  Result<int> listen(SimNode& node, Endpoint& endpoint, int backlog);
  Result<int> connect_socket(SimNode& node, const Endpoint& endpoint);
  Result<Endpoint> peer(SimNode& node, int fd);
  void apply(std::uint32_t pending, SocketId socket);
  void close(SocketId socket);
  void shutdown(SocketId socket);
  bool cancel(std::uint32_t pending, SocketId socket);
  // From SimWorld.
  void arrive(const SimEvent& event);
  void process_ended(SimNode& node, bool power_lost);
  void release_held(const SimNode& node);

  Side* find(SocketId socket);
  Listener* find_listener(SocketId socket);
  Listener* listener_at(const SimNode& node, const Endpoint& endpoint);
  SimLink& link(const Side& from, const Side& to);
  bool is_cut(const Side& from, const Side& to);
  void post(SocketId to, EventCode code, std::uint64_t detail = 0);
  void apply_connect(std::uint32_t pending, SocketId socket);
  void arrive_syn(SocketId server, const SimEvent& event);
  void serve_accepts(Listener& listener);
  void serve_receives(SocketId socket);
  void serve_sends(SocketId socket);
  void break_side(SocketId socket, int error);
  void close_side(SocketId socket, bool quietly);
  void forget_if_closed(std::uint64_t connection);
  void end_pending(std::deque<std::uint32_t>& pending, std::int64_t result);
  void resend_held();

  SimWorld& world_;
  std::size_t buffer_bytes_ = 256 * 1024;
  std::int64_t connect_timeout_ns_ = 130'000'000'000;
  std::uint64_t next_connection_ = 1;
  std::map<std::uint64_t, Connection> connections_;
  std::map<SocketId, Listener> listeners_;  // ids with the top bit set
  std::map<std::pair<std::uint32_t, std::uint32_t>, SimLink> links_;
  std::deque<SimEvent> held_;  // packets that found their link cut, in order
};

}  // namespace keelson::engine::io
