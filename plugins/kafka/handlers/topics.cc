// CreateTopics, DeleteTopics, CreatePartitions and what belongs to replicas.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "plugins/kafka/handlers/handlers.h"
#include "plugins/kafka/topic_lookup.h"
#include "plugins/registry/settings/effective.h"

namespace keelson::kafka {

using engine::Task;
using messages::CreatePartitionsRequest;
using messages::CreatePartitionsResponse;
using messages::CreateTopicsRequest;
using messages::CreateTopicsResponse;
using messages::DeleteTopicsRequest;
using messages::DeleteTopicsResponse;
using messages::ElectLeadersRequest;
using messages::ElectLeadersResponse;
using messages::ListPartitionReassignmentsRequest;
using messages::ListPartitionReassignmentsResponse;

namespace {

using Created = CreateTopicsResponse::CreatableTopicResult;

/// The topic that an entry of the request describes; refuses what contradicts itself.
ApiResult<NewTopic> read_new_topic(const CreateTopicsRequest::CreatableTopic& asked) {
  NewTopic topic;
  topic.name = asked.name;
  topic.partition_count = asked.num_partitions;
  topic.replication_factor = asked.replication_factor;
  for (const auto& setting : asked.configs) {
    if (!setting.value) {
      return refuse(ApiErrc::invalid_config,
                    engine::concat("null value for the setting ", setting.name));
    }
    topic.settings.insert_or_assign(std::string(setting.name), std::string(*setting.value));
  }
  if (asked.assignments.empty()) return topic;
  if (asked.num_partitions != -1 || asked.replication_factor != -1) {
    return refuse(ApiErrc::invalid_request,
                  "give either an assignment of replicas, or a number of partitions and a "
                  "replication factor of -1");
  }
  std::map<std::int32_t, std::vector<BrokerId>> by_partition;
  for (const auto& assignment : asked.assignments) {
    if (!by_partition.emplace(assignment.partition_index, assignment.broker_ids).second) {
      return refuse(ApiErrc::invalid_replica_assignment,
                    engine::concat("partition ", assignment.partition_index, " is assigned twice"));
    }
  }
  std::int32_t next = 0;
  for (auto& [partition, brokers] : by_partition) {
    if (partition != next++) {
      return refuse(ApiErrc::invalid_replica_assignment,
                    "assigned partitions must be numbered 0, 1, 2 and so on");
    }
    topic.assignment.push_back(std::move(brokers));
  }
  return topic;
}

/// What was made, with its settings as they are in effect (from version 5 on).
void describe_created(const RequestContext& context, const TopicView& topic, Created& result) {
  result.topic_id = topic.id;
  result.num_partitions = static_cast<std::int32_t>(topic.partitions.size());
  result.replication_factor = topic.partitions.empty()
                                  ? std::int16_t{-1}
                                  : static_cast<std::int16_t>(topic.partitions[0].replicas.size());
  const auto view = context.services.controller.view();
  const SettingLayers layers =
      setting_layers(*view, context.services.self, context.services.settings, &topic.settings);
  result.configs.emplace();
  for (const SettingDef& definition : topic_setting_table()) {
    const EffectiveSetting effective = effective_topic_setting(definition, layers);
    auto& added = result.configs->emplace_back();
    added.name = definition.name;
    added.value = effective.value;
    added.config_source = static_cast<std::int8_t>(effective.source);
    added.is_sensitive = definition.is_sensitive();
  }
}

}  // namespace

Task<Answered<CreateTopicsResponse>> handle_create_topics(RequestContext& context,
                                                          CreateTopicsRequest request) {
  CreateTopicsResponse response;
  std::multiset<std::string_view> names;
  for (const auto& topic : request.topics) names.insert(topic.name);
  std::set<std::string_view> answered;
  for (const auto& asked : request.topics) {
    if (!answered.insert(asked.name).second) continue;  // one answer for a name
    auto& result = response.topics.emplace_back();
    result.name = asked.name;
    ApiResult<NewTopic> topic = read_new_topic(asked);
    if (names.count(asked.name) > 1) {
      topic = refuse(ApiErrc::invalid_request, "the request names this topic twice");
    }
    ApiResult<std::shared_ptr<const TopicView>> created = refuse(ApiErrc::none);
    if (topic) {
      created = co_await context.services.controller.create_topic(
          context.shard(), std::move(*topic), request.validate_only);
    } else {
      created = std::unexpected(topic.error());
    }
    if (!created) {
      result.error_code = to_code(created.error().code);
      result.error_message = created.error().message;
      continue;
    }
    describe_created(context, **created, result);
    if (request.validate_only) result.topic_id = {};
  }
  co_return std::move(response);
}

Task<Answered<DeleteTopicsResponse>> handle_delete_topics(RequestContext& context,
                                                          DeleteTopicsRequest request) {
  DeleteTopicsResponse response;
  for (const std::string_view name : request.topic_names) {
    auto& asked = request.topics.emplace_back();
    asked.name = name;
  }
  for (const auto& asked : request.topics) {
    auto& result = response.responses.emplace_back();
    if (asked.name) result.name = std::string(*asked.name);
    result.topic_id = asked.topic_id;
    if (asked.name && !asked.topic_id.is_zero()) {
      result.error_code = to_code(ApiErrc::invalid_request);
      result.error_message = "name a topic by its name or by its id, not by both";
      continue;
    }
    const auto view = context.services.controller.view();
    const auto topic =
        find_topic(*view, !asked.name, asked.name.value_or(std::string_view{}), asked.topic_id);
    if (!topic) {
      result.error_code = to_code(topic.error());
      result.error_message = "there is no such topic";
      continue;
    }
    result.name = (*topic)->name;
    result.topic_id = (*topic)->id;
    const ApiResult<void> deleted =
        co_await context.services.controller.delete_topic(context.shard(), (*topic)->id);
    if (!deleted) {
      result.error_code = to_code(deleted.error().code);
      result.error_message = deleted.error().message;
    }
  }
  co_return std::move(response);
}

Task<Answered<CreatePartitionsResponse>> handle_create_partitions(RequestContext& context,
                                                                  CreatePartitionsRequest request) {
  CreatePartitionsResponse response;
  std::multiset<std::string_view> names;
  for (const auto& topic : request.topics) names.insert(topic.name);
  std::set<std::string_view> answered;
  for (const auto& asked : request.topics) {
    if (!answered.insert(asked.name).second) continue;
    auto& result = response.results.emplace_back();
    result.name = asked.name;
    if (names.count(asked.name) > 1) {
      result.error_code = to_code(ApiErrc::invalid_request);
      result.error_message = "the request names this topic twice";
      continue;
    }
    std::optional<std::vector<std::vector<BrokerId>>> assignment;
    if (asked.assignments) {
      assignment.emplace();
      for (const auto& one : *asked.assignments) assignment->push_back(one.broker_ids);
    }
    const ApiResult<void> made = co_await context.services.controller.create_partitions(
        context.shard(), std::string(asked.name), asked.count, std::move(assignment),
        request.validate_only);
    if (!made) {
      result.error_code = to_code(made.error().code);
      result.error_message = made.error().message;
    }
  }
  co_return std::move(response);
}

Task<Answered<ElectLeadersResponse>> handle_elect_leaders(RequestContext& context,
                                                          ElectLeadersRequest request) {
  const auto view = context.services.controller.view();
  ElectLeadersResponse response;
  // With null, only partitions whose leader changed are listed: with one replica, none.
  if (!request.topic_partitions) co_return std::move(response);
  for (const auto& topic : *request.topic_partitions) {
    auto& result = response.replica_election_results.emplace_back();
    result.topic = topic.topic;
    const TopicView* const known = view->find(topic.topic);
    for (const std::int32_t partition : topic.partitions) {
      auto& one = result.partition_result.emplace_back();
      one.partition_id = partition;
      const bool there = known != nullptr && partition >= 0 &&
                         static_cast<std::size_t>(partition) < known->partitions.size();
      one.error_code =
          to_code(there ? ApiErrc::election_not_needed : ApiErrc::unknown_topic_or_partition);
      one.error_message =
          there ? "the preferred leader leads already" : "there is no such topic or partition";
    }
  }
  co_return std::move(response);
}

Task<Answered<ListPartitionReassignmentsResponse>> handle_list_partition_reassignments(
    RequestContext&, ListPartitionReassignmentsRequest) {
  co_return ListPartitionReassignmentsResponse{};  // replicas of a single broker do not move
}

}  // namespace keelson::kafka
