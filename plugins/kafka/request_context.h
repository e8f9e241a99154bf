// plugins/kafka/request_context.h: what a handler works with.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/io/cross_shard.h"
#include "plugins/kafka/fetch_sessions.h"
#include "plugins/kafka/header.h"
#include "plugins/kafka/server/connection.h"
#include "plugins/kafka/server/frame.h"
#include "plugins/registry/cluster.h"
#include "plugins/registry/group_coordinator.h"
#include "plugins/registry/log_store.h"
#include "plugins/registry/replicator.h"
#include "plugins/registry/settings/broker_settings.h"

namespace keelson::kafka {

/// The broker behind the protocol: interfaces only, never the broker object.
struct BrokerServices {
  engine::io::ShardGroup& shards;
  ClusterController& controller;
  Replicator& replicator;
  LogStore& store;
  GroupCoordinator& groups;
  const BrokerSettings& settings;
  BrokerId self = kNoBroker;
};

/// Settings that handlers read on every request, taken from BrokerSettings once.
struct HandlerLimits {
  bool auto_create_topics = true;                     // auto.create.topics.enable
  std::int32_t fetch_bytes_max = 57'671'680;          // fetch.max.bytes
  std::int32_t partitions_per_page_max = 2000;        // max.request.partition.size.limit
  std::int32_t transaction_timeout_ms_max = 900'000;  // transaction.max.timeout.ms
};

/// One request under way. Lives in the dispatcher's frame until the response is encoded.
struct RequestContext {
  const BrokerServices& services;
  const HandlerLimits& limits;
  FetchSessionCache& fetch_sessions;  // this shard's
  ConnectionContext& connection;
  RequestHeader header;  // refers to the frame, as the request does
  Frame frame;
  std::shared_ptr<Frame> kept_frame;

  /// For work that may outlive the answer: the request's memory, to be let go on this shard.
  std::shared_ptr<const void> keep_frame() {
    if (kept_frame == nullptr) kept_frame = std::make_shared<Frame>(std::move(frame));
    return kept_frame;
  }

  engine::io::Shard& shard() { return connection.shard; }
  std::int16_t version() const { return header.version; }
  std::string_view client_id() const { return header.client_id.value_or(std::string_view{}); }
};

/// What a handler returns: a response, or one of the two ways to give none.
template <class Response>
struct Answered {
  Reply::Action action = Reply::Action::answer;
  Response response;

  Answered(Response given) : response(std::move(given)) {}  // NOLINT: meant to be implicit
  static Answered silence() { return Answered(Reply::Action::no_answer); }
  static Answered close() { return Answered(Reply::Action::close); }

 private:
  explicit Answered(Reply::Action given) : action(given) {}
};

/// A nullable text of a request, owned.
inline std::optional<std::string> to_text(const std::optional<std::string_view>& text) {
  if (!text) return std::nullopt;
  return std::string(*text);
}

inline std::int16_t to_code(ApiErrc error) { return static_cast<std::int16_t>(error); }

}  // namespace keelson::kafka
