// plugins/kafka/topic_lookup.h: topics by the name or id that a request gives.
#pragma once

#include <expected>
#include <optional>
#include <string_view>

#include "plugins/kafka/request_context.h"
#include "plugins/registry/cluster.h"

namespace keelson::kafka {

/// The topic that a request means: by id from `first_id_version` on, else by name.
/// Errors: unknown_topic_or_partition (name), unknown_topic_id.
inline std::expected<const TopicView*, ApiErrc> find_topic(const ClusterView& view, bool by_id,
                                                           std::string_view name,
                                                           const engine::Uuid& id) {
  const TopicView* const topic = by_id ? view.find(id) : view.find(name);
  if (topic != nullptr) return topic;
  return std::unexpected(by_id ? ApiErrc::unknown_topic_id : ApiErrc::unknown_topic_or_partition);
}

/// Where partition `index` of `topic` is, if this broker leads it.
/// Errors: unknown_topic_or_partition, not_leader_or_follower.
inline std::expected<PartitionKey, ApiErrc> find_partition(const TopicView& topic,
                                                           std::int32_t index, BrokerId self) {
  if (index < 0 || static_cast<std::size_t>(index) >= topic.partitions.size()) {
    return std::unexpected(ApiErrc::unknown_topic_or_partition);
  }
  if (topic.partitions[static_cast<std::size_t>(index)].leader != self) {
    return std::unexpected(ApiErrc::not_leader_or_follower);
  }
  return PartitionKey{topic.id, index};
}

/// 1..249 of [a-zA-Z0-9._-], not "." or ".." (source: Kafka 4.3.1, Topic.validate).
inline bool is_legal_topic_name(std::string_view name) {
  if (name.empty() || name.size() > 249 || name == "." || name == "..") return false;
  for (const char character : name) {
    const bool legal = (character >= 'a' && character <= 'z') ||
                       (character >= 'A' && character <= 'Z') ||
                       (character >= '0' && character <= '9') || character == '.' ||
                       character == '_' || character == '-';
    if (!legal) return false;
  }
  return true;
}

/// The endpoint of `broker` that clients of `listener` use; null where it has none.
inline const BrokerEndpoint* find_endpoint(const BrokerView& broker, std::string_view listener) {
  for (const BrokerEndpoint& endpoint : broker.endpoints) {
    if (endpoint.listener == listener) return &endpoint;
  }
  return broker.endpoints.empty() ? nullptr : &broker.endpoints.front();
}

}  // namespace keelson::kafka
