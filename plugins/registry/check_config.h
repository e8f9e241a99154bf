// plugins/registry/check_config.h: the configuration in effect, for people and for programs.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "plugins/registry/config/config.h"
#include "plugins/registry/registry.h"

namespace keelson {

struct EffectiveEntry {
  std::string section;  // "kafka", "plugins.hot", "listener.0", "broker.use"
  std::string key;
  std::string value;  // "(redacted)" where secret; "null" where there is none
  std::string origin;
  std::string doc;
  bool secret = false;
};

/// Every value, by section. With `set_only`, those that some source gives. Errors: as assembly has
/// them for the plugins' own keys.
[[nodiscard]] std::expected<std::vector<EffectiveEntry>, ConfigProblems> effective_config(
    const Registry& registry, const Config& config, bool set_only);

/// `section.key = value  # origin`, one a line.
std::string render_text(const std::vector<EffectiveEntry>& entries);
/// A JSON array of objects with the entry's members.
std::string render_json(const std::vector<EffectiveEntry>& entries);

/// A TOML file that says what the defaults say, with each key's doc above it. Values without a
/// default are commented out.
std::string render_defaults(const Registry& registry);

}  // namespace keelson
