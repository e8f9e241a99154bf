// plugins/registry/config/schema.h: what a plugin lets its users set.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace keelson {

enum class ConfigType : std::uint8_t {
  boolean,
  integer,
  floating,
  string,
  bytes,     // "64MiB" or a number of bytes; held in bytes
  duration,  // "1500ms", "2s", "5m", "12h", "7d"; held in milliseconds
  enumeration,
  list,  // of strings
};

/// A value of any type: enumeration is a string, bytes and duration are integers.
using ConfigValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>>;

struct SchemaEntry {
  std::string key;  // dots for nesting: "io.queue_depth"
  ConfigType type = ConfigType::string;
  std::optional<std::string> default_text;  // as --set would write it; nothing: may be left out
  bool required = false;                    // must be given; has no default
  std::int64_t min = std::numeric_limits<std::int64_t>::min();  // integer, bytes, duration in ms
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
  std::vector<std::string> allowed = {};  // enumeration; and list, where not empty
  bool reloadable = false;
  bool secret = false;           // never shown; `<key>_file` names a file that holds it
  std::string since = {};        // version that brought it
  std::string replaced_by = {};  // deprecated: the key to use instead
  std::string doc = {};          // one line
};

using Schema = std::vector<SchemaEntry>;

}  // namespace keelson
