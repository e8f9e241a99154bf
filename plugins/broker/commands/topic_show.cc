// Lists and describes topics.
#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <utility>

#include "plugins/broker/client/kafka_client.h"
#include "plugins/broker/commands/item_printer.h"
#include "plugins/broker/commands/topic_commands.h"
#include "plugins/kafka/messages/describe_configs.h"
#include "plugins/kafka/messages/metadata.h"

namespace keelson::broker {
namespace {

using engine::Task;
using engine::io::Shard;
using kafka::messages::DescribeConfigsRequest;
using kafka::messages::DescribeConfigsResponse;
using kafka::messages::MetadataRequest;
using kafka::messages::MetadataResponse;
using Client = ClientResult<std::unique_ptr<KafkaClient>>;
using Topic = MetadataResponse::MetadataResponseTopic;
using Settings = std::map<std::string, std::map<std::string, std::string>>;  // by topic

constexpr std::int8_t kTopicResource = 2;
constexpr std::int8_t kTopicSource = 1;  // set for this topic

/// Those named, or all; sorted by name.
Task<ClientResult<std::vector<Topic>>> read_topics(KafkaClient& client,
                                                   const TopicOptions& options) {
  MetadataRequest request;
  request.allow_auto_topic_creation = false;
  request.topics.reset();
  if (!options.topics.empty()) {
    request.topics.emplace();
    for (const std::string& topic : options.topics) request.topics->emplace_back().name = topic;
  }
  ClientResult<MetadataResponse> answer = co_await client.ask<MetadataResponse>(std::move(request));
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->error_code != 0) co_return std::unexpected(kafka_error_name(answer->error_code));
  std::vector<Topic> topics = std::move(answer->topics);
  if (options.exclude_internal) std::erase_if(topics, [](const Topic& t) { return t.is_internal; });
  std::ranges::sort(topics, {}, [](const Topic& topic) { return topic.name.value_or(""); });
  co_return std::move(topics);
}

/// What is set for the topics themselves.
Task<ClientResult<Settings>> read_settings(KafkaClient& client, const std::vector<Topic>& topics) {
  DescribeConfigsRequest request;
  for (const Topic& topic : topics) {
    if (topic.error_code != 0 || !topic.name) continue;
    auto& resource = request.resources.emplace_back();
    resource.resource_type = kTopicResource;
    resource.resource_name = *topic.name;
    resource.configuration_keys.reset();
  }
  const ClientResult<DescribeConfigsResponse> answer =
      co_await client.ask<DescribeConfigsResponse>(std::move(request));
  if (!answer) co_return std::unexpected(answer.error());
  Settings settings;
  for (const auto& topic : answer->results) {
    for (const auto& setting : topic.configs) {
      if (setting.config_source != kTopicSource) continue;
      settings[topic.resource_name][setting.name] =
          setting.is_sensitive ? "(hidden)" : setting.value.value_or("");
    }
  }
  co_return std::move(settings);
}

std::string join(const std::vector<std::int32_t>& numbers) {
  std::string out;
  for (const std::int32_t number : numbers) {
    if (!out.empty()) out += ',';
    out += std::to_string(number);
  }
  return out;
}

std::size_t replication_factor(const Topic& topic) {
  return topic.partitions.empty() ? 0 : topic.partitions[0].replica_nodes.size();
}

/// As Kafka's tool prints it, so that what reads that reads this.
void print_text(const Topic& topic, const std::map<std::string, std::string>& settings) {
  const std::string name = escape(*topic.name);
  std::cout << "Topic: " << name << "\tTopicId: " << engine::to_string(topic.topic_id)
            << "\tPartitionCount: " << topic.partitions.size()
            << "\tReplicationFactor: " << replication_factor(topic) << "\tConfigs: ";
  bool first = true;
  for (const auto& [setting, value] : settings) {
    std::cout << (first ? "" : ",") << escape(setting) << '=' << escape(value);
    first = false;
  }
  std::cout << '\n';
  for (const auto& partition : topic.partitions) {
    std::cout << "\tTopic: " << name << "\tPartition: " << partition.partition_index
              << "\tLeader: ";
    if (partition.leader_id >= 0) {
      std::cout << partition.leader_id;
    } else {
      std::cout << "none";
    }
    std::cout << "\tReplicas: " << join(partition.replica_nodes)
              << "\tIsr: " << join(partition.isr_nodes) << '\n';
  }
}

Item to_item(const Topic& topic, const std::map<std::string, std::string>& settings) {
  Item partitions = Item::array();
  for (const auto& partition : topic.partitions) {
    partitions.push_back({{"partition", partition.partition_index},
                          {"leader", partition.leader_id},
                          {"leader_epoch", partition.leader_epoch},
                          {"replicas", partition.replica_nodes},
                          {"isr", partition.isr_nodes}});
  }
  return {{"topic", *topic.name},          {"topic_id", engine::to_string(topic.topic_id)},
          {"internal", topic.is_internal}, {"replication_factor", replication_factor(topic)},
          {"configs", settings},           {"partitions", partitions}};
}

}  // namespace

Task<int> list_topics(Shard& shard, TopicOptions options) {
  const Client client = co_await KafkaClient::connect(shard, options.server, options.timeout_ms);
  if (!client) co_return report_failure(client.error());
  const ClientResult<std::vector<Topic>> topics = co_await read_topics(**client, options);
  if (!topics) co_return report_failure(topics.error());
  ItemPrinter printer(options.output);
  for (const Topic& topic : *topics) {
    if (options.output == Output::json) {
      printer.print("topic", {{"topic", topic.name.value_or("")},
                              {"topic_id", engine::to_string(topic.topic_id)},
                              {"partitions", topic.partitions.size()},
                              {"internal", topic.is_internal}});
    } else {
      std::cout << escape(topic.name.value_or("")) << '\n';
    }
  }
  co_return 0;
}

Task<int> describe_topics(Shard& shard, TopicOptions options) {
  const Client client = co_await KafkaClient::connect(shard, options.server, options.timeout_ms);
  if (!client) co_return report_failure(client.error());
  const ClientResult<std::vector<Topic>> topics = co_await read_topics(**client, options);
  if (!topics) co_return report_failure(topics.error());
  const ClientResult<Settings> settings = co_await read_settings(**client, *topics);
  if (!settings) co_return report_failure(settings.error());
  int code = 0;
  ItemPrinter printer(options.output);
  for (const Topic& topic : *topics) {
    const std::string name = topic.name.value_or("");
    if (topic.error_code != 0) {
      code = report_failure(
          engine::concat("topic ", escape(name), ": ", kafka_error_name(topic.error_code)));
      continue;
    }
    const auto own = settings->find(name);
    const std::map<std::string, std::string> none;
    const auto& set = own == settings->end() ? none : own->second;
    if (options.output == Output::json) {
      printer.print("topic", to_item(topic, set));
    } else {
      print_text(topic, set);
    }
  }
  co_return code;
}

}  // namespace keelson::broker
