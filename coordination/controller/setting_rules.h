// coordination/controller/setting_rules.h: what a change of settings makes of the settings.
#pragma once

#include <string>
#include <vector>

#include "plugins/registry/cluster.h"
#include "plugins/registry/settings/effective.h"

namespace keelson::coordination {

/// Settings of one resource are never larger than this, names and values together.
inline constexpr std::size_t kSettingsBytesMax = std::size_t{1} << 18;

/// Of a new topic. Errors: invalid_config, naming the setting and what it may be.
[[nodiscard]] ApiResult<void> check_topic_settings(const Settings& settings);

/// `before` with all of `changes`, checked one by one and as a whole; with `replace_all`, what
/// `changes` set and nothing else. `all_brokers`: the settings of all brokers together. `layers`
/// are those of the broker, for what is inherited.
/// Errors, for which nothing is changed: as apply_setting_changes(); policy_violation where there
/// are too many.
[[nodiscard]] ApiResult<Settings> change_settings(ConfigResource resource, bool all_brokers,
                                                  const Settings& before,
                                                  const std::vector<SettingChange>& changes,
                                                  bool replace_all, const SettingLayers& layers);

}  // namespace keelson::coordination
