// plugins/registry/config/origin.h: where a configured value was written.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace keelson {

/// In order of precedence, the weakest first.
enum class OriginKind : std::uint8_t { default_value, file, environment, command_line };

struct Origin {
  OriginKind kind = OriginKind::default_value;
  std::string source = {};   // file name, name of the variable, or the --set as written
  std::uint32_t line = 0;    // from 1; of a file
  std::uint32_t column = 0;  // from 1

  friend bool operator==(const Origin&, const Origin&) = default;
};

/// "default", "broker.toml:3:5", "environment KEELSON__BROKER__ID", "--set num.partitions".
std::string to_text(const Origin& origin);

struct ConfigProblem {
  Origin where;
  std::string message;
};

/// All that is wrong with a configuration, so that one run shows everything. Never empty.
using ConfigProblems = std::vector<ConfigProblem>;

/// One line each: `broker.toml:3:5: unknown key "x"; did you mean "y"?`
std::string to_text(const ConfigProblems& problems);

}  // namespace keelson
