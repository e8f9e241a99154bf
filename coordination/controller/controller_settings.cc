// coordination/controller/controller_settings.cc: settings of topics, brokers and groups.
#include <charconv>
#include <utility>

#include "coordination/controller/controller_standard.h"
#include "coordination/controller/setting_rules.h"
#include "coordination/controller/topic_names.h"
#include "coordination/controller/values.h"

namespace keelson::coordination {

using engine::concat;
using engine::Task;

namespace {
constexpr int kAttemptsMax = 16;
constexpr std::size_t kGroupNameBytesMax = 512;  // of a key's 1024

std::optional<BrokerId> parse_broker(const std::string& text) {
  BrokerId id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc{} || end != text.data() + text.size() || id < 0) return std::nullopt;
  return id;
}
}  // namespace

ApiResult<ControllerStandard::SettingsPlace> ControllerStandard::find_settings(
    ConfigResource resource, const std::string& name) const {
  if (resource == ConfigResource::group) {
    if (name.empty() || name.size() > kGroupNameBytesMax) {
      return refuse(ApiErrc::invalid_request, "a group's name has 1 to 512 bytes");
    }
    const auto found = state_.group_settings.find(name);
    return SettingsPlace{keys_.group_settings(name),
                         found == state_.group_settings.end() ? SettingsEntry{} : found->second};
  }
  if (name.empty()) return SettingsPlace{keys_.broker_settings(name), state_.broker_defaults};
  const std::optional<BrokerId> id = parse_broker(name);
  if (!id || !knows_broker(*id)) {
    return refuse(ApiErrc::invalid_request, concat("there is no broker ", name));
  }
  const auto found = state_.broker_settings.find(*id);
  return SettingsPlace{keys_.broker_settings(std::to_string(*id)),
                       found == state_.broker_settings.end() ? SettingsEntry{} : found->second};
}

void ControllerStandard::keep_settings(ConfigResource resource, const std::string& name,
                                       SettingsEntry entry) {
  if (resource == ConfigResource::group) {
    state_.group_settings[name] = std::move(entry);
  } else if (name.empty()) {
    state_.broker_defaults = std::move(entry);
  } else if (const std::optional<BrokerId> id = parse_broker(name)) {
    state_.broker_settings[*id] = std::move(entry);
  }
}

Task<ApiResult<void>> ControllerStandard::alter_here(ConfigResource resource, std::string name,
                                                     std::vector<SettingChange> changes,
                                                     bool replace_all, bool validate_only) {
  if (resource == ConfigResource::topic) {
    co_return co_await alter_topic(std::move(name), std::move(changes), replace_all, validate_only);
  }
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const ApiResult<void> usable = co_await ready();
    if (!usable) co_return usable;
    const ApiResult<SettingsPlace> place = find_settings(resource, name);
    if (!place) co_return std::unexpected(place.error());
    const std::shared_ptr<const ClusterView> now = view();  // outlives `layers`
    const SettingLayers layers = setting_layers(*now, options_.broker_id, parts_.settings);
    ApiResult<Settings> changed = change_settings(resource, name.empty(), place->entry.settings,
                                                  changes, replace_all, layers);
    if (!changed) co_return std::unexpected(changed.error());
    if (validate_only || *changed == place->entry.settings) co_return ApiResult<void>{};

    std::vector<Compare> compares{{place->key, place->entry.version}};
    KeyWrite write{.key = place->key, .value = std::nullopt};
    if (!changed->empty()) write.value = encode(*changed);
    std::vector<KeyWrite> writes{std::move(write)};
    const StepResult written = co_await commit(std::move(compares), std::move(writes));
    if (!written) co_return std::unexpected(written.error());
    // Where it was written after all, deciding again finds nothing left to do.
    if (written->step != Step::done) continue;
    const KeyVersion version = changed->empty() ? 0 : written->version;
    keep_settings(resource, name, SettingsEntry{std::move(*changed), version});
    co_return co_await apply_and_show(whole_view());
  }
  co_return refuse(ApiErrc::request_timed_out, "the coordinator refuses again and again");
}

Task<ApiResult<void>> ControllerStandard::alter_topic(std::string name,
                                                      std::vector<SettingChange> changes,
                                                      bool replace_all, bool validate_only) {
  const ApiResult<void> legal = check_topic_name(name);
  if (!legal) co_return legal;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const ApiResult<void> usable = co_await ready();
    if (!usable) co_return usable;
    const auto named = state_.names.find(collision_key(name));
    const auto found =
        named == state_.names.end() ? state_.topics.end() : state_.topics.find(named->second);
    if (found == state_.topics.end() || found->second.view->name != name) {
      co_return refuse(ApiErrc::unknown_topic_or_partition, "there is no such topic");
    }
    const TopicEntry entry = found->second;
    const std::shared_ptr<const ClusterView> now = view();  // outlives `layers`
    const SettingLayers layers = setting_layers(*now, options_.broker_id, parts_.settings);
    ApiResult<Settings> changed = change_settings(
        ConfigResource::topic, false, entry.view->settings, changes, replace_all, layers);
    if (!changed) co_return std::unexpected(changed.error());
    if (validate_only || *changed == entry.view->settings) co_return ApiResult<void>{};

    auto altered = std::make_shared<TopicView>(*entry.view);
    altered->settings = std::move(*changed);
    const auto count = static_cast<std::int32_t>(altered->partitions.size());
    const StepResult written = co_await write_topic(altered, count);
    if (!written) co_return std::unexpected(written.error());
    if (written->step != Step::done) continue;
    state_.topics[altered->id] = TopicEntry{altered, written->version, entry.name_version};
    co_return co_await apply_and_show(view_with(altered));
  }
  co_return refuse(ApiErrc::request_timed_out, "the coordinator refuses again and again");
}

}  // namespace keelson::coordination
