// engine/log/clean_shutdown_file.h: `.kafka_cleanshutdown`, there after a proper stop only.
//
// {"version":0,"brokerEpoch":14} without a newline. That the file exists is what counts; older
// brokers left it empty.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/error.h"

namespace keelson::engine::log {

std::string encode_clean_shutdown(std::int64_t broker_epoch);

/// The broker epoch. Errors: corrupt: the stop was clean, but the epoch is not known.
[[nodiscard]] Result<std::int64_t> parse_clean_shutdown(std::string_view text);

}  // namespace keelson::engine::log
