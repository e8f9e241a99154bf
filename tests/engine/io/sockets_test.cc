// What an accepted connection is set to, by sockets of the test's own.
#include "engine/io/posix/sockets.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <string>
#include <string_view>

namespace keelson::engine::io {
namespace {

/// A descriptor that closes.
struct Socket {
  explicit Socket(Result<int> opened) : fd(opened ? *opened : -1) {}
  Socket(const Socket&) = delete;
  ~Socket() {
    if (fd >= 0) ::close(fd);
  }
  const int fd;
};

std::string congestion_control(int fd) {
  char name[16] = {};
  socklen_t size_bytes = sizeof name;
  ::getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &size_bytes);
  return name;
}

/// Whatever this host has that is not reno; empty where there is nothing else.
std::string another_control(int fd) {
  for (const std::string_view name : {"cubic", "bbr", "dctcp", "htcp", "vegas"}) {
    const auto size_bytes = static_cast<socklen_t>(name.size());
    if (::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), size_bytes) == 0) {
      return std::string(name);
    }
  }
  return "";
}

/// The control of a connection from `client` that was accepted, when connections that nobody
/// touches have `usual`.
void expect_control_for(const std::string& client, const std::string& wanted) {
  Endpoint endpoint{"127.0.0.1", 0};
  const Socket listener(open_listener(endpoint, 1, SocketMode::blocking));
  ASSERT_GE(listener.fd, 0);
  const std::string usual = another_control(listener.fd);
  if (usual.empty()) GTEST_SKIP() << "this host has no congestion control but reno";
  const Result<SocketAddress> from = to_socket_address({client, 0});
  const Result<SocketAddress> to = to_socket_address(endpoint);
  ASSERT_TRUE(from && to);
  const Socket connecting(open_stream_socket(*to, SocketMode::blocking));
  ASSERT_EQ(::bind(connecting.fd, from->get(), from->size_bytes), 0);
  ASSERT_EQ(::connect(connecting.fd, to->get(), to->size_bytes), 0);
  const Socket accepted(::accept(listener.fd, nullptr, nullptr));
  ASSERT_EQ(congestion_control(accepted.fd), usual);

  prepare_accepted(accepted.fd);

  EXPECT_EQ(congestion_control(accepted.fd), wanted.empty() ? usual : wanted);
  int no_delay = 0;
  socklen_t size_bytes = sizeof no_delay;
  ::getsockopt(accepted.fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size_bytes);
  EXPECT_NE(no_delay, 0);
}

TEST(SocketsTest, NothingIsPacedWithinAHost) { expect_control_for("127.0.0.1", "reno"); }

TEST(SocketsTest, OtherConnectionsHaveWhatTheSystemChose) { expect_control_for("127.0.0.2", ""); }

}  // namespace
}  // namespace keelson::engine::io
