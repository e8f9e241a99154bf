#include "engine/log/batch_validation.h"

#include <algorithm>
#include <utility>

#include "engine/byte_order.h"
#include "engine/log/compression.h"
#include "engine/log/record_cursor.h"
#include "engine/logger.h"

namespace keelson::engine::log {
namespace {

using Refusal = std::unexpected<ValidationFailure>;
template <class T>
using Checked = std::expected<T, ValidationFailure>;

constexpr std::size_t kRecordFaultsMax = 100;

/// The least a client's batch decompresses to before it is refused as a bomb. Walking it costs no
/// memory, only the shard's time: about a second for this much.
constexpr std::uint64_t kPlainBytesMax = std::uint64_t{4} << 30;

Refusal refuse(Errc code, std::string message) {
  return Refusal(ValidationFailure{Error{code}, std::move(message), {}});
}

/// What the length fields and the magic say of `records`, in the order in which Kafka asks
/// (source: ByteBufferLogInputStream, ProduceRequest.validateRecords): the size of the only batch.
Checked<std::size_t> frame_batch(Bytes records) {
  constexpr std::int32_t kLegacyLengthMin = 14;  // of magic 0; below that nothing has a magic
  constexpr std::size_t kMagicEnd = 17;
  if (records.size() < kBatchPrefixBytes) {
    return refuse(Errc::invalid_record,
                  "a produce request holds one batch per partition, not none");
  }
  const auto length = load_big_endian<std::int32_t>(records.data() + 8);
  if (length < kLegacyLengthMin) {
    return refuse(Errc::corrupt_message, concat("batch length ", length, " is below a header's"));
  }
  if (records.size() < kMagicEnd) {
    return refuse(Errc::invalid_record, "the batch ends within its header");
  }
  const auto magic = load_big_endian<std::int8_t>(records.data() + kMagicEnd - 1);
  if (magic < 0 || magic > kMagic) {
    return refuse(Errc::corrupt_message, concat("there is no batch format ", int{magic}));
  }
  const std::size_t size = kBatchPrefixBytes + static_cast<std::size_t>(length);
  if (size > records.size()) {
    return refuse(Errc::invalid_record,
                  concat("the batch claims ", size, " bytes, ", records.size(), " were sent"));
  }
  if (magic < kMagic) {
    return refuse(Errc::invalid_record, concat("batch format ", int{magic}, " is no longer taken"));
  }
  if (size < kBatchHeaderBytes) {
    return refuse(Errc::corrupt_message, concat("batch length ", length, " is below a header's"));
  }
  if (records.size() - size >= kBatchPrefixBytes) {
    return refuse(Errc::invalid_record, "a produce request holds one batch per partition, not two");
  }
  return size;
}

Checked<void> check_header(const BatchHeader& header, BatchOrigin origin) {
  const bool is_client = origin == BatchOrigin::client;
  if (header.codec_id() > static_cast<std::uint8_t>(Codec::zstd)) {
    return refuse(Errc::invalid_record, concat("there is no codec ", int{header.codec_id()}));
  }
  if (header.record_count <= 0) {
    return refuse(Errc::invalid_record, concat("record count ", header.record_count));
  }
  if (header.last_offset_delta != header.record_count - 1) {
    return refuse(Errc::invalid_record, concat("last offset delta ", header.last_offset_delta,
                                               " of ", header.record_count, " records"));
  }
  if (header.is_control() && is_client) {
    return refuse(Errc::invalid_record, "clients may not write control batches");
  }
  if (header.is_control() && header.codec_id() != 0) {
    return refuse(Errc::invalid_record, "control batches are not compressed");
  }
  if (header.has_producer()) {
    if (header.producer_epoch.value() < 0) {
      return refuse(Errc::invalid_record, "a producer id without an epoch");
    }
    if (header.base_sequence < 0 && !header.is_control()) {
      return refuse(Errc::invalid_record, "a producer id without a sequence");
    }
  } else if (header.is_transactional()) {
    return refuse(Errc::invalid_record, "a transactional batch without a producer id");
  }
  if (header.attributes & kAttributeDeleteHorizon) {
    return refuse(Errc::invalid_record, "only compaction sets a delete horizon");
  }
  if (header.is_log_append_time() && is_client) {
    return refuse(Errc::invalid_timestamp, "clients may not set the log-append time");
  }
  return {};
}

/// The one pass over the records. Collects the faults that name a record, and stops at the first
/// thing that makes the bytes unreadable.
class RecordWalk {
 public:
  RecordWalk(const BatchHeader& header, const LogConfig& config, std::int64_t now_ms,
             BatchOrigin origin)
      : header_(header),
        must_have_keys_(config.cleanup_compact && origin == BatchOrigin::client),
        checks_time_(config.timestamp_type == TimestampType::create_time && !header.is_control()),
        earliest_ms_(subtract_saturating(now_ms, config.timestamp_before_max_ms)),
        latest_ms_(subtract_saturating(now_ms, -config.timestamp_after_max_ms)) {}

