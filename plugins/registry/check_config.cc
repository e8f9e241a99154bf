#include "plugins/registry/check_config.h"

#include "plugins/registry/config/config_value.h"
#include "plugins/registry/settings/setting_value.h"

namespace keelson {

using engine::concat;

namespace {

constexpr std::string_view kRedacted = "(redacted)";

/// Text in double quotes, as both JSON and TOML write it.
std::string quoted(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void add_settings(const Config& config, bool set_only, std::vector<EffectiveEntry>& entries) {
  const auto add = [&](std::string_view name, const SettingDef& definition) {
    const std::optional<std::string> value = config.settings().find_text(name);
    const bool secret = definition.is_sensitive();
    entries.push_back({.section = "kafka",
                       .key = std::string(name),
                       .value = !value   ? "null"
                                : secret ? std::string(kRedacted)
                                         : *value,
                       .origin = to_text(config.origin_of(name)),
                       .doc = std::string(definition.doc),
                       .secret = secret});
  };
  for (const SettingDef& definition : broker_setting_table()) {
    if (set_only && !config.settings().is_set(definition.name)) continue;
    add(definition.name, definition);
  }
  for (const auto& [name, value] : config.settings().fixed()) {
    if (name.starts_with("listener.name.")) add(name, *find_broker_setting(name));
  }
}

void add_listeners(const Config& config, std::vector<EffectiveEntry>& entries) {
  std::size_t number = 0;
  for (const ListenerConfig& listener : config.listeners()) {
    const std::string section = concat("listener.", number++);
    const auto add = [&](std::string key, std::string value) {
      entries.push_back({.section = section,
                         .key = std::move(key),
                         .value = std::move(value),
                         .origin = to_text(listener.origin)});
    };
    const auto address = [](const HostPort& at) {
      const bool bracketed = at.host.find(':') != at.host.npos;
      return bracketed ? concat("[", at.host, "]:", at.port) : concat(at.host, ":", at.port);
    };
    add("name", listener.name);
    add("protocol", listener.protocol);
    add("bind", address(listener.bind));
    if (listener.advertise) add("advertise", address(*listener.advertise));
    for (const auto& [key, value] : listener.options) add(key, to_text(value));
  }
}

void add_view(const std::string& section, const ConfigView& view, bool set_only,
              std::vector<EffectiveEntry>& entries) {
  for (const auto& [key, value] : view.values()) {
    if (set_only && value.origin.kind == OriginKind::default_value) continue;
    entries.push_back({.section = section,
                       .key = key,
                       .value = value.entry.secret ? std::string(kRedacted) : to_text(value.value),
                       .origin = to_text(value.origin),
                       .doc = value.entry.doc,
                       .secret = value.entry.secret});
  }
}

/// A default as TOML takes it: numbers and truth values bare, all else in quotes.
std::string toml_default(const SettingDef& definition) {
  switch (definition.type) {
    case SettingType::boolean:
    case SettingType::int16:
    case SettingType::int32:
    case SettingType::int64: return definition.default_text;
    default: return quoted(definition.default_text);
  }
}

std::string toml_default(const SchemaEntry& entry) {
  if (entry.type == ConfigType::boolean || entry.type == ConfigType::integer) {
    return *entry.default_text;
  }
  if (entry.type == ConfigType::floating) return to_text(*read_value(entry, *entry.default_text));
  if (entry.type != ConfigType::list) return quoted(*entry.default_text);
  std::string elements;
  for (const std::string& element : read_list(*entry.default_text)) {
    elements += (elements.empty() ? "" : ", ") + quoted(element);
  }
  return "[" + elements + "]";
}

}  // namespace

std::expected<std::vector<EffectiveEntry>, ConfigProblems> effective_config(
    const Registry& registry, const Config& config, bool set_only) {
  std::vector<EffectiveEntry> entries;
  ConfigProblems problems;
  for (const auto& [slot, use] : config.uses()) {
    entries.push_back({.section = "broker.use",
                       .key = slot,
                       .value = join_list(use.instances),
                       .origin = to_text(use.origin)});
  }
  for (const auto& [name, instance] : config.instances()) {
    const std::string section = concat("plugins.", name);
    entries.push_back({.section = section,
                       .key = "type",
                       .value = instance.type,
                       .origin = to_text(instance.type_origin)});
    const Factory* factory = registry.find(instance.type);
    if (factory == nullptr) {
      problems.push_back(
          {instance.type_origin, concat("there is no plugin type \"", instance.type, "\"")});
      continue;
    }
    const auto view = config.view(instance, factory->schema);
    if (view) {
      add_view(section, *view, set_only, entries);
    } else {
      problems.insert(problems.end(), view.error().begin(), view.error().end());
    }
  }
  add_listeners(config, entries);
  add_settings(config, set_only, entries);
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return entries;
}

std::string render_text(const std::vector<EffectiveEntry>& entries) {
  std::string text;
  for (const EffectiveEntry& entry : entries) {
    text += concat(entry.section, ".", entry.key, " = ", entry.value, "  # ", entry.origin, "\n");
  }
  return text;
}

std::string render_json(const std::vector<EffectiveEntry>& entries) {
  std::string text = "[";
  for (const EffectiveEntry& entry : entries) {
    if (text.size() > 1) text += ",";
    text += concat("\n  {\"section\": ", quoted(entry.section), ", \"key\": ", quoted(entry.key),
                   ", \"value\": ", entry.value == "null" ? "null" : quoted(entry.value),
                   ", \"origin\": ", quoted(entry.origin), ", \"doc\": ", quoted(entry.doc),
                   ", \"secret\": ", entry.secret ? "true" : "false", "}");
  }
  return text + "\n]\n";
}

std::string render_defaults(const Registry& registry) {
  std::string text;
  const Config defaults = Config::defaults();
  for (const auto& [name, instance] : defaults.instances()) {
    text += concat("[plugins.", name, "]\ntype = ", quoted(instance.type), "\n");
    const Factory* factory = registry.find(instance.type);
    if (factory != nullptr) {
      for (const SchemaEntry& entry : factory->schema) {
        text += concat("# ", entry.doc, "\n", entry.default_text ? "" : "# ", entry.key, " = ",
                       entry.default_text ? toml_default(entry) : "\"…\"", "\n");
      }
    }
    text += "\n";
  }
  text += "[kafka]\n";
  for (const SettingDef& definition : broker_setting_table()) {
    text += concat("# ", definition.doc, "\n", definition.default_text == nullptr ? "# " : "",
                   quoted(definition.name), " = ",
                   definition.default_text == nullptr ? "…" : toml_default(definition), "\n");
  }
  return text;
}

}  // namespace keelson
