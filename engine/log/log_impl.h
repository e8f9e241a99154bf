// engine/log/log_impl.h: the log. Parts of the class live in log_append.cc (place, roll, wait),
// log_files.cc (what is written beside the records), log_read.cc, log_read_disk.cc, log_time.cc,
// log_transactions.cc, log_retention.cc, log_spare.cc and recovery.cc (open).
//
// Segments are shared with reads and background work under way, so that dropping one never takes
// its bytes from under them. Every method that suspends holds a pass of `gate_`; close() closes it.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/io/sync.h"
#include "engine/log/committer.h"
#include "engine/log/compaction.h"
#include "engine/log/epoch_cache.h"
#include "engine/log/log.h"
#include "engine/log/log_context.h"
#include "engine/log/manifest.h"
#include "engine/log/name_lock.h"
#include "engine/log/producer_state.h"
#include "engine/log/segment.h"
#include "engine/log/transactions.h"

namespace keelson::engine::log {

/// Who waits until everything below `target` is acknowledged. In the order of appends.
struct AckWaiter {
  Offset target;
  std::coroutine_handle<> handle;
  AckWaiter* next = nullptr;
};

class LogImpl final : public Log, private CommitHost {
 public:
  LogImpl(LogContext& context, std::string dir, LogIdentity identity, LogConfig config);
  ~LogImpl() override;

  Task<Result<AppendResult>> append(MutableBytes batch, LeaderEpoch epoch) override;
  bool expect(Offset from, Offset below, ReadLimits limits) override;
  Task<Result<ReadResult>> read(Offset from, Offset below, ReadLimits limits) override;

  Task<Result<std::vector<AbortedTransaction>>> aborted_transactions(Offset from,
                                                                     Offset to) override;
  Offset last_stable_offset(Offset high_watermark) override;
  std::vector<OpenTransaction> open_transactions() const override;

  const LogIdentity& identity() const override { return identity_; }
  Offset log_start_offset() const override { return start_; }
  Offset log_end_offset() const override { return end_; }
  Offset durable_offset() const override { return durable_; }
  io::Event& moved() override { return moved_; }
  std::optional<Error> failure() const override { return committer_.failure(); }
  const RecoveryReport& recovery() const override { return report_; }

  Task<Result<std::optional<TimestampOffset>>> find_time(std::int64_t timestamp_ms,
                                                         Offset below) override;
  Task<Result<std::optional<TimestampOffset>>> find_max_time(Offset below) override;

  LeaderEpoch latest_epoch() const override { return epochs_.latest(); }
  std::optional<EpochEnd> epoch_end(LeaderEpoch epoch) const override;
  LeaderEpoch epoch_of(Offset offset) const override;

  Task<Result<void>> advance_start(Offset offset) override;
  Task<Result<std::size_t>> apply_retention() override;
  CompactionState compaction_state(Offset below) const override;
  Task<Result<CompactionReport>> compact(Pace& pace, CompactionOptions options) override;
  Offset first_dirty() const override;
  std::optional<Offset> compacted_to() const override {
    return first_dirty_ ? std::optional(first_dirty()) : std::nullopt;
  }
  Task<Result<void>> truncate_suffix(Offset offset) override;
  Task<Result<void>> flush() override;
  Task<Result<void>> checkpoint() override;
  Task<Result<void>> close() override;
  Task<Result<std::string>> remove() override;

  const LogConfig& config() const override { return config_; }
  void set_config(const LogConfig& config) override {
    config_ = config;
    tell_cleaner();
  }
  std::uint64_t size_bytes() const override;
  std::size_t segment_count() const override { return segments_.size(); }
  std::vector<ProducerInfo> producers() const override;

 private:
  friend class Compactor;
  friend class Recovery;
  using SegmentPtr = std::shared_ptr<Segment>;
  struct Placed {
    AppendResult result;
    Offset acknowledged_at;  // the append is done when everything below this is
  };
  struct AckAwaiter;

  // log_append.cc
  Result<Placed> place(MutableBytes batch, LeaderEpoch epoch);
  bool must_roll(const BatchHeader& header, std::size_t size_bytes, std::int64_t now_ms) const;
  void roll(Offset base_offset);
  SegmentPtr make_segment(Offset base_offset);
  void wake_waiters();

  // CommitHost, in log_files.cc
  Task<Result<void>> begin_segment(SegmentPtr segment) override;
  Task<Result<void>> finish_segment(SegmentPtr segment) override;
  void on_written(Segment& segment, Offset acknowledged) override;
  void on_failure(Error error) override;
  bool relaxed() const override { return config_.durability == Durability::relaxed; }
  void give_back_space() override { drop_spare(); }

