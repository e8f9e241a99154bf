// plugins/registry/settings/effective.h: which value holds, and where it comes from.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/log/cleaner.h"
#include "engine/log/log_config.h"
#include "plugins/registry/cluster.h"
#include "plugins/registry/settings/broker_settings.h"
#include "plugins/registry/settings/setting.h"

namespace keelson {

/// Numbers as DescribeConfigs sends them; smaller is nearer to the resource.
enum class SettingSource : std::int8_t {
  topic = 1,
  broker = 2,           // dynamic, of one broker
  cluster_default = 3,  // dynamic, of all brokers
  static_broker = 4,    // the configuration
  default_value = 5,
  group = 8,
};

/// One of the values that a setting could have, with the name it has there.
struct SettingCandidate {
  std::string name;
  std::optional<std::string> value;  // as set, in that name's unit; nothing where sensitive
  SettingSource source = SettingSource::default_value;

  friend bool operator==(const SettingCandidate&, const SettingCandidate&) = default;
};

struct EffectiveSetting {
  const SettingDef* definition = nullptr;  // static storage
  std::optional<std::string> value;        // nothing: null. A sensitive one is here: hide it
  SettingSource source = SettingSource::default_value;
  std::vector<SettingCandidate> candidates;  // the one in effect first; DescribeConfigs' synonyms
};

/// Where values may come from; null where a layer is not there. All outlive the call.
struct SettingLayers {
  const Settings* own = nullptr;  // of the topic or the group
  const Settings* broker = nullptr;
  const Settings* cluster_default = nullptr;
  const BrokerSettings* fixed = nullptr;
};

/// The layers of broker `self` in `view`, with `own` above them. Pointers into both.
SettingLayers setting_layers(const ClusterView& view, BrokerId self, const BrokerSettings& fixed,
                             const Settings* own = nullptr);

/// `definition` comes from the table of that kind. A stored value that no longer passes its own
/// check is passed over, so an old file cannot stop a broker.
EffectiveSetting effective_topic_setting(const SettingDef& definition, const SettingLayers& layers);
EffectiveSetting effective_broker_setting(const SettingDef& definition,
                                          const SettingLayers& layers);
/// The same as DescribeConfigs shows it: the value is what was set under that very name, and
/// log.retention.ms is null where only log.retention.hours speaks; broker.id is the broker's number
/// under whatever name that was given.
EffectiveSetting shown_broker_setting(const SettingDef& definition, const SettingLayers& layers);
EffectiveSetting effective_group_setting(const SettingDef& definition, const SettingLayers& layers);

/// Value of a setting that has one, as a number. `name` must be in the table (asserted).
std::int64_t effective_broker_integer(std::string_view name, const SettingLayers& layers);
std::int64_t effective_group_integer(std::string_view name, const SettingLayers& layers);

/// The settings of a topic's logs in effect.
engine::log::LogConfig to_log_config(const SettingLayers& layers);

/// How each of `shards` shards compacts.
engine::log::CleanerConfig to_cleaner_config(const SettingLayers& layers, std::size_t shards);

/// min.insync.replicas of a topic, at least 1.
std::int32_t effective_min_insync_replicas(const SettingLayers& layers);

/// Names, values, and their relation to the broker's bounds (group.consumer.min.session.timeout.ms
/// and its kin); `layers.own` is not looked at. Errors: invalid_config.
[[nodiscard]] ApiResult<void> validate_group_settings(const Settings& settings,
                                                      const SettingLayers& layers);

/// A topic's settings as they are inherited, for append and subtract (SettingBounds::inherited).
Settings inherited_topic_settings(const SettingLayers& layers);

}  // namespace keelson
