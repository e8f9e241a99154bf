// Offsets that groups commit: OffsetCommit, OffsetFetch, OffsetDelete.
#include <utility>

#include "plugins/kafka/handlers/handlers.h"
#include "plugins/kafka/topic_lookup.h"

namespace keelson::kafka {

using engine::Task;
using messages::OffsetCommitRequest;
using messages::OffsetCommitResponse;
using messages::OffsetDeleteRequest;
using messages::OffsetDeleteResponse;
using messages::OffsetFetchRequest;
using messages::OffsetFetchResponse;

namespace {

constexpr std::int16_t kFirstIdVersion = 10;     // OffsetCommit and OffsetFetch
constexpr std::int16_t kFirstGroupNotFound = 9;  // OffsetCommit
constexpr std::int16_t kFirstBatchedFetch = 8;   // OffsetFetch: several groups

bool has_partition(const TopicView& topic, std::int32_t partition) {
  return partition >= 0 && static_cast<std::size_t>(partition) < topic.partitions.size();
}

/// Where an answer for a partition belongs in the response.
struct Place {
  std::size_t topic;
  std::size_t partition;
};

}  // namespace

Task<Answered<OffsetCommitResponse>> handle_offset_commit(RequestContext& context,
                                                          OffsetCommitRequest request) {
  const auto view = context.services.controller.view();
  const bool by_id = context.version() >= kFirstIdVersion;
  CommitOffsetsCall call;
  call.group_id = request.group_id;
  call.generation = request.generation_id_or_member_epoch;
  call.member_id = request.member_id;
  call.group_instance_id = to_text(request.group_instance_id);
  call.retention_ms = request.retention_time_ms;
  call.group_id_not_found_known = context.version() >= kFirstGroupNotFound;

  OffsetCommitResponse response;
  std::vector<std::vector<Place>> places;
  for (const auto& asked : request.topics) {
    auto& result = response.topics.emplace_back();
    result.name = asked.name;
    result.topic_id = asked.topic_id;
    const auto topic = find_topic(*view, by_id, asked.name, asked.topic_id);
    CommitOffsetsCall::Topic committed;
    std::vector<Place> topic_places;
    if (topic) {
      committed.name = (*topic)->name;
      committed.id = (*topic)->id;
    }
    for (const auto& partition : asked.partitions) {
      auto& one = result.partitions.emplace_back();
      one.partition_index = partition.partition_index;
      if (!topic) {
        one.error_code = to_code(topic.error());
        continue;
      }
      if (!has_partition(**topic, partition.partition_index)) {
        one.error_code = to_code(ApiErrc::unknown_topic_or_partition);
        continue;
      }
      topic_places.push_back({response.topics.size() - 1, result.partitions.size() - 1});
      committed.partitions.push_back(
          {partition.partition_index, partition.committed_offset,
           engine::LeaderEpoch{partition.committed_leader_epoch},
           std::string(partition.committed_metadata.value_or(std::string_view{}))});
    }
    if (committed.partitions.empty()) continue;
    call.topics.push_back(std::move(committed));
    places.push_back(std::move(topic_places));
  }
  if (call.topics.empty()) co_return std::move(response);
  const CommitOffsetsAnswer answer =
      co_await context.services.groups.commit_offsets(context.shard(), std::move(call));
  for (std::size_t i = 0; i < places.size(); ++i) {
    for (std::size_t j = 0; j < places[i].size(); ++j) {
      const ApiErrc error = answer.error != ApiErrc::none ? answer.error : answer.partitions[i][j];
      const Place& place = places[i][j];
      response.topics[place.topic].partitions[place.partition].error_code = to_code(error);
    }
  }
  co_return std::move(response);
}

namespace {

/// The call that a request of any version means.
FetchOffsetsCall read_fetch(const RequestContext& context, const ClusterView& view,
                            const OffsetFetchRequest& request) {
  FetchOffsetsCall call;
  call.require_stable = request.require_stable;
  const bool by_id = context.version() >= kFirstIdVersion;
  const auto add_topic = [&](std::vector<FetchOffsetsCall::Topic>& topics, std::string_view name,
                             const engine::Uuid& id, const std::vector<std::int32_t>& partitions) {
    const auto topic = find_topic(view, by_id, name, id);
    FetchOffsetsCall::Topic& added = topics.emplace_back();
    added.name = topic ? (*topic)->name : std::string(name);
    added.id = topic ? (*topic)->id : id;
    added.partitions = partitions;
  };
  if (context.version() < kFirstBatchedFetch) {
    FetchOffsetsCall::Group& group = call.groups.emplace_back();
    group.group_id = request.group_id;
    if (request.topics) {
      group.topics.emplace();
      for (const auto& topic : *request.topics) {
        add_topic(*group.topics, topic.name, {}, topic.partition_indexes);
      }
    }
    return call;
  }
  for (const auto& asked : request.groups) {
    FetchOffsetsCall::Group& group = call.groups.emplace_back();
    group.group_id = asked.group_id;
    group.member_id = to_text(asked.member_id);
    group.member_epoch = asked.member_epoch;
    if (!asked.topics) continue;
    group.topics.emplace();
    for (const auto& topic : *asked.topics) {
      add_topic(*group.topics, topic.name, topic.topic_id, topic.partition_indexes);
    }
  }
  return call;
}

template <class Partition>
Partition to_partition(FetchedOffsets::Partition& fetched) {
  Partition partition;
  partition.partition_index = fetched.partition;
  partition.committed_offset = fetched.offset;
  partition.committed_leader_epoch = fetched.leader_epoch.value();
  partition.metadata = std::move(fetched.metadata);
  partition.error_code = to_code(fetched.error);
  return partition;
}

}  // namespace

Task<Answered<OffsetFetchResponse>> handle_offset_fetch(RequestContext& context,
                                                        OffsetFetchRequest request) {
  const auto view = context.services.controller.view();
  const bool by_id = context.version() >= kFirstIdVersion;
  FetchOffsetsCall call = read_fetch(context, *view, request);
  std::vector<FetchedOffsets> groups =
      co_await context.services.groups.fetch_offsets(context.shard(), std::move(call));

  OffsetFetchResponse response;
  if (context.version() < kFirstBatchedFetch) {
    FetchedOffsets& group = groups.front();
    response.error_code = to_code(group.error);
    for (FetchedOffsets::Topic& topic : group.topics) {
      auto& added = response.topics.emplace_back();
      added.name = std::move(topic.name);
      for (FetchedOffsets::Partition& partition : topic.partitions) {
        added.partitions.push_back(
            to_partition<OffsetFetchResponse::OffsetFetchResponsePartition>(partition));
      }
    }
    if (context.version() < 2 && group.error != ApiErrc::none && request.topics) {
      // Version 1 has no place for a group's error but the partitions.
      for (const auto& topic : *request.topics) {
        auto& added = response.topics.emplace_back();
        added.name = topic.name;
        for (const std::int32_t index : topic.partition_indexes) {
          FetchedOffsets::Partition none;
          none.partition = index;
          none.error = group.error;
          added.partitions.push_back(
              to_partition<OffsetFetchResponse::OffsetFetchResponsePartition>(none));
        }
      }
    }
    co_return std::move(response);
  }
  for (FetchedOffsets& group : groups) {
    auto& described = response.groups.emplace_back();
    described.group_id = std::move(group.group_id);
    described.error_code = to_code(group.error);
    for (FetchedOffsets::Topic& topic : group.topics) {
      const bool known_id = view->find(topic.id) != nullptr;
      auto& added = described.topics.emplace_back();
      added.name = std::move(topic.name);
      added.topic_id = topic.id;
      for (FetchedOffsets::Partition& partition : topic.partitions) {
        if (by_id && !known_id) {
          partition = {
              .partition = partition.partition, .metadata = {}, .error = ApiErrc::unknown_topic_id};
        }
        added.partitions.push_back(
            to_partition<OffsetFetchResponse::OffsetFetchResponsePartitions>(partition));
      }
    }
  }
  co_return std::move(response);
}

Task<Answered<OffsetDeleteResponse>> handle_offset_delete(RequestContext& context,
                                                          OffsetDeleteRequest request) {
  const auto view = context.services.controller.view();
  DeleteOffsetsCall call;
  call.group_id = request.group_id;
  OffsetDeleteResponse response;
  std::vector<std::vector<Place>> places;
  for (const auto& asked : request.topics) {
    auto& result = response.topics.emplace_back();
    result.name = asked.name;
    const TopicView* const topic = view->find(asked.name);
    DeleteOffsetsCall::Topic deleted;
    deleted.name = asked.name;
    std::vector<Place> topic_places;
    for (const auto& partition : asked.partitions) {
      auto& one = result.partitions.emplace_back();
      one.partition_index = partition.partition_index;
      if (topic == nullptr || !has_partition(*topic, partition.partition_index)) {
        one.error_code = to_code(ApiErrc::unknown_topic_or_partition);
        continue;
      }
      topic_places.push_back({response.topics.size() - 1, result.partitions.size() - 1});
      deleted.partitions.push_back(partition.partition_index);
    }
    if (deleted.partitions.empty()) continue;
    call.topics.push_back(std::move(deleted));
    places.push_back(std::move(topic_places));
  }
  const DeleteOffsetsAnswer answer =
      co_await context.services.groups.delete_offsets(context.shard(), std::move(call));
  if (answer.error != ApiErrc::none) {
    response.topics.clear();
    response.error_code = to_code(answer.error);
    co_return std::move(response);
  }
  for (std::size_t i = 0; i < places.size(); ++i) {
    for (std::size_t j = 0; j < places[i].size(); ++j) {
      const Place& place = places[i][j];
      response.topics[place.topic].partitions[place.partition].error_code =
          to_code(answer.partitions[i][j]);
    }
  }
  co_return std::move(response);
}

}  // namespace keelson::kafka
