// engine/log/log.h: one partition's records, in offset order, on disk and in memory.
//
// Owned by one shard; every method is for its thread. Offsets are exclusive upper bounds.
//   log_start_offset <= durable_offset <= log_end_offset
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/io/shard.h"
#include "engine/io/sync.h"
#include "engine/log/log_config.h"
#include "engine/log/record_batch.h"
#include "engine/slice.h"
#include "engine/task.h"
#include "engine/types.h"
#include "engine/uuid.h"

namespace keelson::engine::log {

class Pace;
struct CompactionOptions;
struct CompactionReport;
struct CompactionState;
class LogContext;  // what the logs of a shard share: caches, budgets, descriptors (log_context.h)

/// Who a log is, for ever. Bound into its integrity entries: a batch of another log never passes.
struct LogIdentity {
  Uuid id;  // the topic's, for a broker
  std::int32_t partition = 0;

  friend bool operator==(const LogIdentity&, const LogIdentity&) = default;
};

/// What the data directory remembers of a log from before (engine/log/data_directory.h).
struct OpenHints {
  bool clean_stop = false;    // the directory was closed properly and nothing ran since
  bool other_writer = false;  // Kafka served the directory since we did: its files count, not the
                              // manifest
  /// Everything below was synced. A log that is to be made anew is opened without hints: records
  /// that were known and are gone are `corrupt`.
  std::optional<Offset> recovery_point;
  std::optional<Offset> log_start_offset;  // from log-start-offset-checkpoint
  std::optional<Offset> first_dirty;       // from cleaner-offset-checkpoint
};

/// What recovery found and did; for the log line, the tools and the tests.
struct RecoveryReport {
  std::uint64_t bytes_read = 0;  // of .log files
  std::uint64_t bytes_cut = 0;   // torn tail, beyond the durable frontier
  std::uint64_t batches_replayed = 0;
  bool indexes_rebuilt = false;
  std::vector<std::string> findings;  // one sentence each; empty where nothing was wrong
};

struct AppendResult {
  Offset base_offset;
  Offset last_offset;
  std::int64_t log_append_time_ms = kNoTimestamp;  // with log-append time only
  bool duplicate = false;  // an idempotent producer's retry: these are the first one's offsets
};

struct ReadLimits {
  std::uint64_t bytes_max = 1'048'576;
  bool at_least_one_batch = true;  // even if it is larger than bytes_max (KIP-74)
  bool less_will_do = false;       // while memory is short: the reader comes again for the rest
};

struct ReadResult {
  SliceList batches;  // whole batches; the first holds the asked offset, or is the next after it
  Offset log_start_offset;
};

/// A record found by its time.
struct TimestampOffset {
  std::int64_t timestamp_ms = kNoTimestamp;
  Offset offset;
  LeaderEpoch leader_epoch = kNoLeaderEpoch;
};

/// A transaction whose records a read-committed reader skips, up to its marker.
struct AbortedTransaction {
  ProducerId producer_id = kNoProducerId;
  Offset first_offset;

  friend bool operator==(const AbortedTransaction&, const AbortedTransaction&) = default;
};

/// A transaction without its marker yet.
struct OpenTransaction {
  ProducerId producer_id = kNoProducerId;
  Offset first_offset;
};

struct EpochEnd {
  LeaderEpoch epoch = kNoLeaderEpoch;
  Offset end_offset;  // first offset of the next epoch, or the log end offset
};

class Log {
 public:
  /// Opens the log in directory `dir` (absolute or relative to the working directory), or makes it.
  /// After an unclean stop the tail is recovered by the decision table of engine/FORMAT.md.
  ///
  /// Errors: io, corrupt (identity mismatch or damage that leaves nothing safe to serve: keep the
  /// directory as it is and report), no_space.
  [[nodiscard]] static Task<Result<std::unique_ptr<Log>>> open(LogContext& context, std::string dir,
                                                               LogIdentity identity,
                                                               LogConfig config, OpenHints hints);
  virtual ~Log() = default;  // close() was awaited, or open() failed

