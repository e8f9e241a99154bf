#include "engine/io/posix/sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace keelson::engine::io {
namespace {

int type_flags(SocketMode mode) {
  return SOCK_STREAM | SOCK_CLOEXEC | (mode == SocketMode::non_blocking ? SOCK_NONBLOCK : 0);
}

std::unexpected<Error> fail_and_close(int fd) {
  const int reason = errno;
  ::close(fd);
  return fail(Errc::io, reason);
}

void set_no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

using NameOf = int (*)(int, sockaddr*, socklen_t*);

Result<SocketAddress> address_by(NameOf name_of, int fd) {
  SocketAddress address;
  address.size_bytes = sizeof address.storage;
  auto* const raw = reinterpret_cast<sockaddr*>(&address.storage);
  if (name_of(fd, raw, &address.size_bytes) < 0) return fail(Errc::io, errno);
  return address;
}

Result<Endpoint> to_endpoint(const SocketAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.storage.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address.storage, sizeof v4);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return Endpoint{text, ntohs(v4.sin_port)};
  }
  if (address.storage.ss_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &address.storage, sizeof v6);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return Endpoint{text, ntohs(v6.sin6_port)};
  }
  return fail(Errc::io, EAFNOSUPPORT);
}

/// Both ends have one address.
bool is_within_host(int fd) {
  const Result<SocketAddress> own = address_by(::getsockname, fd);
  const Result<SocketAddress> peer = address_by(::getpeername, fd);
  if (!own || !peer) return false;
  const Result<Endpoint> here = to_endpoint(*own);
  const Result<Endpoint> there = to_endpoint(*peer);
  return here && there && here->host == there->host;
}

}  // namespace

Result<SocketAddress> to_socket_address(const Endpoint& endpoint) {
  SocketAddress address;
  sockaddr_in v4{};
  if (::inet_pton(AF_INET, endpoint.host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    address.size_bytes = sizeof v4;
    std::memcpy(&address.storage, &v4, sizeof v4);
    return address;
  }
  sockaddr_in6 v6{};
  if (::inet_pton(AF_INET6, endpoint.host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    address.size_bytes = sizeof v6;
    std::memcpy(&address.storage, &v6, sizeof v6);
    return address;
  }
  return fail(Errc::io, EINVAL);
}

Result<int> open_listener(Endpoint& endpoint, int backlog, SocketMode mode) {
  const Result<SocketAddress> wanted = to_socket_address(endpoint);
  if (!wanted) return std::unexpected(wanted.error());
  const int fd = ::socket(wanted->storage.ss_family, type_flags(mode), 0);
  if (fd < 0) return fail(Errc::io, errno);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd, wanted->get(), wanted->size_bytes) < 0) return fail_and_close(fd);
  if (::listen(fd, backlog) < 0) return fail_and_close(fd);
  const Result<SocketAddress> bound = address_by(::getsockname, fd);
  if (!bound) return fail_and_close(fd);
  const Result<Endpoint> given = to_endpoint(*bound);
  if (given) endpoint.port = given->port;
  return fd;
}

Result<int> open_stream_socket(const SocketAddress& address, SocketMode mode) {
  const int fd = ::socket(address.storage.ss_family, type_flags(mode), 0);
  if (fd < 0) return fail(Errc::io, errno);
  set_no_delay(fd);
  return fd;
}

void prepare_accepted(int fd) {
  set_no_delay(fd);
  if (is_within_host(fd)) ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", sizeof "reno");
}

Result<Endpoint> peer_of(int fd) {
  const Result<SocketAddress> peer = address_by(::getpeername, fd);
  if (!peer) return std::unexpected(peer.error());
  return to_endpoint(*peer);
}

}  // namespace keelson::engine::io
