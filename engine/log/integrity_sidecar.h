// engine/log/integrity_sidecar.h: what Kafka's CRC does not cover: an entry for every batch of a
// segment, in a file beside it (%020d.integrity), 32 bytes each, in the order of the batches.
//
//   off size field
//     0  4   position of the batch in the segment; bit 31: it begins a leader epoch
//     4  4   its size, bytes; bit 31: it has a producer id
//     8  4   its last offset, less the segment's base; bit 31: damaged, nothing matches it
//    12  8   its max timestamp, ms
//    20  4   durable up to: the segment's bytes below this are on stable storage. With durable
//            appends that holds the batch itself; bit 31: the batch is transactional
//    24  4   CRC-32C of the batch's header (61 bytes; holds the CRC of what follows it)
//    28  4   chain: CRC-32C of bytes 0..28 that goes on from the chain value before; the first goes
//            on from integrity_seed(), which binds topic id, partition and segment
// Big-endian. Written behind the log, never before its bytes; not synced until the segment is
// sealed. A crash leaves a prefix, possibly with a garbled end: what does not chain is not there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/log/log.h"
#include "engine/log/record_batch.h"
#include "engine/types.h"

namespace keelson::engine::log {

inline constexpr std::size_t kIntegrityEntryBytes = 32;

struct IntegrityEntry {
  std::uint32_t position_bytes = 0;  // below 2^31, as is the size
  std::uint32_t size_bytes = 0;
  bool begins_epoch = false;   // recovery reads these headers for the epochs,
  bool damaged = false;        // recovery found no batch here: withheld
  bool has_producer = false;   // and these for the producers; no others
  bool transactional = false;  // read to make a transaction index again
  std::uint32_t relative_last_offset = 0;
  std::int64_t max_timestamp_ms = kNoTimestamp;
  std::uint32_t durable_upto_bytes = 0;
  std::uint32_t header_crc = 0;
  std::uint32_t chain = 0;

  std::uint64_t end_bytes() const { return std::uint64_t{position_bytes} + size_bytes; }
  friend bool operator==(const IntegrityEntry&, const IntegrityEntry&) = default;
};

/// The chain value before the first entry of a segment.
std::uint32_t integrity_seed(const LogIdentity& identity, Offset base_offset);

/// CRC-32C of the batch's header. `batch` holds at least that.
std::uint32_t integrity_crc(Bytes batch);

/// The entry of `batch`, not chained yet.
IntegrityEntry make_integrity_entry(Bytes batch, const BatchHeader& header, Offset segment_base,
                                    std::uint64_t position_bytes, bool begins_epoch);

/// Fills in what is known once the batch is written, and returns its chain value.
std::uint32_t chain_integrity_entry(IntegrityEntry& entry, std::uint64_t durable_upto_bytes,
                                    std::uint32_t previous_chain);

void append_integrity_entry(std::string& out, const IntegrityEntry& entry);

/// The entry at the start of `bytes` (at least 32); nothing where it does not chain to
/// `previous_chain` or contradicts itself.
std::optional<IntegrityEntry> read_integrity_entry(Bytes bytes, std::uint32_t previous_chain);

}  // namespace keelson::engine::log
