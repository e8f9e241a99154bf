// plugins/registry/settings/broker_settings.h: what the configuration says of the broker settings.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/registry/api_error.h"
#include "plugins/registry/cluster.h"
#include "plugins/registry/settings/setting.h"

namespace keelson {

/// Broker settings as the configuration gives them, with Kafka's defaults below. Immutable after
/// it is made, so any thread may read it. Dynamic values stand above these: see effective.h.
class BrokerSettings {
 public:
  /// Defaults only.
  BrokerSettings() = default;
  /// Errors: invalid_config: an unknown name or a bad value.
  [[nodiscard]] static ApiResult<BrokerSettings> make(Settings fixed);

  // Each asserts that the table has `name`, and of that type; the get_ ones also that there is a
  // value. A plugin's typing error shows in its first test.
  bool get_bool(std::string_view name) const;
  std::int64_t get_integer(std::string_view name) const;
  double get_float(std::string_view name) const;
  std::string get_string(std::string_view name) const;
  std::vector<std::string> get_list(std::string_view name) const;
  /// Nothing where the value is null.
  std::optional<std::int64_t> find_integer(std::string_view name) const;
  std::optional<std::string> find_text(std::string_view name) const;

  /// Whether the configuration names it, rather than leaving it to the default.
  bool is_set(std::string_view name) const { return fixed_.contains(std::string(name)); }
  /// Those that the configuration names.
  const Settings& fixed() const { return fixed_; }

  /// node.id, else broker.id where that is set, else node.id's default.
  BrokerId node_id() const;
  /// log.dirs, else log.dir.
  std::vector<std::string> data_dirs() const;
  /// Named by the configuration and of no effect here; to be told once at the start.
  std::vector<std::string> without_effect() const;

 private:
  Settings fixed_;
};

}  // namespace keelson
