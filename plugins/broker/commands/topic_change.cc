// Creates, deletes and alters topics.
#include <iostream>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "plugins/broker/client/kafka_client.h"
#include "plugins/broker/commands/item_printer.h"
#include "plugins/broker/commands/topic_commands.h"
#include "plugins/kafka/messages/create_partitions.h"
#include "plugins/kafka/messages/create_topics.h"
#include "plugins/kafka/messages/delete_topics.h"
#include "plugins/kafka/messages/incremental_alter_configs.h"
#include "plugins/registry/api_error.h"

namespace keelson::broker {
namespace {

using engine::Task;
using engine::io::Shard;
using kafka::messages::CreatePartitionsRequest;
using kafka::messages::CreatePartitionsResponse;
using kafka::messages::CreateTopicsRequest;
using kafka::messages::CreateTopicsResponse;
using kafka::messages::DeleteTopicsRequest;
using kafka::messages::DeleteTopicsResponse;
using kafka::messages::IncrementalAlterConfigsRequest;
using kafka::messages::IncrementalAlterConfigsResponse;
using Client = ClientResult<std::unique_ptr<KafkaClient>>;

constexpr std::int8_t kTopicResource = 2;
constexpr std::int8_t kSetOperation = 0;
constexpr std::int8_t kDeleteOperation = 1;

struct Setting {
  std::string_view name;
  std::string_view value;
};

/// Views into the options. Nothing, and a line on standard error, where one is no name=value.
std::optional<std::vector<Setting>> read_settings(const std::vector<std::string>& texts) {
  std::vector<Setting> settings;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) {
      std::cerr << "keelson: --config " << text << " is not name=value\n";
      return std::nullopt;
    }
    const std::string_view all = text;
    settings.push_back({all.substr(0, equals), all.substr(equals + 1)});
  }
  return settings;
}

