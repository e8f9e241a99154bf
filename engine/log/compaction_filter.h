// engine/log/compaction_filter.h: what compaction leaves of a batch. Kafka's rules (source:
// Cleaner, MemoryRecords.filterTo); nothing here touches a file.
//
//   a record goes       if its key has a later one below the round's end; if it is a tombstone past
//                       its delete horizon; if it has no key; with its aborted transaction
//   a tombstone's time  begins when compaction first sees it: the batch gets the horizon, now +
//                       delete.retention.ms, as its base timestamp, and attribute bit 6
//   a marker goes       once no batch of its transaction is left and its horizon, set likewise, is
//                       past
//   an emptied batch    stays, as a header, where it is the last of a producer that is still known
//                       (its sequence, or its epoch), or ends the round; else it goes
//
// What stays of a batch keeps its base offset, last offset delta, base sequence, epochs and codec.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/error.h"
#include "engine/log/compaction_transactions.h"
#include "engine/log/key_map.h"
#include "engine/log/producer_state.h"
#include "engine/log/record_batch.h"
#include "engine/log/record_reader.h"

namespace keelson::engine::log {

/// The producers that are known now, and which batch keeps each known.
class KnownProducers {
 public:
  explicit KnownProducers(const ProducerStates& producers);
  /// Whether `header` is of the last batch of its producer: where that has sent records in its
  /// epoch, the one with its last sequence; else a marker of its epoch.
  bool is_last(const BatchHeader& header) const;

 private:
  struct Last {
    ProducerId id;
    Offset offset;  // -1: none
    ProducerEpoch epoch;
  };
  std::vector<Last> last_;  // by id
};

struct CompactionRound {
  const KeyMap* keys = nullptr;
  Offset below;             // what is at or above stays as it is
  std::int64_t now_ms = 0;  // of the round, constant
  std::int64_t delete_retention_ms = 0;
};

struct FilterCounts {
  std::uint64_t batches_in = 0;
  std::uint64_t batches_out = 0;
  std::uint64_t batches_rewritten = 0;
  std::uint64_t records_in = 0;
  std::uint64_t records_out = 0;
  std::uint64_t records_without_key = 0;
};

/// One thread at a time, whichever.
class BatchFilter {
 public:
  /// All outlive the filter. Whoever sets `halt`, on any thread, ends a call under way.
  BatchFilter(CompactionRound round, const KnownProducers& producers,
              CompactionTransactions& transactions, const std::atomic<bool>& halt)
      : round_(round), producers_(producers), transactions_(transactions), halt_(halt) {}

  /// What stays of `batch`, whole and with a right CRC: nothing, `batch` itself, or other bytes,
  /// which are there until the next call. Batches come in the order of the log.
  /// Errors: corrupt: no records are in it. cancelled: halted.
  [[nodiscard]] Result<Bytes> apply(Bytes batch, const BatchHeader& header);

  const FilterCounts& counts() const { return counts_; }

 private:
  struct Verdict {
    bool discard_records = false;
    bool keep_when_empty = false;
    bool ends_nothing = false;  // a marker whose time runs, or begins now
  };
  struct Kept {
    std::int64_t records = 0;
    bool all = true;
    bool tombstones = false;
    std::int64_t first_ms = kNoTimestamp;
    std::int64_t max_ms = kNoTimestamp;
  };

  Verdict judge(const BatchHeader& header, Bytes batch);
  bool keeps(const BatchHeader& header, const Verdict& verdict, const Record& record) const;
  Result<Kept> look(Bytes batch, const BatchHeader& header, const Verdict& verdict);
  Result<Bytes> rewrite(Bytes batch, const BatchHeader& header, const Verdict& verdict,
                        const Kept& kept, bool set_horizon);
  Bytes emptied(const BatchHeader& header);

  const CompactionRound round_;
  const KnownProducers& producers_;
  CompactionTransactions& transactions_;
  const std::atomic<bool>& halt_;
  FilterCounts counts_;
  std::vector<std::byte> out_;
  std::vector<std::byte> record_;
  std::vector<std::byte> length_;  // of record_, as it stands before it
};

/// Whether the batch says until when its tombstones or marker stay; then that is its base
/// timestamp.
inline bool has_delete_horizon(const BatchHeader& header) {
  return header.attributes & kAttributeDeleteHorizon;
}

}  // namespace keelson::engine::log
