// Metadata, DescribeCluster, DescribeTopicPartitions: who is there and who leads what.
#include <algorithm>
#include <set>
#include <utility>

#include "plugins/kafka/handlers/handlers.h"
#include "plugins/kafka/topic_lookup.h"

namespace keelson::kafka {

using engine::Task;
using messages::DescribeClusterRequest;
using messages::DescribeClusterResponse;
using messages::DescribeTopicPartitionsRequest;
using messages::DescribeTopicPartitionsResponse;
using messages::MetadataRequest;
using messages::MetadataResponse;

namespace {

constexpr std::int16_t kFirstAutoCreateChoice = 4;
constexpr std::int16_t kFirstNullNameVersion = 12;
constexpr std::int8_t kEndpointBrokers = 1;

// Bits of AclOperation codes (source: Kafka 4.3.1, AclEntry.supportedOperations). Everyone may do
// everything until an authorizer is there.
constexpr std::int32_t bits(std::initializer_list<int> operations) {
  std::int32_t value = 0;
  for (const int operation : operations) value |= 1 << operation;
  return value;
}
// read 3, write 4, create 5, delete 6, alter 7, describe 8, cluster action 9, describe configs 10,
// alter configs 11, idempotent write 12
constexpr std::int32_t kTopicOperations = bits({3, 4, 5, 6, 7, 8, 10, 11});
constexpr std::int32_t kClusterOperations = bits({5, 7, 8, 9, 10, 11, 12});

MetadataResponse::MetadataResponseTopic describe_topic(const TopicView& topic) {
  MetadataResponse::MetadataResponseTopic described;
  described.name = topic.name;
  described.topic_id = topic.id;
  described.is_internal = topic.internal;
  described.partitions.reserve(topic.partitions.size());
  for (std::size_t i = 0; i < topic.partitions.size(); ++i) {
    const PartitionView& partition = topic.partitions[i];
    auto& added = described.partitions.emplace_back();
    if (partition.leader == kNoBroker) added.error_code = to_code(ApiErrc::leader_not_available);
    added.partition_index = static_cast<std::int32_t>(i);
    added.leader_id = partition.leader;
    added.leader_epoch = partition.leader_epoch.value();
    added.replica_nodes = partition.replicas;
    added.isr_nodes = partition.in_sync_replicas;
  }
  return described;
}

MetadataResponse::MetadataResponseTopic refuse_topic(std::optional<std::string> name,
                                                     const engine::Uuid& id, ApiErrc error) {
  MetadataResponse::MetadataResponseTopic refused;
  refused.name = std::move(name);
  refused.topic_id = id;
  refused.error_code = to_code(error);
  return refused;
}

}  // namespace

Task<void> create_missing_topics(RequestContext& context, std::vector<std::string> names) {
  for (std::string& name : names) {
    NewTopic topic;
    topic.name = std::move(name);
    topic.partition_count = -1;
    topic.replication_factor = -1;
    // Refusals show when the view is looked at again: it is there, or it is not.
    const auto created =
        co_await context.services.controller.create_topic(context.shard(), std::move(topic), false);
    if (!created && created.error().code != ApiErrc::topic_already_exists) {
      context.shard().logger().write(
          engine::LogLevel::warning, "kafka",
          engine::concat("a topic could not be made on first use: ", created.error().message));
    }
  }
}

Task<Answered<MetadataResponse>> handle_metadata(RequestContext& context, MetadataRequest request) {
  auto view = context.services.controller.view();
  // Version 0 says "all" with an empty list, later ones with null.
  const bool all = !request.topics || (context.version() == 0 && request.topics->empty());
  const bool may_create =
      context.limits.auto_create_topics &&
      (request.allow_auto_topic_creation || context.version() < kFirstAutoCreateChoice);
  if (!all && may_create) {
    std::set<std::string> missing;
    for (const auto& wanted : *request.topics) {
      if (!wanted.name || !is_legal_topic_name(*wanted.name)) continue;
      if (view->find(*wanted.name) == nullptr) missing.emplace(*wanted.name);
    }
    if (!missing.empty()) {
      co_await create_missing_topics(context, {missing.begin(), missing.end()});
      view = context.services.controller.view();
    }
  }

  MetadataResponse response;
  for (const BrokerView& broker : view->brokers) {
    const BrokerEndpoint* const endpoint = find_endpoint(broker, context.connection.listener);
    if (endpoint == nullptr) continue;
    auto& added = response.brokers.emplace_back();
    added.node_id = broker.id;
    added.host = endpoint->host;
    added.port = endpoint->port;
    if (!broker.rack.empty()) added.rack = broker.rack;
  }
  response.cluster_id = view->cluster_id;
  response.controller_id = view->controller;
  if (all) {
    response.topics.reserve(view->topics.size());
    for (const auto& [name, topic] : view->topics) {
      response.topics.push_back(describe_topic(*topic));
    }
  } else {
    // Each once: a small request that repeats a name must not make a huge answer.
    std::set<std::pair<std::string_view, engine::Uuid>> answered;
    for (const auto& wanted : *request.topics) {
      const bool by_id = !wanted.name;
      const engine::Uuid id = by_id ? wanted.topic_id : engine::Uuid{};
      if (!answered.emplace(wanted.name.value_or(std::string_view{}), id).second) continue;
      const std::string_view name = wanted.name.value_or(std::string_view{});
      const auto topic = find_topic(*view, by_id, name, wanted.topic_id);
      if (topic) {
        response.topics.push_back(describe_topic(**topic));
        continue;
      }
      ApiErrc error = topic.error();
      if (!by_id && !is_legal_topic_name(name)) error = ApiErrc::invalid_topic_exception;
      // Names that cannot be null are empty.
      std::optional<std::string> shown;
      if (!by_id) shown = std::string(name);
      if (by_id && context.version() < kFirstNullNameVersion) shown = std::string{};
      response.topics.push_back(refuse_topic(std::move(shown), wanted.topic_id, error));
    }
  }
  if (request.include_topic_authorized_operations) {
    for (auto& topic : response.topics) topic.topic_authorized_operations = kTopicOperations;
  }
  if (request.include_cluster_authorized_operations) {
    response.cluster_authorized_operations = kClusterOperations;
  }
  co_return std::move(response);
}

Task<Answered<DescribeClusterResponse>> handle_describe_cluster(RequestContext& context,
                                                                DescribeClusterRequest request) {
  const auto view = context.services.controller.view();
  DescribeClusterResponse response;
  response.endpoint_type = request.endpoint_type;
  if (request.endpoint_type != kEndpointBrokers) {
    // 2 asks a broker for controllers; others do not exist.
    constexpr std::int16_t kMismatchedEndpointType = 114;
    constexpr std::int16_t kUnsupportedEndpointType = 115;
    response.error_code =
        request.endpoint_type == 2 ? kMismatchedEndpointType : kUnsupportedEndpointType;
    response.error_message = "this listener tells of brokers only (endpoint type 1)";
    co_return std::move(response);
  }
  response.cluster_id = view->cluster_id;
  response.controller_id = view->controller;
  for (const BrokerView& broker : view->brokers) {
    const BrokerEndpoint* const endpoint = find_endpoint(broker, context.connection.listener);
    if (endpoint == nullptr) continue;
    auto& added = response.brokers.emplace_back();
    added.broker_id = broker.id;
    added.host = endpoint->host;
    added.port = endpoint->port;
    if (!broker.rack.empty()) added.rack = broker.rack;
  }
  if (request.include_cluster_authorized_operations) {
    response.cluster_authorized_operations = kClusterOperations;
  }
  co_return std::move(response);
}

Task<Answered<DescribeTopicPartitionsResponse>> handle_describe_topic_partitions(
    RequestContext& context, DescribeTopicPartitionsRequest request) {
  const auto view = context.services.controller.view();
  DescribeTopicPartitionsResponse response;
  std::set<std::string, std::less<>> names;
  if (request.topics.empty()) {
    for (const auto& [name, topic] : view->topics) names.insert(name);
  } else {
    for (const auto& topic : request.topics) names.emplace(topic.name);
  }
  auto name = names.cbegin();
  std::int32_t first_partition = 0;
  if (request.cursor) {
    name = names.lower_bound(request.cursor->topic_name);
    if (name != names.cend() && *name == request.cursor->topic_name) {
      first_partition = std::max(0, request.cursor->partition_index);
    }
  }
  std::int32_t left = std::max(
      1, std::min(request.response_partition_limit, context.limits.partitions_per_page_max));
  for (; name != names.cend(); ++name, first_partition = 0) {
    if (left == 0) {
      response.next_cursor.emplace();
      response.next_cursor->topic_name = *name;
      response.next_cursor->partition_index = 0;
      break;
    }
    auto& added = response.topics.emplace_back();
    added.name = *name;
    const TopicView* const topic = view->find(*name);
    if (topic == nullptr) {
      added.error_code = to_code(is_legal_topic_name(*name) ? ApiErrc::unknown_topic_or_partition
                                                            : ApiErrc::invalid_topic_exception);
      continue;
    }
    added.topic_id = topic->id;
    added.is_internal = topic->internal;
    added.topic_authorized_operations = kTopicOperations;
    const auto count = static_cast<std::int32_t>(topic->partitions.size());
    std::int32_t index = first_partition;
    for (; index < count && left > 0; ++index, --left) {
      const PartitionView& partition = topic->partitions[static_cast<std::size_t>(index)];
      auto& described = added.partitions.emplace_back();
      if (partition.leader == kNoBroker) {
        described.error_code = to_code(ApiErrc::leader_not_available);
      }
      described.partition_index = index;
      described.leader_id = partition.leader;
      described.leader_epoch = partition.leader_epoch.value();
      described.replica_nodes = partition.replicas;
      described.isr_nodes = partition.in_sync_replicas;
      described.eligible_leader_replicas.emplace();
      described.last_known_elr.emplace();
    }
    if (index < count) {
      response.next_cursor.emplace();
      response.next_cursor->topic_name = *name;
      response.next_cursor->partition_index = index;
      break;
    }
  }
  co_return std::move(response);
}

}  // namespace keelson::kafka