  // log_files.cc
  Task<Result<void>> prepare_first(SegmentPtr segment);
  Task<Result<void>> cut_prepared(SegmentPtr segment);
  Task<Result<void>> cut_behind(SegmentPtr segment, io::File& file, std::uint64_t kept_bytes);
  Task<void> seal(SegmentPtr segment);
  Task<Result<void>> seal_files(SegmentPtr segment);
  Task<Result<void>> write_manifest(bool clean);
  Manifest describe(bool clean) const;
  Task<Result<void>> write_entries(SegmentPtr segment, bool synced);
  Task<Result<void>> write_index_files(SegmentPtr segment);
  Task<Result<void>> write_index(std::string path, std::string content);
  Task<Result<void>> drop_indexes(SegmentPtr segment);
  Task<Result<void>> write_derived(std::string path, std::string content, bool synced = true);
  Task<Result<void>> write_pending_files();
  Offset recovery_point() const override;
  Offset recovery_point_from(std::size_t first) const;
  void remember_tail(Segment& segment) const;
  Task<Result<void>> write_snapshot(Offset offset, std::string content, bool synced = true);
  Task<Result<void>> checkpoint_producers();
  Task<Result<void>> draft_producers();
  Task<Result<void>> drop_snapshot(Offset offset);
  Task<Result<void>> write_epochs();
  Task<Result<void>> write_partition_metadata();
  std::string encode_producers() const;
  void start_housekeeping();
  Task<void> housekeeping();
  void give_back_memory();
  Task<Result<void>> check_unproven();
  Task<Result<void>> close_files();

  // log_compaction.cc, compaction_swap.cc
  struct Swap {
    std::vector<SegmentPtr> sources;
    SegmentPtr result;
  };
  std::vector<SegmentFacts> segment_facts() const;
  void tell_cleaner();
  bool describe_swap(const SegmentPtr& segment, Manifest& manifest) const;
  static ManifestSegment describe_sealed(const Segment& segment);
  Task<Result<void>> remove_swap_leftover();

  // log_read.cc
  SegmentPtr segment_of(Offset offset) const;
  /// The one after it; null where there is none.
  SegmentPtr segment_behind(const Segment& segment) const;
  bool read_memory(const SegmentPtr& segment, Offset from, Offset below, ReadLimits limits,
                   SliceList& into) const;
  struct DiskRead {
    SliceList batches;
    bool is_behind_last = false;  // no batch of the segment ends behind the asked offset
    Offset end;  // behind the last of the batches, where all were read and are sound; else 0
  };

  // log_read_disk.cc
  Task<Result<DiskRead>> read_disk(SegmentPtr segment, Offset from, Offset below, ReadLimits limits,
                                   bool rebuilt = false);
  Task<Result<EntryRun>> select(SegmentPtr segment, EntryCursor& cursor, Offset from, Offset below,
                                ReadLimits limits);
  Task<Result<Slice>> read_run(SegmentPtr segment, Offset from, const EntryRun& run);
  void follow_reader(const SegmentPtr& segment, std::shared_ptr<ReadStream> stream, Offset from,
                     Offset to, Offset below, ReadLimits limits);
  bool read_on(const SegmentPtr& segment, std::shared_ptr<ReadStream> stream, Offset below,
               ReadLimits limits, ReadAheadUse first = ReadAheadUse::next);
  Task<void> fill(SegmentPtr segment, std::shared_ptr<ReadStream> stream, ReadAheadUse first);
  Task<void> read_piece_of(SegmentPtr segment, std::shared_ptr<ReadStream> stream,
                           std::shared_ptr<ReadPiece> piece, Offset from);
  Task<Result<std::shared_ptr<io::File>>> open_reader(SegmentPtr segment);
  Task<Result<void>> load_index(SegmentPtr segment);
  Task<Result<void>> rebuild_entries(SegmentPtr segment);
  Task<Result<void>> scan_segment(SegmentPtr segment, io::File& file);
  void quarantine(const SegmentPtr& segment, DamagedRange range, std::string_view why);

  // log_transactions.cc
  Task<Result<std::vector<TransactionIndexEntry>>> collect_aborted(Offset from, Offset to);
  Task<Result<bool>> find_aborted(SegmentPtr segment, Offset from, Offset to,
                                  std::vector<TransactionIndexEntry>& found);
  Task<Result<void>> check_aborted(SegmentPtr segment);
  Task<Result<void>> rebuild_aborted(SegmentPtr segment);
  Task<Result<Offset>> open_before(Offset offset, Transactions& transactions);
  struct ReplayRange {
    Offset from;
    Offset below;
    bool flagged_only = true;  // else every batch with a producer is looked at
  };
  Task<Result<void>> replay_transactions(SegmentPtr segment, ReplayRange range,
                                         Transactions& transactions,
                                         std::vector<TransactionIndexEntry>& aborted);
  Task<Result<void>> replace_aborted(SegmentPtr segment,
                                     std::vector<TransactionIndexEntry> entries);
  Task<Result<void>> write_aborted(SegmentPtr segment, bool synced);

