#include <algorithm>
#include <cassert>
#include <vector>

#include "plugins/registry/config/nearest_name.h"
#include "plugins/registry/settings/table_parts.h"

namespace keelson {

namespace {

const SettingDef* find_in(std::span<const SettingDef> table, std::string_view name) {
  const auto found = std::ranges::lower_bound(table, name, {}, &SettingDef::name);
  return found != table.end() && found->name == name ? &*found : nullptr;
}

std::vector<SettingDef> all_broker_settings() {
  using namespace settings_tables;
  std::vector<SettingDef> all;
  for (const auto part :
       {broker_log_settings(), broker_network_settings(), broker_group_settings(),
        broker_cluster_settings(), broker_security_settings(), broker_own_settings()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  std::ranges::sort(all, {}, &SettingDef::name);
  assert(std::ranges::adjacent_find(all, {}, &SettingDef::name) == all.end());
  return all;
}

}  // namespace

std::span<const SettingDef> broker_setting_table() {
  static const std::vector<SettingDef> table = all_broker_settings();
  return table;
}

const SettingDef* find_broker_setting(std::string_view name) {
  constexpr std::string_view kListenerPrefix = "listener.name.";
  if (name.starts_with(kListenerPrefix)) {
    const std::size_t dot = name.find('.', kListenerPrefix.size());
    if (dot == name.npos || dot == kListenerPrefix.size()) return nullptr;
    return find_in(broker_setting_table(), name.substr(dot + 1));
  }
  return find_in(broker_setting_table(), name);
}

const SettingDef* find_topic_setting(std::string_view name) {
  return find_in(topic_setting_table(), name);
}

const SettingDef* find_group_setting(std::string_view name) {
  return find_in(group_setting_table(), name);
}

std::string_view nearest_setting(std::span<const SettingDef> table, std::string_view name) {
  NearestName nearest(name);
  for (const SettingDef& definition : table) nearest.offer(definition.name);
  return nearest.found();
}

}  // namespace keelson
