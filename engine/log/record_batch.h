// engine/log/record_batch.h: the unit of append, checksum and replication (Kafka magic 2).
//
//   off size field                 off size field
//     0  8   base offset            35  8   max timestamp, ms
//     8  4   length after this      43  8   producer id, -1 none
//    12  4   leader epoch           51  2   producer epoch, -1 none
//    16  1   magic, 2               53  4   base sequence, -1 none
//    17  4   CRC-32C of 21..end     57  4   record count
//    21  2   attributes             61  …   records; one compressed stream if a codec is set
//    23  4   last offset delta
//    27  8   base timestamp, ms
// Big-endian. The CRC covers neither base offset, length, leader epoch nor magic.
#pragma once

#include <cstdint>

#include "engine/error.h"
#include "engine/types.h"

namespace keelson::engine::log {

inline constexpr std::size_t kBatchHeaderBytes = 61;
inline constexpr std::size_t kBatchPrefixBytes =
    12;  // base offset and length; length counts the rest
inline constexpr std::size_t kCrcStart = 21;
inline constexpr std::int8_t kMagic = 2;

enum class Codec : std::uint8_t { none = 0, gzip = 1, snappy = 2, lz4 = 3, zstd = 4 };
enum class TimestampType : std::uint8_t { create_time = 0, log_append_time = 1 };

inline constexpr std::int16_t kAttributeCodecMask = 0x07;
inline constexpr std::int16_t kAttributeLogAppendTime = 0x08;
inline constexpr std::int16_t kAttributeTransactional = 0x10;
inline constexpr std::int16_t kAttributeControl = 0x20;
inline constexpr std::int16_t kAttributeDeleteHorizon = 0x40;

/// The header of a batch, read and not yet believed.
struct BatchHeader {
  Offset base_offset;
  std::int32_t length = 0;
  LeaderEpoch leader_epoch;
  std::int8_t magic = 0;
  std::uint32_t crc = 0;
  std::int16_t attributes = 0;
  std::int32_t last_offset_delta = 0;
  std::int64_t base_timestamp = 0;
  std::int64_t max_timestamp = 0;
  ProducerId producer_id;
  ProducerEpoch producer_epoch;
  std::int32_t base_sequence = 0;
  std::int32_t record_count = 0;

  std::size_t size_bytes() const {
    return kBatchPrefixBytes + static_cast<std::size_t>(static_cast<std::uint32_t>(length));
  }
  Offset last_offset() const { return base_offset + last_offset_delta; }
  Offset next_offset() const { return base_offset + last_offset_delta + 1; }
  std::uint8_t codec_id() const { return attributes & kAttributeCodecMask; }
  Codec codec() const { return static_cast<Codec>(codec_id()); }  // after validation only
  bool is_log_append_time() const { return attributes & kAttributeLogAppendTime; }
  bool is_transactional() const { return attributes & kAttributeTransactional; }
  bool is_control() const { return attributes & kAttributeControl; }
  bool has_producer() const { return producer_id != kNoProducerId; }
  /// An emptied batch keeps the time of records that are gone: no record is found by it.
  std::int64_t records_timestamp_max() const { return record_count > 0 ? max_timestamp : -1; }
  /// Last sequence number; wraps from 2^31-1 to 0.
  std::int32_t last_sequence() const;
};

/// Reads the header at the start of `bytes`. Errors: corrupt where fewer than 61 bytes are there,
/// magic is not 2, or the length is below a header's or negative. Checks nothing else.
[[nodiscard]] Result<BatchHeader> read_batch_header(Bytes bytes);

/// Whether the CRC stored in `batch` (whole, at least a header) is that of its bytes.
[[nodiscard]] bool crc_matches(Bytes batch);

/// Stamps what the leader assigns. The CRC does not cover these fields and stays valid.
void stamp_batch(MutableBytes batch, Offset base_offset, LeaderEpoch epoch);

/// Makes the batch one of log-append time: type bit, max timestamp, new CRC.
void stamp_log_append_time(MutableBytes batch, std::int64_t now_ms);

/// Writes `header` in front of the records that stand in `batch` from byte 61 on, with the CRC
/// they make; `header.crc` is not looked at. `batch` is header.size_bytes() long.
void write_batch_header(MutableBytes batch, const BatchHeader& header);

}  // namespace keelson::engine::log
