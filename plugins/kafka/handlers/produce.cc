// Produce: record batches into partitions.
#include <utility>

#include "engine/log/record_batch.h"
#include "plugins/kafka/handlers/handlers.h"
#include "plugins/kafka/topic_lookup.h"

namespace keelson::kafka {

using engine::Task;
using messages::ProduceRequest;
using messages::ProduceResponse;

namespace {

constexpr std::int16_t kFirstIdVersion = 13;
constexpr std::int16_t kFirstZstdVersion = 7;
constexpr std::int16_t kFirstEndpointVersion = 10;
/// The one client that may write to internal topics (source: Kafka 4.3.1, KafkaApis).
constexpr std::string_view kAdminClient = "__admin_client";

ProduceResponse::PartitionProduceResponse refused(std::int32_t index, ApiErrc error,
                                                  std::string message = {}) {
  ProduceResponse::PartitionProduceResponse response;
  response.index = index;
  response.error_code = to_code(error);
  response.base_offset = kNoOffset;
  if (!message.empty()) response.error_message = std::move(message);
  return response;
}

ProduceResponse::PartitionProduceResponse to_response(std::int32_t index, ProduceAnswer answer) {
  auto response = refused(index, answer.error, std::move(answer.message));
  response.base_offset = answer.base_offset;
  response.log_append_time_ms = answer.log_append_time_ms;
  response.log_start_offset = answer.log_start_offset;
  for (engine::log::RecordFault& fault : answer.record_faults) {
    auto& record = response.record_errors.emplace_back();
    record.batch_index = fault.batch_index;
    record.batch_index_error_message = std::move(fault.message);
  }
  return response;
}

/// Where a partition's answer belongs in the response.
struct Place {
  std::size_t topic;
  std::size_t partition;
};

/// Why nothing may be written to `topic` by this client, or none.
ApiErrc check_topic(const RequestContext& context, const TopicView& topic) {
  if (topic.internal && context.client_id() != kAdminClient) {
    return ApiErrc::invalid_topic_exception;
  }
  return ApiErrc::none;
}

/// Whether the first batch says that it is part of a transaction. Malformed ones do not: validation
/// says what is wrong with them.
bool holds_transaction(engine::Bytes records) {
  const engine::Result<engine::log::BatchHeader> header = engine::log::read_batch_header(records);
  return header && header->is_transactional() && !header->is_control();
}

bool any_error(const ProduceResponse& response) {
  for (const auto& topic : response.responses) {
    for (const auto& partition : topic.partition_responses) {
      if (partition.error_code != 0) return true;
    }
  }
  return false;
}

/// Tells a client that came to the wrong broker who leads (KIP-951).
void add_leaders(const RequestContext& context, const ClusterView& view,
                 ProduceResponse& response) {
  bool moved = false;
  for (auto& topic : response.responses) {
    for (auto& partition : topic.partition_responses) {
      if (partition.error_code != to_code(ApiErrc::not_leader_or_follower)) continue;
      const TopicView* const known =
          topic.name.empty() ? view.find(topic.topic_id) : view.find(topic.name);
      if (known == nullptr) continue;
      const auto& where = known->partitions[static_cast<std::size_t>(partition.index)];
      partition.current_leader.leader_id = where.leader;
      partition.current_leader.leader_epoch = where.leader_epoch.value();
      moved = true;
    }
  }
  if (!moved) return;
  for (const BrokerView& broker : view.brokers) {
    const BrokerEndpoint* const endpoint = find_endpoint(broker, context.connection.listener);
    if (endpoint == nullptr) continue;
    auto& node = response.node_endpoints.emplace_back();
    node.node_id = broker.id;
    node.host = endpoint->host;
    node.port = endpoint->port;
  }
}

}  // namespace

Task<Answered<ProduceResponse>> handle_produce(RequestContext& context, ProduceRequest request) {
  const auto view = context.services.controller.view();
  const bool by_id = context.version() >= kFirstIdVersion;
  const bool acks_legal = request.acks >= -1 && request.acks <= 1;

  ProduceResponse response;
  ProduceCall call;
  call.acks = static_cast<Acks>(acks_legal ? request.acks : -1);
  call.timeout_ms = request.timeout_ms;
  call.memory = context.keep_frame();
  call.zstd_allowed = context.version() >= kFirstZstdVersion;
  std::vector<Place> places;
  response.responses.reserve(request.topic_data.size());
  for (const auto& data : request.topic_data) {
    auto& topic_response = response.responses.emplace_back();
    topic_response.name = data.name;
    topic_response.topic_id = data.topic_id;
    topic_response.partition_responses.reserve(data.partition_data.size());
    const auto topic = find_topic(*view, by_id, data.name, data.topic_id);
    for (const auto& partition : data.partition_data) {
      ApiErrc error = acks_legal ? ApiErrc::none : ApiErrc::invalid_required_acks;
      if (error == ApiErrc::none) error = topic ? check_topic(context, **topic) : topic.error();
      std::expected<PartitionKey, ApiErrc> key{};
      if (error == ApiErrc::none) {
        key = find_partition(**topic, partition.index, context.services.self);
        if (!key) error = key.error();
      }
      if (error == ApiErrc::none && !partition.records) error = ApiErrc::invalid_record;
      if (error == ApiErrc::none && holds_transaction(*partition.records)) {
        // No transaction can be begun here, so this batch belongs to none.
        error = request.transactional_id ? ApiErrc::not_enough_replicas
                                         : ApiErrc::transactional_id_authorization_failed;
      }
      topic_response.partition_responses.push_back(refused(partition.index, error));
      if (error != ApiErrc::none) continue;
      places.push_back(
          {response.responses.size() - 1, topic_response.partition_responses.size() - 1});
      call.partitions.push_back({*key, *partition.records});
    }
  }
  if (!call.partitions.empty()) {
    std::vector<ProduceAnswer> answers =
        co_await context.services.replicator.produce(context.shard(), std::move(call));
    for (std::size_t i = 0; i < answers.size(); ++i) {
      auto& place = response.responses[places[i].topic].partition_responses[places[i].partition];
      place = to_response(place.index, std::move(answers[i]));
    }
  }
  if (request.acks == 0) {
    // Nobody reads an answer; a closed connection is how such a producer learns of an error.
    if (any_error(response)) co_return Answered<ProduceResponse>::close();
    co_return Answered<ProduceResponse>::silence();
  }
  if (context.version() >= kFirstEndpointVersion) add_leaders(context, *view, response);
  co_return std::move(response);
}

}  // namespace keelson::kafka
