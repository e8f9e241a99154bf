// plugins/registry/plugin.h: what every plugin is, whatever its kind.
#pragma once

#include <cstdint>

#include "engine/task.h"
#include "plugins/registry/api_error.h"

namespace keelson {

/// Life: made (no work, no I/O) -> open -> start -> drain -> stop -> destroyed. All calls come on
/// shard 0, in dependency order up to start and in reverse from drain on.
class Plugin {
 public:
  virtual ~Plugin() = default;

  /// Recovers state; may take long and reports progress through the logger. A failure ends the
  /// start of the broker with its message; stop() is still called.
  [[nodiscard]] virtual engine::Task<ApiResult<void>> open() { co_return ApiResult<void>{}; }
  /// Begins to serve; returns soon.
  [[nodiscard]] virtual engine::Task<ApiResult<void>> start() { co_return ApiResult<void>{}; }
  /// Refuses new work and finishes accepted work, until `deadline_ns` (Clock::now_ns()).
  virtual engine::Task<void> drain(std::int64_t deadline_ns) {
    (void)deadline_ns;
    co_return;
  }
  /// Ends everything: afterwards no task, timer or descriptor is left. Idempotent; legal without
  /// open or start and after a failed one.
  virtual engine::Task<void> stop() { co_return; }
};

}  // namespace keelson
