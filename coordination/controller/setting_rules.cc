#include "coordination/controller/setting_rules.h"

#include <utility>

#include "plugins/registry/settings/setting_value.h"

namespace keelson::coordination {
namespace {

ApiResult<void> check_size(const Settings& settings) {
  std::size_t bytes = 0;
  for (const auto& [name, value] : settings) bytes += name.size() + value.size();
  if (bytes <= kSettingsBytesMax) return {};
  return refuse(ApiErrc::policy_violation, "the settings of one resource take too much room");
}

}  // namespace

ApiResult<void> check_topic_settings(const Settings& settings) {
  const ApiResult<void> sized = check_size(settings);
  if (!sized) return sized;
  return validate_topic_settings(settings);
}

ApiResult<Settings> change_settings(ConfigResource resource, bool all_brokers,
                                    const Settings& before,
                                    const std::vector<SettingChange>& changes, bool replace_all,
                                    const SettingLayers& layers) {
  SettingBounds bounds;
  bounds.resource = resource;
  Settings inherited;
  switch (resource) {
    case ConfigResource::topic:
      bounds.table = topic_setting_table();
      inherited = inherited_topic_settings(layers);
      bounds.inherited = &inherited;
      break;
    case ConfigResource::broker:
      bounds.table = broker_setting_table();
      bounds.cluster_default = all_brokers;
      break;
    case ConfigResource::group: bounds.table = group_setting_table(); break;
  }
  ApiResult<Settings> changed = apply_setting_changes(bounds, before, changes, replace_all);
  if (!changed) return changed;
  ApiResult<void> whole = check_size(*changed);
  if (whole && resource == ConfigResource::topic) whole = validate_topic_settings(*changed);
  if (whole && resource == ConfigResource::group) whole = validate_group_settings(*changed, layers);
  if (!whole) return std::unexpected(std::move(whole.error()));
  return changed;
}

}  // namespace keelson::coordination
