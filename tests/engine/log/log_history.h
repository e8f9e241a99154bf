// tests/engine/log/log_history.h: writers on a simulated machine that may die, what they sent, and
// whether a log still has it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/shard.h"
#include "engine/log/log.h"
#include "engine/log/log_context.h"

namespace keelson::engine::log::history {

inline constexpr LeaderEpoch kEpoch{5};

inline constexpr std::int64_t kMillisecond = 1'000'000;
inline const std::string kDir = "orders-3";

inline LogConfig small_segments() {
  LogConfig config;
  config.segment_bytes = 20'000;
  config.file_delete_delay_ms = 10;
  return config;
}

/// Sizes of what is appended.
struct Load {
  std::size_t usual_bytes = 400;
  std::size_t large_bytes = 9'000;  // each seventh
};

/// What clients sent and what was acknowledged to them; outlives the simulated process.
struct History {
  std::map<std::int64_t, std::vector<std::byte>> sent;  // by base offset, as the log stores it
  std::int64_t acknowledged_end = 0;
  std::uint64_t refused = 0;
};

struct Opened {
  std::unique_ptr<LogContext> context;
  std::unique_ptr<Log> log;
};

Task<Result<Opened>> open_log(io::Shard& shard, LogConfig config, OpenHints hints = {});

/// Opens, lets `writers` write, and closes; ends early where the process dies.
Task<bool> serve(io::Shard& shard, History& history, LogConfig config, int writers, int batches,
                 bool close, Load load = {});

/// Every batch there is must be one that was sent, at its offset; how far the log goes.
Task<bool> check(io::Shard& shard, History& history, LogConfig config, bool may_withhold);

}  // namespace keelson::engine::log::history