  Checked<void> run(RecordCursor cursor) {
    RecordFields fields;
    for (std::int32_t index = 0; index < header_.record_count; ++index) {
      if (!cursor.read_record(fields)) {
        return refuse(Errc::invalid_record, concat("record ", index, " is ill-formed"));
      }
      if (fields.offset_delta != index) {
        return refuse(Errc::invalid_record,
                      concat("record ", index, " has offset delta ", fields.offset_delta));
      }
      check_record(fields, index);
      if (cursor.consumed() > kPlainBytesMax) {
        return refuse(Errc::message_too_large, "the batch decompresses to more than 4 GiB");
      }
    }
    if (!cursor.at_end()) {
      return refuse(Errc::invalid_record, "bytes are left behind the last record");
    }
    return verdict();
  }

  std::int64_t max_timestamp_ms() const { return max_timestamp_ms_; }

 private:
  static std::int64_t subtract_saturating(std::int64_t left, std::int64_t right) {
    std::int64_t difference = 0;
    if (!__builtin_sub_overflow(left, right, &difference)) return difference;
    return right > 0 ? std::numeric_limits<std::int64_t>::min()
                     : std::numeric_limits<std::int64_t>::max();
  }

  void check_record(const RecordFields& fields, std::int32_t index) {
    // Wraps as Kafka's sum does.
    const auto timestamp_ms =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(header_.base_timestamp) +
                                  static_cast<std::uint64_t>(fields.timestamp_delta));
    max_timestamp_ms_ = std::max(max_timestamp_ms_, timestamp_ms);
    if (checks_time_ && timestamp_ms != kNoTimestamp &&
        (timestamp_ms < earliest_ms_ || timestamp_ms > latest_ms_)) [[unlikely]] {
      bad_time_ = true;
      add_fault(index,
                concat("timestamp ", timestamp_ms, " is outside ", earliest_ms_, "..", latest_ms_));
    }
    if (must_have_keys_ && fields.key_bytes < 0) [[unlikely]] {
      add_fault(index, "a compacted topic takes no record without a key");
    }
  }

  void add_fault(std::int32_t index, std::string message) {
    ++fault_count_;
    if (faults_.size() < kRecordFaultsMax) faults_.push_back({index, std::move(message)});
  }

  Checked<void> verdict() {
    if (fault_count_ == 0) return {};
    ValidationFailure failure;
    failure.error = Error{bad_time_ ? Errc::invalid_timestamp : Errc::invalid_record};
    failure.message = concat(fault_count_, " of ", header_.record_count,
                             " records were refused, the first because: ", faults_[0].message);
    failure.records = std::move(faults_);
    return Refusal(std::move(failure));
  }

