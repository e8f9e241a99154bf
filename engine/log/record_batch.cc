#include "engine/log/record_batch.h"

#include <cassert>

#include "engine/byte_order.h"
#include "engine/crc32c.h"

namespace keelson::engine::log {
namespace {

constexpr std::size_t kLengthAt = 8;
constexpr std::size_t kLeaderEpochAt = 12;
constexpr std::size_t kMagicAt = 16;
constexpr std::size_t kCrcAt = 17;
constexpr std::size_t kAttributesAt = 21;
constexpr std::size_t kLastOffsetDeltaAt = 23;
constexpr std::size_t kBaseTimestampAt = 27;
constexpr std::size_t kMaxTimestampAt = 35;
constexpr std::size_t kProducerIdAt = 43;
constexpr std::size_t kProducerEpochAt = 51;
constexpr std::size_t kBaseSequenceAt = 53;
constexpr std::size_t kRecordCountAt = 57;
static_assert(kRecordCountAt + 4 == kBatchHeaderBytes);
static_assert(kAttributesAt == kCrcStart);

}  // namespace

std::int32_t BatchHeader::last_sequence() const {
  if (base_sequence == kNoSequence) return kNoSequence;
  // Unsigned, so that hostile fields wrap instead of overflowing.
  const std::uint32_t last =
      static_cast<std::uint32_t>(base_sequence) + static_cast<std::uint32_t>(last_offset_delta);
  return static_cast<std::int32_t>(last & 0x7fff'ffffu);
}

Result<BatchHeader> read_batch_header(Bytes bytes) {
  if (bytes.size() < kBatchHeaderBytes) return fail(Errc::corrupt);
  const std::byte* at = bytes.data();
  BatchHeader header;
  header.base_offset = Offset{load_big_endian<std::int64_t>(at)};
  header.length = load_big_endian<std::int32_t>(at + kLengthAt);
  header.leader_epoch = LeaderEpoch{load_big_endian<std::int32_t>(at + kLeaderEpochAt)};
  header.magic = load_big_endian<std::int8_t>(at + kMagicAt);
  header.crc = load_big_endian<std::uint32_t>(at + kCrcAt);
  header.attributes = load_big_endian<std::int16_t>(at + kAttributesAt);
  header.last_offset_delta = load_big_endian<std::int32_t>(at + kLastOffsetDeltaAt);
  header.base_timestamp = load_big_endian<std::int64_t>(at + kBaseTimestampAt);
  header.max_timestamp = load_big_endian<std::int64_t>(at + kMaxTimestampAt);
  header.producer_id = ProducerId{load_big_endian<std::int64_t>(at + kProducerIdAt)};
  header.producer_epoch = ProducerEpoch{load_big_endian<std::int16_t>(at + kProducerEpochAt)};
  header.base_sequence = load_big_endian<std::int32_t>(at + kBaseSequenceAt);
  header.record_count = load_big_endian<std::int32_t>(at + kRecordCountAt);

  constexpr auto kLengthMin = static_cast<std::int32_t>(kBatchHeaderBytes - kBatchPrefixBytes);
  if (header.magic != kMagic || header.length < kLengthMin) return fail(Errc::corrupt);
  return header;
}

bool crc_matches(Bytes batch) {
  assert(batch.size() >= kBatchHeaderBytes);
  return load_big_endian<std::uint32_t>(batch.data() + kCrcAt) == crc32c(batch.subspan(kCrcStart));
}

void stamp_batch(MutableBytes batch, Offset base_offset, LeaderEpoch epoch) {
  assert(batch.size() >= kBatchHeaderBytes);
  store_big_endian(batch.data(), base_offset.value());
  store_big_endian(batch.data() + kLeaderEpochAt, epoch.value());
}

void stamp_log_append_time(MutableBytes batch, std::int64_t now_ms) {
  assert(batch.size() >= kBatchHeaderBytes);
  const auto attributes = load_big_endian<std::int16_t>(batch.data() + kAttributesAt);
  store_big_endian(batch.data() + kAttributesAt,
                   static_cast<std::int16_t>(attributes | kAttributeLogAppendTime));
  store_big_endian(batch.data() + kMaxTimestampAt, now_ms);
  store_big_endian(batch.data() + kCrcAt, crc32c(batch.subspan(kCrcStart)));
}

void write_batch_header(MutableBytes batch, const BatchHeader& header) {
  assert(batch.size() == header.size_bytes());
  std::byte* at = batch.data();
  store_big_endian(at, header.base_offset.value());
  store_big_endian(at + kLengthAt, header.length);
  store_big_endian(at + kLeaderEpochAt, header.leader_epoch.value());
  store_big_endian(at + kMagicAt, header.magic);
  store_big_endian(at + kAttributesAt, header.attributes);
  store_big_endian(at + kLastOffsetDeltaAt, header.last_offset_delta);
  store_big_endian(at + kBaseTimestampAt, header.base_timestamp);
  store_big_endian(at + kMaxTimestampAt, header.max_timestamp);
  store_big_endian(at + kProducerIdAt, header.producer_id.value());
  store_big_endian(at + kProducerEpochAt, header.producer_epoch.value());
  store_big_endian(at + kBaseSequenceAt, header.base_sequence);
  store_big_endian(at + kRecordCountAt, header.record_count);
  store_big_endian(at + kCrcAt, crc32c(batch.subspan(kCrcStart)));
}

}  // namespace keelson::engine::log
