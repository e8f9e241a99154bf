// plugins/registry/settings/table_parts.h: the pieces of the broker's table, and short words to
// write rows with. For the tables only.
#pragma once

#include <span>

#include "plugins/registry/settings/setting.h"

namespace keelson::settings_tables {

inline constexpr auto kBool = SettingType::boolean;
inline constexpr auto kString = SettingType::string;
inline constexpr auto kInt = SettingType::int32;
inline constexpr auto kShort = SettingType::int16;
inline constexpr auto kLong = SettingType::int64;
inline constexpr auto kDouble = SettingType::float64;
inline constexpr auto kList = SettingType::list;
inline constexpr auto kClass = SettingType::class_name;
inline constexpr auto kPassword = SettingType::password;

inline constexpr auto kReadOnly = SettingUpdate::read_only;
inline constexpr auto kPerBroker = SettingUpdate::per_broker;
inline constexpr auto kClusterWide = SettingUpdate::cluster_wide;

inline constexpr auto kInForce = SettingEffect::in_force;
inline constexpr auto kClusterOnly = SettingEffect::cluster_only;
inline constexpr auto kNoEffect = SettingEffect::accepted_without_effect;

inline constexpr std::int64_t kMin = kSettingMin;
inline constexpr std::int64_t kMax = kSettingMax;
inline constexpr const char* kMaxLongText = "9223372036854775807";
inline constexpr const char* kMaxIntText = "2147483647";

inline constexpr const char* kCodecs = "uncompressed,zstd,lz4,snappy,gzip,producer";

std::span<const SettingDef> broker_log_settings();
std::span<const SettingDef> broker_network_settings();
std::span<const SettingDef> broker_group_settings();
std::span<const SettingDef> broker_cluster_settings();
std::span<const SettingDef> broker_security_settings();
std::span<const SettingDef> broker_own_settings();

}  // namespace keelson::settings_tables
