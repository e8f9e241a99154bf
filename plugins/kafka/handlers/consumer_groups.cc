// Groups of the consumer protocol: ConsumerGroupHeartbeat, ConsumerGroupDescribe.
#include <utility>

#include "plugins/kafka/handlers/group_parts.h"
#include "plugins/kafka/handlers/handlers.h"

namespace keelson::kafka {

using engine::Task;
using messages::ConsumerGroupDescribeRequest;
using messages::ConsumerGroupDescribeResponse;
using messages::ConsumerGroupHeartbeatRequest;
using messages::ConsumerGroupHeartbeatResponse;

Task<Answered<ConsumerGroupHeartbeatResponse>> handle_consumer_group_heartbeat(
    RequestContext& context, ConsumerGroupHeartbeatRequest request) {
  ConsumerHeartbeatCall call;
  call.group_id = request.group_id;
  call.member_id = request.member_id;
  call.member_epoch = request.member_epoch;
  call.group_instance_id = to_text(request.instance_id);
  call.rack_id = to_text(request.rack_id);
  call.rebalance_timeout_ms = request.rebalance_timeout_ms;
  if (request.subscribed_topic_names) {
    call.topics.emplace(request.subscribed_topic_names->begin(),
                        request.subscribed_topic_names->end());
  }
  call.regex = to_text(request.subscribed_topic_regex);
  call.assignor = to_text(request.server_assignor);
  if (request.topic_partitions) {
    call.owned.emplace();
    for (const auto& topic : *request.topic_partitions) {
      call.owned->push_back({topic.topic_id, topic.partitions});
    }
  }
  call.client_id = context.client_id();
  call.client_host = host_of(context.connection);
  call.member_id_required = context.version() >= 1;
  ConsumerHeartbeatAnswer answer =
      co_await context.services.groups.consumer_heartbeat(context.shard(), std::move(call));

  ConsumerGroupHeartbeatResponse response;
  response.error_code = to_code(answer.error);
  if (!answer.message.empty()) response.error_message = std::move(answer.message);
  response.member_id = std::move(answer.member_id);
  response.member_epoch = answer.member_epoch;
  response.heartbeat_interval_ms = answer.heartbeat_interval_ms;
  if (answer.assignment) {
    auto& assignment = response.assignment.emplace();
    for (TopicPartitions& topic : *answer.assignment) {
      auto& added = assignment.topic_partitions.emplace_back();
      added.topic_id = topic.topic_id;
      added.partitions = std::move(topic.partitions);
    }
  }
  co_return std::move(response);
}

namespace {

/// Of topics that are there still.
ConsumerGroupDescribeResponse::Assignment named(const ClusterView& view,
                                                std::vector<TopicPartitions>& topics) {
  ConsumerGroupDescribeResponse::Assignment assignment;
  for (TopicPartitions& topic : topics) {
    const TopicView* const known = view.find(topic.topic_id);
    if (known == nullptr) continue;
    auto& added = assignment.topic_partitions.emplace_back();
    added.topic_id = topic.topic_id;
    added.topic_name = known->name;
    added.partitions = std::move(topic.partitions);
  }
  return assignment;
}

}  // namespace

Task<Answered<ConsumerGroupDescribeResponse>> handle_consumer_group_describe(
    RequestContext& context, ConsumerGroupDescribeRequest request) {
  std::vector<std::string> ids(request.group_ids.begin(), request.group_ids.end());
  std::vector<DescribedConsumerGroup> groups =
      co_await context.services.groups.describe_consumer_groups(context.shard(), std::move(ids));
  const auto view = context.services.controller.view();
  ConsumerGroupDescribeResponse response;
  for (DescribedConsumerGroup& group : groups) {
    auto& added = response.groups.emplace_back();
    added.error_code = to_code(group.error);
    if (!group.message.empty()) added.error_message = std::move(group.message);
    added.group_id = std::move(group.group_id);
    added.group_state = std::move(group.state);
    added.group_epoch = group.epoch;
    added.assignment_epoch = group.assignment_epoch;
    added.assignor_name = std::move(group.assignor);
    for (DescribedConsumerGroup::Member& member : group.members) {
      auto& described = added.members.emplace_back();
      described.member_id = std::move(member.member_id);
      described.instance_id = std::move(member.group_instance_id);
      described.rack_id = std::move(member.rack_id);
      described.member_epoch = member.member_epoch;
      described.client_id = std::move(member.client_id);
      described.client_host = std::move(member.client_host);
      described.subscribed_topic_names.assign(member.topics.begin(), member.topics.end());
      described.subscribed_topic_regex = std::move(member.regex);
      described.assignment = named(*view, member.assignment);
      described.target_assignment = named(*view, member.target);
      described.member_type = member.is_classic ? 0 : 1;
    }
    if (request.include_authorized_operations && group.error == ApiErrc::none) {
      added.authorized_operations = kGroupOperations;
    }
  }
  co_return std::move(response);
}

}  // namespace keelson::kafka
