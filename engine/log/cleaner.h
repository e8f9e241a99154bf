// engine/log/cleaner.h: compacts the logs of a shard, the dirtiest first, one at a time.
//
// Logs tell it when they roll, open or change their settings: only then can they become due, or at
// a time that their state names. So a log that is idle costs nothing: no timer, no look.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/io/sync.h"
#include "engine/log/compaction.h"
#include "engine/log/log.h"
#include "engine/log/log_context.h"
#include "engine/log/pace.h"
#include "engine/task.h"

namespace keelson::engine::log {

struct CleanerConfig {
  CompactionOptions options;
  PaceLimits pace;
  std::int64_t backoff_ms = 15'000;       // log.cleaner.backoff.ms: until a log is looked at again
  std::int64_t stall_after_ms = 600'000;  // a due log that waits longer is a stall
};

/// As of now. Totals count from the start.
struct CleanerStats {
  std::size_t due_logs = 0;
  std::uint64_t due_bytes = 0;  // dirty, of those
  double dirtiest_ratio = 0;
  std::int64_t longest_wait_ms = 0;  // of a due log
  bool stalled = false;
  std::uint64_t failed_logs = 0;  // since the start; not tried again until opened anew
  bool running = false;
  std::int64_t last_run_ms = -1;  // wall clock at the end of the last run that succeeded
  std::int64_t last_run_took_ms = -1;
  std::uint64_t runs = 0;
  std::uint64_t runs_given_up = 0;
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_written = 0;
  std::uint64_t records_dropped = 0;
};

/// Outlives the logs that know it. One shard's thread.
class Cleaner final : public CompactionListener {
 public:
  Cleaner(io::Shard& shard, CleanerConfig config);

  /// Works until stop(); the caller spawns it once.
  Task<void> run();
  /// Ends the run under way soon, and returns when run() has.
  Task<void> stop();

  CleanerStats stats() const;
  /// From now on; a run under way keeps its map's size.
  void set_config(const CleanerConfig& config);

  void may_be_due(Log& log) override;
  void gone(Log& log) override;

 private:
  struct Candidate {
    Log* log = nullptr;
    CompactionState state;
    std::int64_t look_at_ns = 0;  // not before
    std::int64_t due_since_ns = -1;
  };

  Candidate* find(const Log& log);
  void look_at_logs();
  Candidate* dirtiest();
  std::int64_t next_look_ns() const;
  Task<void> compact(Log& log);
  void watch_for_stall();

  io::Shard& shard_;
  CleanerConfig config_;
  Pace pace_;
  io::Event wake_;
  io::Gate running_;
  bool stopping_ = false;
  bool stall_told_ = false;
  std::vector<Candidate> candidates_;  // may be due now or later; the rest is idle
  CleanerStats totals_;
};

}  // namespace keelson::engine::log