  // log_time.cc
  Task<Result<std::optional<TimestampOffset>>> find_time_in(SegmentPtr segment,
                                                            std::int64_t timestamp_ms,
                                                            Offset below);
  struct LargestBatch {
    SegmentPtr segment;  // null where there is none
    Offset last_offset;
    std::int64_t timestamp_ms = kNoTimestamp;
  };
  Task<Result<std::optional<TimestampOffset>>> find_largest(Offset below);
  Task<Result<LargestBatch>> find_max_batch(Offset from, Offset below);
  Task<Result<LargestBatch>> find_max_batch_in(SegmentPtr segment, std::int64_t above_ms,
                                               Offset from, Offset below);
  Task<Result<std::vector<std::byte>>> read_batch(SegmentPtr segment, Offset last_offset);
  Task<Result<std::optional<TimestampOffset>>> record_in_batch(SegmentPtr segment,
                                                               Offset last_offset,
                                                               std::int64_t timestamp_ms);

  // log_retention.cc
  enum class RetentionTime : std::uint8_t { check, roll };
  Task<Result<std::size_t>> retain(RetentionTime when);
  Task<Result<void>> wait_sealed(std::size_t count);
  Task<Result<void>> make_sealed_durable(std::size_t count);
  Task<Result<void>> move_start(Offset start, std::size_t count);
  std::string next_removal_ending();
  Task<Result<void>> remove_files(std::vector<SegmentPtr> gone, bool diverged);
  Task<void> unlink_later(std::vector<SegmentPtr> gone, std::vector<std::string> paths,
                          std::int64_t delay_ms);
  Task<Result<void>> cut_files(SegmentPtr longer, SegmentPtr shorter, std::vector<SegmentPtr> gone);
  Task<Result<SegmentPtr>> cut_copy(SegmentPtr segment, Offset offset);
  Task<Result<void>> cut_file(SegmentPtr segment);

  // log_spare.cc
  bool may_reuse(const Segment& segment) const;
  void keep_spare(std::vector<SegmentPtr>& gone, std::vector<std::string>& paths);
  void drop_spare();
  void unlink_spare(SegmentPtr spare);
  Task<Result<bool>> reuse_spare(SegmentPtr segment);
  Task<Result<io::File>> clear_spare(std::string path, std::uint64_t usable_bytes,
                                     Offset base_offset);

  void warn(std::string line) const;
  void find(std::string finding);  // a finding of recovery: reported and logged

  LogContext& context_;
  io::Shard& shard_;
  const std::string dir_;
  const LogIdentity identity_;
  LogConfig config_;

  std::deque<SegmentPtr>
      segments_;             // by base offset; the last takes appends; never empty once open
  Offset start_;             // as readers are told; durable
  Offset coming_start_{0};   // where above start_: on its way to the manifest
  std::size_t leaving_ = 0;  // first segments that go with coming_start_
  Offset end_;
  Offset durable_;
  EpochCache epochs_;
  ProducerStates producers_;
  Transactions transactions_;
  RecoveryReport report_;

  Committer committer_;
  AckWaiter* first_waiter_ = nullptr;
  AckWaiter* last_waiter_ = nullptr;
  io::Event moved_;
  io::Gate gate_;                   // calls of this log's users
  io::Gate background_;             // segments being sealed, files being unlinked
  io::Semaphore file_lock_;         // one writer of side files at a time
  io::Semaphore manifest_lock_;     // taken after file_lock_ where both are
  io::Semaphore retention_lock_;    // taken before the other two
  io::Event sealed_;                // notified when Segment::sealing went down, or the log failed
  io::Event closing_;               // set when close() waits for background work
  bool sealed_names_dirty_ = true;  // of files that sealing made, maybe before a crash
  std::optional<Error> seal_failure_;  // files of a sealed segment are not what they should be
  io::Event housekeeper_wake_;
  io::Event housekeeper_gone_;
  bool housekeeping_ = false;
  bool closed_ = false;
  bool opened_unclean_ = false;
  bool files_dirty_ = false;  // what is on disk is not what close() leaves
  std::int64_t last_append_ns_ = 0;
  std::int64_t roll_jitter_ms_ = 0;

  bool manifest_clean_ = false;    // as on disk
  Offset manifest_last_base_{-1};  // the last segment that the manifest on disk names
  bool epochs_dirty_ = false;
  Offset snapshot_offset_{-1};         // of the newest snapshot that is not of a roll
  Offset draft_offset_{-1};            // of one behind it that was not synced
  std::uint64_t drafted_bytes_ = 0;    // its length
  SegmentPtr spare_;                   // dropped; its file is kept for the next segment
  std::optional<Offset> first_dirty_;  // as compaction left it
  std::optional<Error> uncleanable_;   // why compaction is not tried again
  bool compacting_ = false;
  const Swap* swapping_ = nullptr;          // from before its manifest is written
  bool swap_in_manifest_ = false;           // the one on disk tells of a swap
  std::vector<std::string> swap_leftover_;  // files of one that came to nothing
  NameLock names_;
  std::uint64_t removals_ = 0;   // in the names of what is on its way out
  std::vector<Offset> dropped_;  // base offsets on their way out, still named by the manifest
  std::map<Offset, std::string> snapshots_at_roll_;  // producer snapshots not written yet
};

}  // namespace keelson::engine::log
