// engine/log/batch_validation.h: one pass over what a client sent, before any of it is kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/io/aligned_buffer.h"
#include "engine/log/log_config.h"
#include "engine/log/record_batch.h"

namespace keelson::engine::log {

/// A record that made its batch fail, for ProduceResponse.RecordErrors.
struct RecordFault {
  std::int32_t batch_index = 0;  // of the record within the batch
  std::string message;
};

struct ValidationFailure {
  Error error;                       // a code of "Refusals of a log" in engine/error.h
  std::string message;               // one sentence; may be shown to the client
  std::vector<RecordFault> records;  // at most 100
};

/// Who sends: an internal writer may send control batches and null keys are its own business.
enum class BatchOrigin : std::uint8_t { client, internal };

/// What the log will store: the caller's bytes as they are, or a re-encoded copy.
struct ValidatedBatch {
  MutableBytes bytes;              // the caller's memory, or `recoded`
  std::vector<std::byte> recoded;  // where codec or level differ from what came
  BatchHeader header;
};

/// Checks the records of one partition in a produce request: exactly one batch of magic 2, CRC,
/// counts, lengths, offset deltas 0..n-1, timestamps, keys of compacted topics, codec. Decompresses
/// by streaming, with bounded memory whatever the batch claims; one pass, nothing allocated per
/// record. Sets the max timestamp to that of the records, or stamps log-append time. A whole batch
/// with fewer than 12 bytes behind it is accepted and the rest dropped, as Kafka does.
/// The answers for each kind of bad batch are those Kafka 4.3.1 gives; where Kafka stores a batch
/// that contradicts itself, it is refused with invalid_record.
[[nodiscard]] std::expected<ValidatedBatch, ValidationFailure> validate_batch(
    MutableBytes records, const LogConfig& config, std::int64_t now_ms, BatchOrigin origin);

}  // namespace keelson::engine::log
