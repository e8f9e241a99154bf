// DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources.
#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "plugins/kafka/handlers/handlers.h"
#include "plugins/kafka/topic_lookup.h"
#include "plugins/registry/settings/effective.h"

namespace keelson::kafka {

using engine::Task;
using messages::AlterConfigsRequest;
using messages::AlterConfigsResponse;
using messages::DescribeConfigsRequest;
using messages::DescribeConfigsResponse;
using messages::IncrementalAlterConfigsRequest;
using messages::IncrementalAlterConfigsResponse;
using messages::ListConfigResourcesRequest;
using messages::ListConfigResourcesResponse;

namespace {

using Described = DescribeConfigsResponse::DescribeConfigsResult;
using DescribedSetting = DescribeConfigsResponse::DescribeConfigsResourceResult;

constexpr std::int8_t to_number(ConfigResource resource) {
  return static_cast<std::int8_t>(resource);
}

bool is_known(std::int8_t type) {
  return type == to_number(ConfigResource::topic) || type == to_number(ConfigResource::broker) ||
         type == to_number(ConfigResource::group);
}

DescribedSetting describe(const SettingDef& definition, EffectiveSetting effective,
                          std::string_view name, bool read_only,
                          const DescribeConfigsRequest& request) {
  DescribedSetting described;
  described.name = name;
  described.is_sensitive = definition.is_sensitive();
  described.value = std::nullopt;  // as Kafka shows a secret, set or not
  if (!described.is_sensitive) described.value = std::move(effective.value);
  described.read_only = read_only;
  described.config_source = static_cast<std::int8_t>(effective.source);
  described.config_type = static_cast<std::int8_t>(definition.type);
  if (request.include_synonyms) {
    for (SettingCandidate& candidate : effective.candidates) {
      auto& synonym = described.synonyms.emplace_back();
      synonym.name = std::move(candidate.name);
      if (!described.is_sensitive) synonym.value = std::move(candidate.value);
      synonym.source = static_cast<std::int8_t>(candidate.source);
    }
  }
  if (request.include_documentation) described.documentation = std::string(definition.doc);
  return described;
}

/// Number of a broker as a resource name; nothing where it is no number.
std::optional<BrokerId> parse_broker(std::string_view name) {
  BrokerId id = kNoBroker;
  const auto [end, failed] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (failed != std::errc{} || end != name.data() + name.size()) return std::nullopt;
  return id;
}

class Describer {
 public:
  Describer(const RequestContext& context, const ClusterView& view,
            const DescribeConfigsRequest& request)
      : context_(context), view_(view), request_(request) {}

  void run(const DescribeConfigsRequest::DescribeConfigsResource& asked, Described& result) const {
    switch (static_cast<ConfigResource>(asked.resource_type)) {
      case ConfigResource::topic: return topic(asked, result);
      case ConfigResource::broker: return broker(asked, result);
      case ConfigResource::group: return group(asked, result);
    }
    refuse_with(result, ApiErrc::invalid_request,
                engine::concat("resources of type ", asked.resource_type, " have no settings"));
  }

 private:
  using Asked = DescribeConfigsRequest::DescribeConfigsResource;

  static void refuse_with(Described& result, ApiErrc error, std::string message) {
    result.error_code = to_code(error);
    result.error_message = std::move(message);
  }
  /// The settings of `table` that are asked for, in its order.
  template <class Table>
  static std::vector<const SettingDef*> select(const Asked& asked, const Table& table) {
    // Null and an empty list both ask for all (source: Kafka 4.3.1, ConfigHelperUtils).
    const bool all = !asked.configuration_keys || asked.configuration_keys->empty();
    std::set<std::string_view> wanted;  // of names that exist: its size is not the client's
    if (!all) {
      std::set<std::string_view> known;
      for (const SettingDef& definition : table) known.insert(definition.name);
      for (const std::string_view key : *asked.configuration_keys) {
        if (known.contains(key)) wanted.insert(key);
      }
    }
    std::vector<const SettingDef*> selected;
    for (const SettingDef& definition : table) {
      if (all || wanted.contains(definition.name)) {
        selected.push_back(&definition);
      }
    }
    return selected;
  }
  SettingLayers layers(const Settings* own) const {
    return setting_layers(view_, context_.services.self, context_.services.settings, own);
  }

