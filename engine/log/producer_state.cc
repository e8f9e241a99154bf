#include "engine/log/producer_state.h"

#include <algorithm>
#include <limits>

namespace keelson::engine::log {
namespace {

constexpr std::int64_t kSequences = std::int64_t{1} << 31;       // 0 follows 2^31 - 1
static_assert(ProducerEntry::kContiguousMax == kSequences / 2);  // further back is ahead

std::int32_t following(std::int32_t sequence) {
  return sequence == std::numeric_limits<std::int32_t>::max() ? 0 : sequence + 1;
}

std::int64_t distance_back(std::int32_t from, std::int32_t to) {
  return ((std::int64_t{from} - to) % kSequences + kSequences) % kSequences;
}

}  // namespace

Result<std::optional<ProducerBatch>> ProducerStates::check(const BatchHeader& header) const {
  if (!header.has_producer()) return std::nullopt;
  const auto found = entries_.find(header.producer_id);
  if (found == entries_.end()) return std::nullopt;  // an unknown producer may start anywhere
  const ProducerEntry& entry = found->second;
  if (header.producer_epoch < entry.epoch) return fail(Errc::invalid_producer_epoch);
  if (header.base_sequence == kNoSequence) return std::nullopt;  // a marker carries none
  if (header.producer_epoch > entry.epoch) {
    if (header.base_sequence != 0) return fail(Errc::out_of_order_sequence_number);
    return std::nullopt;
  }
  const ProducerBatch* const last = entry.last();
  if (last == nullptr) return std::nullopt;  // a marker raised the epoch
  for (std::size_t i = 0; i < entry.batch_count; ++i) {
    const ProducerBatch& batch = entry.batches[i];
    if (batch.first_sequence == header.base_sequence &&
        batch.last_sequence == header.last_sequence()) {
      return batch;
    }
  }
  if (header.base_sequence == following(last->last_sequence)) return std::nullopt;
  // Only what is known to be in the log may be called a duplicate: the client takes that for
  // success. A first batch that was refused while its successor was accepted is not.
  if (distance_back(last->last_sequence, header.base_sequence) < entry.contiguous) {
    return fail(Errc::duplicate_sequence_number);
  }
  return fail(Errc::out_of_order_sequence_number);
}

void ProducerStates::note(const BatchHeader& header) {
  if (!header.has_producer()) return;
  ProducerEntry& entry = entries_[header.producer_id];
  if (header.producer_epoch != entry.epoch) {
    entry.epoch = header.producer_epoch;
    entry.batch_count = 0;
    entry.contiguous = 0;
  }
  entry.last_timestamp_ms = std::max(entry.last_timestamp_ms, header.max_timestamp);
  if (header.is_transactional() && !header.is_control() && !entry.transaction_start) {
    entry.transaction_start = header.base_offset;
  }
  if (header.base_sequence == kNoSequence) return;
  const ProducerBatch* const last = entry.last();
  const bool continues = last && header.base_sequence == following(last->last_sequence);
  const std::int64_t sequences = std::int64_t{header.last_offset_delta} + 1;
  entry.contiguous =
      std::min(continues ? entry.contiguous + sequences : sequences, ProducerEntry::kContiguousMax);
  if (entry.batch_count == ProducerEntry::kBatchesMax) {
    std::shift_left(entry.batches.begin(), entry.batches.end(), 1);
    --entry.batch_count;
  }
  entry.batches[entry.batch_count++] = {header.base_sequence, header.last_sequence(),
                                        header.base_offset, header.last_offset(),
                                        header.max_timestamp};
}

void ProducerStates::note_marker(const BatchHeader& header, std::int32_t coordinator_epoch) {
  if (!header.has_producer()) return;
  note(header);
  ProducerEntry& entry = entries_[header.producer_id];
  entry.transaction_start.reset();
  entry.coordinator_epoch = std::max(entry.coordinator_epoch, coordinator_epoch);
}

void ProducerStates::forget_decided(Offset first_dirty) {
  for (auto& [id, entry] : entries_) {
    if (entry.transaction_start && *entry.transaction_start < first_dirty) {
      entry.transaction_start.reset();
    }
  }
}

void ProducerStates::expire(std::int64_t now_ms, std::int64_t expiration_ms) {
  std::erase_if(entries_, [&](const auto& item) {
    const ProducerEntry& entry = item.second;
    return !entry.transaction_start && entry.last_timestamp_ms != kNoTimestamp &&
           entry.last_timestamp_ms <= now_ms && now_ms - entry.last_timestamp_ms > expiration_ms;
  });
}

}  // namespace keelson::engine::log
