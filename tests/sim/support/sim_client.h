// tests/sim/support/sim_client.h: a Kafka client's connection over simulated sockets.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/sync.h"
#include "plugins/kafka/header.h"

namespace keelson::test {

/// One connection at a time to one broker, requests pipelined in the order of begin(). One shard.
class SimClient {
 public:
  /// A request under way. `frame` holds the answer once `done` is set; null where the connection
  /// ended before it came.
  struct Pending {
    Pending(engine::io::Shard& shard, const kafka::messages::ApiInfo& api, std::int16_t version)
        : api(api), version(version), done(shard) {}
    const kafka::messages::ApiInfo& api;
    const std::int16_t version;
    engine::io::Event done;
    std::shared_ptr<std::vector<std::byte>> frame;
  };
  using Slot = std::shared_ptr<Pending>;

  SimClient(engine::io::Shard& shard, engine::io::Endpoint broker, std::string client_id)
      : shard_(shard), broker_(std::move(broker)), client_id_(std::move(client_id)) {}
  SimClient(const SimClient&) = delete;

  engine::io::Shard& shard() { return shard_; }
  const std::string& client_id() const { return client_id_; }

  /// Connects where it is not; false where nobody listens.
  engine::Task<bool> connect();
  bool connected() const { return link_ != nullptr && !link_->broken; }
  /// Ends the connection: requests under way have no answer.
  void disconnect();

  /// Encodes and queues `request`, of which nothing is kept; null where there is no connection.
  template <class Request>
  Slot begin(const Request& request, std::int16_t version, bool answered = true) {
    if (!connected()) return nullptr;
    const auto& api = *kafka::messages::api_info(Request::kApiKey);
    wire::Writer writer;
    writer.begin_frame();
    const std::int32_t id = next_correlation_id_++;
    kafka::encode_request_header(writer, {&api, version, id, client_id_});
    const auto encoded = request.encode(writer, version);
    assert(encoded);
    writer.end_frame();
    for (const engine::Slice& slice : writer.take()) {
      link_->outgoing.append(reinterpret_cast<const char*>(slice.bytes.data()), slice.bytes.size());
    }
    auto slot = std::make_shared<Pending>(shard_, api, version);
    if (answered) link_->waiting.emplace(id, slot);
    link_->changed.notify();
    return slot;
  }

  /// The answer; nothing where the connection ended, or ends now because `timeout_ms` is over.
  template <class Response>
  engine::Task<std::optional<Response>> finish(Slot slot, std::int64_t timeout_ms) {
    if (slot == nullptr) co_return std::nullopt;
    const std::int64_t deadline_ns = shard_.clock().now_ns() + timeout_ms * 1'000'000;
    const bool done = co_await slot->done.wait_until(deadline_ns);
    if (!done) disconnect();
    if (slot->frame == nullptr) co_return std::nullopt;
    wire::Reader reader(engine::Bytes(*slot->frame), slot->frame);
    const auto id = kafka::decode_response_header(reader, slot->api, slot->version);
    assert(id);
    auto response = Response::decode(reader, slot->version);
    assert(response && reader.remaining_bytes() == 0);
    co_return *std::move(response);
  }

  /// Connects where needed, asks, and waits. `request` lives until then.
  template <class Response, class Request>
  engine::Task<std::optional<Response>> call(const Request& request, std::int16_t version,
                                             std::int64_t timeout_ms = 5'000) {
    const bool there = co_await connect();
    if (!there) co_return std::nullopt;
    Slot slot = begin(request, version);
    co_return co_await finish<Response>(std::move(slot), timeout_ms);
  }

 private:
  struct Link {
    Link(engine::io::Shard& shard, int fd) : shard(shard), fd(fd), changed(shard) {}
    engine::io::Shard& shard;
    const int fd;
    bool broken = false;
    bool writing = true;
    std::string outgoing;
    std::map<std::int32_t, Slot> waiting;
    engine::io::Event changed;
  };
  static void break_link(Link& link);
  static engine::Task<bool> receive(Link& link, std::byte* into, std::size_t bytes);
  static engine::Task<void> read_responses(std::shared_ptr<Link> link);
  static engine::Task<void> write_requests(std::shared_ptr<Link> link);

  engine::io::Shard& shard_;
  const engine::io::Endpoint broker_;
  const std::string client_id_;
  std::int32_t next_correlation_id_ = 1;
  std::shared_ptr<Link> link_;
};

}  // namespace keelson::test
