// plugins/registry/config/config_layer.h: one source of configuration, flat and not yet judged.
#pragma once

#include <expected>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugins/registry/config/origin.h"
#include "plugins/registry/config/schema.h"

namespace keelson {

/// {"plugins", "hot", "segment_bytes"}; the n-th [[listener]] is {"listener", "n", …}.
using ConfigPath = std::vector<std::string>;
std::string to_text(const ConfigPath& path);

struct RawValue {
  ConfigValue value;
  bool is_text = false;  // has no type of its own: from a variable or a command line
  Origin origin;
};

struct ConfigLayer {
  std::map<ConfigPath, RawValue> values;
  std::map<ConfigPath, Origin> tables;  // headers, so that an empty table is seen too
};

/// Errors carry `name`, line and column.
[[nodiscard]] std::expected<ConfigLayer, ConfigProblems> parse_toml(std::string_view name,
                                                                    std::string_view text);

/// Variables named KEELSON__SECTION__…; others are not ours. Names are taken in lower case; below
/// KAFKA a single underscore stands for a dot.
[[nodiscard]] std::expected<ConfigLayer, ConfigProblems> read_environment(
    const std::vector<std::pair<std::string, std::string>>& environment);

/// "name=value" each; the name is a broker setting of Kafka or a path with dots.
[[nodiscard]] std::expected<ConfigLayer, ConfigProblems> read_sets(
    const std::vector<std::string>& sets);

}  // namespace keelson
