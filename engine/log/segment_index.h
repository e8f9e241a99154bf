// engine/log/segment_index.h: where batches lie in a segment, sparsely: Kafka's offset and time
// index.
//
// Derived from the batches or from their integrity entries, never from the index files: those are
// written for Kafka's tools, and a garbled one can mislead nobody here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/types.h"

namespace keelson::engine::log {

/// What the index learns of one batch. Positions and batch numbers count within the segment.
struct IndexedBatch {
  Offset base_offset;
  Offset last_offset;
  std::uint64_t position_bytes = 0;
  std::uint32_t size_bytes = 0;
  std::int64_t max_timestamp_ms = kNoTimestamp;
};

class SegmentIndex {
 public:
  struct Entry {
    std::uint32_t relative_offset;  // of the last offset of a batch
    std::uint32_t position_bytes;   // where that batch begins
    std::uint32_t batch_number;
  };
  struct TimeEntry {
    std::int64_t timestamp_ms;
    std::uint32_t relative_offset;
  };

  explicit SegmentIndex(Offset base_offset, std::uint32_t interval_bytes = 4096)
      : base_offset_(base_offset), interval_bytes_(interval_bytes) {}

  /// Batches in the order of their positions. An entry is made where more than the interval was
  /// added since the last one (source: Kafka LogSegment.append).
  void add(const IndexedBatch& batch);
  /// The last time entry, which Kafka writes when a segment is sealed or closed.
  void finish_times();

  /// The last entry at or below `offset`; the segment's start where there is none.
  Entry floor(Offset offset) const;
  /// An entry at or before the first batch whose max timestamp is at or above `timestamp_ms`.
  Entry floor_time(std::int64_t timestamp_ms) const;

  std::size_t memory_bytes() const {
    return entries_.capacity() * sizeof(Entry) + times_.capacity() * sizeof(TimeEntry);
  }
  std::size_t entry_count() const { return entries_.size(); }
  std::size_t time_entry_count() const { return times_.size(); }
  std::uint32_t batch_count() const { return batch_count_; }
  std::int64_t max_timestamp_ms() const { return max_timestamp_ms_; }
  Offset max_timestamp_offset() const { return max_timestamp_offset_; }

  /// The content of Kafka's files: 8 bytes an entry, 12 bytes a time entry, big-endian.
  std::string encode_offsets() const;
  std::string encode_times() const;

 private:
  void add_time();

  Offset base_offset_;
  std::uint32_t interval_bytes_;
  std::uint64_t bytes_since_entry_ = 0;
  std::uint32_t batch_count_ = 0;
  std::int64_t max_timestamp_ms_ = kNoTimestamp;
  Offset max_timestamp_offset_;
  std::vector<Entry> entries_;
  std::vector<TimeEntry> times_;
};

}  // namespace keelson::engine::log
