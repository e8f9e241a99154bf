// engine/log/aborted_index.h: the aborted transactions whose marker lies in one segment: what is
// known of its .txnindex, and the entries that are not in that file yet.
//
// Kafka takes a missing file for "none aborted", which would show readers aborted records. So the
// manifest has the count and checksum of every sealed segment's entries, and the file is compared
// with them before it is first used.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "engine/crc32c.h"
#include "engine/log/index_format.h"
#include "engine/log/transactions.h"
#include "engine/types.h"

namespace keelson::engine::log {

struct AbortedIndex {
  std::uint32_t in_file = 0;  // entries in the file
  std::uint32_t crc = 0;      // CRC-32C of them, as in the file
  bool checked = true;        // the file was seen to have them since the log was opened
  bool synced = true;         // and they are on stable storage
  std::vector<TransactionIndexEntry> pending;  // those behind them; few
  // Of all; looked for in the file only where a read lies between. Not known before `checked`.
  Offset first_offset{std::numeric_limits<std::int64_t>::max()};
  Offset last_offset{-1};

  std::size_t count() const { return in_file + pending.size(); }
  std::uint32_t whole_crc() const {
    const std::string rest = encode_transaction_index(pending);
    return crc32c(std::as_bytes(std::span(rest)), crc);
  }
  void add(const TransactionIndexEntry& entry) {
    pending.push_back(entry);
    note_bounds(entry);
  }
  void note_bounds(const TransactionIndexEntry& entry) {
    first_offset = std::min(first_offset, entry.first_offset);
    last_offset = std::max(last_offset, entry.last_offset);
  }
};

}  // namespace keelson::engine::log
