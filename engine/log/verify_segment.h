// engine/log/verify_segment.h: verifies one segment's files against each other; for verify_log.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/io/file.h"
#include "engine/log/entry_cursor.h"
#include "engine/log/index_format.h"
#include "engine/log/log_scanner.h"
#include "engine/log/verify_log.h"

namespace keelson::engine::log {

/// Walks the batches of a segment once, and its side files in step with them.
class SegmentVerify {
 public:
  /// `listed`: what the manifest says of it, where there is one. `last`: of the log.
  SegmentVerify(LogWalk& walk, Offset base_offset, const ManifestSegment* listed, bool last);

  /// Leaves walk.next_offset behind the segment's last batch.
  Task<void> run();

 private:
  Task<void> load_indexes();
  Task<void> load_entries();
  Task<void> walk_batches(io::File& file);
  Task<void> take(io::File& file, ScannedBatch batch);
  void check_offsets(const ScannedBatch& batch, bool vouched);
  Task<std::optional<IntegrityEntry>> take_entry(ScannedBatch batch);
  bool check_entry(const ScannedBatch& batch, const IntegrityEntry& entry);
  void check_index(const ScannedBatch& batch);
  void check_times(const ScannedBatch& batch);
  void note_producer(const BatchHeader& header);
  void note_transaction(const ScannedBatch& batch);
  Task<void> check_aborted();
  Task<void> check_records(io::File& file, ScannedBatch batch);
  Task<bool> pass_damage(LogScanner& scanner);
  Task<std::optional<std::uint64_t>> find_next(LogScanner& scanner, std::uint64_t from);
  void report_end(ScanStop stop, std::uint64_t position_bytes, std::uint64_t durable_bytes);
  Task<std::uint64_t> skip_entries(std::uint64_t from, std::uint64_t to);
  Task<void> next_entry();
  Task<void> finish_entries();
  void finish_indexes();
  void check_listed();

  LogWalk& walk_;
  const Offset base_;
  const ManifestSegment* const listed_;
  const bool last_;
  const std::string stem_;
  const std::string file_;  // stem.log

  std::uint64_t file_bytes_ = 0;
  std::uint64_t size_bytes_ = 0;  // end of the last batch
  std::uint64_t batches_ = 0;
  std::int64_t max_timestamp_ms_ = kNoTimestamp;
  Offset max_timestamp_offset_;
  bool damaged_ = false;
  bool gap_told_ = false;

  std::unique_ptr<EntryFile> entries_;
  std::optional<IntegrityEntry> entry_;
  std::uint64_t without_entry_ = 0;
  std::uint64_t durable_bytes_ = 0;  // by the entries

  std::vector<OffsetIndexEntry> index_;
  std::size_t index_next_ = 0;
  std::vector<TimeIndexEntry> times_;
  std::size_t times_next_ = 0;
  std::vector<TransactionIndexEntry> aborted_;  // by the batches
};

}  // namespace keelson::engine::log
