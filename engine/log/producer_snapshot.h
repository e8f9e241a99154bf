// engine/log/producer_snapshot.h: `<20 digits>.snapshot`, the producers a log knew at an offset.
//
//   off size field                     per producer, 46 bytes
//    0   2   version, 1                 0  8  producer id
//    2   4   CRC-32C of what follows    8  2  producer epoch
//    6   4   count of producers        10  4  last sequence, -1 none
//   10   …   producers                 14  8  last offset, -1 none
//                                      22  4  offset delta: last offset less first, of that batch
//                                      26  8  timestamp, ms
//                                      34  4  coordinator epoch, -1 none
//                                      38  8  first offset of the open transaction, -1 none
// Big-endian. The last batch of each producer only (source: Kafka ProducerStateManager). The CRC
// reaches to the end of the file, so over our producer_history.h behind the entries, too.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/log/record_batch.h"
#include "engine/types.h"

namespace keelson::engine::log {

/// What the bytes behind the entries begin with, where there are any.
inline constexpr std::string_view kProducerHistoryMagic = "KEELSONP";

/// Up to the end of the entries.
constexpr std::size_t producer_snapshot_bytes(std::size_t producers) { return 10 + producers * 46; }

struct ProducerSnapshotEntry {
  ProducerId producer_id = kNoProducerId;
  ProducerEpoch producer_epoch = kNoProducerEpoch;
  std::int32_t last_sequence = kNoSequence;
  Offset last_offset{-1};
  std::int32_t offset_delta = 0;
  std::int64_t timestamp_ms = kNoTimestamp;
  std::int32_t coordinator_epoch = -1;
  Offset transaction_start{-1};
  friend bool operator==(const ProducerSnapshotEntry&, const ProducerSnapshotEntry&) = default;
};

std::string encode_producer_snapshot(std::span<const ProducerSnapshotEntry> producers);
/// Puts the CRC in its place. `file` holds a header at least.
void stamp_producer_snapshot(MutableBytes file);

/// The entries; a history behind them is left to read_producer_history().
///
/// Errors: corrupt: another version, wrong CRC, a count that is not that of the bytes, or an entry
/// that contradicts itself. Kafka drops such a snapshot and replays the log from an older one.
[[nodiscard]] Result<std::vector<ProducerSnapshotEntry>> parse_producer_snapshot(Bytes file);

}  // namespace keelson::engine::log
