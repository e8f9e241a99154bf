// engine/log/compaction_source.h: the batches of a sealed segment one after the other, each checked
// against its integrity entry and its CRC.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/error.h"
#include "engine/io/aligned_buffer.h"
#include "engine/log/entry_cursor.h"
#include "engine/log/pace.h"
#include "engine/log/record_batch.h"
#include "engine/log/segment.h"
#include "engine/task.h"

namespace keelson::engine::log {

class CompactionSource {
 public:
  /// `pace` outlives the source; what is read is charged to it.
  CompactionSource(std::shared_ptr<Segment> segment, Pace& pace);

  /// Opens the segment's file, before its first batch.
  /// Errors: not_found: the segment was dropped. io.
  [[nodiscard]] Task<Result<void>> open();
  /// Moves to the next batch; false behind the last one.
  /// Errors: corrupt: the integrity file has to be made again. quarantined: see damaged().
  /// not_found: the segment was dropped. io.
  [[nodiscard]] Task<Result<bool>> next();

  /// Valid until the next call of next().
  Bytes batch() const { return batch_; }
  const BatchHeader& header() const { return header_; }
  /// After `quarantined`: the stretch that is not what was written.
  const DamagedRange& damaged() const { return damaged_; }
  std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  Task<Result<void>> fetch(std::uint64_t position_bytes, std::uint64_t size_bytes);

  std::shared_ptr<Segment> segment_;
  Pace& pace_;
  EntryCursor cursor_;
  io::File file_;
  io::AlignedBuffer window_;
  std::uint64_t window_start_ = 0;
  std::uint64_t window_end_ = 0;
  Offset next_offset_;
  Bytes batch_;
  BatchHeader header_;
  DamagedRange damaged_;
  std::uint64_t bytes_read_ = 0;
};

}  // namespace keelson::engine::log
