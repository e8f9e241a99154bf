#include "tests/sim/support/sim_client.h"

#include <algorithm>
#include <cassert>

#include "engine/byte_order.h"
#include "engine/io/awaitables.h"

namespace keelson::test {

using engine::Task;
using engine::io::IoAwaiter;
using engine::io::OpCode;

void SimClient::break_link(Link& link) {
  if (link.broken) return;
  link.broken = true;
  link.shard.backend().shutdown(link.fd);
  for (auto& [id, slot] : link.waiting) slot->done.set();
  link.waiting.clear();
  link.changed.notify();
}

void SimClient::disconnect() {
  if (link_ != nullptr) break_link(*link_);
  link_.reset();
}

Task<bool> SimClient::connect() {
  if (connected()) co_return true;
  link_.reset();
  const engine::Result<int> fd = shard_.backend().connect_socket(broker_);
  assert(fd);
  IoAwaiter operation{shard_};
  operation.code = OpCode::connect;
  operation.fd = *fd;
  const std::int64_t result = co_await operation;
  if (result < 0) {
    shard_.backend().close(*fd);
    co_return false;
  }
  link_ = std::make_shared<Link>(shard_, *fd);
  shard_.spawn(read_responses(link_));
  shard_.spawn(write_requests(link_));
  co_return true;
}

Task<bool> SimClient::receive(Link& link, std::byte* into, std::size_t bytes) {
  while (bytes > 0) {
    iovec buffer{into, bytes};
    IoAwaiter operation{link.shard};
    operation.code = OpCode::receive;
    operation.fd = link.fd;
    operation.buffers = &buffer;
    operation.buffer_count = 1;
    const std::int64_t result = co_await operation;
    if (result <= 0) co_return false;
    into += result;
    bytes -= static_cast<std::size_t>(result);
  }
  co_return true;
}

Task<void> SimClient::read_responses(std::shared_ptr<Link> link) {
  while (!link->broken) {
    std::byte prefix[4];
    const bool prefixed = co_await receive(*link, prefix, sizeof(prefix));
    if (!prefixed) break;
    const auto bytes = engine::load_big_endian<std::int32_t>(prefix);
    assert(bytes >= 4 && bytes < (64 << 20));
    auto frame = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(bytes));
    const bool whole = co_await receive(*link, frame->data(), frame->size());
    if (!whole || link->broken) break;
    const auto waiting = link->waiting.find(engine::load_big_endian<std::int32_t>(frame->data()));
    assert(waiting != link->waiting.end());                  // an answer nobody asked for
    assert(waiting->first == link->waiting.begin()->first);  // answers come in order
    waiting->second->frame = std::move(frame);
    waiting->second->done.set();
    link->waiting.erase(waiting);
  }
  break_link(*link);
  while (link->writing) co_await link->changed.wait();
  link->shard.backend().close(link->fd);
}

Task<void> SimClient::write_requests(std::shared_ptr<Link> link) {
  while (!link->broken) {
    if (link->outgoing.empty()) {
      co_await link->changed.wait();
      continue;
    }
    std::string bytes = std::exchange(link->outgoing, {});
    for (std::size_t sent = 0; sent < bytes.size() && !link->broken;) {
      iovec buffer{bytes.data() + sent, bytes.size() - sent};
      IoAwaiter operation{link->shard};
      operation.code = OpCode::send;
      operation.fd = link->fd;
      operation.buffers = &buffer;
      operation.buffer_count = 1;
      const std::int64_t result = co_await operation;
      if (result <= 0) {
        break_link(*link);
        break;
      }
      sent += static_cast<std::size_t>(result);
    }
  }
  link->writing = false;
  link->changed.notify();
}

}  // namespace keelson::test