  /// Appends one batch: gives it the next offsets, stamps them and `epoch` into `batch`, and
  /// completes when it is durable (Durability::relaxed: written). `batch` is one whole batch that
  /// validate_batch() accepted; its bytes are copied before the first suspension. Offsets are
  /// given in the order of the calls, completions come in that order too.
  /// With a producer id, sequences are checked and a repeated batch answers as the first did,
  /// after that one is durable.
  ///
  /// Errors: record_list_too_large; fenced_leader_epoch; out_of_order_sequence_number,
  /// duplicate_sequence_number, invalid_producer_epoch: nothing was written.
  /// no_space: nothing was written; retry after space was freed.
  /// overloaded: too many bytes wait for the drive; retry later.
  /// io, corrupt: final; the log takes no more appends until reopened.
  [[nodiscard]] virtual Task<Result<AppendResult>> append(MutableBytes batch,
                                                          LeaderEpoch epoch) = 0;

  /// Says that a read() like this comes soon, so that it can be on its way from the disk meanwhile.
  /// Does not wait. False where there is no room for it: nor will there be for others.
  virtual bool expect(Offset from, Offset below, ReadLimits limits) = 0;

  /// Batches from the one that holds `from` on, below `below`. From recent chunks without a
  /// system call where they have it; else from disk, verified.
  ///
  /// Errors: offset_out_of_range: `from` is below the start or above the end.
  /// quarantined: the range is damaged. io: the disk failed; the log may go on elsewhere.
  [[nodiscard]] virtual Task<Result<ReadResult>> read(Offset from, Offset below,
                                                      ReadLimits limits) = 0;

  /// The aborted transactions that a reader of [from, to), `to` at or below the last stable offset,
  /// must know of; in the order of their markers. May hold some that have no record there.
  ///
  /// Errors: io, corrupt: what is aborted cannot be told, so the records must not be shown.
  [[nodiscard]] virtual Task<Result<std::vector<AbortedTransaction>>> aborted_transactions(
      Offset from, Offset to) = 0;
  /// `high_watermark`, or the first offset of the oldest transaction that is open or whose marker
  /// is not below it. The watermark that is asked with never goes back.
  virtual Offset last_stable_offset(Offset high_watermark) = 0;
  /// By their first offset.
  virtual std::vector<OpenTransaction> open_transactions() const = 0;

  virtual const LogIdentity& identity() const = 0;
  virtual Offset log_start_offset() const = 0;
  virtual Offset log_end_offset() const = 0;
  /// Everything below is as safe as the log's durability promises; never goes back.
  virtual Offset durable_offset() const = 0;
  /// Everything below is on stable storage, whatever the durability: what a checkpoint may say.
  virtual Offset recovery_point() const = 0;
  /// Notified when durable_offset() or log_start_offset() moved, or the log failed or closed.
  virtual io::Event& moved() = 0;
  /// Set once an I/O error poisoned the log.
  virtual std::optional<Error> failure() const = 0;
  virtual const RecoveryReport& recovery() const = 0;

  /// The first record, by offset, with a timestamp at or above `timestamp_ms`, below `below`;
  /// nothing where there is none. Looks inside compressed batches.
  [[nodiscard]] virtual Task<Result<std::optional<TimestampOffset>>> find_time(
      std::int64_t timestamp_ms, Offset below) = 0;
  /// The record with the largest timestamp below `below`; the first of equals.
  [[nodiscard]] virtual Task<Result<std::optional<TimestampOffset>>> find_max_time(
      Offset below) = 0;

