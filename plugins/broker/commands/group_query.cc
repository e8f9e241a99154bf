#include "plugins/broker/commands/group_query.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "plugins/kafka/messages/consumer_group_describe.h"
#include "plugins/kafka/messages/describe_groups.h"
#include "plugins/kafka/messages/find_coordinator.h"
#include "plugins/kafka/messages/list_groups.h"
#include "plugins/kafka/messages/list_offsets.h"
#include "plugins/kafka/messages/offset_fetch.h"
#include "plugins/offsets/messages/consumer_protocol_assignment.h"

namespace keelson::broker {

using engine::Task;
using kafka::messages::ConsumerGroupDescribeRequest;
using kafka::messages::ConsumerGroupDescribeResponse;
using kafka::messages::DescribeGroupsRequest;
using kafka::messages::DescribeGroupsResponse;
using kafka::messages::FindCoordinatorRequest;
using kafka::messages::FindCoordinatorResponse;
using kafka::messages::ListGroupsRequest;
using kafka::messages::ListGroupsResponse;
using kafka::messages::ListOffsetsRequest;
using kafka::messages::ListOffsetsResponse;
using kafka::messages::OffsetFetchRequest;
using kafka::messages::OffsetFetchResponse;

namespace {

constexpr std::int16_t kLastNamedFetch = 9;  // OffsetFetch: later versions have topic ids
constexpr std::string_view kConsumerType = "consumer";

/// Of a consumer's assignment; empty where the bytes are something else.
std::vector<TopicPartition> decode_assignment(engine::Bytes bytes) {
  std::vector<TopicPartition> partitions;
  wire::Reader reader(bytes);
  const auto version = reader.integer<std::int16_t>();
  using offsets::messages::ConsumerProtocolAssignment;
  const auto assignment = ConsumerProtocolAssignment::decode(
      reader, std::clamp(version, ConsumerProtocolAssignment::kMinVersion,
                         ConsumerProtocolAssignment::kMaxVersion));
  if (!assignment) return partitions;
  for (const auto& topic : assignment->assigned_partitions) {
    for (const std::int32_t partition : topic.partitions) {
      partitions.push_back({topic.topic, partition});
    }
  }
  std::ranges::sort(partitions);
  return partitions;
}

/// Groups have a coordinator once somebody has asked who that is.
Task<ClientResult<void>> find_coordinators(KafkaClient& client,
                                           const std::vector<std::string>& ids) {
  FindCoordinatorRequest request;
  request.coordinator_keys.assign(ids.begin(), ids.end());
  const ClientResult<FindCoordinatorResponse> answer =
      co_await client.ask<FindCoordinatorResponse>(std::move(request));
  if (!answer) co_return std::unexpected(answer.error());
  for (const auto& coordinator : answer->coordinators) {
    if (coordinator.error_code == 0) continue;
    co_return std::unexpected(
        engine::concat("coordinator of ", coordinator.key, ": ",
                       explain_error(coordinator.error_code, coordinator.error_message)));
  }
  co_return ClientResult<void>{};
}

Task<ClientResult<std::vector<GroupDetail>>> describe_classic(KafkaClient& client,
                                                              std::vector<std::string> ids) {
  DescribeGroupsRequest request;
  request.groups.assign(ids.begin(), ids.end());
  ClientResult<DescribeGroupsResponse> answer =
      co_await client.ask<DescribeGroupsResponse>(std::move(request));
  if (!answer) co_return std::unexpected(answer.error());
  std::vector<GroupDetail> groups;
  for (auto& group : answer->groups) {
    GroupDetail& detail = groups.emplace_back();
    detail.id = std::move(group.group_id);
    detail.type = "classic";
    detail.state = std::move(group.group_state);
    detail.protocol_type = std::move(group.protocol_type);
    detail.error_code = group.error_code;
    detail.error_message = std::move(group.error_message);
    detail.assignor = std::move(group.protocol_data);
    for (auto& member : group.members) {
      std::vector<TopicPartition> partitions;
      if (detail.protocol_type == kConsumerType && !member.member_assignment.empty()) {
        partitions = decode_assignment(member.member_assignment);
      }
      detail.members.push_back({std::move(member.member_id), std::move(member.group_instance_id),
                                std::move(member.client_id), std::move(member.client_host),
                                std::move(partitions)});
    }
  }
  co_return std::move(groups);
}

Task<ClientResult<std::vector<GroupDetail>>> describe_consumer(KafkaClient& client,
                                                               std::vector<std::string> ids) {
  ConsumerGroupDescribeRequest request;
  request.group_ids.assign(ids.begin(), ids.end());
  ClientResult<ConsumerGroupDescribeResponse> answer =
      co_await client.ask<ConsumerGroupDescribeResponse>(std::move(request));
  if (!answer) co_return std::unexpected(answer.error());
  std::vector<GroupDetail> groups;
  for (auto& group : answer->groups) {
    GroupDetail& detail = groups.emplace_back();
    detail.id = std::move(group.group_id);
    detail.type = kConsumerType;
    detail.state = std::move(group.group_state);
    detail.protocol_type = kConsumerType;
    detail.error_code = group.error_code;
    detail.error_message = std::move(group.error_message);
    detail.assignor = std::move(group.assignor_name);
    for (auto& member : group.members) {
      std::vector<TopicPartition> partitions;
      for (const auto& topic : member.assignment.topic_partitions) {
        for (const std::int32_t partition : topic.partitions) {
          partitions.push_back({topic.topic_name, partition});
        }
      }
      std::ranges::sort(partitions);
      detail.members.push_back({std::move(member.member_id), std::move(member.instance_id),
                                std::move(member.client_id), std::move(member.client_host),
                                std::move(partitions)});
    }
  }
  co_return std::move(groups);
}

}  // namespace

Task<ClientResult<std::vector<GroupSummary>>> read_groups(KafkaClient& client,
                                                          std::vector<std::string> states,
                                                          std::vector<std::string> types) {
  ListGroupsRequest request;
  request.states_filter.assign(states.begin(), states.end());
  request.types_filter.assign(types.begin(), types.end());
  ClientResult<ListGroupsResponse> answer =
      co_await client.ask<ListGroupsResponse>(std::move(request));
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->error_code != 0) co_return std::unexpected(kafka_error_name(answer->error_code));
  std::vector<GroupSummary> groups;
  for (auto& group : answer->groups) {
    groups.push_back({std::move(group.group_id), std::move(group.group_type),
                      std::move(group.group_state), std::move(group.protocol_type)});
  }
  std::ranges::sort(groups, {}, &GroupSummary::id);
  co_return std::move(groups);
}

