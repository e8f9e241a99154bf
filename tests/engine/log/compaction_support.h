// tests/engine/log/compaction_support.h: logs to compact, on a simulated machine.
#pragma once

#include <limits>
#include <memory>
#include <utility>

#include "engine/log/compaction.h"
#include "engine/log/log_context.h"
#include "tests/engine/log/log_fixture.h"
#include "tests/engine/log/log_writer.h"
#include "tests/engine/log/reference_log.h"
#include "tests/engine/log/stderr_logger.h"

namespace keelson::test {

using namespace engine;
using namespace engine::log;

inline const std::string kDir = "table-3";
inline constexpr std::int64_t kRetentionMs = 5'000;
inline constexpr Offset kNoBound{std::numeric_limits<std::int64_t>::max()};

inline LogConfig compacted() {
  LogConfig config;
  config.segment_bytes = 4'000;
  config.file_delete_delay_ms = 10;
  config.cleanup_delete = false;
  config.cleanup_compact = true;
  config.delete_retention_ms = kRetentionMs;
  config.index_interval_bytes = 500;
  return config;
}

/// One opening of the log; the context outlives it.
struct Opened {
  std::unique_ptr<LogContext> context;
  std::unique_ptr<Log> log;
};

inline Task<Result<Opened>> open_log(io::Shard& shard, LogConfig config, OpenHints hints = {}) {
  Opened opened{std::make_unique<LogContext>(shard, quick_limits()), nullptr};
  Result<std::unique_ptr<Log>> log =
      co_await Log::open(*opened.context, kDir, kIdentity, config, hints);
  if (!log) co_return std::unexpected(log.error());
  opened.log = std::move(*log);
  co_return std::move(opened);
}

inline Task<Result<CompactionReport>> compact(io::Shard& shard, Log& log, ReferenceLog& model,
                                              std::uint64_t map_bytes = std::uint64_t{1} << 20,
                                              Offset below = kNoBound) {
  Pace pace(shard, {});
  const CompactionState state = log.compaction_state(below);
  model.note_attempt(state.first_uncleanable.value(), shard.clock().wall_ms());
  CompactionOptions options;
  options.map_bytes_max = map_bytes;
  options.below = below;
  co_return co_await log.compact(pace, options);
}

inline Task<void> check_log(io::Shard& shard, Log& log, const ReferenceLog& model,
                            bool has_table = true) {
  const Result<Seen> seen = co_await observe(log, 1 + shard.rng().next() % 20'000);
  EXPECT_TRUE(seen.has_value()) << (seen ? "" : to_string(seen.error().code));
  if (!seen) co_return;
  model.check_batches(*seen);
  model.check(*seen, model.end, log.first_dirty().value(), shard.clock().wall_ms(), kRetentionMs);
  if (has_table) EXPECT_EQ(ReferenceLog::table(*seen), model.table(seen->stable));
}

}  // namespace keelson::test
