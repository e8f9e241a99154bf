// engine/log/recovery.h: from the files of a directory to a log that can be served.
//
// The decision table stands in engine/FORMAT.md, "Recovery". In short: the manifest says what
// belongs to the log; a clean stop is believed after a look at the tail; else the end of the last
// segment is read from the durable frontier F on. What is invalid past F is cut, what is invalid
// before it is kept, withheld and reported. Nothing is ever made up in its place.
//
// Idempotent: what it changes (cut tails, side files, the manifest last) a second run finds done.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/log/entry_cursor.h"
#include "engine/log/log_impl.h"
#include "engine/log/log_scanner.h"
#include "engine/log/segment_scan.h"

namespace keelson::engine::log {

/// How many bytes of `file` from `from` up to the last that is not zero, below `to`; nothing is
/// looked for behind `zeros_max` zeros.
[[nodiscard]] Task<Result<std::uint64_t>> count_behind(io::File& file, std::uint64_t from,
                                                       std::uint64_t to, std::uint64_t zeros_max);

class Recovery {
 public:
  Recovery(LogImpl& log, OpenHints hints);

  /// Errors: as Log::open().
  [[nodiscard]] Task<Result<void>> run();
  /// Producers again, after the log's end was cut. Snapshots beyond it go: they are of another
  /// past.
  [[nodiscard]] Task<Result<void>> reload_producers();

 private:
  using SegmentPtr = LogImpl::SegmentPtr;

  // recovery.cc: what is there
  Task<Result<bool>> list();
  Task<Result<void>> make_new();
  Task<Result<void>> read_manifest();
  Task<Result<void>> check_identity();
  Task<Result<void>> hold_names();
  Task<Result<void>> finish_replacement();
  Task<Result<void>> remove_leftovers();
  Task<Result<void>> settle_swaps();
  Task<Result<void>> set_aside_unknown();
  Task<Result<void>> set_aside(std::string name, std::string_view why);
  Task<Result<bool>> is_unused_spare(std::string path, Offset base_offset);
  Task<Result<bool>> is_all_zero(std::string path, std::uint64_t size_bytes);

  // recovery_segments.cc: from files to segments
  Task<Result<void>> load_listed();
  Task<Result<void>> load_sealed(const ManifestSegment& listed);
  Task<Result<void>> load_last(const ManifestSegment& listed);
  Task<Result<void>> adopt();
  Task<Result<bool>> trust_last(SegmentPtr segment, const ManifestSegment& listed);
  Task<Result<std::uint64_t>> trust_entries(SegmentPtr segment, std::uint64_t file_bytes);
  Task<Result<void>> load_entries(EntryFile& entries, std::string name);
  void trust_entry(SegmentPtr segment, const IntegrityEntry& entry, Offset first);
  std::uint64_t size_of(const SegmentPtr& segment, std::string_view ending) const;
  SegmentPtr add_segment(Offset base_offset);
  void start_fresh(Offset base_offset);

  // recovery_tail.cc: where the last segment ends
  Task<Result<void>> recover_last(SegmentPtr segment, ScanRules rules);
  Task<Result<bool>> ends_here(SegmentPtr segment, io::File& file, std::uint64_t file_bytes);
  Task<Result<void>> walk_tail(SegmentPtr segment, io::File& file, std::uint64_t file_bytes,
                               ScanRules rules);
  Task<Result<void>> take_end(SegmentPtr segment, io::File& file, SegmentScan& scan,
                              std::uint64_t file_bytes);
  Task<Result<void>> note_tail(SegmentPtr segment, LogScanner& scanner);

  // recovery_state.cc: epochs and producers
  Task<Result<void>> load_epochs();
  Task<Result<void>> load_producers();
  Task<Result<std::vector<Offset>>> drop_later_snapshots();
  Task<Result<void>> prune_snapshots(std::vector<Offset> older, Offset newest);
  std::string snapshot_path(Offset offset) const;
  Task<Result<ProducerStates>> read_snapshot(Offset offset) const;
  Task<Result<void>> complete_snapshots(std::vector<Offset>& snapshots);
  Task<Result<void>> replay(SegmentPtr segment, Offset& from, ProducerStates& producers);
  Task<Result<void>> replay_soundly(SegmentPtr segment, Offset& from, ProducerStates& producers);
  bool may_have_producers(const SegmentPtr& segment, Offset from) const;
  Task<Result<void>> rebuild_side_files();

  // recovery_transactions.cc
  Task<void> begin_transactions();
  Task<Result<void>> settle_aborted(SegmentPtr segment, std::vector<TransactionIndexEntry> found);
  Task<Result<void>> load_transactions();
  Task<Result<void>> load_aborted(SegmentPtr segment);
  void report_open();

  LogImpl& log_;
  io::Shard& shard_;
  OpenHints hints_;
  std::map<std::string, std::uint64_t> names_;  // of the files, and their lengths in bytes
  std::map<Offset, std::string> logs_;          // segment files there are
  std::optional<Manifest> manifest_;
  bool trusted_ = false;  // a clean stop was believed
  bool changed_ = false;  // the manifest on disk does not say what is so now
  bool adopted_ = false;
  Transactions transactions_;             // of an adopted log, as far as its segments were read
  std::vector<EpochStart> epochs_found_;  // in the batches that were read

  // By trust_entries(): the last entry it took, and what the entries prove beyond the file's end.
  std::uint64_t last_batch_ = 0;
  bool last_damaged_ = false;
  Offset frontier_in_entries_;
  std::optional<Offset> last_with_producer_;  // of the last segment's entries; none: before all
  struct BatchPlace {
    SegmentPtr segment;
    std::uint64_t position_bytes;
    Offset first;  // its base offset, where no offset is missing before it
  };
  std::vector<BatchPlace> epoch_batches_;  // not read; they begin epochs
};

}  // namespace keelson::engine::log
