// plugins/registry/settings/setting.h: the settings a Kafka client can name, as tables.
//
// Names, types, defaults and ranges are facts of Kafka 4.3.1 (LogConfig, ServerConfigs,
// GroupCoordinatorConfig and their kin); names that begin with "keelson." are our own.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

namespace keelson {

/// Numbers as DescribeConfigs sends them.
enum class SettingType : std::uint8_t {
  boolean = 1,
  string = 2,
  int32 = 3,
  int16 = 4,
  int64 = 5,
  float64 = 6,
  list = 7,  // comma-separated
  class_name = 8,
  password = 9,
};

/// Who may change a broker setting while it runs. Topic and group settings are all changeable.
enum class SettingUpdate : std::uint8_t {
  read_only,     // the configuration file, and a restart
  per_broker,    // one broker by its id; not the default of all
  cluster_wide,  // either
};

enum class SettingEffect : std::uint8_t {
  in_force,                 // does here what it does in Kafka
  cluster_only,             // has nothing to decide while there is one broker
  accepted_without_effect,  // known, validated, stored and shown; changes nothing here
};

inline constexpr std::int64_t kSettingMin = std::numeric_limits<std::int64_t>::min();
inline constexpr std::int64_t kSettingMax = std::numeric_limits<std::int64_t>::max();

struct SettingDef {
  std::string_view name;
  SettingType type;
  const char* default_text;        // nullptr: null
  std::int64_t min = kSettingMin;  // of a number, inclusive; the type's own range holds as well
  std::int64_t max = kSettingMax;
  /// Allowed values, of a list its elements, with commas between; empty: any.
  std::string_view allowed;
  SettingUpdate update = SettingUpdate::read_only;
  SettingEffect effect = SettingEffect::in_force;
  std::string_view doc;  // one line

  bool is_sensitive() const { return type == SettingType::password; }
};

/// Each table by name, without repeats. Static storage.
std::span<const SettingDef> broker_setting_table();
std::span<const SettingDef> topic_setting_table();
std::span<const SettingDef> group_setting_table();

/// Null where the table has no such name. `listener.name.<listener>.<setting>` finds `<setting>`
/// among the broker's.
const SettingDef* find_broker_setting(std::string_view name);
const SettingDef* find_topic_setting(std::string_view name);
const SettingDef* find_group_setting(std::string_view name);

/// The name in `table` that `name` was probably meant to be; empty where none is near.
std::string_view nearest_setting(std::span<const SettingDef> table, std::string_view name);

/// A broker setting that gives a topic or group setting (or another broker setting) its value where
/// the latter is not set; `factor` turns its unit into the other's (hours to milliseconds).
struct SettingSynonym {
  std::string_view name;
  std::int64_t factor = 1;
};

/// Broker settings behind a topic setting, the strongest first; empty where there is none.
std::span<const SettingSynonym> topic_setting_synonyms(std::string_view topic_setting);
/// The broker setting that is a group setting's default; empty where there is none.
std::string_view group_setting_synonym(std::string_view group_setting);
/// The broker setting itself and the ones that stand in for it, the strongest first:
/// log.retention.ms, log.retention.minutes, log.retention.hours. Empty: only itself.
std::span<const SettingSynonym> broker_setting_synonyms(std::string_view broker_setting);

}  // namespace keelson
