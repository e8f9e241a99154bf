// ApiVersions and DescribeLogDirs: what this broker speaks and holds.
#include <map>
#include <set>
#include <utility>

#include "plugins/kafka/dispatcher.h"
#include "plugins/kafka/handlers/handlers.h"
#include "plugins/kafka/topic_lookup.h"

namespace keelson::kafka {

using engine::Task;
using messages::ApiVersionsRequest;
using messages::ApiVersionsResponse;
using messages::DescribeLogDirsRequest;
using messages::DescribeLogDirsResponse;

namespace {

/// [a-zA-Z0-9] first and last, also . and - between (source: KIP-511).
bool is_legal_software_name(std::string_view name) {
  const auto alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (name.empty() || !alphanumeric(name.front()) || !alphanumeric(name.back())) return false;
  for (const char character : name) {
    if (!alphanumeric(character) && character != '.' && character != '-') return false;
  }
  return true;
}

}  // namespace

Task<Answered<ApiVersionsResponse>> handle_api_versions(RequestContext& context,
                                                        ApiVersionsRequest request) {
  constexpr std::int16_t kFirstSoftwareVersion = 3;
  ApiVersionsResponse response;
  if (context.version() >= kFirstSoftwareVersion) {
    if (!is_legal_software_name(request.client_software_name) ||
        !is_legal_software_name(request.client_software_version)) {
      response.error_code = to_code(ApiErrc::invalid_request);
      co_return std::move(response);
    }
    context.connection.software_name = request.client_software_name;
    context.connection.software_version = request.client_software_version;
  }
  for (const messages::ApiInfo& api : messages::all_apis()) {
    if (!is_served(api.key)) continue;
    auto& added = response.api_keys.emplace_back();
    added.api_key = static_cast<std::int16_t>(api.key);
    added.min_version = api.advertised_min_version;
    added.max_version = api.max_stable_version;
  }
  // What clients look for before they use the consumer protocol (source: KIP-848). Versions below 4
  // cannot read a least version of 0.
  constexpr std::string_view kGroupFeature = "group.version";
  if (context.version() >= 4) {
    response.supported_features.push_back({.name = std::string(kGroupFeature), .max_version = 1});
  }
  response.finalized_features.push_back(
      {.name = std::string(kGroupFeature), .max_version_level = 1, .min_version_level = 1});
  response.finalized_features_epoch = 0;
  co_return std::move(response);
}

Task<Answered<DescribeLogDirsResponse>> handle_describe_log_dirs(RequestContext& context,
                                                                 DescribeLogDirsRequest request) {
  const auto view = context.services.controller.view();
  std::optional<std::vector<PartitionKey>> keys;
  if (request.topics) {
    keys.emplace();
    for (const auto& asked : *request.topics) {
      const TopicView* const topic = view->find(asked.topic);
      if (topic == nullptr) continue;
      for (const std::int32_t partition : asked.partitions) keys->push_back({topic->id, partition});
    }
  }
  DescribeLogDirsResponse response;
  auto& result = response.results.emplace_back();
  const engine::Result<LogDirInfo> dir = co_await context.services.store.dir_info();
  if (!dir) {
    result.error_code = to_code(ApiErrc::kafka_storage_error);
    co_return std::move(response);
  }
  result.log_dir = dir->path;
  result.total_bytes = static_cast<std::int64_t>(dir->total_bytes);
  result.usable_bytes = static_cast<std::int64_t>(dir->usable_bytes);
  const std::vector<PartitionSize> sizes =
      co_await context.services.replicator.sizes(context.shard(), std::move(keys));
  std::map<std::string, std::vector<PartitionSize>> by_topic;
  for (const PartitionSize& size : sizes) {
    const TopicView* const topic = view->find(size.key.topic_id);
    if (topic != nullptr) by_topic[topic->name].push_back(size);
  }
  for (const auto& [name, partitions] : by_topic) {
    auto& topic = result.topics.emplace_back();
    topic.name = name;
    for (const PartitionSize& size : partitions) {
      auto& partition = topic.partitions.emplace_back();
      partition.partition_index = size.key.partition;
      partition.partition_size = static_cast<std::int64_t>(size.size_bytes);
    }
  }
  co_return std::move(response);
}

}  // namespace keelson::kafka
