// plugins/registry/config/config.h: the configuration of one broker, merged from all its sources.
//
// Strongest first: --set, environment (KEELSON__A__B), later files, earlier files, defaults.
// Layout:
//
//   [broker]               id, data_dirs, rack, shards; use = { slot = "instance" | [instances] }
//   [plugins.<instance>]   type = "kind.name"; the rest belongs to the plugin
//   [[listener]]           name, protocol, bind, advertise, tls, authenticators
//   [kafka]                broker settings by Kafka's names, nested tables or quoted
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugins/registry/config/config_layer.h"
#include "plugins/registry/config/config_view.h"
#include "plugins/registry/config/listener_config.h"
#include "plugins/registry/config/origin.h"
#include "plugins/registry/settings/broker_settings.h"

namespace keelson {

struct ConfigText {
  std::string name;  // for messages: the path as the user gave it
  std::string text;
};

/// Reads a whole file that holds a secret; or says why it cannot.
using ReadFile = std::function<std::expected<std::string, std::string>(const std::string& path)>;

struct ConfigSources {
  std::vector<ConfigText> files = {};  // later ones win
  /// The process's whole environment: KEELSON__… are settings, ${env:NAME} may name any.
  std::vector<std::pair<std::string, std::string>> environment = {};
  std::vector<std::string> sets = {};  // "name=value"
  ReadFile read_file = {};             // for `<secret>_file`; without it such keys are refused
};

struct PluginInstance {
  std::string name;
  std::string type;    // "kind.name"
  Origin type_origin;  // default_value: one of the built-in instances
  std::map<std::string, RawValue> values = {};

  std::string kind() const { return type.substr(0, type.find('.')); }
};

struct SlotUse {
  std::vector<std::string> instances;
  Origin origin;
};

class Config {
 public:
  /// A broker of its own, without any file: instances log (log_store.segment), replicator
  /// (replicator.single), coordinator (coordinator.local), controller (controller.standard),
  /// offsets (offset_store.log) and kafka (protocol.kafka), one listener, Kafka's defaults.
  static Config defaults();

  /// Checks all but the plugins' own keys, which their schemas know: see view().
  [[nodiscard]] static std::expected<Config, ConfigProblems> load(const ConfigSources& sources);

  const BrokerSettings& settings() const { return settings_; }
  const std::vector<ListenerConfig>& listeners() const { return listeners_; }
  /// By name. A built-in instance gives way where a source has another one of its kind.
  const std::map<std::string, PluginInstance>& instances() const { return instances_; }
  const std::map<std::string, SlotUse, std::less<>>& uses() const { return uses_; }
  /// Where a broker setting was written; default_value where nowhere.
  Origin origin_of(std::string_view broker_setting) const;

  /// An instance's values in the types of its schema. Errors: unknown keys, bad values, missing
  /// required keys, unreadable secrets.
  [[nodiscard]] std::expected<ConfigView, ConfigProblems> view(const PluginInstance& instance,
                                                               const Schema& schema) const;

 private:
  friend class ConfigMerge;
  Config() = default;
  static const std::map<std::string, PluginInstance>& builtin_instances();

  BrokerSettings settings_;
  std::map<std::string, Origin, std::less<>> setting_origins_;
  std::vector<ListenerConfig> listeners_;
  std::map<std::string, PluginInstance> instances_;
  std::map<std::string, SlotUse, std::less<>> uses_;
  ReadFile read_file_;
};

}  // namespace keelson
