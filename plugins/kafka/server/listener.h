// plugins/kafka/server/listener.h: accepts connections and spreads them over the shards.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/cross_shard.h"
#include "engine/io/sync.h"
#include "engine/task.h"
#include "plugins/kafka/server/connection.h"

namespace keelson::kafka {

struct ListenerLimits {
  int backlog = 1024;  // Kafka's 50 makes a burst of clients wait for retransmits
  std::uint32_t connections_max = 0x7fffffff;                    // max.connections
  std::uint32_t connections_per_ip_max = 0x7fffffff;             // max.connections.per.ip
  std::int64_t idle_ms_max = 600'000;                            // connections.max.idle.ms
  std::uint64_t request_memory_bytes = std::uint64_t{16} << 20;  // a shard's, for large frames
  ConnectionLimits connection;
};

/// One listening socket, on shard 0. Each connection lives on the shard that had the fewest.
class Listener {
 public:
  Listener(engine::io::ShardGroup& shards, RequestHandler& handler, ListenerLimits limits);
  ~Listener();

  /// Binds; `endpoint` gets the port. Shard 0. Errors: as Backend::listen().
  [[nodiscard]] engine::Result<void> bind(engine::io::Endpoint& endpoint);
  /// Begins to accept. Shard 0.
  void start();
  /// Accepts no more; connections answer what they have read until `deadline_ns`, then are cut.
  /// Afterwards no connection is left. Shard 0. Idempotent.
  [[nodiscard]] engine::Task<void> stop(std::int64_t deadline_ns);
  /// After stop(), before the destructor: waits for the memory of requests that go on behind their
  /// answer. Shard 0.
  [[nodiscard]] engine::Task<void> wait_for_memory();

 private:
  struct ShardConnections;  // one shard's; its thread only

  engine::Task<void> accept_connections();
  void admit(int fd);
  engine::Task<void> hand_over(std::uint32_t shard, int fd, std::uint64_t id, std::string host);
  engine::Task<void> serve_on(std::uint32_t shard, int fd, std::uint64_t id, std::string host);
  engine::Task<void> sweep_idle(std::uint32_t shard);
  engine::Task<void> close_on(std::uint32_t shard, bool at_once);
  engine::Task<void> drain_on(std::uint32_t shard, std::int64_t deadline_ns);
  engine::Task<void> take_memory_on(std::uint32_t shard);

  engine::io::ShardGroup& shards_;
  RequestHandler& handler_;
  const ListenerLimits limits_;
  std::vector<std::unique_ptr<ShardConnections>> by_shard_;

  // Shard 0's.
  int fd_ = -1;
  bool accepting_ = false;
  bool stopping_ = false;
  std::uint64_t next_id_ = 1;
  std::vector<std::uint32_t> open_by_shard_;
  std::map<std::string, std::uint32_t> open_by_host_;
  std::unique_ptr<engine::io::Event> accept_ended_;
  std::unique_ptr<engine::io::Gate> handed_over_;  // a pass for each connection, until it is gone
};

}  // namespace keelson::kafka
