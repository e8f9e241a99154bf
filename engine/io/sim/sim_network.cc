#include "engine/io/sim/sim_network.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/io/sim/sim_backend.h"
#include "engine/io/sim/sim_world.h"

namespace keelson::engine::io {
namespace {

constexpr SocketId kListenerBit = SocketId{1} << 63;
constexpr std::int64_t kLoopbackNsMin = 2'000;
constexpr std::int64_t kLoopbackNsMax = 30'000;
constexpr std::int64_t kRetransmitNsMax = 200'000'000;
constexpr std::int64_t kSynRetryNs = 1'000'000'000;

bool is_loopback(const std::string& host) { return host.starts_with("127.") || host == "::1"; }
bool is_any(const std::string& host) { return host == "0.0.0.0" || host == "::"; }
bool is_numeric(const std::string& host) {
  if (host.empty()) return false;
  return host.find_first_not_of("0123456789.") == std::string::npos ||
         (host.find(':') != std::string::npos &&
          host.find_first_not_of("0123456789abcdefABCDEF:.") == std::string::npos);
}

}  // namespace

// --- links --------------------------------------------------------------------------------------

void SimNetwork::set_link(const SimNode& from, const SimNode& to, SimLink link) {
  links_[{from.index(), to.index()}] = link;
  resend_held();
}

void SimNetwork::partition(const SimNode& left, const SimNode& right, bool cut) {
  links_[{left.index(), right.index()}].up = !cut;
  links_[{right.index(), left.index()}].up = !cut;
  resend_held();
}

SimLink& SimNetwork::link(const Side& from, const Side& to) {
  return links_[{from.node->index(), to.node->index()}];
}

bool SimNetwork::is_cut(const Side& from, const Side& to) {
  if (to.node->state() == NodeState::powered_off) return true;
  return from.node != to.node && !link(from, to).up;
}

void SimNetwork::release_held(const SimNode&) { resend_held(); }

void SimNetwork::resend_held() {
  std::deque<SimEvent> held = std::exchange(held_, {});
  for (const SimEvent& event : held) {
    const auto found = connections_.find(event.subject);
    if (found == connections_.end()) continue;
    Side& to = found->second.side[event.side];
    const Side& from = found->second.side[1 - event.side];
    if (is_cut(from, to)) {
      held_.push_back(event);
      continue;
    }
    SimEvent again = event;
    again.at_ns =
        std::max(to.last_arrival_ns, world_.now_ns_ + world_.net_rng_.between(0, kRetransmitNsMax));
    again.tie = 0;
    to.last_arrival_ns = again.at_ns;
    world_.schedule_event(again);
  }
}

/// Sends a packet to `to`; packets of a direction arrive in the order they were posted.
void SimNetwork::post(SocketId to, EventCode code, std::uint64_t detail) {
  Connection& connection = connections_.at(to >> 1);
  Side& receiver = connection.side[to & 1];
  const Side& sender = connection.side[1 - (to & 1)];
  std::int64_t delay_ns = 0;
  if (receiver.node == sender.node) {
    delay_ns = world_.net_rng_.between(kLoopbackNsMin, kLoopbackNsMax);
  } else {
    const SimLink& path = link(sender, receiver);
    delay_ns = world_.net_rng_.between(path.delay_min_ns, path.delay_max_ns);
  }
  receiver.last_arrival_ns = std::max(receiver.last_arrival_ns, world_.now_ns_ + delay_ns);
  world_.schedule_event(SimEvent{.at_ns = receiver.last_arrival_ns,
                                 .code = code,
                                 .side = static_cast<std::uint8_t>(to & 1),
                                 .subject = to >> 1,
                                 .detail = detail});
}

// --- sockets ------------------------------------------------------------------------------------

SimNetwork::Side* SimNetwork::find(SocketId socket) {
  if ((socket & kListenerBit) != 0) return nullptr;
  const auto found = connections_.find(socket >> 1);
  return found == connections_.end() ? nullptr : &found->second.side[socket & 1];
}

SimNetwork::Listener* SimNetwork::find_listener(SocketId socket) {
  const auto found = listeners_.find(socket);
  return found == listeners_.end() ? nullptr : &found->second;
}

SimNetwork::Listener* SimNetwork::listener_at(const SimNode& node, const Endpoint& endpoint) {
  for (auto& [id, listener] : listeners_) {
    if (listener.node != &node || listener.shut || listener.local.port != endpoint.port) continue;
    if (is_any(listener.local.host) || listener.local.host == endpoint.host) return &listener;
  }
  return nullptr;
}

Result<int> SimNetwork::listen(SimNode& node, Endpoint& endpoint, int backlog) {
  if (!is_numeric(endpoint.host)) return fail(Errc::io, EINVAL);
  if (!is_any(endpoint.host) && !is_loopback(endpoint.host) && endpoint.host != node.host()) {
    return fail(Errc::io, EADDRNOTAVAIL);
  }
  const auto taken = [&](std::uint16_t port) {
    return std::any_of(listeners_.begin(), listeners_.end(), [&](const auto& item) {
      const Endpoint& other = item.second.local;
      return item.second.node == &node && other.port == port &&
             (other.host == endpoint.host || is_any(other.host) || is_any(endpoint.host));
    });
  };
  if (endpoint.port != 0 && taken(endpoint.port)) return fail(Errc::io, EADDRINUSE);
  if (endpoint.port == 0) {
    do {
      if (node.next_port_ < 32768) node.next_port_ = 32768;
      endpoint.port = node.next_port_++;
    } while (taken(endpoint.port));
  }
  const SocketId id = kListenerBit | next_connection_++;
  SimNode::Descriptor descriptor;
  descriptor.kind = SimNode::Descriptor::Kind::socket;
  descriptor.socket = id;
  const int fd = node.add_descriptor(descriptor);
  if (fd < 0) return fail(Errc::io, -fd);
  Listener& listener = listeners_[id];
  listener.node = &node;
  listener.local = endpoint;
  listener.backlog = static_cast<std::size_t>(std::max(backlog, 1));
  return fd;
}

Result<int> SimNetwork::connect_socket(SimNode& node, const Endpoint& endpoint) {
  if (!is_numeric(endpoint.host) || endpoint.port == 0) return fail(Errc::io, EINVAL);
  const std::uint64_t id = next_connection_++;
  SimNode::Descriptor descriptor;
  descriptor.kind = SimNode::Descriptor::Kind::socket;
  descriptor.socket = id << 1;
  const int fd = node.add_descriptor(descriptor);
  if (fd < 0) return fail(Errc::io, -fd);
  Connection& connection = connections_[id];
  Side& client = connection.side[0];
  Side& server = connection.side[1];
  client.node = &node;
  client.open = true;
  if (node.next_port_ < 32768) node.next_port_ = 32768;
  client.local =
      Endpoint{is_loopback(endpoint.host) ? endpoint.host : node.host(), node.next_port_++};
  server.local = endpoint;
  if (is_loopback(endpoint.host) || is_any(endpoint.host)) {
    server.node = &node;
  } else {
    for (const auto& other : world_.nodes_) {
      if (other->host() == endpoint.host) server.node = other.get();
    }
  }
  return fd;
}

Result<Endpoint> SimNetwork::peer(SimNode& node, int fd) {
  const SimNode::Descriptor* const descriptor = node.descriptor(fd);
  if (descriptor == nullptr) return fail(Errc::io, EBADF);
  if (descriptor->kind != SimNode::Descriptor::Kind::socket) return fail(Errc::io, ENOTSOCK);
  const Side* const side = find(descriptor->socket);
  if (side == nullptr || !side->connected) return fail(Errc::io, ENOTCONN);
  return find(descriptor->socket ^ 1)->local;
}

void SimNetwork::apply(std::uint32_t index, SocketId socket) {
  PendingOp& pending = world_.pending(index);
  const OpCode code = pending.operation->code;
  Listener* const listener = find_listener(socket);
  Side* const side = find(socket);
  pending.state = PendingOp::State::parked;
  if (code == OpCode::accept) {
    if (listener == nullptr || listener->shut) {
      world_.complete(index, -EINVAL);
      return;
    }
    listener->accepts.push_back(index);
    serve_accepts(*listener);
    return;
  }
  if (side == nullptr) {
    world_.complete(index, -ENOTCONN);
  } else if (code == OpCode::connect) {
    apply_connect(index, socket);
  } else if (!side->connected && side->error == 0 && !side->shut) {
    world_.complete(index, code == OpCode::send ? -EPIPE : -ENOTCONN);
  } else if (code == OpCode::receive) {
    side->receives.push_back(index);
    serve_receives(socket);
  } else {
    side->sends.push_back(index);
    serve_sends(socket);
  }
}

void SimNetwork::apply_connect(std::uint32_t index, SocketId socket) {
  Side& client = *find(socket);
  if (client.connected || client.connecting) {
    world_.complete(index, client.connected ? -EISCONN : -EALREADY);
    return;
  }
  if (client.shut) {
    world_.complete(index, -ECONNABORTED);
    return;
  }
  client.connecting = index;
  world_.schedule_event(SimEvent{.at_ns = world_.now_ns_ + connect_timeout_ns_,
                                 .code = EventCode::connect_timeout,
                                 .subject = index,
                                 .detail = world_.pending(index).generation});
  if (find(socket ^ 1)->node != nullptr) post(socket ^ 1, EventCode::syn);
}

void SimNetwork::serve_accepts(Listener& listener) {
  while (!listener.accepts.empty() && !listener.queue.empty()) {
    const std::uint32_t index = listener.accepts.front();
    listener.accepts.pop_front();
    SimNode::Descriptor descriptor;
    descriptor.kind = SimNode::Descriptor::Kind::socket;
    descriptor.socket = listener.queue.front();
    const int fd = listener.node->add_descriptor(descriptor);
    if (fd >= 0) listener.queue.pop_front();
    world_.complete(index, fd);
  }
}

void SimNetwork::serve_receives(SocketId socket) {
  Side& side = *find(socket);
  while (!side.receives.empty()) {
    const std::uint32_t index = side.receives.front();
    PendingOp& pending = world_.pending(index);
    const Operation& operation = *pending.operation;
    std::size_t wanted = 0;
    for (std::uint32_t i = 0; i < operation.buffer_count; ++i) {
      wanted += operation.buffers[i].iov_len;
    }
    const std::size_t available = side.received.size() - side.taken_bytes;
    std::size_t count = std::min(wanted, available);
    if (count == 0 && wanted > 0) {
      if (side.error != 0) {
        side.receives.pop_front();
        world_.complete(index, -side.error);
        continue;
      }
      if (!side.fin_arrived && !side.shut) return;
    }
    if (pending.fault == FaultAction::short_transfer && count > 1) {
      count = 1 + world_.net_rng_.below(count - 1);
    }
    std::size_t copied = 0;
    for (std::uint32_t i = 0; i < operation.buffer_count && copied < count; ++i) {
      const iovec& buffer = operation.buffers[i];
      const std::size_t part = std::min(buffer.iov_len, count - copied);
      if (part == 0) continue;
      std::memcpy(buffer.iov_base, side.received.data() + side.taken_bytes + copied, part);
      copied += part;
    }
    side.taken_bytes += count;
    if (side.taken_bytes == side.received.size()) {
      side.received.clear();
      side.taken_bytes = 0;
    }
    side.receives.pop_front();
    world_.complete(index, static_cast<std::int64_t>(count));
    if (count > 0) post(socket ^ 1, EventCode::window, count);
  }
}

void SimNetwork::serve_sends(SocketId socket) {
  Side& side = *find(socket);
  while (!side.sends.empty()) {
    const std::uint32_t index = side.sends.front();
    PendingOp& pending = world_.pending(index);
    if (side.error != 0 || side.shut) {
      side.sends.pop_front();
      world_.complete(index, side.error == ECONNRESET ? -ECONNRESET : -EPIPE);
      continue;
    }
    const Operation& operation = *pending.operation;
    std::size_t wanted = 0;
    for (std::uint32_t i = 0; i < operation.buffer_count; ++i) {
      wanted += operation.buffers[i].iov_len;
    }
    const std::size_t room = buffer_bytes_ - std::min(buffer_bytes_, side.unacknowledged_bytes);
    if (room == 0 && wanted > 0) return;
    std::size_t count = std::min(room, wanted);
    if (pending.fault == FaultAction::short_transfer && count > 1) {
      count = 1 + world_.net_rng_.below(count - 1);
    }
    std::string packet;
    packet.reserve(count);
    for (std::uint32_t i = 0; i < operation.buffer_count && packet.size() < count; ++i) {
      const iovec& buffer = operation.buffers[i];
      packet.append(static_cast<const char*>(buffer.iov_base),
                    std::min(buffer.iov_len, count - packet.size()));
    }
    side.sends.pop_front();
    side.unacknowledged_bytes += count;
    world_.complete(index, static_cast<std::int64_t>(count));
    if (count > 0) {
      find(socket ^ 1)->in_flight.push_back(std::move(packet));
      post(socket ^ 1, EventCode::data);
    }
  }
}

void SimNetwork::end_pending(std::deque<std::uint32_t>& pending, std::int64_t result) {
  for (const std::uint32_t index : std::exchange(pending, {})) world_.complete(index, result);
}

void SimNetwork::break_side(SocketId socket, int error) {
  Side& side = *find(socket);
  side.error = error;
  side.received.clear();
  side.taken_bytes = 0;
  end_pending(side.receives, -error);
  end_pending(side.sends, -error);
}

/// The process lets go of its end. `quietly`: the peer hears nothing.
void SimNetwork::close_side(SocketId socket, bool quietly) {
  Side& side = *find(socket);
  assert(side.receives.empty() && side.sends.empty());
  const bool unread = side.taken_bytes < side.received.size();
  side.open = false;
  side.received.clear();
  side.taken_bytes = 0;
  if (!quietly && side.connected && side.error == 0) {
    if (unread) {
      post(socket ^ 1, EventCode::reset);
    } else if (!side.shut) {
      post(socket ^ 1, EventCode::fin);
    }
  }
  forget_if_closed(socket >> 1);
}

void SimNetwork::forget_if_closed(std::uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  if (!found->second.side[0].open && !found->second.side[1].open) connections_.erase(found);
}

void SimNetwork::close(SocketId socket) {
  if (Listener* const listener = find_listener(socket)) {
    assert(listener->accepts.empty());
    const std::deque<SocketId> queue = std::move(listener->queue);
    listeners_.erase(socket);
    for (const SocketId waiting : queue) {
      post(waiting ^ 1, EventCode::reset);
      close_side(waiting, /*quietly=*/true);
    }
    return;
  }
  if (find(socket) != nullptr) close_side(socket, /*quietly=*/false);
}

void SimNetwork::shutdown(SocketId socket) {
  if (Listener* const listener = find_listener(socket)) {
    listener->shut = true;
    end_pending(listener->accepts, -EINVAL);
    return;
  }
  Side* const side = find(socket);
  if (side == nullptr || side->shut) return;
  side->shut = true;
  if (side->connecting) {
    world_.complete(*std::exchange(side->connecting, std::nullopt), -ECONNABORTED);
    return;
  }
  if (side->connected && side->error == 0) post(socket ^ 1, EventCode::fin);
  serve_receives(socket);
  serve_sends(socket);
}

bool SimNetwork::cancel(std::uint32_t index, SocketId socket) {
  if (Listener* const listener = find_listener(socket)) {
    return std::erase(listener->accepts, index) > 0;
  }
  Side* const side = find(socket);
  if (side == nullptr) return false;
  if (side->connecting == index) {
    side->connecting.reset();
    side->error = ECONNABORTED;
    return true;
  }
  return std::erase(side->receives, index) + std::erase(side->sends, index) > 0;
}

// --- what arrives -------------------------------------------------------------------------------

void SimNetwork::arrive(const SimEvent& event) {
  if (event.code == EventCode::connect_timeout) {
    const std::uint32_t index = static_cast<std::uint32_t>(event.subject);
    PendingOp& pending = world_.pending(index);
    SimNode::Descriptor* const descriptor =
        pending.backend->node_.descriptor(pending.operation->fd);
    Side* const side = descriptor == nullptr ? nullptr : find(descriptor->socket);
    if (side == nullptr || side->connecting != index) return;
    side->connecting.reset();
    side->error = ETIMEDOUT;
    world_.complete(index, -ETIMEDOUT);
    return;
  }
  const auto found = connections_.find(event.subject);
  if (found == connections_.end()) return;
  const SocketId socket = event.subject << 1 | event.side;
  Side& to = found->second.side[event.side];
  const Side& from = found->second.side[1 - event.side];
  if (is_cut(from, to)) {
    held_.push_back(event);
    return;
  }
  world_.trace(0x40 + static_cast<std::uint64_t>(event.code), socket, event.detail);
  if (event.code == EventCode::syn) {
    arrive_syn(socket, event);
    return;
  }
  if (event.code == EventCode::syn_ack || event.code == EventCode::refused) {
    if (!to.connecting) {  // given up meanwhile
      if (event.code == EventCode::syn_ack) post(socket ^ 1, EventCode::reset);
      return;
    }
    const bool refused = event.code == EventCode::refused;
    to.connected = !refused;
    to.error = refused ? ECONNREFUSED : 0;
    world_.complete(*std::exchange(to.connecting, std::nullopt), refused ? -ECONNREFUSED : 0);
    return;
  }
  std::string packet;
  if (event.code == EventCode::data) {
    packet = std::move(to.in_flight.front());
    to.in_flight.pop_front();
  }
  if (!to.open || to.error != 0) {
    // Nobody is here any more: whoever still sends learns it.
    if (event.code == EventCode::data) post(socket ^ 1, EventCode::reset);
    return;
  }
  switch (event.code) {
    case EventCode::data:
      to.received += packet;
      serve_receives(socket);
      return;
    case EventCode::fin:
      if (!to.in_flight.empty()) {  // it overtook bytes that a cut link held: the end comes last
        post(socket, EventCode::fin);
        return;
      }
      to.fin_arrived = true;
      serve_receives(socket);
      return;
    case EventCode::reset: break_side(socket, ECONNRESET); return;
    case EventCode::window:
      to.unacknowledged_bytes -= std::min<std::size_t>(to.unacknowledged_bytes, event.detail);
      serve_sends(socket);
      return;
    default: return;
  }
}

void SimNetwork::arrive_syn(SocketId server, const SimEvent& event) {
  Side& side = *find(server);
  if (side.open) return;
  Listener* const listener =
      side.node->state() == NodeState::running ? listener_at(*side.node, side.local) : nullptr;
  if (listener == nullptr) {
    post(server ^ 1, EventCode::refused);
    return;
  }
  if (listener->queue.size() >= listener->backlog) {
    SimEvent again = event;
    again.at_ns = world_.now_ns_ + kSynRetryNs;
    world_.schedule_event(again);
    return;
  }
  side.open = true;
  side.connected = true;
  listener->queue.push_back(server);
  post(server ^ 1, EventCode::syn_ack);
  serve_accepts(*listener);
}

// --- machines -----------------------------------------------------------------------------------

void SimNetwork::process_ended(SimNode& node, bool power_lost) {
  for (auto it = listeners_.begin(); it != listeners_.end();) {
    it = it->second.node == &node ? listeners_.erase(it) : std::next(it);
  }
  std::vector<SocketId> open;
  for (auto& [id, connection] : connections_) {
    for (SocketId side = 0; side < 2; ++side) {
      if (connection.side[side].node == &node && connection.side[side].open) {
        open.push_back(id << 1 | side);
      }
    }
  }
  for (const SocketId socket : open) {
    Side* const side = find(socket);
    if (side == nullptr) continue;
    side->receives.clear();
    side->sends.clear();
    side->connecting.reset();
    close_side(socket, power_lost);
  }
}

void SimNetwork::reset_connections(const SimNode& left, const SimNode& right) {
  for (auto& [id, connection] : connections_) {
    const SimNode* const first = connection.side[0].node;
    const SimNode* const second = connection.side[1].node;
    if (!((first == &left && second == &right) || (first == &right && second == &left))) continue;
    for (SocketId side = 0; side < 2; ++side) {
      if (connection.side[side].open && connection.side[side].connected) {
        break_side(id << 1 | side, ECONNRESET);
      }
    }
  }
}

void SimNetwork::half_open(const SimNode& forgetful, const SimNode& peer) {
  for (auto& [id, connection] : connections_) {
    for (SocketId side = 0; side < 2; ++side) {
      if (connection.side[side].node != &forgetful || connection.side[1 - side].node != &peer) {
        continue;
      }
      if (connection.side[side].open && connection.side[side].connected) {
        break_side(id << 1 | side, ECONNRESET);
      }
    }
  }
}

}  // namespace keelson::engine::io