  void topic(const Asked& asked, Described& result) const {
    if (!is_legal_topic_name(asked.resource_name)) {
      return refuse_with(result, ApiErrc::invalid_topic_exception,
                         "a topic's name has 1 to 249 of a-z A-Z 0-9 . _ -");
    }
    const TopicView* const known = view_.find(asked.resource_name);
    if (known == nullptr) {
      return refuse_with(result, ApiErrc::unknown_topic_or_partition, "there is no such topic");
    }
    for (const SettingDef* definition : select(asked, topic_setting_table())) {
      result.configs.push_back(
          describe(*definition, effective_topic_setting(*definition, layers(&known->settings)),
                   definition->name, false, request_));
    }
  }

  void broker(const Asked& asked, Described& result) const {
    const bool defaults = asked.resource_name.empty();
    if (!defaults) {
      const std::optional<BrokerId> id = parse_broker(asked.resource_name);
      if (!id || *id != context_.services.self) {
        return refuse_with(result, ApiErrc::invalid_request,
                           engine::concat("this is broker ", context_.services.self,
                                          "; ask broker ", asked.resource_name, " itself"));
      }
    }
    for (const SettingDef* definition : select(asked, broker_setting_table())) {
      // The cluster's default shows what was set there, and nothing else.
      if (defaults && !view_.broker_defaults.contains(std::string(definition->name))) continue;
      result.configs.push_back(
          describe(*definition, shown_broker_setting(*definition, layers(nullptr)),
                   definition->name, definition->update == SettingUpdate::read_only, request_));
    }
  }

  void group(const Asked& asked, Described& result) const {
    if (asked.resource_name.empty()) {
      return refuse_with(result, ApiErrc::invalid_request, "a group's name is not empty");
    }
    const SettingLayers of_group =
        group_setting_layers(view_, context_.services.self, context_.services.settings,
                             std::string(asked.resource_name));
    for (const SettingDef* definition : select(asked, group_setting_table())) {
      result.configs.push_back(describe(*definition, effective_group_setting(*definition, of_group),
                                        definition->name, false, request_));
    }
  }

