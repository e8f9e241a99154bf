// engine/io/posix/sockets.h: TCP sockets for both native backends.
#pragma once

#include <sys/socket.h>

#include "engine/error.h"
#include "engine/io/backend.h"

namespace keelson::engine::io {

/// An IPv4 or IPv6 address as the system takes it.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size_bytes = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// io_uring waits by itself only for sockets that block; epoll needs those that do not.
enum class SocketMode : bool { blocking, non_blocking };

/// Errors: io with EINVAL where `host` is not a numeric address.
[[nodiscard]] Result<SocketAddress> to_socket_address(const Endpoint& endpoint);

/// As Backend::listen(). SO_REUSEADDR, so that a restart does not wait for old connections.
[[nodiscard]] Result<int> open_listener(Endpoint& endpoint, int backlog, SocketMode mode);

/// A TCP socket of the address's family with TCP_NODELAY.
[[nodiscard]] Result<int> open_stream_socket(const SocketAddress& address, SocketMode mode);

/// TCP_NODELAY for a connection that was accepted, and TCP_CONGESTION "reno" for one within this
/// host: a control that paces, as bbr does, sets a timer for every 64 KiB or so that is sent, which
/// was a third of the CPU of a catch-up read, for a network that is not there. Every Linux has reno
/// and allows it (tcp(7)). What other connections have is the system's choice.
/// Failure means the peer has gone: ignored.
void prepare_accepted(int fd);

/// As Backend::peer().
[[nodiscard]] Result<Endpoint> peer_of(int fd);

}  // namespace keelson::engine::io
