// engine/log/log_context.h: what the logs of one shard share.
#pragma once

#include <cstdint>

#include "engine/io/shard.h"

namespace keelson::engine::log {

/// Bounds for all logs of a shard together. Bytes unless the name says otherwise.
struct LogLimits {
  std::uint64_t cache_bytes = std::uint64_t{64} << 20;    // recent chunks kept for reading
  std::uint64_t pending_bytes = std::uint64_t{64} << 20;  // appended and not yet on the drive
  std::uint32_t open_files = 2000;                        // sealed segments' descriptors kept open
  std::uint32_t commits_in_flight = 4;                    // per log (calibration: io_uring.md, K)
  std::uint64_t disk_reserve_bytes = std::uint64_t{256} << 20;  // appends refused below this
  bool direct_io = true;  // false where the file system refuses O_DIRECT
};

/// Owned by the shard; outlives its logs. One thread.
class LogContext {
 public:
  LogContext(io::Shard& shard, LogLimits limits) : shard_(shard), limits_(limits) {}

  io::Shard& shard() { return shard_; }
  const LogLimits& limits() const { return limits_; }

 private:
  io::Shard& shard_;
  LogLimits limits_;
};

}  // namespace keelson::engine::log
