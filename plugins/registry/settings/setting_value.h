// plugins/registry/settings/setting_value.h: reading and judging the text of a setting.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/registry/api_error.h"
#include "plugins/registry/cluster.h"
#include "plugins/registry/settings/setting.h"

namespace keelson {

// Readers of a value's text; blanks around it do not count. Nothing where it is not of the type.
std::optional<bool> read_bool(std::string_view text);  // true or false, in any case
std::optional<std::int64_t> read_integer(std::string_view text);
std::optional<double> read_float(std::string_view text);
/// Elements between commas, without blanks around them; an empty text has none.
std::vector<std::string> read_list(std::string_view text);
std::string join_list(const std::vector<std::string>& elements);

/// Whether `value` is of the setting's type, in its range and among its allowed values.
/// Errors: invalid_config, with a message that names the setting, the value and what is allowed.
/// The value of a sensitive setting is not repeated.
[[nodiscard]] ApiResult<void> validate_setting(const SettingDef& definition,
                                               std::string_view value);

/// Names, values, and what values must be to each other. Errors: invalid_config.
[[nodiscard]] ApiResult<void> validate_topic_settings(const Settings& settings);

/// What a change of a resource's settings starts from.
struct SettingBounds {
  std::span<const SettingDef> table;
  ConfigResource resource = ConfigResource::topic;
  bool cluster_default = false;  // resource broker, name "": all brokers together
  /// The value in effect where the resource itself sets none; for append and subtract. Null: the
  /// table's default.
  const Settings* inherited = nullptr;
};

/// `current` after `changes`, in order; with `replace_all` it starts from nothing. Values are
/// checked one by one; the caller checks the whole (validate_topic_settings and the like).
/// Errors: invalid_config: unknown name, bad value, append or subtract where there is no list;
/// invalid_request: a name twice, no value where one is needed, a read-only broker setting.
[[nodiscard]] ApiResult<Settings> apply_setting_changes(const SettingBounds& bounds,
                                                        const Settings& current,
                                                        const std::vector<SettingChange>& changes,
                                                        bool replace_all);

}  // namespace keelson
