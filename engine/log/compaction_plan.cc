#include "engine/log/compaction_plan.h"

#include <algorithm>
#include <cassert>
#include <limits>

namespace keelson::engine::log {
namespace {

constexpr std::int64_t kOffsetsMax = std::numeric_limits<std::int32_t>::max();

std::int64_t saturating_add(std::int64_t left, std::int64_t right) {
  return left > kForever - right ? kForever : left + right;
}

/// The most entries that an index of the segment can have.
std::uint64_t index_entries(const SegmentFacts& segment, const LogConfig& config) {
  const std::uint64_t interval = std::max<std::uint32_t>(config.index_interval_bytes, 1);
  return std::min(segment.batch_count, segment.size_bytes / interval);
}

}  // namespace

CompactionState survey_log(std::span<const SegmentFacts> segments, const LogConfig& config,
                           Offset first_dirty, Offset stable, std::int64_t now_ms) {
  assert(!segments.empty());
  const SegmentFacts& active = segments.back();
  const std::span<const SegmentFacts> sealed = segments.first(segments.size() - 1);
  CompactionState state;
  state.first_dirty = first_dirty;
  state.first_uncleanable = std::min(stable, active.base_offset);
  state.held_back = stable < active.base_offset && first_dirty < active.base_offset;
  const std::int64_t min_lag_ms = std::max<std::int64_t>(config.min_compaction_lag_ms, 0);
  for (const SegmentFacts& segment : sealed) {
    if (min_lag_ms == 0 || segment.next_offset <= first_dirty) continue;
    if (segment.max_timestamp_ms <= now_ms - min_lag_ms) continue;
    if (segment.base_offset < state.first_uncleanable) {
      state.first_uncleanable = segment.base_offset;
      state.look_again_ms = saturating_add(segment.max_timestamp_ms, min_lag_ms) + 1;
    }
    break;
  }
  state.first_uncleanable = std::max(state.first_uncleanable, first_dirty);

  std::int64_t oldest_ms = kForever;
  for (const SegmentFacts& segment : sealed) {
    const bool dirty = segment.next_offset > first_dirty;
    if (!dirty) {
      state.clean_bytes += segment.size_bytes;
    } else if (segment.next_offset <= state.first_uncleanable) {
      state.cleanable_bytes += segment.size_bytes;
    }
    if (dirty && segment.first_timestamp_ms >= 0) {
      oldest_ms = std::min(oldest_ms, segment.first_timestamp_ms);
    }
  }
  const std::int64_t max_lag_ms = std::max<std::int64_t>(config.max_compaction_lag_ms, 0);
  if (oldest_ms != kForever) {
    const std::int64_t by_ms = saturating_add(oldest_ms, max_lag_ms);
    if (by_ms < now_ms) {
      state.overdue_ms = now_ms - by_ms;
    } else if (by_ms < kForever) {
      state.look_again_ms = std::min(state.look_again_ms.value_or(kForever), by_ms + 1);
    }
  }
  state.due = state.cleanable_bytes > 0 &&
              (state.overdue_ms > 0 || state.dirty_ratio() > config.min_cleanable_dirty_ratio);
  return state;
}

std::vector<std::size_t> group_segments(std::span<const SegmentFacts> segments,
                                        const LogConfig& config, Offset end,
                                        Offset first_uncleanable) {
  std::vector<std::size_t> groups;
  const auto last_offset = [&](std::size_t i) {
    return i + 1 < segments.size() ? segments[i + 1].base_offset + -1 : first_uncleanable + -1;
  };
  std::size_t i = 0;
  while (i + 1 < segments.size() && segments[i].base_offset < end) {
    const Offset base = segments[i].base_offset;
    std::uint64_t bytes = segments[i].size_bytes;
    std::uint64_t entries = index_entries(segments[i], config);
    std::size_t count = 1;
    for (++i; i + 1 < segments.size() && segments[i].base_offset < end; ++i, ++count) {
      bytes += segments[i].size_bytes;
      entries += index_entries(segments[i], config);
      const bool fits = bytes <= config.segment_bytes &&
                        entries * 8 <= config.segment_index_bytes &&
                        entries * 12 <= config.segment_index_bytes &&
                        (segments[i].size_bytes == 0 || last_offset(i) - base <= kOffsetsMax);
      if (!fits) break;
    }
    groups.push_back(count);
  }
  return groups;
}

}  // namespace keelson::engine::log
