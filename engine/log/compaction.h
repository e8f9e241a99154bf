// engine/log/compaction.h: what a log's compaction is given and what it tells.
#pragma once

#include <cstdint>
#include <limits>

#include "engine/log/compaction_plan.h"
#include "engine/log/pace.h"
#include "engine/types.h"

namespace keelson::engine::log {

struct CompactionOptions {
  /// Nothing at or above is touched: the high watermark of a log that is replicated.
  Offset below{std::numeric_limits<std::int64_t>::max()};
  std::uint64_t map_bytes_max = std::uint64_t{128} << 20;  // log.cleaner.dedupe.buffer.size
  double map_load_factor = 0.9;                            // log.cleaner.io.buffer.load.factor
};

/// What a run did.
struct CompactionReport {
  Offset first_dirty;  // as it is now
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_written = 0;
  std::uint64_t records_in = 0;
  std::uint64_t records_out = 0;
  std::uint64_t records_without_key = 0;  // in a topic that was not always compacted; dropped
  std::uint64_t segments_in = 0;
  std::uint64_t segments_out = 0;
  std::uint64_t size_before_bytes = 0;  // of the segments
  std::uint64_t size_after_bytes = 0;
  std::uint64_t keys = 0;
  std::uint64_t map_bytes = 0;
};

}  // namespace keelson::engine::log
