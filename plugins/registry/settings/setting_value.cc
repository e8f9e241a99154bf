#include "plugins/registry/settings/setting_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "engine/logger.h"
#include "plugins/registry/config/nearest_name.h"

namespace keelson {

using engine::concat;

namespace {

constexpr std::string_view kBlanks = " \t\r\n\f\v";
constexpr std::size_t kShownBytesMax = 200;

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool equal_in_any_case(std::string_view text, std::string_view lower_case) {
  return std::ranges::equal(text, lower_case, [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
}

std::string shown(const SettingDef& definition, std::string_view value) {
  if (definition.is_sensitive()) return "(hidden)";
  if (value.size() > kShownBytesMax) return concat(value.substr(0, kShownBytesMax), "…");
  return std::string(value);
}

std::unexpected<ApiError> bad_value(const SettingDef& definition, std::string_view value,
                                    std::string_view why) {
  return refuse(ApiErrc::invalid_config, concat("Invalid value ", shown(definition, value),
                                                " for configuration ", definition.name, ": ", why));
}

bool is_allowed(std::string_view allowed, std::string_view value) {
  while (true) {
    const std::size_t comma = allowed.find(',');
    if (allowed.substr(0, comma) == value) return true;
    if (comma == allowed.npos) return false;
    allowed.remove_prefix(comma + 1);
  }
}

std::int64_t type_min(SettingType type) {
  if (type == SettingType::int16) return std::numeric_limits<std::int16_t>::min();
  if (type == SettingType::int32) return std::numeric_limits<std::int32_t>::min();
  return kSettingMin;
}

std::int64_t type_max(SettingType type) {
  if (type == SettingType::int16) return std::numeric_limits<std::int16_t>::max();
  if (type == SettingType::int32) return std::numeric_limits<std::int32_t>::max();
  return kSettingMax;
}

ApiResult<void> validate_integer(const SettingDef& definition, std::string_view value) {
  const std::optional<std::int64_t> number = read_integer(value);
  if (!number || *number < type_min(definition.type) || *number > type_max(definition.type)) {
    return bad_value(definition, value,
                     definition.type == SettingType::int16   ? "must be a whole number of 16 bits"
                     : definition.type == SettingType::int32 ? "must be a whole number of 32 bits"
                                                             : "must be a whole number of 64 bits");
  }
  if (*number < definition.min) {
    return bad_value(definition, value, concat("must be at least ", definition.min));
  }
  if (*number > definition.max) {
    return bad_value(definition, value, concat("must be at most ", definition.max));
  }
  return {};
}

ApiResult<void> validate_float(const SettingDef& definition, std::string_view value) {
  const std::optional<double> number = read_float(value);
  if (!number) return bad_value(definition, value, "must be a number");
  if (definition.min != kSettingMin && *number < static_cast<double>(definition.min)) {
    return bad_value(definition, value, concat("must be at least ", definition.min));
  }
  if (definition.max != kSettingMax && *number > static_cast<double>(definition.max)) {
    return bad_value(definition, value, concat("must be at most ", definition.max));
  }
  return {};
}

/// `partition:broker` pairs, or `*` (source: Kafka 4.3.1, ThrottledReplicaListValidator).
bool is_throttled_replica(std::string_view element) {
  const std::size_t colon = element.find(':');
  return colon != element.npos && read_integer(element.substr(0, colon)) &&
         read_integer(element.substr(colon + 1));
}

ApiResult<void> validate_list(const SettingDef& definition, std::string_view value) {
  const std::vector<std::string> elements = read_list(value);
  std::set<std::string_view> seen;
  for (const std::string& element : elements) {
    if (element.empty()) return bad_value(definition, value, "an element of the list is empty");
    if (!seen.insert(element).second) {
      return bad_value(definition, value, concat("\"", element, "\" is in the list twice"));
    }
    if (!definition.allowed.empty() && !is_allowed(definition.allowed, element)) {
      return bad_value(definition, value,
                       concat("\"", element, "\" is not one of ", definition.allowed));
    }
  }
  const bool throttled = definition.name.ends_with(".replication.throttled.replicas");
  if (throttled && elements != std::vector<std::string>{"*"} &&
      !std::ranges::all_of(elements, is_throttled_replica)) {
    return bad_value(definition, value, "must be * or a list of partition:broker");
  }
  return {};
}

}  // namespace

std::optional<bool> read_bool(std::string_view text) {
  text = trimmed(text);
  if (equal_in_any_case(text, "true")) return true;
  if (equal_in_any_case(text, "false")) return false;
  return std::nullopt;
}

std::optional<std::int64_t> read_integer(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with('+') && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
  std::int64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<double> read_float(std::string_view text) {
  text = trimmed(text);
  double number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (!std::isfinite(number)) return std::nullopt;
  return number;
}

std::vector<std::string> read_list(std::string_view text) {
  std::vector<std::string> elements;
  if (trimmed(text).empty()) return elements;
  while (true) {
    const std::size_t comma = text.find(',');
    elements.emplace_back(trimmed(text.substr(0, comma)));
    if (comma == text.npos) return elements;
    text.remove_prefix(comma + 1);
  }
}

std::string join_list(const std::vector<std::string>& elements) {
  std::string joined;
  for (const std::string& element : elements) {
    if (&element != &elements.front()) joined += ',';
    joined += element;
  }
  return joined;
}

ApiResult<void> validate_setting(const SettingDef& definition, std::string_view value) {
  switch (definition.type) {
    case SettingType::boolean:
      if (!read_bool(value)) return bad_value(definition, value, "must be true or false");
      return {};
    case SettingType::int16:
    case SettingType::int32:
    case SettingType::int64: return validate_integer(definition, value);
    case SettingType::float64: return validate_float(definition, value);
    case SettingType::list: return validate_list(definition, value);
    case SettingType::string:
      if (!definition.allowed.empty() && !is_allowed(definition.allowed, value)) {
        return bad_value(definition, value, concat("must be one of ", definition.allowed));
      }
      return {};
    case SettingType::class_name:
    case SettingType::password: return {};
  }
  return {};
}

ApiResult<void> validate_topic_settings(const Settings& settings) {
  for (const auto& [name, value] : settings) {
    const SettingDef* definition = find_topic_setting(name);
    if (definition == nullptr) {
      return refuse(ApiErrc::invalid_config,
                    concat("Unknown topic config name: ", name,
                           did_you_mean(nearest_setting(topic_setting_table(), name))));
    }
    if (ApiResult<void> valid = validate_setting(*definition, value); !valid) return valid;
  }

  const auto number = [&settings](std::string_view name) {
    const auto set = settings.find(std::string(name));
    return set == settings.end() ? read_integer(find_topic_setting(name)->default_text)
                                 : read_integer(set->second);
  };
  if (*number("min.compaction.lag.ms") > *number("max.compaction.lag.ms")) {
    return refuse(ApiErrc::invalid_config,
                  "min.compaction.lag.ms must not be above max.compaction.lag.ms");
  }
  if (const auto tiered = settings.find("remote.storage.enable");
      tiered != settings.end() && read_bool(tiered->second) == true) {
    return refuse(ApiErrc::invalid_config,
                  "remote.storage.enable cannot be true: this broker has no tiered storage");
  }
  return {};
}

namespace {

std::string_view resource_word(ConfigResource resource) {
  switch (resource) {
    case ConfigResource::topic: return "topic";
    case ConfigResource::broker: return "broker";
    case ConfigResource::group: return "group";
  }
  return "";
}

const SettingDef* find_named(const SettingBounds& bounds, std::string_view name) {
  switch (bounds.resource) {
    case ConfigResource::topic: return find_topic_setting(name);
    case ConfigResource::broker: return find_broker_setting(name);
    case ConfigResource::group: return find_group_setting(name);
  }
  return nullptr;
}

ApiResult<void> check_changeable(const SettingBounds& bounds, const SettingDef& definition) {
  if (bounds.resource != ConfigResource::broker) return {};
  if (definition.update == SettingUpdate::read_only) {
    return refuse(ApiErrc::invalid_request,
                  concat("Cannot change ", definition.name,
                         " while the broker runs: set it in its configuration and restart it"));
  }
  if (definition.update == SettingUpdate::per_broker && bounds.cluster_default) {
    return refuse(ApiErrc::invalid_request,
                  concat(definition.name, " can be set on single brokers only"));
  }
  return {};
}

std::vector<std::string> list_before(const SettingBounds& bounds, const SettingDef& definition,
                                     const Settings& current) {
  const std::string name(definition.name);
  if (const auto set = current.find(name); set != current.end()) return read_list(set->second);
  if (bounds.inherited != nullptr) {
    const auto set = bounds.inherited->find(name);
    if (set != bounds.inherited->end()) return read_list(set->second);
  }
  return read_list(definition.default_text == nullptr ? "" : definition.default_text);
}

ApiResult<std::string> changed_list(const SettingBounds& bounds, const SettingDef& definition,
                                    const Settings& current, const SettingChange& change) {
  const bool append = change.op == SettingOp::append;
  if (definition.type != SettingType::list) {
    return refuse(ApiErrc::invalid_config,
                  concat("Cannot ", append ? "append to " : "subtract from ", change.name,
                         ": it is not a list"));
  }
  std::vector<std::string> elements = list_before(bounds, definition, current);
  for (const std::string& element : read_list(*change.value)) {
    const auto found = std::ranges::find(elements, element);
    if (append && found == elements.end()) elements.push_back(element);
    if (!append && found != elements.end()) elements.erase(found);
  }
  return join_list(elements);
}

}  // namespace

ApiResult<Settings> apply_setting_changes(const SettingBounds& bounds, const Settings& current,
                                          const std::vector<SettingChange>& changes,
                                          bool replace_all) {
  Settings result = replace_all ? Settings{} : current;
  std::set<std::string_view> seen;
  for (const SettingChange& change : changes) {
    if (!seen.insert(change.name).second) {
      return refuse(ApiErrc::invalid_request, concat(change.name, " is changed twice"));
    }
    const SettingDef* definition = find_named(bounds, change.name);
    if (definition == nullptr) {
      return refuse(ApiErrc::invalid_config,
                    concat("Unknown ", resource_word(bounds.resource), " config name: ",
                           change.name, did_you_mean(nearest_setting(bounds.table, change.name))));
    }
    if (ApiResult<void> allowed = check_changeable(bounds, *definition); !allowed) {
      return std::unexpected(std::move(allowed.error()));
    }
    if (change.op == SettingOp::remove) {
      result.erase(change.name);
      continue;
    }
    if (!change.value) {
      return refuse(ApiErrc::invalid_request, concat("No value is given for ", change.name));
    }
    std::string value = *change.value;
    if (change.op != SettingOp::set) {
      ApiResult<std::string> list = changed_list(bounds, *definition, result, change);
      if (!list) return std::unexpected(std::move(list.error()));
      value = *std::move(list);
    }
    if (ApiResult<void> valid = validate_setting(*definition, value); !valid) {
      return std::unexpected(std::move(valid.error()));
    }
    result[change.name] = std::move(value);
  }
  return result;
}

}  // namespace keelson
