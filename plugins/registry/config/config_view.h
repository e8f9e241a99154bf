// plugins/registry/config/config_view.h: the configuration of one plugin instance, checked.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/registry/config/origin.h"
#include "plugins/registry/config/schema.h"

namespace keelson {

/// Values in the schema's types, defaults filled in. Immutable, a value of its own.
///
/// The getters assert that the schema has the key, with that type, and that there is a value: ask
/// has() first for an entry with neither default nor `required`.
class ConfigView {
 public:
  struct Value {
    SchemaEntry entry;
    ConfigValue value;
    Origin origin;
  };

  ConfigView() = default;
  explicit ConfigView(std::map<std::string, Value, std::less<>> values)
      : values_(std::move(values)) {}

  bool has(std::string_view key) const { return values_.contains(key); }
  bool get_bool(std::string_view key) const { return get<bool>(key); }
  /// Also bytes, and durations in milliseconds.
  std::int64_t get_integer(std::string_view key) const { return get<std::int64_t>(key); }
  double get_float(std::string_view key) const { return get<double>(key); }
  /// Also enumerations.
  const std::string& get_string(std::string_view key) const { return get<std::string>(key); }
  const std::vector<std::string>& get_list(std::string_view key) const {
    return get<std::vector<std::string>>(key);
  }

  /// By key.
  const std::map<std::string, Value, std::less<>>& values() const { return values_; }

 private:
  template <class T>
  const T& get(std::string_view key) const;

  std::map<std::string, Value, std::less<>> values_;
};

extern template const bool& ConfigView::get<bool>(std::string_view) const;
extern template const std::int64_t& ConfigView::get<std::int64_t>(std::string_view) const;
extern template const double& ConfigView::get<double>(std::string_view) const;
extern template const std::string& ConfigView::get<std::string>(std::string_view) const;
extern template const std::vector<std::string>& ConfigView::get<std::vector<std::string>>(
    std::string_view) const;

/// What a schema leaves where nothing is configured. Errors: entries that are required, or whose
/// default does not pass its own check.
[[nodiscard]] std::expected<ConfigView, ConfigProblems> schema_defaults(const Schema& schema);

}  // namespace keelson
