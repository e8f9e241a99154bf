// ListOffsets, OffsetForLeaderEpoch, DeleteRecords, DescribeProducers, InitProducerId.
#include <set>
#include <utility>

#include "plugins/kafka/handlers/handlers.h"
#include "plugins/kafka/topic_lookup.h"

namespace keelson::kafka {

using engine::Task;
using messages::DeleteRecordsRequest;
using messages::DeleteRecordsResponse;
using messages::DescribeProducersRequest;
using messages::DescribeProducersResponse;
using messages::InitProducerIdRequest;
using messages::InitProducerIdResponse;
using messages::ListOffsetsRequest;
using messages::ListOffsetsResponse;
using messages::OffsetForLeaderEpochRequest;
using messages::OffsetForLeaderEpochResponse;

namespace {

/// Where `partition` of the topic named is, if it is led here.
std::expected<PartitionKey, ApiErrc> locate(const RequestContext& context, const ClusterView& view,
                                            std::string_view topic, std::int32_t partition) {
  const auto found = find_topic(view, false, topic, {});
  if (!found) return std::unexpected(found.error());
  return find_partition(**found, partition, context.services.self);
}

constexpr std::int16_t kFirstEpochVersion = 4;  // of ListOffsets

/// The first version of ListOffsets that knows a special time; 0 for ordinary times, and a version
/// that never comes for numbers without a meaning.
std::int16_t first_version_of(std::int64_t timestamp_ms) {
  switch (timestamp_ms) {
    case kLatestTime:
    case kEarliestTime: return 0;
    case kMaxTime: return 7;
    case kEarliestLocalTime: return 8;
    case kLatestTieredTime: return 9;
    case kEarliestPendingUploadTime: return 11;
    default: return timestamp_ms < 0 ? std::int16_t{0x7fff} : std::int16_t{0};
  }
}

}  // namespace

Task<Answered<ListOffsetsResponse>> handle_list_offsets(RequestContext& context,
                                                        ListOffsetsRequest request) {
  const auto view = context.services.controller.view();
  std::set<std::pair<std::string_view, std::int32_t>> seen;
  std::set<std::pair<std::string_view, std::int32_t>> repeated;
  for (const auto& topic : request.topics) {
    for (const auto& partition : topic.partitions) {
      const bool first = seen.emplace(topic.name, partition.partition_index).second;
      if (!first) repeated.emplace(topic.name, partition.partition_index);
    }
  }
  ListOffsetsResponse response;
  for (const auto& topic : request.topics) {
    auto& result = response.topics.emplace_back();
    result.name = topic.name;
    for (const auto& asked : topic.partitions) {
      auto& one = result.partitions.emplace_back();
      one.partition_index = asked.partition_index;
      const auto key = locate(context, *view, topic.name, asked.partition_index);
      if (repeated.contains({topic.name, asked.partition_index})) {
        one.error_code = to_code(ApiErrc::invalid_request);
      } else if (!key) {
        one.error_code = to_code(key.error());
      } else if (context.version() < first_version_of(asked.timestamp)) {
        one.error_code = to_code(ApiErrc::unsupported_version);
      } else {
        const ApiResult<OffsetAnswer> found = co_await context.services.replicator.list_offset(
            context.shard(), *key, asked.timestamp, request.isolation_level == 1,
            engine::LeaderEpoch{asked.current_leader_epoch});
        if (found) {
          one.timestamp = found->timestamp_ms;
          one.offset = found->offset;
          if (context.version() >= kFirstEpochVersion) {
            one.leader_epoch = found->leader_epoch.value();
          }
        } else {
          one.error_code = to_code(found.error().code);
        }
      }
    }
  }
  co_return std::move(response);
}

Task<Answered<OffsetForLeaderEpochResponse>> handle_offset_for_leader_epoch(
    RequestContext& context, OffsetForLeaderEpochRequest request) {
  const auto view = context.services.controller.view();
  OffsetForLeaderEpochResponse response;
  for (const auto& topic : request.topics) {
    auto& result = response.topics.emplace_back();
    result.topic = topic.topic;
    for (const auto& asked : topic.partitions) {
      auto& one = result.partitions.emplace_back();
      one.partition = asked.partition;
      const auto key = locate(context, *view, topic.topic, asked.partition);
      if (!key) {
        one.error_code = to_code(key.error());
        continue;
      }
      const ApiResult<engine::log::EpochEnd> end = co_await context.services.replicator.epoch_end(
          context.shard(), *key, engine::LeaderEpoch{asked.leader_epoch},
          engine::LeaderEpoch{asked.current_leader_epoch});
      if (end) {
        one.leader_epoch = end->epoch.value();
        one.end_offset = end->end_offset.value();
      } else {
        one.error_code = to_code(end.error().code);
      }
    }
  }
  co_return std::move(response);
}

Task<Answered<DeleteRecordsResponse>> handle_delete_records(RequestContext& context,
                                                            DeleteRecordsRequest request) {
  const auto view = context.services.controller.view();
  DeleteRecordsResponse response;
  for (const auto& topic : request.topics) {
    auto& result = response.topics.emplace_back();
    result.name = topic.name;
    const TopicView* const known = view->find(topic.name);
    for (const auto& asked : topic.partitions) {
      auto& one = result.partitions.emplace_back();
      one.partition_index = asked.partition_index;
      one.low_watermark = -1;
      const auto key = locate(context, *view, topic.name, asked.partition_index);
      if (!key) {
        one.error_code = to_code(key.error());
        continue;
      }
      if (known->internal) {
        one.error_code = to_code(ApiErrc::invalid_topic_exception);
        continue;
      }
      const ApiResult<std::int64_t> start =
          co_await context.services.replicator.delete_records(context.shard(), *key, asked.offset);
      if (start) {
        one.low_watermark = *start;
      } else {
        one.error_code = to_code(start.error().code);
      }
    }
  }
  co_return std::move(response);
}

Task<Answered<DescribeProducersResponse>> handle_describe_producers(
    RequestContext& context, DescribeProducersRequest request) {
  const auto view = context.services.controller.view();
  DescribeProducersResponse response;
  for (const auto& topic : request.topics) {
    auto& result = response.topics.emplace_back();
    result.name = topic.name;
    for (const std::int32_t partition : topic.partition_indexes) {
      auto& one = result.partitions.emplace_back();
      one.partition_index = partition;
      const auto key = locate(context, *view, topic.name, partition);
      if (!key) {
        one.error_code = to_code(key.error());
        continue;
      }
      const auto producers = co_await context.services.replicator.producers(context.shard(), *key);
      if (!producers) {
        one.error_code = to_code(producers.error().code);
        continue;
      }
      for (const auto& producer : *producers) {
        auto& active = one.active_producers.emplace_back();
        active.producer_id = producer.id.value();
        active.producer_epoch = producer.epoch.value();
        active.last_sequence = producer.last_sequence;
        active.last_timestamp = producer.last_timestamp_ms;
        active.coordinator_epoch = producer.coordinator_epoch;
        if (producer.transaction_start) {
          active.current_txn_start_offset = producer.transaction_start->value();
        }
      }
    }
  }
  co_return std::move(response);
}

Task<Answered<InitProducerIdResponse>> handle_init_producer_id(RequestContext& context,
                                                               InitProducerIdRequest request) {
  InitProducerIdResponse response;
  response.producer_epoch = -1;
  if (request.transactional_id) {
    // Transactions are not served yet: their APIs are not advertised, and FindCoordinator for one
    // finds none. An empty id is malformed in any case.
    if (request.transactional_id->empty()) {
      response.error_code = to_code(ApiErrc::invalid_request);
    } else if (request.transaction_timeout_ms <= 0 ||
               request.transaction_timeout_ms > context.limits.transaction_timeout_ms_max) {
      response.error_code = to_code(ApiErrc::invalid_transaction_timeout);
    } else {
      response.error_code = to_code(ApiErrc::transactional_id_authorization_failed);
    }
    co_return std::move(response);
  }
  // A producer that brings its id wants a higher epoch; a new id serves it as well, for without
  // a transactional id nobody shares its identity.
  const ApiResult<engine::ProducerId> id =
      co_await context.services.controller.next_producer_id(context.shard());
  if (!id) {
    response.error_code = to_code(id.error().code);
    co_return std::move(response);
  }
  response.producer_id = id->value();
  response.producer_epoch = 0;
  co_return std::move(response);
}

}  // namespace keelson::kafka