Task<ClientResult<std::vector<GroupDetail>>> read_group_details(KafkaClient& client,
                                                                std::vector<std::string> ids) {
  const ClientResult<void> coordinated = co_await find_coordinators(client, ids);
  if (!coordinated) co_return std::unexpected(coordinated.error());
  std::vector<std::string> of_type{std::string(kConsumerType)};
  const ClientResult<std::vector<GroupSummary>> consumers =
      co_await read_groups(client, {}, std::move(of_type));
  if (!consumers) co_return std::unexpected(consumers.error());
  std::set<std::string_view> known;
  for (const GroupSummary& group : *consumers) known.insert(group.id);
  std::vector<std::string> consumer_ids;
  std::vector<std::string> classic_ids;
  for (const std::string& id : ids) {
    (known.contains(id) ? consumer_ids : classic_ids).push_back(id);
  }

  std::map<std::string, GroupDetail> found;
  if (!classic_ids.empty()) {
    ClientResult<std::vector<GroupDetail>> details =
        co_await describe_classic(client, std::move(classic_ids));
    if (!details) co_return std::unexpected(details.error());
    for (GroupDetail& detail : *details) found.emplace(detail.id, std::move(detail));
  }
  if (!consumer_ids.empty()) {
    ClientResult<std::vector<GroupDetail>> details =
        co_await describe_consumer(client, std::move(consumer_ids));
    if (!details) co_return std::unexpected(details.error());
    for (GroupDetail& detail : *details) found.emplace(detail.id, std::move(detail));
  }
  std::vector<GroupDetail> ordered;
  for (const std::string& id : ids) {
    const auto detail = found.extract(id);
    if (!detail.empty()) ordered.push_back(std::move(detail.mapped()));
  }
  co_return std::move(ordered);
}

Task<ClientResult<PartitionOffsets>> read_committed(KafkaClient& client, std::string group) {
  OffsetFetchRequest request;
  auto& asked = request.groups.emplace_back();
  asked.group_id = group;
  asked.topics.reset();
  const ClientResult<OffsetFetchResponse> answer =
      co_await client.ask<OffsetFetchResponse>(std::move(request), kLastNamedFetch);
  if (!answer) co_return std::unexpected(answer.error());
  PartitionOffsets offsets;
  for (const auto& one : answer->groups) {
    if (one.error_code != 0) co_return std::unexpected(kafka_error_name(one.error_code));
    for (const auto& topic : one.topics) {
      for (const auto& partition : topic.partitions) {
        if (partition.error_code != 0) {
          co_return std::unexpected(kafka_error_name(partition.error_code));
        }
        if (partition.committed_offset < 0) continue;
        offsets[{topic.name, partition.partition_index}] = partition.committed_offset;
      }
    }
  }
  co_return std::move(offsets);
}

Task<ClientResult<PartitionOffsets>> read_log_offsets(KafkaClient& client,
                                                      std::vector<TopicPartition> partitions,
                                                      std::int64_t time_ms) {
  PartitionOffsets offsets;
  if (partitions.empty()) co_return std::move(offsets);
  ListOffsetsRequest request;
  request.replica_id = -1;
  std::ranges::sort(partitions);
  for (const TopicPartition& partition : partitions) {
    if (request.topics.empty() || request.topics.back().name != partition.topic) {
      request.topics.emplace_back().name = partition.topic;
    }
    request.topics.back().partitions.push_back({partition.partition, -1, time_ms});
  }
  const ClientResult<ListOffsetsResponse> answer =
      co_await client.ask<ListOffsetsResponse>(std::move(request));
  if (!answer) co_return std::unexpected(answer.error());
  for (const auto& topic : answer->topics) {
    for (const auto& partition : topic.partitions) {
      if (partition.error_code != 0) continue;
      offsets[{topic.name, partition.partition_index}] = partition.offset;
    }
  }
  co_return std::move(offsets);
}

}  // namespace keelson::broker
