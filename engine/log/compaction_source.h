// engine/log/compaction_source.h: the batches of a sealed segment one after the other, each checked
// against its integrity entry and its CRC. Reading is the shard's, checking may be another
// thread's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

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
  /// Has some batches for next(), which has used up those before; false behind the last one.
  /// Errors: corrupt: the integrity file has to be made again. quarantined: see damaged().
  /// not_found: the segment was dropped. io.
  [[nodiscard]] Task<Result<bool>> load();
  /// Reads what load() will want next, beside next(). Errors come from load().
  [[nodiscard]] Task<void> read_ahead();
  /// Moves to the next batch of those that are loaded; false behind them. Touches nothing that is
  /// the shard's. Errors: quarantined: see damaged().
  [[nodiscard]] Result<bool> next();

  /// Valid until the next call of next() or load().
  Bytes batch() const { return batch_; }
  const BatchHeader& header() const { return header_; }
  /// After `quarantined`: the stretch that is not what was written.
  const DamagedRange& damaged() const { return damaged_; }
  std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  /// A stretch of the file.
  struct Window {
    io::AlignedBuffer memory;
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    bool holds(const IntegrityEntry& entry) const {
      return entry.position_bytes >= start && entry.end_bytes() <= end;
    }
  };

  Task<Result<void>> fetch(Window& window, IntegrityEntry entry);
  DamagedRange range_of(const IntegrityEntry& entry) const;

  std::shared_ptr<Segment> segment_;
  Pace& pace_;
  const io::Clock& clock_;
  EntryCursor cursor_;
  io::File file_;
  Window window_;
  Window ahead_;
  std::vector<IntegrityEntry> loaded_;  // whose batches the window has
  std::size_t used_ = 0;                // of these
  Offset next_offset_;
  Bytes batch_;
  BatchHeader header_;
  DamagedRange damaged_;
  std::uint64_t bytes_read_ = 0;
};

}  // namespace keelson::engine::log