  /// The last epoch of the log, kNoLeaderEpoch where it has none.
  virtual LeaderEpoch latest_epoch() const = 0;
  /// The largest epoch at or below `epoch` and where it ends; nothing where there is none.
  virtual std::optional<EpochEnd> epoch_end(LeaderEpoch epoch) const = 0;
  /// The epoch that `offset` was written in; kNoLeaderEpoch where unknown.
  virtual LeaderEpoch epoch_of(Offset offset) const = 0;

  /// Moves the start up to `offset` (below the start: no change); whole segments below it go.
  /// Durable at success. Errors: offset_out_of_range above durable_offset().
  [[nodiscard]] virtual Task<Result<void>> advance_start(Offset offset) = 0;
  /// Drops segments by retention.ms, retention.bytes and the log start, as Kafka 4.3 does.
  /// How many segments went.
  [[nodiscard]] virtual Task<Result<std::size_t>> apply_retention() = 0;
  /// How the log stands for compaction (engine/log/compaction.h), looking only below `below`.
  virtual CompactionState compaction_state(Offset below) const = 0;
  /// Compacts what may be compacted now, whether it is due or not, in slices of `pace`, which
  /// outlives the call and is used by one at a time. Appends, reads and everything else go on.
  ///
  /// Errors: cancelled: the pace was stopped, the policy changed, or a segment was dropped or cut
  /// meanwhile; no_space; closed: try again later, nothing is lost. Others are final until the log
  /// is opened again: io, corrupt and quarantined (damage; the log is kept as it is), overloaded
  /// (not one batch's keys fit the map), record_list_too_large.
  [[nodiscard]] virtual Task<Result<CompactionReport>> compact(Pace& pace,
                                                               CompactionOptions options) = 0;
  /// Below, no key has two records. The log start where the log was never compacted.
  virtual Offset first_dirty() const = 0;
  /// The same, for cleaner-offset-checkpoint; nothing where the log was never compacted.
  virtual std::optional<Offset> compacted_to() const = 0;
  /// Drops everything from `offset` on, and the batch that it is in. For a follower that diverged.
  /// Before it, no recovery point above where the log will end may be in the data directory's
  /// checkpoint: after a crash what is below that counts as lost, and is reported. Errors:
  /// offset_out_of_range below the start. Others are final: the log takes no more appends until
  /// reopened, and may be cut or not.
  [[nodiscard]] virtual Task<Result<void>> truncate_suffix(Offset offset) = 0;

  /// Everything appended before the call is on stable storage at success.
  [[nodiscard]] virtual Task<Result<void>> flush() = 0;
  /// Writes what memory still holds of side files (index, integrity, snapshot). Paced by the
  /// caller.
  [[nodiscard]] virtual Task<Result<void>> checkpoint() = 0;
  /// Clean stop: flush, cut prepared space, final index entries, producer snapshot. Afterwards
  /// Kafka's own tools read the directory. Idempotent; appends under way finish first, later ones
  /// and reads get `closed`.
  [[nodiscard]] virtual Task<Result<void>> close() = 0;
  /// Closes without ceremony and takes the directory out of the way for good: its new path. The
  /// caller deletes it with remove_directory() (engine/log/file_removal.h), which takes its time;
  /// after a crash DataDirectory does.
  [[nodiscard]] virtual Task<Result<std::string>> remove() = 0;

  virtual const LogConfig& config() const = 0;
  virtual void set_config(const LogConfig& config) = 0;

  virtual std::uint64_t size_bytes() const = 0;  // of records, prepared space not counted
  virtual std::size_t segment_count() const = 0;

  /// Producers with state in this log, for DescribeProducers.
  struct ProducerInfo {
    ProducerId id;
    ProducerEpoch epoch;
    std::int32_t last_sequence = kNoSequence;
    std::int64_t last_timestamp_ms = kNoTimestamp;
    std::int32_t coordinator_epoch = -1;
    std::optional<Offset> transaction_start;  // of the open transaction
  };
  virtual std::vector<ProducerInfo> producers() const = 0;
};

}  // namespace keelson::engine::log
