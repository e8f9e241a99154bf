#include "plugins/registry/config/config_merge.h"

#include <algorithm>
#include <set>

#include "engine/logger.h"
#include "plugins/registry/config/config_value.h"
#include "plugins/registry/config/nearest_name.h"
#include "plugins/registry/settings/setting_value.h"

namespace keelson {

using engine::concat;

namespace {

constexpr std::string_view kFileSuffix = "_file";

/// Keys of [broker] that are another name of a broker setting.
struct BrokerKey {
  std::string_view key;
  std::string_view setting;
};
constexpr BrokerKey kBrokerKeys[] = {{"id", "node.id"},
                                     {"data_dirs", "log.dirs"},
                                     {"rack", "broker.rack"},
                                     {"shards", "keelson.shards"}};

constexpr std::string_view kFamilies[] = {"log.retention.ms",   "log.roll.ms",
                                          "log.roll.jitter.ms", "log.flush.interval.ms",
                                          "log.dirs",           "node.id"};

const Schema& listener_schema() {
  static const Schema schema = {
      {.key = "name", .doc = "Name told to clients; unique."},
      {.key = "protocol", .default_text = "kafka", .doc = "The plugin that speaks here."},
      {.key = "bind", .required = true, .doc = "host:port to listen on."},
      {.key = "advertise", .doc = "host:port told to clients."},
      {.key = "tls.cert_file", .doc = "Certificate chain, PEM."},
      {.key = "tls.key_file", .doc = "Private key, PEM."},
      {.key = "tls.client_ca_file", .doc = "Who may sign clients' certificates, PEM."},
      {.key = "authenticators", .type = ConfigType::list, .doc = "Plugins that authenticate."},
  };
  return schema;
}

bool is_instance_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

std::string joined_from(const ConfigPath& path, std::size_t first) {
  return to_text(ConfigPath(path.begin() + static_cast<std::ptrdiff_t>(first), path.end()));
}

}  // namespace

void ConfigMerge::complain(const Origin& where, std::string message) {
  problems_.push_back({where, std::move(message)});
}

void ConfigMerge::add_problems(ConfigProblems problems) {
  problems_.insert(problems_.end(), problems.begin(), problems.end());
}

void ConfigMerge::expand_variables(RawValue& value) {
  constexpr std::string_view kOpen = "${env:";
  auto* text = std::get_if<std::string>(&value.value);
  if (text == nullptr || text->find(kOpen) == text->npos) return;
  std::string expanded;
  std::string_view rest = *text;
  while (true) {
    const std::size_t open = rest.find(kOpen);
    expanded += rest.substr(0, open);
    if (open == rest.npos) break;
    rest.remove_prefix(open + kOpen.size());
    const std::size_t close = rest.find('}');
    if (close == rest.npos) return complain(value.origin, "\"${env:\" without its \"}\"");
    const std::string_view name = rest.substr(0, close);
    const auto variable =
        std::ranges::find(sources_.environment, name, &std::pair<std::string, std::string>::first);
    if (variable == sources_.environment.end()) {
      return complain(value.origin, concat("the environment has no variable \"", name, "\""));
    }
    expanded += variable->second;
    rest.remove_prefix(close + 1);
  }
  value.value = std::move(expanded);
  value.is_text = true;
}

void ConfigMerge::add(ConfigLayer layer) {
  layer_kafka_.clear();
  layer_listeners_.clear();
  layer_listener_origins_.clear();
  for (const auto& [path, origin] : layer.tables) {
    if (path.size() == 2 && path[0] == "plugins") instance_origins_.emplace(path[1], origin);
    if (path.size() == 2 && path[0] == "listener") {
      layer_listener_origins_.emplace(*read_integer(path[1]), origin);
    }
  }
  for (auto& [path, value] : layer.values) {
    expand_variables(value);
    add_value(path, std::move(value));
  }
  take_in_layer();
}

void ConfigMerge::add_value(const ConfigPath& path, RawValue value) {
  static constexpr std::string_view kSections[] = {"broker", "kafka", "listener", "plugins"};
  const std::string& section = path.front();
  if (path.size() >= 2) {
    if (section == "broker") return add_broker_key(path, std::move(value));
    if (section == "kafka") return add_kafka(joined_from(path, 1), std::move(value));
    if (section == "plugins") return add_plugin_key(path, std::move(value));
    if (section == "listener") return add_listener_key(path, std::move(value));
  }
  NearestName nearest(section);
  for (const std::string_view known : kSections) nearest.offer(known);
  const bool is_known = std::ranges::find(kSections, section) != std::end(kSections);
  if (is_known) return complain(value.origin, concat("\"", section, "\" must be a table"));
  complain(value.origin,
           concat("unknown section \"", section, "\"", did_you_mean(nearest.found())));
}

void ConfigMerge::add_broker_key(const ConfigPath& path, RawValue value) {
  if (path[1] == "use") {
    if (path.size() != 3) {
      return complain(value.origin, "\"broker.use\" must be { slot = \"instance\", … }");
    }
    SlotUse use{.instances = {}, .origin = value.origin};
    if (const auto* name = std::get_if<std::string>(&value.value)) {
      use.instances = value.is_text ? read_list(*name) : std::vector{*name};
    } else if (const auto* names = std::get_if<std::vector<std::string>>(&value.value)) {
      use.instances = *names;
    } else {
      return complain(value.origin, concat("\"", to_text(path), "\" must name an instance"));
    }
    uses_.insert_or_assign(path[2], std::move(use));
    return;
  }
  const std::string key = joined_from(path, 1);
  const auto known = std::ranges::find(kBrokerKeys, key, &BrokerKey::key);
  if (known == std::end(kBrokerKeys)) {
    NearestName nearest(key);
    for (const BrokerKey& broker_key : kBrokerKeys) nearest.offer(broker_key.key);
    nearest.offer("use");
    return complain(value.origin,
                    concat("unknown key \"", key, "\" in [broker]", did_you_mean(nearest.found())));
  }
  add_kafka(std::string(known->setting), std::move(value));
}

void ConfigMerge::add_kafka(std::string name, RawValue value) {
  if (find_broker_setting(name) == nullptr && name.ends_with(kFileSuffix)) {
    std::string base = name.substr(0, name.size() - kFileSuffix.size());
    const SettingDef* definition = find_broker_setting(base);
    if (definition != nullptr && definition->is_sensitive()) {
      read_secret(name, value);
      name = std::move(base);
    }
  }
  const SettingDef* definition = find_broker_setting(name);
  if (definition == nullptr) {
    return complain(value.origin,
                    concat("unknown broker setting \"", name, "\"",
                           did_you_mean(nearest_setting(broker_setting_table(), name))));
  }
  if (ApiResult<void> valid = validate_setting(*definition, to_text(value.value)); !valid) {
    return complain(value.origin, valid.error().message);
  }
  const Origin origin = value.origin;
  const auto [there, added] = layer_kafka_.emplace(name, std::move(value));
  if (!added) {
    complain(origin,
             concat("\"", name, "\" is set twice; also at ", to_text(there->second.origin)));
  }
}

void ConfigMerge::read_secret(const std::string& name, RawValue& value) {
  const std::string path = to_text(value.value);
  if (!sources_.read_file) {
    return complain(value.origin, concat("\"", name, "\": files cannot be read here"));
  }
  std::expected<std::string, std::string> text = sources_.read_file(path);
  if (!text) return complain(value.origin, concat("\"", name, "\": ", path, ": ", text.error()));
  while (text->ends_with('\n') || text->ends_with('\r')) text->pop_back();
  value.value = *std::move(text);
  value.is_text = true;
}

void ConfigMerge::add_plugin_key(const ConfigPath& path, RawValue value) {
  const std::string& name = path[1];
  if (path.size() < 3) {
    return complain(value.origin, concat("\"plugins.", name, "\" must be a table"));
  }
  instance_origins_.emplace(name, value.origin);
  PluginInstance& instance = instances_[name];
  instance.name = name;
  const std::string key = joined_from(path, 2);
  if (key != "type") {
    instance.values.insert_or_assign(key, std::move(value));
    return;
  }
  const auto* type = std::get_if<std::string>(&value.value);
  if (type == nullptr || type->find('.') == type->npos) {
    return complain(value.origin, "\"type\" must be \"kind.name\", as in \"log_store.segment\"");
  }
  instance.type = *type;
  instance.type_origin = value.origin;
}

void ConfigMerge::add_listener_key(const ConfigPath& path, RawValue value) {
  const std::optional<std::int64_t> number = read_integer(path[1]);
  if (path.size() < 3 || !number || !layer_listener_origins_.contains(*number)) {
    return complain(value.origin, "listeners are written as [[listener]]");
  }
  layer_listeners_[*number].emplace(joined_from(path, 2), std::move(value));
}

/// A stronger layer replaces weaker ones by name, and where several names mean one thing
/// (log.retention.ms and its kin, listeners in either form), all of them.
void ConfigMerge::take_in_layer() {
  const auto in_layer = [this](std::string_view name) { return layer_kafka_.contains(name); };
  for (const std::string_view family : kFamilies) {
    const std::span<const SettingSynonym> names = broker_setting_synonyms(family);
    if (std::ranges::none_of(names, in_layer, &SettingSynonym::name)) continue;
    for (const SettingSynonym& synonym : names) kafka_.erase(std::string(synonym.name));
  }
  if (!layer_listener_origins_.empty()) {
    if (const auto both = layer_kafka_.find("listeners"); both != layer_kafka_.end()) {
      complain(both->second.origin, "give either \"listeners\" or [[listener]], not both");
    }
    kafka_.erase("listeners");
    kafka_.erase("advertised.listeners");
    listeners_ = std::move(layer_listeners_);
    listener_origins_ = std::move(layer_listener_origins_);
  } else if (in_layer("listeners")) {
    kafka_.erase("advertised.listeners");
    listeners_.clear();
    listener_origins_.clear();
  }
  for (auto& [name, value] : layer_kafka_) kafka_.insert_or_assign(name, std::move(value));
}

std::expected<Config, ConfigProblems> ConfigMerge::finish() {
  Config config;
  config.read_file_ = sources_.read_file;
  finish_settings(config);
  finish_instances(config);
  finish_uses(config);
  finish_listeners(config);
  if (!problems_.empty()) return std::unexpected(std::move(problems_));
  return config;
}

void ConfigMerge::finish_settings(Config& config) {
  Settings fixed;
  for (const auto& [name, value] : kafka_) {
    fixed.emplace(name, to_text(value.value));
    config.setting_origins_.emplace(name, value.origin);
  }
  ApiResult<BrokerSettings> settings = BrokerSettings::make(std::move(fixed));
  if (!settings) return complain({}, settings.error().message);
  config.settings_ = *std::move(settings);
}

void ConfigMerge::finish_instances(Config& config) {
  for (const auto& [name, instance] : Config::builtin_instances()) {
    PluginInstance& there = instances_[name];
    there.name = name;
    if (there.type.empty()) {
      there.type = instance.type;
      there.type_origin = instance.type_origin;
    }
  }
  for (const auto& [name, origin] : instance_origins_) {
    if (!is_instance_name(name)) {
      complain(origin,
               concat("instance name \"", name, "\": use lower-case letters, digits, - and _"));
    }
    if (!instances_.contains(name) || instances_[name].type.empty()) {
      complain(origin, concat("[plugins.", name, "] needs type = \"kind.name\""));
    }
  }
  const auto is_used = [this](const std::string& name) {
    return std::ranges::any_of(uses_, [&name](const auto& use) {
      return std::ranges::find(use.second.instances, name) != use.second.instances.end();
    });
  };
  const auto has_other = [this](const PluginInstance& builtin) {
    return std::ranges::any_of(instances_, [&builtin](const auto& other) {
      return other.first != builtin.name && other.second.kind() == builtin.kind() &&
             other.second.type_origin.kind != OriginKind::default_value;
    });
  };
  for (const auto& [name, instance] : instances_) {
    const bool untouched = !instance_origins_.contains(name);
    if (untouched && has_other(instance) && !is_used(name)) continue;
    config.instances_.emplace(name, instance);
  }
}

void ConfigMerge::finish_uses(Config& config) {
  for (const auto& [slot, use] : uses_) {
    for (const std::string& name : use.instances) {
      if (config.instances_.contains(name)) continue;
      NearestName nearest(name);
      for (const auto& [known, instance] : config.instances_) nearest.offer(known);
      complain(use.origin,
               concat("\"", slot, "\" is bound to \"", name, "\", but there is no [plugins.", name,
                      "]", did_you_mean(nearest.found())));
    }
  }
  config.uses_ = uses_;
}

void ConfigMerge::finish_listeners(Config& config) {
  if (!listener_origins_.empty()) {
    for (const auto& [number, origin] : listener_origins_) {
      config.listeners_.push_back(make_listener(listeners_[number], origin));
    }
    return;
  }
  const BrokerSettings& settings = config.settings_;
  auto listeners = read_kafka_listeners(settings.get_list("listeners"),
                                        settings.get_list("advertised.listeners"));
  const bool advertised = settings.is_set("advertised.listeners");
  const Origin origin = config.origin_of(advertised ? "advertised.listeners" : "listeners");
  if (!listeners) return complain(origin, listeners.error());
  config.listeners_ = *std::move(listeners);
  for (ListenerConfig& listener : config.listeners_) listener.origin = origin;
}

ListenerConfig ConfigMerge::make_listener(const ListenerKeys& keys, const Origin& origin) {
  ListenerConfig listener;
  listener.origin = origin;
  for (const auto& [key, raw] : keys) {
    const auto entry = std::ranges::find(listener_schema(), key, &SchemaEntry::key);
    if (entry == listener_schema().end()) {
      NearestName nearest(key);
      for (const SchemaEntry& known : listener_schema()) nearest.offer(known.key);
      complain(raw.origin,
               concat("unknown key \"", key, "\" in [[listener]]", did_you_mean(nearest.found())));
      continue;
    }
    const auto value =
        raw.is_text ? read_value(*entry, to_text(raw.value)) : convert_value(*entry, raw.value);
    if (!value) {
      complain(raw.origin, concat("\"", key, "\" ", value.error()));
      continue;
    }
    if (key == "name") {
      listener.name = std::get<std::string>(*value);
    } else if (key == "protocol") {
      listener.protocol = std::get<std::string>(*value);
    } else if (key == "bind" || key == "advertise") {
      const std::optional<HostPort> address = read_host_port(std::get<std::string>(*value));
      if (!address) {
        complain(raw.origin, concat("\"", key, "\" must be \"host:port\""));
      } else if (key == "bind") {
        listener.bind = *address;
      } else {
        listener.advertise = *address;
      }
    } else {
      listener.options.emplace(key, *value);
    }
  }
  if (!keys.contains("bind")) complain(origin, "[[listener]] needs bind = \"host:port\"");
  for (const auto& [number, other] : listener_origins_) {
    if (other == origin || other.line > origin.line) continue;
    const auto name = listeners_[number].find("name");
    const std::string other_name =
        name == listeners_[number].end() ? "PLAINTEXT" : to_text(name->second.value);
    if (other_name == listener.name) {
      complain(origin, concat("another listener is named \"", listener.name,
                              "\"; give this one a name of its own"));
    }
  }
  return listener;
}

}  // namespace keelson
