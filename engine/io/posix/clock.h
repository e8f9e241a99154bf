// engine/io/posix/clock.h: the system's clocks.
#pragma once

#include <cstdint>

#include "engine/io/backend.h"

namespace keelson::engine::io {

/// CLOCK_BOOTTIME and CLOCK_REALTIME. Any thread.
class PosixClock final : public Clock {
 public:
  std::int64_t now_ns() const override;
  std::int64_t wall_ms() const override;
};

}  // namespace keelson::engine::io