/// The request's own time-out: the broker should give up before this program does.
std::int32_t request_timeout_ms(const TopicOptions& options) {
  return static_cast<std::int32_t>(std::min<std::int64_t>(options.timeout_ms, 2'000'000'000));
}

bool is_code(std::int16_t code, ApiErrc wanted) {
  return code == static_cast<std::int16_t>(wanted);
}

Task<int> alter_partitions(KafkaClient& client, const TopicOptions& options) {
  CreatePartitionsRequest request;
  request.timeout_ms = request_timeout_ms(options);
  for (const std::string& topic : options.topics) {
    auto& asked = request.topics.emplace_back();
    asked.name = topic;
    asked.count = options.partitions;
    asked.assignments.reset();  // the broker chooses
  }
  const ClientResult<CreatePartitionsResponse> answer =
      co_await client.ask<CreatePartitionsResponse>(std::move(request));
  if (!answer) co_return report_failure(answer.error());
  int code = 0;
  for (const auto& topic : answer->results) {
    if (topic.error_code == 0) continue;
    code = report_failure(engine::concat("partitions of ", escape(topic.name), ": ",
                                         explain_error(topic.error_code, topic.error_message)));
  }
  co_return code;
}

Task<int> alter_settings(KafkaClient& client, const TopicOptions& options,
                         std::vector<Setting> settings) {
  IncrementalAlterConfigsRequest request;
  for (const std::string& topic : options.topics) {
    auto& resource = request.resources.emplace_back();
    resource.resource_type = kTopicResource;
    resource.resource_name = topic;
    for (const Setting& setting : settings) {
      resource.configs.push_back({setting.name, kSetOperation, setting.value});
    }
    for (const std::string& name : options.removed_settings) {
      resource.configs.push_back({name, kDeleteOperation, std::nullopt});
    }
  }
  const ClientResult<IncrementalAlterConfigsResponse> answer =
      co_await client.ask<IncrementalAlterConfigsResponse>(std::move(request));
  if (!answer) co_return report_failure(answer.error());
  int code = 0;
  for (const auto& topic : answer->responses) {
    if (topic.error_code == 0) continue;
    code = report_failure(engine::concat("settings of ", escape(topic.resource_name), ": ",
                                         explain_error(topic.error_code, topic.error_message)));
  }
  co_return code;
}

}  // namespace

Task<int> create_topics(Shard& shard, TopicOptions options) {
  const std::optional<std::vector<Setting>> settings = read_settings(options.settings);
  if (!settings) co_return kExitUsage;
  const Client client = co_await KafkaClient::connect(shard, options.server, options.timeout_ms);
  if (!client) co_return report_failure(client.error());
  CreateTopicsRequest request;
  request.timeout_ms = request_timeout_ms(options);
  for (const std::string& topic : options.topics) {
    auto& asked = request.topics.emplace_back();
    asked.name = topic;
    asked.num_partitions = options.partitions;
    asked.replication_factor = options.replication_factor;
    for (const Setting& setting : *settings) asked.configs.push_back({setting.name, setting.value});
  }
  const ClientResult<CreateTopicsResponse> answer =
      co_await (*client)->ask<CreateTopicsResponse>(std::move(request));
  if (!answer) co_return report_failure(answer.error());
  int code = 0;
  ItemPrinter printer(options.output);
  for (const auto& topic : answer->topics) {
    const bool was_there = is_code(topic.error_code, ApiErrc::topic_already_exists);
    if (was_there && options.if_not_exists) {
      printer.print("exists", {{"topic", topic.name}});
    } else if (topic.error_code != 0) {
      code = report_failure(engine::concat("topic ", escape(topic.name), ": ",
                                           explain_error(topic.error_code, topic.error_message)));
    } else {
      printer.print("created", {{"topic", topic.name},
                                {"topic_id", engine::to_string(topic.topic_id)},
                                {"partitions", topic.num_partitions},
                                {"replication_factor", topic.replication_factor}});
    }
  }
  co_return code;
}

Task<int> delete_topics(Shard& shard, TopicOptions options) {
  const Client client = co_await KafkaClient::connect(shard, options.server, options.timeout_ms);
  if (!client) co_return report_failure(client.error());
  DeleteTopicsRequest request;
  request.timeout_ms = request_timeout_ms(options);
  for (const std::string& topic : options.topics) {
    request.topics.emplace_back().name = topic;  // from version 6 on
    request.topic_names.emplace_back(topic);     // before
  }
  const ClientResult<DeleteTopicsResponse> answer =
      co_await (*client)->ask<DeleteTopicsResponse>(std::move(request));
  if (!answer) co_return report_failure(answer.error());
  int code = 0;
  ItemPrinter printer(options.output);
  for (const auto& topic : answer->responses) {
    const std::string name = topic.name.value_or("?");
    const bool absent = is_code(topic.error_code, ApiErrc::unknown_topic_or_partition);
    if (absent && options.if_exists) {
      printer.print("absent", {{"topic", name}});
    } else if (topic.error_code != 0) {
      code = report_failure(engine::concat("topic ", escape(name), ": ",
                                           explain_error(topic.error_code, topic.error_message)));
    } else {
      printer.print("deleted", {{"topic", name}});
    }
  }
  co_return code;
}

Task<int> alter_topics(Shard& shard, TopicOptions options) {
  const std::optional<std::vector<Setting>> settings = read_settings(options.settings);
  if (!settings) co_return kExitUsage;
  const bool has_settings = !settings->empty() || !options.removed_settings.empty();
  if (!has_settings && options.partitions < 0) {
    std::cerr << "keelson: nothing to alter: give --partitions, --config or --delete-config\n";
    co_return kExitUsage;
  }
  const Client client = co_await KafkaClient::connect(shard, options.server, options.timeout_ms);
  if (!client) co_return report_failure(client.error());
  if (options.partitions >= 0) {
    const int code = co_await alter_partitions(**client, options);
    if (code != 0) co_return code;
  }
  if (has_settings) {
    const int code = co_await alter_settings(**client, options, *settings);
    if (code != 0) co_return code;
  }
  ItemPrinter printer(options.output);
  for (const std::string& topic : options.topics) printer.print("altered", {{"topic", topic}});
  co_return 0;
}

}  // namespace keelson::broker
