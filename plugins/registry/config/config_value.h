// plugins/registry/config/config_value.h: values between text and the types of a schema.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "plugins/registry/config/schema.h"

namespace keelson {

/// "512", "64KiB", "1 GiB", "10MB" (powers of 1000): bytes. Nothing where it is no size, or above
/// 2^63-1.
std::optional<std::int64_t> read_size_bytes(std::string_view text);
/// "250ms", "2s", "5m", "1h", "7d" and sums such as "1h30m": milliseconds. "0" needs no unit.
std::optional<std::int64_t> read_duration_ms(std::string_view text);

/// `text`, as a command line or a variable gives it, in the entry's type and range; or the reason
/// why not ("must be …").
[[nodiscard]] std::expected<ConfigValue, std::string> read_value(const SchemaEntry& entry,
                                                                 std::string_view text);
/// The same for a value that already has a type, as a file gives it.
[[nodiscard]] std::expected<ConfigValue, std::string> convert_value(const SchemaEntry& entry,
                                                                    const ConfigValue& value);

/// As a Kafka setting would write it: lists with commas.
std::string to_text(const ConfigValue& value);

std::string_view to_text(ConfigType type);

}  // namespace keelson
