#include "plugins/kafka/server/listener.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <list>
#include <numeric>
#include <utility>

#include "engine/io/awaitables.h"

namespace keelson::kafka {

using engine::LogLevel;
using engine::Result;
using engine::Task;
using engine::io::call_on;
using engine::io::Shard;

struct Listener::ShardConnections {
  ShardConnections(Shard& shard, std::uint64_t memory_bytes)
      : request_memory(shard, memory_bytes), stopping(shard), changed(shard) {}

  engine::io::Semaphore request_memory;
  std::list<Connection*> open;  // oldest first: the order in which they are told to end
  engine::io::Event stopping;
  engine::io::Event changed;  // a connection ended
  bool sweeping = false;
};

Listener::Listener(engine::io::ShardGroup& shards, RequestHandler& handler, ListenerLimits limits)
    : shards_(shards), handler_(handler), limits_(limits), open_by_shard_(shards.size(), 0) {
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    by_shard_.push_back(
        std::make_unique<ShardConnections>(shards_.at(i), limits_.request_memory_bytes));
  }
  accept_ended_ = std::make_unique<engine::io::Event>(shards_.at(0));
  handed_over_ = std::make_unique<engine::io::Gate>(shards_.at(0));
}

Listener::~Listener() = default;

Result<void> Listener::bind(engine::io::Endpoint& endpoint) {
  const Result<int> fd = shards_.at(0).backend().listen(endpoint, limits_.backlog);
  if (!fd) return std::unexpected(fd.error());
  fd_ = *fd;
  return {};
}

void Listener::start() {
  accepting_ = true;
  shards_.at(0).spawn(accept_connections());
}

Task<void> Listener::accept_connections() {
  Shard& shard = shards_.at(0);
  bool told = false;
  while (!stopping_) {
    engine::io::IoAwaiter operation{shard};
    operation.code = engine::io::OpCode::accept;
    operation.fd = fd_;
    const std::int64_t result = co_await operation;
    if (result >= 0) {
      admit(static_cast<int>(result));
      told = false;
      continue;
    }
    if (stopping_) break;
    if (result == -ECONNABORTED || result == -EPROTO) continue;  // that peer has gone already
    // Out of descriptors or memory: those that are open go on; try again when some may be free.
    if (!std::exchange(told, true)) {
      shard.logger().write(
          LogLevel::warning, "net",
          engine::concat("cannot accept connections, errno ", -result, "; trying until it works"));
    }
    co_await shard.sleep_for_ms(100);
  }
  accept_ended_->set();
}

void Listener::admit(int fd) {
  Shard& shard = shards_.at(0);
  const Result<engine::io::Endpoint> peer = shard.backend().peer(fd);
  const std::string host = peer ? peer->host : std::string{};
  const std::uint64_t total =
      std::accumulate(open_by_shard_.begin(), open_by_shard_.end(), std::uint64_t{0});
  std::uint32_t& of_host = open_by_host_[host];
  if (stopping_ || total >= limits_.connections_max || of_host >= limits_.connections_per_ip_max) {
    if (of_host == 0) open_by_host_.erase(host);
    shard.backend().close(fd);
    return;
  }
  const auto fewest = std::min_element(open_by_shard_.begin(), open_by_shard_.end());
  const auto target = static_cast<std::uint32_t>(fewest - open_by_shard_.begin());
  ++open_by_shard_[target];
  ++of_host;
  const bool entered = handed_over_->enter();
  assert(entered);  // it closes after stopping_ is set
  shard.spawn(hand_over(target, fd, next_id_++, host));
}

Task<void> Listener::hand_over(std::uint32_t target, int fd, std::uint64_t id, std::string host) {
  const engine::io::Gate::Pass pass(*handed_over_);
  const auto work = [&, target, fd, id] { return serve_on(target, fd, id, host); };
  co_await call_on(shards_.at(0), shards_.at(target), work);
  --open_by_shard_[target];
  const auto of_host = open_by_host_.find(host);
  if (--of_host->second == 0) open_by_host_.erase(of_host);
}

Task<void> Listener::serve_on(std::uint32_t index, int fd, std::uint64_t id, std::string host) {
  Shard& shard = shards_.at(index);
  ShardConnections& mine = *by_shard_[index];
  Connection connection(shard, fd, id, handler_, limits_.connection, mine.request_memory);
  connection.context().peer_host = std::move(host);
  const auto place = mine.open.insert(mine.open.end(), &connection);
  if (!mine.sweeping && limits_.idle_ms_max > 0 && !mine.stopping.is_set()) {
    mine.sweeping = true;
    shard.spawn(sweep_idle(index));
  }
  if (mine.stopping.is_set()) connection.shut_down(true);
  co_await connection.serve();
  mine.open.erase(place);
  mine.changed.notify();
}

/// One timer a shard for all its connections, and none where there are no connections.
Task<void> Listener::sweep_idle(std::uint32_t index) {
  Shard& shard = shards_.at(index);
  ShardConnections& mine = *by_shard_[index];
  const std::int64_t idle_ns = limits_.idle_ms_max * 1'000'000;
  const std::int64_t step_ns = std::max<std::int64_t>(idle_ns / 8, 1'000'000);
  while (!mine.open.empty()) {
    const bool stopping = co_await mine.stopping.wait_until(shard.clock().now_ns() + step_ns);
    if (stopping) break;
    const std::int64_t now_ns = shard.clock().now_ns();
    for (Connection* connection : mine.open) {
      // One that waits for an answer is not idle; one that does not read it is.
      if (now_ns - connection->last_active_ns() < idle_ns) continue;
      if (connection->idle() || connection->output_waiting()) connection->shut_down(true);
    }
  }
  mine.sweeping = false;
}

Task<void> Listener::close_on(std::uint32_t index, bool at_once) {
  ShardConnections& mine = *by_shard_[index];
  mine.stopping.set();
  for (Connection* connection : mine.open) connection->shut_down(at_once);
  co_return;
}

Task<void> Listener::drain_on(std::uint32_t index, std::int64_t deadline_ns) {
  ShardConnections& mine = *by_shard_[index];
  while (!mine.open.empty()) {
    const bool changed = co_await mine.changed.wait_until(deadline_ns);
    if (!changed) break;
  }
  for (Connection* connection : mine.open) connection->shut_down(true);
  while (!mine.open.empty()) co_await mine.changed.wait();
}

Task<void> Listener::stop(std::int64_t deadline_ns) {
  Shard& shard = shards_.at(0);
  if (fd_ < 0) co_return;
  stopping_ = true;
  shard.backend().shutdown(fd_);  // ends the accept that waits
  if (accepting_) co_await accept_ended_->wait();
  shard.backend().close(std::exchange(fd_, -1));
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const auto work = [&, i] { return close_on(i, false); };
    co_await call_on(shard, shards_.at(i), work);
  }
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const auto work = [&, i] { return drain_on(i, deadline_ns); };
    co_await call_on(shard, shards_.at(i), work);
  }
  co_await handed_over_->close();  // what runs here for each connection has ended too
}

Task<void> Listener::take_memory_on(std::uint32_t index) {
  engine::io::Semaphore& memory = by_shard_[index]->request_memory;
  co_await memory.take(limits_.request_memory_bytes);
  memory.give(limits_.request_memory_bytes);
}

Task<void> Listener::wait_for_memory() {
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const auto work = [&, i] { return take_memory_on(i); };
    co_await call_on(shards_.at(0), shards_.at(i), work);
  }
}

}  // namespace keelson::kafka
