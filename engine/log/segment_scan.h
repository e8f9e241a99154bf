// engine/log/segment_scan.h: learns what a segment holds from its batches, keeping count of damage.
#pragma once

#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/io/file.h"
#include "engine/log/epoch_cache.h"
#include "engine/log/log_scanner.h"
#include "engine/log/segment.h"
#include "engine/log/transactions.h"
#include "engine/task.h"

namespace keelson::engine::log {

struct ScanRules {
  bool gaps = false;      // offsets may jump ahead from one batch to the next (compaction)
  Offset frontier;        // below this every record was durable once: nothing there may be cut
  bool keep_all = false;  // the same for whatever the file holds: it was closed or sealed properly
  Transactions* transactions = nullptr;  // told of every batch, where not null
};

/// Walks a segment's file from a position to its end and fills in the segment: size, offsets,
/// times, index, integrity entries, damaged ranges. The file itself is not changed.
class SegmentScan {
 public:
  SegmentScan(Segment& segment, io::File& file, std::uint64_t file_bytes, ScanRules rules);

  /// The segment holds what lies below `position_bytes` already; `epoch` is that of the last batch.
  [[nodiscard]] Task<Result<void>> run(std::uint64_t position_bytes, LeaderEpoch epoch);

  /// True where the end was damaged and its records were durable: the file keeps its bytes, and
  /// the segment takes no more appends.
  bool lost_end() const { return lost_end_; }
  std::uint64_t bytes_read() const { return scanner_.bytes_read(); }
  std::uint64_t batches() const { return batches_; }
  const std::vector<EpochStart>& epochs() const { return epochs_; }
  const std::vector<DamagedRange>& damaged() const { return damaged_; }
  const std::vector<TransactionIndexEntry>& aborted() const { return aborted_; }
  LogScanner& scanner() { return scanner_; }

 private:
  void take(const ScannedBatch& batch);
  void take_damage(std::uint64_t end_bytes, Offset to);
  Task<Result<bool>> find_next();

  Segment& segment_;
  const std::uint64_t file_bytes_;
  const ScanRules rules_;
  LogScanner scanner_;
  bool lost_end_ = false;
  std::uint64_t batches_ = 0;
  std::vector<EpochStart> epochs_;
  std::vector<DamagedRange> damaged_;
  std::vector<TransactionIndexEntry> aborted_;  // of rules.transactions
  std::uint64_t found_position_ = 0;
  Offset found_offset_;
};

}  // namespace keelson::engine::log