  const BatchHeader& header_;
  const bool must_have_keys_;
  const bool checks_time_;
  const std::int64_t earliest_ms_;
  const std::int64_t latest_ms_;
  std::int64_t max_timestamp_ms_ = kNoTimestamp;
  std::vector<RecordFault> faults_;
  std::int32_t fault_count_ = 0;
  bool bad_time_ = false;
};

/// A copy of `batch` with its records in the log's codec. The records themselves stay as they are.
Checked<std::vector<std::byte>> recode(Bytes batch, const BatchHeader& header,
                                       const LogConfig& config) {
  const auto too_large = [&] {
    return refuse(Errc::message_too_large, concat("re-encoded, the batch is larger than ",
                                                  config.max_message_bytes, " bytes"));
  };
  const std::size_t bytes_max = std::max(std::size_t{config.max_message_bytes}, kBatchHeaderBytes);
  std::vector<std::byte> recoded(kBatchHeaderBytes);
  Decompressor source(header.codec(), batch.subspan(kBatchHeaderBytes), kClientWindowLog);
  Compressor target(config.codec, config.codec_level, recoded, bytes_max);
  while (true) {
    const Result<Bytes> piece = source.next();
    if (!piece) return refuse(Errc::invalid_record, "the records do not decompress");
    if (piece->empty()) break;
    if (!target.write(*piece)) return too_large();
  }
  if (!target.finish()) return too_large();

  BatchHeader recoded_header = header;
  recoded_header.length = static_cast<std::int32_t>(recoded.size() - kBatchPrefixBytes);
  recoded_header.attributes = static_cast<std::int16_t>((header.attributes & ~kAttributeCodecMask) |
                                                        static_cast<std::int16_t>(config.codec));
  write_batch_header(recoded, recoded_header);
  return recoded;
}

/// Fits header and CRC to what the walk found. `batch` and `header` agree before and after.
void settle_timestamps(MutableBytes batch, BatchHeader& header, const LogConfig& config,
                       std::int64_t now_ms, std::int64_t max_timestamp_ms) {
  if (config.timestamp_type == TimestampType::log_append_time) {
    stamp_log_append_time(batch, now_ms);
  } else if (header.max_timestamp != max_timestamp_ms && !header.is_log_append_time()) {
    header.max_timestamp = max_timestamp_ms;
    write_batch_header(batch, header);
  } else {
    return;
  }
  header = *read_batch_header(batch);
}

}  // namespace

std::expected<ValidatedBatch, ValidationFailure> validate_batch(MutableBytes records,
                                                                const LogConfig& config,
                                                                std::int64_t now_ms,
                                                                BatchOrigin origin) {
  const Checked<std::size_t> size = frame_batch(records);
  if (!size) return Refusal(size.error());
  MutableBytes batch = records.first(*size);
  const Result<BatchHeader> header = read_batch_header(batch);
  if (!header) return refuse(Errc::corrupt_message, "the batch's header is ill-formed");

  if (header->base_offset != Offset{0} && origin == BatchOrigin::client) {
    return refuse(Errc::invalid_record,
                  concat("base offset ", header->base_offset.value(), " is not 0"));
  }
  if (batch.size() > config.max_message_bytes) {
    return refuse(Errc::message_too_large, concat("batch of ", batch.size(), " bytes, at most ",
                                                  config.max_message_bytes, " are taken"));
  }
  if (!crc_matches(batch)) return refuse(Errc::corrupt_message, "the batch's CRC is wrong");
  if (const Checked<void> checked = check_header(*header, origin); !checked) {
    return Refusal(checked.error());
  }

  RecordWalk walk(*header, config, now_ms, origin);
  const Bytes stored = Bytes(batch).subspan(kBatchHeaderBytes);
  Checked<void> walked;
  if (header->codec() == Codec::none) {
    walked = walk.run(RecordCursor(stored));
  } else {
    Decompressor source(header->codec(), stored, kClientWindowLog);
    walked = walk.run(RecordCursor(source));
  }
  if (!walked) return Refusal(std::move(walked.error()));

  ValidatedBatch valid{batch, {}, *header};
  if (!config.keep_producer_codec && config.codec != header->codec() && !header->is_control()) {
    Checked<std::vector<std::byte>> recoded = recode(batch, *header, config);
    if (!recoded) return Refusal(std::move(recoded.error()));
    valid.recoded = std::move(*recoded);
    valid.bytes = valid.recoded;
    valid.header = *read_batch_header(valid.bytes);
  }
  settle_timestamps(valid.bytes, valid.header, config, now_ms, walk.max_timestamp_ms());
  return valid;
}

}  // namespace keelson::engine::log
