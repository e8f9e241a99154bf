// engine/log/batch_validation.h: one pass over what a client sent, before any of it is kept.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
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

using Validated = std::expected<ValidatedBatch, ValidationFailure>;

/// Checks the records of one partition in a produce request: exactly one batch of magic 2, CRC,
/// counts, lengths, offset deltas 0..n-1, timestamps, keys of compacted topics, codec. Decompresses
/// by streaming, with bounded memory whatever the batch claims; one pass, nothing allocated per
/// record. Sets the max timestamp to that of the records, or stamps log-append time. A whole batch
/// with fewer than 12 bytes behind it is accepted and the rest dropped, as Kafka does.
/// The answers for each kind of bad batch are those Kafka 4.3.1 gives; where Kafka stores a batch
/// that contradicts itself, it is refused with invalid_record.
[[nodiscard]] Validated validate_batch(MutableBytes records, const LogConfig& config,
                                       std::int64_t now_ms, BatchOrigin origin);

/// validate_batch() in steps, so that a batch that decompresses to a thousand times what was sent
/// does not hold up everything else on its shard. Holds a decompressor between steps: how many are
/// under way at once is for the caller to bound.
class BatchValidation {
 public:
  /// `records` outlive the object, and nobody else touches them.
  BatchValidation(MutableBytes records, const LogConfig& config, std::int64_t now_ms,
                  BatchOrigin origin);
  ~BatchValidation();
  BatchValidation(const BatchValidation&) = delete;  // the walk refers to the header
  BatchValidation& operator=(const BatchValidation&) = delete;

  /// Goes on for about `plain_bytes` of what the records decompress to, a snappy block at least;
  /// re-encoding them counts four times. True once there is a verdict.
  bool step(std::uint64_t plain_bytes);
  /// The verdict; once, after step() said true.
  [[nodiscard]] Validated take();

 private:
  class Walk;
  class Recoding;

  bool begin();
  bool walk_on(std::uint64_t plain_bytes);
  bool walked(std::expected<void, ValidationFailure> end, std::int64_t max_timestamp_ms);
  bool recode_on(std::uint64_t plain_bytes);
  bool settle(ValidatedBatch valid);

  const MutableBytes records_;
  const LogConfig config_;  // as it was: it may change between steps
  const std::int64_t now_ms_;
  const BatchOrigin origin_;
  MutableBytes batch_;
  BatchHeader header_;
  std::int64_t max_timestamp_ms_ = kNoTimestamp;
  std::unique_ptr<Walk> walk_;
  std::unique_ptr<Recoding> recoding_;
  std::optional<Validated> verdict_;
};

}  // namespace keelson::engine::log
