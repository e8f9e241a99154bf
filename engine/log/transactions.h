// engine/log/transactions.h: which transactions of a log are open, and what a marker ends.
//
// A transaction of a log begins with the first transactional batch of its producer and ends with
// that producer's next marker, a control batch. Its records are below the last stable offset only
// once the marker is below the high watermark (source: Kafka ProducerStateManager).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "engine/log/index_format.h"
#include "engine/log/producer_state.h"
#include "engine/log/record_batch.h"
#include "engine/types.h"

namespace keelson::engine::log {

/// A marker's type; nothing where `batch`, whole, is no marker that ends a transaction.
enum class MarkerType : std::int16_t { abort = 0, commit = 1 };
std::optional<MarkerType> marker_type(Bytes batch);

/// Follows the batches of a log in the order of their offsets. One thread.
class Transactions {
 public:
  /// Takes the open ones from what is known of the producers as of `end`.
  void assign(const ProducerStates& producers, Offset end);

  /// Notes a batch of the log; only transactional ones matter. For markers, `batch` is whole.
  /// The entry for the transaction index where it aborts a transaction with records.
  std::optional<TransactionIndexEntry> note(const BatchHeader& header, Bytes batch);

  /// The first offset of the oldest transaction that is open, or whose marker is not below
  /// `high_watermark`. Ended ones below it are forgotten: it never goes back.
  std::optional<Offset> first_unstable(Offset high_watermark);

  /// The same, and nothing is forgotten.
  std::optional<Offset> first_unstable_at(Offset high_watermark) const;

  const std::map<ProducerId, Offset>& open() const { return open_; }

 private:
  struct Ended {
    Offset first_offset;
    Offset last_offset;  // of the marker
  };
  /// Beyond this many the two oldest count as one, which keeps the answer on the safe side.
  static constexpr std::size_t kEndedMax = 1024;

  void end(Offset first_offset, Offset last_offset);

  std::map<ProducerId, Offset> open_;
  std::set<std::pair<Offset, ProducerId>> starts_;  // the same, by offset
  std::deque<Ended> ended_;                         // by marker; maybe not below the watermark yet
};

/// Whether `file` is a transaction index of the segment whose batches say `found`. What lies below
/// `first_there` is gone from the log, and a compacted log keeps entries whose records are gone:
/// there the file may know more than the batches.
bool is_index_of(std::span<const TransactionIndexEntry> file,
                 std::span<const TransactionIndexEntry> found, Offset first_there, bool compacted);

std::string encode_transaction_index(std::span<const TransactionIndexEntry> entries);

}  // namespace keelson::engine::log