  const RequestContext& context_;
  const ClusterView& view_;
  const DescribeConfigsRequest& request_;
};

Task<ApiResult<void>> alter(RequestContext& context, std::int8_t type, std::string name,
                            std::vector<SettingChange> changes, bool replace_all,
                            bool validate_only) {
  if (!is_known(type)) {
    co_return refuse(ApiErrc::invalid_request,
                     engine::concat("resources of type ", type, " have no settings"));
  }
  co_return co_await context.services.controller.alter_settings(
      context.shard(), static_cast<ConfigResource>(type), std::move(name), std::move(changes),
      replace_all, validate_only);
}

/// Resources that a request names more than once.
template <class Resources>
std::set<std::pair<std::int8_t, std::string_view>> find_repeated(const Resources& resources) {
  std::set<std::pair<std::int8_t, std::string_view>> once;
  std::set<std::pair<std::int8_t, std::string_view>> repeated;
  for (const auto& resource : resources) {
    const std::pair<std::int8_t, std::string_view> key{resource.resource_type,
                                                       resource.resource_name};
    if (!once.insert(key).second) repeated.insert(key);
  }
  return repeated;
}

template <class Result>
void fill_result(Result& result, const ApiResult<void>& altered) {
  if (altered) return;
  result.error_code = to_code(altered.error().code);
  result.error_message = altered.error().message;
}

constexpr const char* kNamedTwice = "the request names this resource twice";

}  // namespace

Task<Answered<DescribeConfigsResponse>> handle_describe_configs(RequestContext& context,
                                                                DescribeConfigsRequest request) {
  const auto view = context.services.controller.view();
  const Describer describer(context, *view, request);
  DescribeConfigsResponse response;
  std::set<std::pair<std::int8_t, std::string_view>> described;
  for (const auto& asked : request.resources) {
    // Each once: a small request that repeats a name must not make a huge answer.
    if (!described.emplace(asked.resource_type, asked.resource_name).second) continue;
    auto& result = response.results.emplace_back();
    result.resource_type = asked.resource_type;
    result.resource_name = asked.resource_name;
    describer.run(asked, result);
  }
  co_return std::move(response);
}

Task<Answered<IncrementalAlterConfigsResponse>> handle_incremental_alter_configs(
    RequestContext& context, IncrementalAlterConfigsRequest request) {
  const auto repeated = find_repeated(request.resources);
  IncrementalAlterConfigsResponse response;
  for (const auto& asked : request.resources) {
    auto& result = response.responses.emplace_back();
    result.resource_type = asked.resource_type;
    result.resource_name = asked.resource_name;
    std::vector<SettingChange> changes;
    ApiResult<void> altered;
    if (repeated.contains({asked.resource_type, asked.resource_name})) {
      altered = refuse(ApiErrc::invalid_request, kNamedTwice);
    }
    for (const auto& change : asked.configs) {
      if (change.config_operation < 0 || change.config_operation > 3) {
        altered = refuse(ApiErrc::invalid_request,
                         engine::concat("unknown operation ", change.config_operation));
      }
      SettingChange& added = changes.emplace_back();
      added.name = change.name;
      added.op = static_cast<SettingOp>(change.config_operation);
      if (change.value) added.value = std::string(*change.value);
    }
    if (altered) {
      altered = co_await alter(context, asked.resource_type, std::string(asked.resource_name),
                               std::move(changes), false, request.validate_only);
    }
    fill_result(result, altered);
  }
  co_return std::move(response);
}

Task<Answered<AlterConfigsResponse>> handle_alter_configs(RequestContext& context,
                                                          AlterConfigsRequest request) {
  const auto repeated = find_repeated(request.resources);
  AlterConfigsResponse response;
  for (const auto& asked : request.resources) {
    auto& result = response.responses.emplace_back();
    result.resource_type = asked.resource_type;
    result.resource_name = asked.resource_name;
    std::vector<SettingChange> changes;
    for (const auto& setting : asked.configs) {
      SettingChange& added = changes.emplace_back();
      added.name = setting.name;
      if (setting.value) added.value = std::string(*setting.value);
    }
    ApiResult<void> altered;
    if (repeated.contains({asked.resource_type, asked.resource_name})) {
      altered = refuse(ApiErrc::invalid_request, kNamedTwice);
    } else {
      altered = co_await alter(context, asked.resource_type, std::string(asked.resource_name),
                               std::move(changes), true, request.validate_only);
    }
    fill_result(result, altered);
  }
  co_return std::move(response);
}

Task<Answered<ListConfigResourcesResponse>> handle_list_config_resources(
    RequestContext& context, ListConfigResourcesRequest request) {
  constexpr std::int8_t kClientMetrics = 16;  // the only type of version 0; there are none here
  const auto view = context.services.controller.view();
  ListConfigResourcesResponse response;
  std::set<std::int8_t> types(request.resource_types.begin(), request.resource_types.end());
  if (context.version() == 0) {
    types = {kClientMetrics};
  } else if (types.empty()) {
    types = {to_number(ConfigResource::topic), to_number(ConfigResource::broker),
             to_number(ConfigResource::group), kClientMetrics};
  }
  for (const std::int8_t type : types) {
    const auto add = [&](std::string name) {
      auto& added = response.config_resources.emplace_back();
      added.resource_name = std::move(name);
      added.resource_type = type;
    };
    if (type == to_number(ConfigResource::topic)) {
      for (const auto& [name, topic] : view->topics) add(name);
    } else if (type == to_number(ConfigResource::broker)) {
      for (const BrokerView& broker : view->brokers) add(std::to_string(broker.id));
    } else if (type == to_number(ConfigResource::group)) {
      for (const auto& [name, settings] : view->group_settings) add(name);
    } else if (type != kClientMetrics) {
      response.config_resources.clear();
      response.error_code = to_code(ApiErrc::unsupported_version);
      break;
    }
  }
  co_return std::move(response);
}

}  // namespace keelson::kafka
