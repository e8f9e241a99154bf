// engine/log/index_format.h: the entries of Kafka's index files.
//
//   .index, 8 bytes             .timeindex, 12 bytes          .txnindex, 34 bytes
//   0 4 relative offset         0 8 timestamp, ms             0  2 version, 0
//   4 4 position, bytes         8 4 relative offset           2  8 producer id
//                                                            10  8 first offset
//   relative: to the segment's base offset                   18  8 last offset, of the marker
//                                                            26  8 last stable offset then
// Big-endian, entries back to back. While a segment takes appends, Kafka keeps .index and
// .timeindex at their full size with zeros behind the entries; after a crash they stay so, and
// the parsers call that corrupt: derived files are rebuilt.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/types.h"

namespace keelson::engine::log {

inline constexpr std::size_t kOffsetIndexEntryBytes = 8;
inline constexpr std::size_t kTimeIndexEntryBytes = 12;
inline constexpr std::size_t kTransactionIndexEntryBytes = 34;

/// The last offset of a batch and where that batch begins. The first batch never has an entry.
struct OffsetIndexEntry {
  std::uint32_t relative_offset = 0;  // below 2^31
  std::uint32_t position_bytes = 0;   // below 2^31
  friend bool operator==(const OffsetIndexEntry&, const OffsetIndexEntry&) = default;
};

/// The largest timestamp up to a point, and the last offset of the batch that has it.
struct TimeIndexEntry {
  std::int64_t timestamp_ms = kNoTimestamp;
  std::uint32_t relative_offset = 0;  // below 2^31
  friend bool operator==(const TimeIndexEntry&, const TimeIndexEntry&) = default;
};

/// An aborted transaction; its marker lies in the segment.
struct TransactionIndexEntry {
  ProducerId producer_id = kNoProducerId;
  Offset first_offset;
  Offset last_offset;         // of the marker
  Offset last_stable_offset;  // once the marker was written
  friend bool operator==(const TransactionIndexEntry&, const TransactionIndexEntry&) = default;
};

void append_entry(std::string& out, const OffsetIndexEntry& entry);
void append_entry(std::string& out, const TimeIndexEntry& entry);
void append_entry(std::string& out, const TransactionIndexEntry& entry);

/// All entries of a file. Errors: corrupt: a cut entry, a value out of its range, or an order that
/// no writer makes (offsets and positions grow strictly; timestamps too, their offsets never fall).
[[nodiscard]] Result<std::vector<OffsetIndexEntry>> parse_offset_index(Bytes file);
[[nodiscard]] Result<std::vector<TimeIndexEntry>> parse_time_index(Bytes file);
[[nodiscard]] Result<std::vector<TransactionIndexEntry>> parse_transaction_index(Bytes file);

}  // namespace keelson::engine::log
