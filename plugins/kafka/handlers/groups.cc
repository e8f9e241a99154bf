// Members of groups: FindCoordinator, JoinGroup, SyncGroup, Heartbeat, LeaveGroup; and their
// administration: DescribeGroups, ListGroups, DeleteGroups.
#include <utility>

#include "plugins/kafka/handlers/group_parts.h"
#include "plugins/kafka/handlers/handlers.h"
#include "plugins/kafka/topic_lookup.h"

namespace keelson::kafka {

using engine::Task;
using messages::DeleteGroupsRequest;
using messages::DeleteGroupsResponse;
using messages::DescribeGroupsRequest;
using messages::DescribeGroupsResponse;
using messages::FindCoordinatorRequest;
using messages::FindCoordinatorResponse;
using messages::HeartbeatRequest;
using messages::HeartbeatResponse;
using messages::JoinGroupRequest;
using messages::JoinGroupResponse;
using messages::LeaveGroupRequest;
using messages::LeaveGroupResponse;
using messages::ListGroupsRequest;
using messages::ListGroupsResponse;
using messages::SyncGroupRequest;
using messages::SyncGroupResponse;

namespace {

constexpr std::int8_t kGroupKey = 0;
constexpr std::int8_t kTransactionKey = 1;
constexpr std::int8_t kShareKey = 2;

MemberBytes to_bytes(engine::Bytes bytes) { return {bytes.begin(), bytes.end()}; }

Task<FindCoordinatorResponse::Coordinator> find_one(RequestContext& context, std::string_view key,
                                                    std::int8_t key_type) {
  FindCoordinatorResponse::Coordinator found;
  found.key = key;
  found.node_id = kNoBroker;
  found.port = -1;
  if (key_type == kTransactionKey || key_type == kShareKey) {
    found.error_code = to_code(key_type == kTransactionKey ? ApiErrc::coordinator_not_available
                                                           : ApiErrc::invalid_request);
    found.error_message =
        key_type == kTransactionKey ? "transactions are not served" : "share groups are not served";
    co_return found;
  }
  if (key_type != kGroupKey) {
    found.error_code = to_code(ApiErrc::invalid_request);
    found.error_message = engine::concat("unknown key type ", key_type);
    co_return found;
  }
  const ApiResult<GroupHome> home =
      co_await context.services.groups.find(context.shard(), std::string(key));
  if (!home) {
    found.error_code = to_code(home.error().code);
    found.error_message = home.error().message;
    co_return found;
  }
  const auto view = context.services.controller.view();
  for (const BrokerView& broker : view->brokers) {
    if (broker.id != home->coordinator) continue;
    const BrokerEndpoint* const endpoint = find_endpoint(broker, context.connection.listener);
    if (endpoint == nullptr) break;
    found.node_id = broker.id;
    found.host = endpoint->host;
    found.port = endpoint->port;
    co_return found;
  }
  found.error_code = to_code(ApiErrc::coordinator_not_available);
  co_return found;
}

}  // namespace

Task<Answered<FindCoordinatorResponse>> handle_find_coordinator(RequestContext& context,
                                                                FindCoordinatorRequest request) {
  constexpr std::int16_t kFirstBatchedVersion = 4;
  FindCoordinatorResponse response;
  if (context.version() >= kFirstBatchedVersion) {
    for (const std::string_view key : request.coordinator_keys) {
      FindCoordinatorResponse::Coordinator found =
          co_await find_one(context, key, request.key_type);
      response.coordinators.push_back(std::move(found));
    }
    co_return std::move(response);
  }
  FindCoordinatorResponse::Coordinator found =
      co_await find_one(context, request.key, request.key_type);
  response.error_code = found.error_code;
  response.error_message = std::move(found.error_message);
  response.node_id = found.node_id;
  response.host = std::move(found.host);
  response.port = found.port;
  co_return std::move(response);
}

Task<Answered<JoinGroupResponse>> handle_join_group(RequestContext& context,
                                                    JoinGroupRequest request) {
  JoinGroupCall call;
  call.group_id = request.group_id;
  call.member_id = request.member_id;
  call.group_instance_id = to_text(request.group_instance_id);
  call.client_id = context.client_id();
  call.client_host = host_of(context.connection);
  call.session_timeout_ms = request.session_timeout_ms;
  call.rebalance_timeout_ms =
      context.version() == 0 ? request.session_timeout_ms : request.rebalance_timeout_ms;
  call.protocol_type = request.protocol_type;
  for (const auto& protocol : request.protocols) {
    call.protocols.push_back({std::string(protocol.name), to_bytes(protocol.metadata)});
  }
  call.reason = request.reason.value_or(std::string_view{});
  call.member_id_required = context.version() >= 4;
  call.skip_assignment_known = context.version() >= 9;
  JoinGroupAnswer answer = co_await context.services.groups.join(context.shard(), std::move(call),
                                                                 context.connection.cancelled);

  JoinGroupResponse response;
  response.error_code = to_code(answer.error);
  response.generation_id = answer.generation;
  response.protocol_type = std::move(answer.protocol_type);
  response.protocol_name = std::move(answer.protocol_name);
  if (!response.protocol_name && context.version() < 7) response.protocol_name = std::string{};
  response.leader = std::move(answer.leader);
  response.skip_assignment = answer.skip_assignment;
  response.member_id = std::move(answer.member_id);
  for (JoinedMember& member : answer.members) {
    auto& added = response.members.emplace_back();
    added.member_id = std::move(member.member_id);
    added.group_instance_id = std::move(member.group_instance_id);
    added.metadata = std::move(member.metadata);
  }
  co_return std::move(response);
}

Task<Answered<SyncGroupResponse>> handle_sync_group(RequestContext& context,
                                                    SyncGroupRequest request) {
  SyncGroupCall call;
  call.group_id = request.group_id;
  call.generation = request.generation_id;
  call.member_id = request.member_id;
  call.group_instance_id = to_text(request.group_instance_id);
  call.protocol_type = to_text(request.protocol_type);
  call.protocol_name = to_text(request.protocol_name);
  for (const auto& assignment : request.assignments) {
    call.assignments.push_back(
        {std::string(assignment.member_id), to_bytes(assignment.assignment)});
  }
  SyncGroupAnswer answer = co_await context.services.groups.sync(context.shard(), std::move(call),
                                                                 context.connection.cancelled);

  SyncGroupResponse response;
  response.error_code = to_code(answer.error);
  response.protocol_type = std::move(answer.protocol_type);
  response.protocol_name = std::move(answer.protocol_name);
  response.assignment = std::move(answer.assignment);
  co_return std::move(response);
}

Task<Answered<HeartbeatResponse>> handle_heartbeat(RequestContext& context,
                                                   HeartbeatRequest request) {
  HeartbeatCall call;
  call.group_id = request.group_id;
  call.generation = request.generation_id;
  call.member_id = request.member_id;
  call.group_instance_id = to_text(request.group_instance_id);
  HeartbeatResponse response;
  const ApiErrc error =
      co_await context.services.groups.heartbeat(context.shard(), std::move(call));
  response.error_code = to_code(error);
  co_return std::move(response);
}

Task<Answered<LeaveGroupResponse>> handle_leave_group(RequestContext& context,
                                                      LeaveGroupRequest request) {
  constexpr std::int16_t kFirstBatchedVersion = 3;
  const bool batched = context.version() >= kFirstBatchedVersion;
  LeaveGroupCall call;
  call.group_id = request.group_id;
  for (const auto& member : request.members) {
    call.members.push_back({std::string(member.member_id), to_text(member.group_instance_id),
                            std::string(member.reason.value_or(std::string_view{}))});
  }
  if (!batched) call.members.push_back({std::string(request.member_id), std::nullopt, {}});
  LeaveGroupAnswer answer =
      co_await context.services.groups.leave(context.shard(), std::move(call));

  LeaveGroupResponse response;
  response.error_code = to_code(answer.error);
  if (!batched) {
    if (answer.error == ApiErrc::none && !answer.members.empty()) {
      response.error_code = to_code(answer.members.front().error);
    }
    co_return std::move(response);
  }
  for (LeaveGroupAnswer::Member& member : answer.members) {
    auto& added = response.members.emplace_back();
    added.member_id = std::move(member.member_id);
    added.group_instance_id = std::move(member.group_instance_id);
    added.error_code = to_code(member.error);
  }
  co_return std::move(response);
}

Task<Answered<DescribeGroupsResponse>> handle_describe_groups(RequestContext& context,
                                                              DescribeGroupsRequest request) {
  constexpr std::int16_t kFirstUnknownIsError = 6;
  std::vector<std::string> ids(request.groups.begin(), request.groups.end());
  std::vector<DescribedGroup> groups = co_await context.services.groups.describe_groups(
      context.shard(), std::move(ids), context.version() >= kFirstUnknownIsError);
  DescribeGroupsResponse response;
  for (DescribedGroup& group : groups) {
    auto& added = response.groups.emplace_back();
    added.error_code = to_code(group.error);
    if (!group.message.empty() && context.version() >= kFirstUnknownIsError) {
      added.error_message = std::move(group.message);
    }
    added.group_id = std::move(group.group_id);
    added.group_state = std::move(group.state);
    added.protocol_type = std::move(group.protocol_type);
    added.protocol_data = std::move(group.protocol_name);
    for (DescribedGroup::Member& member : group.members) {
      auto& described = added.members.emplace_back();
      described.member_id = std::move(member.member_id);
      described.group_instance_id = std::move(member.group_instance_id);
      described.client_id = std::move(member.client_id);
      described.client_host = std::move(member.client_host);
      described.member_metadata = std::move(member.metadata);
      described.member_assignment = std::move(member.assignment);
    }
    if (request.include_authorized_operations && group.error == ApiErrc::none) {
      added.authorized_operations = kGroupOperations;
    }
  }
  co_return std::move(response);
}

Task<Answered<ListGroupsResponse>> handle_list_groups(RequestContext& context,
                                                      ListGroupsRequest request) {
  ListGroupsCall call;
  call.states.assign(request.states_filter.begin(), request.states_filter.end());
  call.types.assign(request.types_filter.begin(), request.types_filter.end());
  ListGroupsAnswer answer =
      co_await context.services.groups.list_groups(context.shard(), std::move(call));
  ListGroupsResponse response;
  response.error_code = to_code(answer.error);
  for (ListedGroup& group : answer.groups) {
    auto& added = response.groups.emplace_back();
    added.group_id = std::move(group.group_id);
    added.protocol_type = std::move(group.protocol_type);
    added.group_state = std::move(group.state);
    added.group_type = std::move(group.type);
  }
  co_return std::move(response);
}

Task<Answered<DeleteGroupsResponse>> handle_delete_groups(RequestContext& context,
                                                          DeleteGroupsRequest request) {
  std::vector<std::string> ids(request.groups_names.begin(), request.groups_names.end());
  const std::vector<DeletedGroup> groups =
      co_await context.services.groups.delete_groups(context.shard(), std::move(ids));
  DeleteGroupsResponse response;
  for (const DeletedGroup& group : groups) {
    auto& added = response.results.emplace_back();
    added.group_id = group.group_id;
    added.error_code = to_code(group.error);
  }
  co_return std::move(response);
}

}  // namespace keelson::kafka
