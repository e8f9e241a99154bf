// plugins/broker/client/connection.h: one TCP connection to a broker, with a deadline for each
// step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "engine/io/awaitables.h"
#include "engine/io/backend.h"
#include "engine/io/shard.h"
#include "engine/task.h"
#include "engine/types.h"

namespace keelson::broker {

/// What failed, in one sentence that says what to do where that is known.
template <class T>
using ClientResult = std::expected<T, std::string>;

/// Where a broker is: a numeric address or a name, and a port.
struct ServerAddress {
  std::string host;
  std::uint16_t port = 0;
};
/// "HOST:PORT", "[::1]:9092", or "HOST" for port 9092.
ClientResult<ServerAddress> parse_server_address(const std::string& text);

/// Sends and receives whole frames. One request at a time; one shard's thread.
class ClientConnection {
 public:
  ClientConnection(engine::io::Shard& shard, std::int64_t timeout_ms)
      : shard_(shard), timeout_ms_(timeout_ms) {}
  ~ClientConnection();
  ClientConnection(const ClientConnection&) = delete;

  /// Looks the name up, blocking the shard, and tries each of its addresses.
  [[nodiscard]] engine::Task<ClientResult<void>> connect(ServerAddress address);
  /// Sends `frame`, its size included, and returns the frame that comes back, without its size.
  [[nodiscard]] engine::Task<ClientResult<std::vector<std::byte>>> exchange(
      std::vector<std::byte> frame);
  /// "127.0.0.1:9092", as the user wrote it.
  const std::string& name() const { return name_; }
  engine::io::Shard& shard() { return shard_; }

 private:
  engine::Task<std::int64_t> run(engine::io::IoAwaiter& operation, std::int64_t deadline_ns);
  engine::Task<ClientResult<void>> attempt(engine::io::Endpoint endpoint);
  engine::Task<ClientResult<void>> receive(engine::MutableBytes into, std::int64_t deadline_ns);
  std::string explain(std::int64_t result) const;

  engine::io::Shard& shard_;
  const std::int64_t timeout_ms_;
  std::string name_;
  int fd_ = -1;
};

}  // namespace keelson::broker
