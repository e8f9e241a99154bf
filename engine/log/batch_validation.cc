#include "engine/log/batch_validation.h"

#include <algorithm>
#include <cassert>
#include <limits>
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
  RecordWalk(RecordCursor cursor, const BatchHeader& header, const LogConfig& config,
             std::int64_t now_ms, BatchOrigin origin)
      : cursor_(cursor),
        header_(header),
        must_have_keys_(config.cleanup_compact && origin == BatchOrigin::client),
        checks_time_(config.timestamp_type == TimestampType::create_time && !header.is_control()),
        earliest_ms_(config.timestamp_before_max_ms == kForever
                         ? std::numeric_limits<std::int64_t>::min()
                         : subtract_saturating(now_ms, config.timestamp_before_max_ms)),
        latest_ms_(subtract_saturating(now_ms, -config.timestamp_after_max_ms)) {}

  /// Goes on for about `plain_bytes`; nothing where that is not the end.
  std::optional<Checked<void>> run(std::uint64_t plain_bytes) {
    RecordCursor cursor = cursor_;  // a local of its own is in registers
    cursor.pause_at(plain_bytes > kPlainBytesMax ? plain_bytes : cursor.consumed() + plain_bytes);
    while (index_ < header_.record_count) {
      const RecordCursor::Step step = cursor.next(fields_);
      if (step == RecordCursor::Step::paused) {
        cursor_ = cursor;
        return std::nullopt;
      }
      if (step == RecordCursor::Step::failed) {
        return refuse(Errc::invalid_record, concat("record ", index_, " is ill-formed"));
      }
      if (fields_.offset_delta != index_) {
        return refuse(Errc::invalid_record,
                      concat("record ", index_, " has offset delta ", fields_.offset_delta));
      }
      check_record(fields_, index_);
      if (cursor.consumed() > kPlainBytesMax) {
        return refuse(Errc::message_too_large, "the batch decompresses to more than 4 GiB");
      }
      ++index_;
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

  RecordCursor cursor_;
  RecordFields fields_;  // of a record that was begun, too
  std::int32_t index_ = 0;
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

constexpr std::uint64_t kNoPause = ~std::uint64_t{0};

}  // namespace

/// Of a compressed batch.
class BatchValidation::Walk {
 public:
  Walk(Bytes stored, const BatchHeader& header, const LogConfig& config, std::int64_t now_ms,
       BatchOrigin origin)
      : source_(header.codec(), stored, kClientWindowLog),
        walk_(RecordCursor(source_), header, config, now_ms, origin) {}

  std::optional<Checked<void>> run(std::uint64_t plain_bytes) { return walk_.run(plain_bytes); }
  std::int64_t max_timestamp_ms() const { return walk_.max_timestamp_ms(); }

 private:
  Decompressor source_;
  RecordWalk walk_;
};

/// A copy of `batch` with its records in the log's codec. The records themselves stay as they are.
class BatchValidation::Recoding {
 public:
  Recoding(Bytes batch, const BatchHeader& header, const LogConfig& config)
      : header_(header),
        config_(config),
        bytes_(kBatchHeaderBytes),
        source_(header.codec(), batch.subspan(kBatchHeaderBytes), kClientWindowLog),
        target_(config.codec, config.codec_level, bytes_,
                std::max(std::size_t{config.max_message_bytes}, kBatchHeaderBytes)) {}

  /// Nothing where that is not the end.
  std::optional<Checked<std::vector<std::byte>>> run(std::uint64_t plain_bytes) {
    for (std::uint64_t done = 0; done < plain_bytes;) {
      const Result<Bytes> piece = source_.next();
      if (!piece) return refuse(Errc::invalid_record, "the records do not decompress");
      if (piece->empty()) return finish();
      if (!target_.write(*piece)) return too_large();
      done += piece->size();
    }
    return std::nullopt;
  }

 private:
  Refusal too_large() const {
    return refuse(Errc::message_too_large, concat("re-encoded, the batch is larger than ",
                                                  config_.max_message_bytes, " bytes"));
  }

  Checked<std::vector<std::byte>> finish() {
    if (!target_.finish()) return too_large();
    BatchHeader header = header_;
    header.length = static_cast<std::int32_t>(bytes_.size() - kBatchPrefixBytes);
    header.attributes = static_cast<std::int16_t>((header.attributes & ~kAttributeCodecMask) |
                                                  static_cast<std::int16_t>(config_.codec));
    write_batch_header(bytes_, header);
    return std::move(bytes_);
  }

  const BatchHeader& header_;
  const LogConfig& config_;
  std::vector<std::byte> bytes_;
  Decompressor source_;
  Compressor target_;
};

BatchValidation::BatchValidation(MutableBytes records, const LogConfig& config, std::int64_t now_ms,
                                 BatchOrigin origin)
    : records_(records), config_(config), now_ms_(now_ms), origin_(origin) {}

BatchValidation::~BatchValidation() = default;

bool BatchValidation::step(std::uint64_t plain_bytes) {
  if (!verdict_ && !walk_ && !recoding_ && begin()) return true;
  if (walk_) return walk_on(plain_bytes);
  return recode_on(plain_bytes);
}

Validated BatchValidation::take() {
  assert(verdict_);
  return std::move(*verdict_);
}

/// All but the records, and those too where they are not compressed. True with a verdict.
bool BatchValidation::begin() {
  const auto refused = [&](Refusal refusal) {
    verdict_.emplace(std::move(refusal));
    return true;
  };
  const Checked<std::size_t> size = frame_batch(records_);
  if (!size) return refused(Refusal(size.error()));
  batch_ = records_.first(*size);
  const Result<BatchHeader> header = read_batch_header(batch_);
  if (!header) return refused(refuse(Errc::corrupt_message, "the batch's header is ill-formed"));
  header_ = *header;
  if (header_.base_offset != Offset{0} && origin_ == BatchOrigin::client) {
    return refused(refuse(Errc::invalid_record,
                          concat("base offset ", header_.base_offset.value(), " is not 0")));
  }
  if (batch_.size() > config_.max_message_bytes) {
    return refused(
        refuse(Errc::message_too_large, concat("batch of ", batch_.size(), " bytes, at most ",
                                               config_.max_message_bytes, " are taken")));
  }
  if (!crc_matches(batch_)) {
    return refused(refuse(Errc::corrupt_message, "the batch's CRC is wrong"));
  }
  if (const Checked<void> checked = check_header(header_, origin_); !checked) {
    return refused(Refusal(checked.error()));
  }
  const Bytes stored = Bytes(batch_).subspan(kBatchHeaderBytes);
  if (header_.codec() != Codec::none) {
    walk_ = std::make_unique<Walk>(stored, header_, config_, now_ms_, origin_);
    return false;
  }
  RecordWalk walk(RecordCursor(stored), header_, config_, now_ms_, origin_);
  return walked(*walk.run(kNoPause), walk.max_timestamp_ms());
}

bool BatchValidation::walk_on(std::uint64_t plain_bytes) {
  std::optional<Checked<void>> end = walk_->run(plain_bytes);
  if (!end) return false;
  const std::int64_t max_timestamp_ms = walk_->max_timestamp_ms();
  walk_.reset();
  return walked(std::move(*end), max_timestamp_ms);
}

/// What follows the walk. True with a verdict.
bool BatchValidation::walked(Checked<void> end, std::int64_t max_timestamp_ms) {
  if (!end) {
    verdict_.emplace(Refusal(std::move(end.error())));
    return true;
  }
  max_timestamp_ms_ = max_timestamp_ms;
  if (!config_.keep_producer_codec && config_.codec != header_.codec() && !header_.is_control()) {
    recoding_ = std::make_unique<Recoding>(batch_, header_, config_);
    return false;
  }
  return settle(ValidatedBatch{batch_, {}, header_});
}

bool BatchValidation::recode_on(std::uint64_t plain_bytes) {
  std::optional<Checked<std::vector<std::byte>>> end = recoding_->run(plain_bytes / 4 + 1);
  if (!end) return false;
  recoding_.reset();
  if (!*end) {
    verdict_.emplace(Refusal(std::move(end->error())));
    return true;
  }
  ValidatedBatch valid{{}, std::move(**end), {}};
  valid.bytes = valid.recoded;
  valid.header = *read_batch_header(valid.bytes);
  return settle(std::move(valid));
}

bool BatchValidation::settle(ValidatedBatch valid) {
  settle_timestamps(valid.bytes, valid.header, config_, now_ms_, max_timestamp_ms_);
  verdict_.emplace(std::move(valid));
  return true;
}

Validated validate_batch(MutableBytes records, const LogConfig& config, std::int64_t now_ms,
                         BatchOrigin origin) {
  BatchValidation validation(records, config, now_ms, origin);
  while (!validation.step(kNoPause)) {
  }
  return validation.take();
}

}  // namespace keelson::engine::log
