#include "plugins/registry/config/config.h"

#include <algorithm>
#include <cassert>

#include "engine/logger.h"
#include "plugins/registry/config/config_merge.h"
#include "plugins/registry/config/config_value.h"
#include "plugins/registry/config/nearest_name.h"

namespace keelson {

using engine::concat;

const std::map<std::string, PluginInstance>& Config::builtin_instances() {
  static const std::map<std::string, PluginInstance> instances = [] {
    std::map<std::string, PluginInstance> made;
    for (const auto& [name, type] :
         {std::pair{"log", "log_store.segment"}, std::pair{"replicator", "replicator.single"},
          std::pair{"coordinator", "coordinator.local"},
          std::pair{"controller", "controller.standard"}, std::pair{"offsets", "offset_store.log"},
          std::pair{"kafka", "protocol.kafka"}}) {
      made.emplace(name, PluginInstance{.name = name, .type = type, .type_origin = {}});
    }
    return made;
  }();
  return instances;
}

Config Config::defaults() {
  const ConfigSources none;
  std::expected<Config, ConfigProblems> config = load(none);
  assert(config);  // a test loads it
  return *std::move(config);
}

std::expected<Config, ConfigProblems> Config::load(const ConfigSources& sources) {
  ConfigMerge merge(sources);
  const auto take = [&merge](std::expected<ConfigLayer, ConfigProblems> layer) {
    if (layer) {
      merge.add(*std::move(layer));
    } else {
      merge.add_problems(std::move(layer.error()));
    }
  };
  for (const ConfigText& file : sources.files) take(parse_toml(file.name, file.text));
  take(read_environment(sources.environment));
  take(read_sets(sources.sets));
  return merge.finish();
}

Origin Config::origin_of(std::string_view broker_setting) const {
  const auto found = setting_origins_.find(broker_setting);
  return found == setting_origins_.end() ? Origin{} : found->second;
}

namespace {

using Values = std::map<std::string, ConfigView::Value, std::less<>>;

/// The entry that `key` sets: its own, or with `_file` at its end a secret's.
const SchemaEntry* find_entry(const Schema& schema, std::string_view key, bool& from_file) {
  const auto exact = std::ranges::find(schema, key, &SchemaEntry::key);
  from_file = false;
  if (exact != schema.end()) return &*exact;
  constexpr std::string_view kSuffix = "_file";
  if (!key.ends_with(kSuffix)) return nullptr;
  const auto secret =
      std::ranges::find(schema, key.substr(0, key.size() - kSuffix.size()), &SchemaEntry::key);
  from_file = true;
  return secret != schema.end() && secret->secret ? &*secret : nullptr;
}

std::expected<ConfigValue, std::string> read_secret_file(const ReadFile& read_file,
                                                         const SchemaEntry& entry,
                                                         const std::string& path) {
  if (!read_file) return std::unexpected("files cannot be read here");
  std::expected<std::string, std::string> text = read_file(path);
  if (!text) return std::unexpected(concat(path, ": ", text.error()));
  while (text->ends_with('\n') || text->ends_with('\r')) text->pop_back();
  return read_value(entry, *text);
}

}  // namespace

std::expected<ConfigView, ConfigProblems> Config::view(const PluginInstance& instance,
                                                       const Schema& schema) const {
  Values values;
  ConfigProblems problems;
  for (const auto& [key, raw] : instance.values) {
    bool from_file = false;
    const SchemaEntry* entry = find_entry(schema, key, from_file);
    if (entry == nullptr) {
      NearestName nearest(key);
      for (const SchemaEntry& known : schema) nearest.offer(known.key);
      problems.push_back({raw.origin, concat("unknown key \"", key, "\" of ", instance.type,
                                             did_you_mean(nearest.found()))});
      continue;
    }
    const auto value = from_file     ? read_secret_file(read_file_, *entry, to_text(raw.value))
                       : raw.is_text ? read_value(*entry, to_text(raw.value))
                                     : convert_value(*entry, raw.value);
    if (!value) {
      problems.push_back({raw.origin, concat("\"", key, "\" ", value.error())});
      continue;
    }
    if (!values.emplace(entry->key, ConfigView::Value{*entry, *value, raw.origin}).second) {
      problems.push_back({raw.origin, concat("\"", entry->key, "\" is set in two ways")});
    }
  }
  for (const SchemaEntry& entry : schema) {
    if (values.contains(entry.key)) continue;
    if (entry.required) {
      problems.push_back({instance.type_origin, concat("[plugins.", instance.name, "] needs \"",
                                                       entry.key, "\": ", entry.doc)});
    } else if (entry.default_text) {
      const auto value = read_value(entry, *entry.default_text);
      assert(value);  // Registry::add() checked the schema
      values.emplace(entry.key, ConfigView::Value{entry, *value, {}});
    }
  }
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return ConfigView(std::move(values));
}

}  // namespace keelson
