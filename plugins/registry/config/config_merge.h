// plugins/registry/config/config_merge.h: lays the sources of a configuration over each other.
// For config.cc only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plugins/registry/config/config.h"

namespace keelson {

/// Takes layers from the weakest to the strongest, then finish().
class ConfigMerge {
 public:
  explicit ConfigMerge(const ConfigSources& sources) : sources_(sources) {}

  void add(ConfigLayer layer);
  void add_problems(ConfigProblems problems);
  [[nodiscard]] std::expected<Config, ConfigProblems> finish();

 private:
  using Kafka = std::map<std::string, RawValue, std::less<>>;
  using ListenerKeys = std::map<std::string, RawValue>;

  void expand_variables(RawValue& value);
  void add_value(const ConfigPath& path, RawValue value);
  void add_broker_key(const ConfigPath& path, RawValue value);
  void add_kafka(std::string name, RawValue value);
  void add_plugin_key(const ConfigPath& path, RawValue value);
  void add_listener_key(const ConfigPath& path, RawValue value);
  void take_in_layer();

  void finish_settings(Config& config);
  void finish_instances(Config& config);
  void finish_uses(Config& config);
  void finish_listeners(Config& config);
  ListenerConfig make_listener(const ListenerKeys& keys, const Origin& origin);
  void read_secret(const std::string& name, RawValue& value);
  void complain(const Origin& where, std::string message);

  const ConfigSources& sources_;
  ConfigProblems problems_;
  // Of the layer that is being added.
  Kafka layer_kafka_;
  std::map<std::size_t, ListenerKeys> layer_listeners_;
  std::map<std::size_t, Origin> layer_listener_origins_;
  // Of all so far.
  Kafka kafka_;
  std::map<std::size_t, ListenerKeys> listeners_;
  std::map<std::size_t, Origin> listener_origins_;
  std::map<std::string, PluginInstance> instances_;
  std::map<std::string, Origin> instance_origins_;
  std::map<std::string, SlotUse, std::less<>> uses_;
};

}  // namespace keelson
