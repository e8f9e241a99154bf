#include "plugins/registry/settings/broker_settings.h"

#include <cassert>

#include "engine/logger.h"
#include "plugins/registry/config/nearest_name.h"
#include "plugins/registry/settings/setting_value.h"

namespace keelson {

namespace {

/// The broker's own times are within the bounds that it sets for groups, as Kafka demands.
ApiResult<void> check_group_times(const BrokerSettings& settings) {
  for (const std::string_view rest :
       {"session.timeout.ms", "heartbeat.interval.ms", "assignment.interval.ms"}) {
    const std::string name = engine::concat("group.consumer.", rest);
    const std::string least = engine::concat("group.consumer.min.", rest);
    const std::string most = engine::concat("group.consumer.max.", rest);
    const std::int64_t value = settings.get_integer(name);
    if (value < settings.get_integer(least) || value > settings.get_integer(most)) {
      return refuse(ApiErrc::invalid_config,
                    engine::concat(name, " is ", value, ", and must be from ", least, " (",
                                   settings.get_integer(least), ") to ", most, " (",
                                   settings.get_integer(most), "): change one of them"));
    }
  }
  return {};
}

}  // namespace

ApiResult<BrokerSettings> BrokerSettings::make(Settings fixed) {
  for (const auto& [name, value] : fixed) {
    const SettingDef* definition = find_broker_setting(name);
    if (definition == nullptr) {
      return refuse(ApiErrc::invalid_config,
                    engine::concat("Unknown broker config name: ", name,
                                   did_you_mean(nearest_setting(broker_setting_table(), name))));
    }
    if (ApiResult<void> valid = validate_setting(*definition, value); !valid) {
      return std::unexpected(std::move(valid.error()));
    }
  }
  BrokerSettings settings;
  settings.fixed_ = std::move(fixed);
  if (ApiResult<void> valid = check_group_times(settings); !valid) {
    return std::unexpected(std::move(valid.error()));
  }
  return settings;
}

std::optional<std::string> BrokerSettings::find_text(std::string_view name) const {
  const SettingDef* definition = find_broker_setting(name);
  assert(definition != nullptr);  // a plugin asks for a setting that is in no table
  if (const auto set = fixed_.find(std::string(name)); set != fixed_.end()) return set->second;
  if (definition->default_text == nullptr) return std::nullopt;
  return definition->default_text;
}

bool BrokerSettings::get_bool(std::string_view name) const {
  const std::optional<std::string> text = find_text(name);
  assert(text && find_broker_setting(name)->type == SettingType::boolean);
  return *read_bool(*text);
}

std::optional<std::int64_t> BrokerSettings::find_integer(std::string_view name) const {
  const std::optional<std::string> text = find_text(name);
  if (!text) return std::nullopt;
  const std::optional<std::int64_t> number = read_integer(*text);
  assert(number);  // validated; so the setting is of another type
  return number;
}

std::int64_t BrokerSettings::get_integer(std::string_view name) const {
  const std::optional<std::int64_t> number = find_integer(name);
  assert(number);
  return *number;
}

double BrokerSettings::get_float(std::string_view name) const {
  const std::optional<std::string> text = find_text(name);
  assert(text && find_broker_setting(name)->type == SettingType::float64);
  return *read_float(*text);
}

std::string BrokerSettings::get_string(std::string_view name) const {
  std::optional<std::string> text = find_text(name);
  assert(text);
  return *std::move(text);
}

std::vector<std::string> BrokerSettings::get_list(std::string_view name) const {
  const std::optional<std::string> text = find_text(name);
  assert(find_broker_setting(name)->type == SettingType::list);
  return text ? read_list(*text) : std::vector<std::string>{};
}

BrokerId BrokerSettings::node_id() const {
  const bool by_old_name = !is_set("node.id") && is_set("broker.id");
  return static_cast<BrokerId>(get_integer(by_old_name ? "broker.id" : "node.id"));
}

std::vector<std::string> BrokerSettings::data_dirs() const {
  return is_set("log.dirs") ? get_list("log.dirs") : get_list("log.dir");
}

std::vector<std::string> BrokerSettings::without_effect() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : fixed_) {
    if (find_broker_setting(name)->effect == SettingEffect::accepted_without_effect) {
      names.push_back(name);
    }
  }
  return names;
}

}  // namespace keelson
