// engine/log/producer_state.h: what a log remembers of idempotent producers, to refuse gaps and to
// answer repeats as the first time.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "engine/error.h"
#include "engine/log/record_batch.h"
#include "engine/types.h"

namespace keelson::engine::log {

/// One remembered batch of a producer.
struct ProducerBatch {
  std::int32_t first_sequence = kNoSequence;
  std::int32_t last_sequence = kNoSequence;
  Offset first_offset;
  Offset last_offset;
  std::int64_t timestamp_ms = kNoTimestamp;
};

/// One producer. Kafka remembers five batches, because a client has at most five in flight.
struct ProducerEntry {
  static constexpr std::size_t kBatchesMax = 5;
  static constexpr std::int64_t kContiguousMax = std::int64_t{1} << 30;

  ProducerEpoch epoch = kNoProducerEpoch;
  std::int32_t coordinator_epoch = -1;
  std::optional<Offset> transaction_start;  // first offset of the open transaction
  std::int64_t last_timestamp_ms = kNoTimestamp;
  std::array<ProducerBatch, kBatchesMax> batches;  // the oldest first, `batch_count` of them
  std::size_t batch_count = 0;
  std::int64_t contiguous = 0;  // sequences known to be in the log, up to the last one

  const ProducerBatch* last() const { return batch_count ? &batches[batch_count - 1] : nullptr; }
};

class ProducerStates {
 public:
  /// Whether the batch with `header` (as the client sent it) may be appended now. The remembered
  /// batch where this is a repeat of it, nothing where it is new.
  ///
  /// Errors: invalid_producer_epoch, out_of_order_sequence_number, duplicate_sequence_number
  /// (it is in the log, but its offsets are forgotten).
  [[nodiscard]] Result<std::optional<ProducerBatch>> check(const BatchHeader& header) const;

  /// Notes a batch that was given its offsets, or one that recovery found. Gaps are taken as they
  /// are: what is in the log was accepted once.
  void note(const BatchHeader& header);
  /// Notes a transaction marker: type 0 abort or 1 commit ends the open transaction.
  void note_marker(const BatchHeader& header, std::int32_t coordinator_epoch);

  /// As of the log's end: transactions that began below `first_dirty` were decided when the log was
  /// compacted; their markers may be gone since.
  void forget_decided(Offset first_dirty);
  void expire(std::int64_t now_ms, std::int64_t expiration_ms);
  void clear() { entries_.clear(); }

  std::map<ProducerId, ProducerEntry>& entries() { return entries_; }
  const std::map<ProducerId, ProducerEntry>& entries() const { return entries_; }

 private:
  std::map<ProducerId, ProducerEntry> entries_;
};

}  // namespace keelson::engine::log
