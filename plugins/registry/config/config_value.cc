#include "plugins/registry/config/config_value.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <limits>
#include <span>

#include "engine/logger.h"
#include "plugins/registry/config/config_view.h"
#include "plugins/registry/settings/setting_value.h"

namespace keelson {

using engine::concat;

namespace {

struct Unit {
  std::string_view name;
  std::int64_t factor;
};

constexpr Unit kSizeUnits[] = {
    {"", 1},
    {"B", 1},
    {"KiB", std::int64_t{1} << 10},
    {"MiB", std::int64_t{1} << 20},
    {"GiB", std::int64_t{1} << 30},
    {"TiB", std::int64_t{1} << 40},
    {"kB", 1'000},
    {"KB", 1'000},
    {"MB", 1'000'000},
    {"GB", 1'000'000'000},
    {"TB", 1'000'000'000'000},
};
constexpr Unit kTimeUnits[] = {
    {"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};

/// Takes digits, blanks and letters off the front: a number with its unit.
std::optional<std::int64_t> take_quantity(std::string_view& text, std::span<const Unit> units) {
  const auto take_while = [&text](auto belongs) {
    const auto end = std::ranges::find_if_not(text, belongs);
    const std::string_view taken = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(taken.size());
    return taken;
  };
  const auto digits = take_while([](char c) { return c >= '0' && c <= '9'; });
  take_while([](char c) { return c == ' '; });
  const auto name =
      take_while([](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
  const auto unit = std::ranges::find(units, name, &Unit::name);
  const std::optional<std::int64_t> number = read_integer(digits);
  if (!number || unit == units.end()) return std::nullopt;
  if (*number > std::numeric_limits<std::int64_t>::max() / unit->factor) return std::nullopt;
  return *number * unit->factor;
}

std::string join(const std::vector<std::string>& names) {
  std::string joined;
  for (const std::string& name : names) joined += (joined.empty() ? "" : ", ") + name;
  return joined;
}

std::expected<ConfigValue, std::string> bounded(const SchemaEntry& entry, std::int64_t number) {
  if (number < entry.min) return std::unexpected(concat("must be at least ", entry.min));
  if (number > entry.max) return std::unexpected(concat("must be at most ", entry.max));
  return number;
}

std::expected<ConfigValue, std::string> among(const SchemaEntry& entry,
                                              const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (!entry.allowed.empty() && std::ranges::find(entry.allowed, name) == entry.allowed.end()) {
      return std::unexpected(
          concat("\"", name, "\" is not allowed; must be one of ", join(entry.allowed)));
    }
  }
  if (entry.type == ConfigType::list) return names;
  return names.front();
}

std::unexpected<std::string> not_a(ConfigType type) {
  return std::unexpected(concat("must be ", to_text(type)));
}

}  // namespace

std::optional<std::int64_t> read_size_bytes(std::string_view text) {
  const std::optional<std::int64_t> size = take_quantity(text, kSizeUnits);
  return text.empty() ? size : std::nullopt;
}

std::optional<std::int64_t> read_duration_ms(std::string_view text) {
  if (text == "0") return 0;
  std::int64_t total = 0;
  do {
    const std::optional<std::int64_t> part = take_quantity(text, kTimeUnits);
    if (!part || *part > std::numeric_limits<std::int64_t>::max() - total) return std::nullopt;
    total += *part;
  } while (!text.empty());
  return total;
}

std::expected<ConfigValue, std::string> read_value(const SchemaEntry& entry,
                                                   std::string_view text) {
  switch (entry.type) {
    case ConfigType::boolean:
      if (const auto value = read_bool(text)) return *value;
      return not_a(entry.type);
    case ConfigType::integer:
      if (const auto value = read_integer(text)) return bounded(entry, *value);
      return not_a(entry.type);
    case ConfigType::floating:
      if (const auto value = read_float(text)) return *value;
      return not_a(entry.type);
    case ConfigType::bytes:
      if (const auto value = read_size_bytes(text)) return bounded(entry, *value);
      return not_a(entry.type);
    case ConfigType::duration:
      if (const auto value = read_duration_ms(text)) return bounded(entry, *value);
      return not_a(entry.type);
    case ConfigType::string: return std::string(text);
    case ConfigType::enumeration: return among(entry, {std::string(text)});
    case ConfigType::list: return among(entry, read_list(text));
  }
  return not_a(entry.type);
}

std::expected<ConfigValue, std::string> convert_value(const SchemaEntry& entry,
                                                      const ConfigValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    const bool from_text = entry.type == ConfigType::string ||
                           entry.type == ConfigType::enumeration ||
                           entry.type == ConfigType::bytes || entry.type == ConfigType::duration;
    if (from_text) return read_value(entry, *text);
    return not_a(entry.type);
  }
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    if (entry.type == ConfigType::integer || entry.type == ConfigType::bytes) {
      return bounded(entry, *number);
    }
    if (entry.type == ConfigType::floating) return static_cast<double>(*number);
    if (entry.type == ConfigType::duration && *number == 0) return bounded(entry, 0);
    return not_a(entry.type);
  }
  if (const auto* names = std::get_if<std::vector<std::string>>(&value)) {
    if (entry.type == ConfigType::list) return among(entry, *names);
    return not_a(entry.type);
  }
  const bool fits = (std::holds_alternative<bool>(value) && entry.type == ConfigType::boolean) ||
                    (std::holds_alternative<double>(value) && entry.type == ConfigType::floating);
  if (fits) return value;
  return not_a(entry.type);
}

std::string to_text(const ConfigValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
  if (const auto* number = std::get_if<double>(&value)) {
    std::string text(32, '\0');
    const auto [end, failure] = std::to_chars(text.data(), text.data() + text.size(), *number);
    assert(failure == std::errc{});
    text.resize(static_cast<std::size_t>(end - text.data()));
    return text;
  }
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return join_list(std::get<std::vector<std::string>>(value));
}

std::string_view to_text(ConfigType type) {
  switch (type) {
    case ConfigType::boolean: return "true or false";
    case ConfigType::integer: return "a whole number";
    case ConfigType::floating: return "a number";
    case ConfigType::string: return "a string";
    case ConfigType::bytes: return "a size such as \"64MiB\"";
    case ConfigType::duration: return "a duration with its unit, such as \"5s\"";
    case ConfigType::enumeration: return "a string";
    case ConfigType::list: return "a list of strings";
  }
  return "";
}

template <class T>
const T& ConfigView::get(std::string_view key) const {
  const auto found = values_.find(key);
  assert(found != values_.end());  // not in the schema, or not set: see has()
  const T* value = std::get_if<T>(&found->second.value);
  assert(value != nullptr);  // the schema gives it another type
  return *value;
}

template const bool& ConfigView::get<bool>(std::string_view) const;
template const std::int64_t& ConfigView::get<std::int64_t>(std::string_view) const;
template const double& ConfigView::get<double>(std::string_view) const;
template const std::string& ConfigView::get<std::string>(std::string_view) const;
template const std::vector<std::string>& ConfigView::get<std::vector<std::string>>(
    std::string_view) const;

std::expected<ConfigView, ConfigProblems> schema_defaults(const Schema& schema) {
  std::map<std::string, ConfigView::Value, std::less<>> values;
  ConfigProblems problems;
  for (const SchemaEntry& entry : schema) {
    if (entry.required) {
      problems.push_back({{}, concat("\"", entry.key, "\" must be set")});
    } else if (entry.default_text) {
      auto value = read_value(entry, *entry.default_text);
      if (value) {
        values.emplace(entry.key, ConfigView::Value{entry, *std::move(value), {}});
      } else {
        problems.push_back({{}, concat("default of \"", entry.key, "\": ", value.error())});
      }
    }
  }
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return ConfigView(std::move(values));
}

}  // namespace keelson
