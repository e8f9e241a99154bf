#include "tests/sim/support/sim_admin.h"

#include "engine/logger.h"
#include "plugins/kafka/messages/create_topics.h"
#include "plugins/kafka/messages/delete_records.h"
#include "plugins/kafka/messages/delete_topics.h"
#include "plugins/kafka/messages/incremental_alter_configs.h"
#include "plugins/kafka/messages/metadata.h"

namespace keelson::test {

using engine::concat;
using engine::Task;
using namespace kafka::messages;  // every message of administration

namespace {

/// The id of a topic by its name: zero where it is not there, nothing where nobody says.
Task<std::optional<engine::Uuid>> find_id(SimClient& client, std::string name) {
  MetadataRequest request;
  request.topics.emplace();
  request.topics->emplace_back().name = name;
  request.allow_auto_topic_creation = false;
  const auto answer = co_await client.call<MetadataResponse>(request, 12);
  if (!answer) co_return std::nullopt;
  const auto& topic = answer->topics.at(0);
  if (topic.error_code == code(ApiErrc::unknown_topic_or_partition)) co_return engine::Uuid{};
  if (topic.error_code != 0) co_return std::nullopt;
  co_return topic.topic_id;
}

}  // namespace

Task<bool> create_topic(Workload& load, Topic topic, TopicSettings settings,
                        std::int64_t deadline_ns) {
  SimClient client(load.shard, load.broker, "admin");
  while (load.shard.clock().now_ns() < deadline_ns) {
    CreateTopicsRequest request;
    request.timeout_ms = 5'000;
    auto& made = request.topics.emplace_back();
    made.name = topic->name;
    made.num_partitions = topic->partitions;
    made.replication_factor = 1;
    for (const auto& [name, value] : settings) {
      auto& one = made.configs.emplace_back();
      one.name = name;
      one.value = value;
    }
    const auto answer = co_await client.call<CreateTopicsResponse>(request, 7);
    const std::int16_t error = answer ? answer->topics.at(0).error_code : std::int16_t{7};
    if (answer && error == 0) {
      topic->id = answer->topics.at(0).topic_id;
    } else if (error == code(ApiErrc::topic_already_exists)) {
      // An earlier try took effect and its answer was lost.
      const auto found = co_await find_id(client, topic->name);
      if (found) topic->id = *found;
    } else if (!is_transient(error)) {
      load.history.violation(concat("CreateTopics answers ", error, " ",
                                    answer->topics.at(0).error_message.value_or("")));
      break;
    }
    if (!topic->id.is_zero()) {
      topic->created = true;
      break;
    }
    co_await load.pause(50, 200);
  }
  client.disconnect();
  co_return topic->created;
}

Task<bool> delete_topic(Workload& load, Topic topic, std::int64_t deadline_ns) {
  SimClient client(load.shard, load.broker, "admin");
  topic->deleting = true;
  bool gone = false;
  while (!gone && load.shard.clock().now_ns() < deadline_ns) {
    DeleteTopicsRequest request;
    request.timeout_ms = 5'000;
    request.topics.emplace_back().topic_id = topic->id;
    const auto answer = co_await client.call<DeleteTopicsResponse>(request, 6);
    const std::int16_t error = answer ? answer->responses.at(0).error_code : std::int16_t{7};
    gone = error == 0 || error == code(ApiErrc::unknown_topic_id);
    if (!gone && !is_transient(error)) {
      load.history.violation(concat("DeleteTopics answers ", error));
      break;
    }
    if (!gone) co_await load.pause(50, 200);
  }
  client.disconnect();
  co_return gone;
}

Task<void> delete_records(Workload& load, Topic topic, std::int32_t partition,
                          std::int64_t offset) {
  SimClient client(load.shard, load.broker, "admin");
  const PartitionName name = topic->partition(partition);
  const History::Floors before = load.history.floors(name);
  load.history.deleting_below(name, offset);
  DeleteRecordsRequest request;
  request.timeout_ms = 5'000;
  auto& asked = request.topics.emplace_back();
  asked.name = topic->name;
  auto& one = asked.partitions.emplace_back();
  one.partition_index = partition;
  one.offset = offset;
  const auto answer = co_await client.call<DeleteRecordsResponse>(request, 2);
  if (answer && !topic->deleting) {
    const auto& done = answer->topics.at(0).partitions.at(0);
    if (done.error_code == 0) {
      load.history.told_start(name, before, done.low_watermark);
      if (done.low_watermark < offset) {
        load.history.violation(
            concat("DeleteRecords of ", name, " to ", offset, " left ", done.low_watermark));
      }
    }
  }
  client.disconnect();
}

Task<void> alter_topic(Workload& load, Topic topic, std::string setting, std::string value) {
  SimClient client(load.shard, load.broker, "admin");
  IncrementalAlterConfigsRequest request;
  auto& resource = request.resources.emplace_back();
  resource.resource_type = 2;  // topic
  resource.resource_name = topic->name;
  auto& one = resource.configs.emplace_back();
  one.name = setting;
  one.config_operation = 0;  // set
  one.value = value;
  const auto answer = co_await client.call<IncrementalAlterConfigsResponse>(request, 1);
  if (answer && !topic->deleting) {
    const std::int16_t error = answer->responses.at(0).error_code;
    if (error != 0 && !is_transient(error)) {
      load.history.violation(concat("altering ", setting, " answers ", error));
    }
  }
  client.disconnect();
}

Task<bool> metadata_is_whole(Workload& load) {
  SimClient client(load.shard, load.broker, "admin");
  MetadataRequest request;
  request.topics.reset();
  const auto answer = co_await client.call<MetadataResponse>(request, 12);
  client.disconnect();
  if (!answer) co_return false;
  for (const Topic& topic : load.topics) {
    if (!topic->created || topic->deleting) continue;
    bool whole = false;
    for (const auto& told : answer->topics) {
      if (told.topic_id != topic->id) continue;
      whole = told.error_code == 0 &&
              told.partitions.size() == static_cast<std::size_t>(topic->partitions);
      for (const auto& partition : told.partitions) whole = whole && partition.error_code == 0;
    }
    if (!whole) co_return false;
  }
  co_return true;
}

}  // namespace keelson::test
