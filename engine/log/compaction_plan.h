// engine/log/compaction_plan.h: which part of a log may be compacted, whether it should be now, and
// which segments become one. Numbers in, numbers out (source: Kafka LogCleanerManager, Cleaner).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/log/log_config.h"
#include "engine/types.h"

namespace keelson::engine::log {

struct SegmentFacts {
  Offset base_offset;
  Offset next_offset;
  std::uint64_t size_bytes = 0;
  std::uint64_t batch_count = 0;
  std::int64_t max_timestamp_ms = kNoTimestamp;
  std::int64_t first_timestamp_ms = kNoTimestamp;  // max timestamp of the first batch
};

/// How a log stands. Bytes are of whole segments.
struct CompactionState {
  Offset first_dirty;        // below, no key has two records
  Offset first_uncleanable;  // at or above, nothing may be touched yet
  std::uint64_t clean_bytes = 0;
  std::uint64_t cleanable_bytes = 0;
  bool due = false;
  /// By how much the oldest dirty record is older than max.compaction.lag.ms allows.
  std::int64_t overdue_ms = 0;
  /// When time alone may make it due; nothing where only appends can.
  std::optional<std::int64_t> look_again_ms;
  /// Dirty segments wait for an open transaction, or for records to become durable.
  bool held_back = false;

  double dirty_ratio() const {
    const std::uint64_t all = clean_bytes + cleanable_bytes;
    return all == 0 ? 0 : static_cast<double>(cleanable_bytes) / static_cast<double>(all);
  }
};

/// `segments` are all of the log's, the last being the active one. `stable` is the last stable
/// offset, at most what is durable.
CompactionState survey_log(std::span<const SegmentFacts> segments, const LogConfig& config,
                           Offset first_dirty, Offset stable, std::int64_t now_ms);

/// How many of the segments below `end`, from the first on, become the first new segment, how many
/// the second, and so on. `segments` as above; `first_uncleanable` bounds the last one's offsets.
std::vector<std::size_t> group_segments(std::span<const SegmentFacts> segments,
                                        const LogConfig& config, Offset end,
                                        Offset first_uncleanable);

}  // namespace keelson::engine::log
