// engine/log/compaction_transactions.h: what compaction must know of transactions to drop the
// records of aborted ones, and a marker once nothing is left for it to end (source: Kafka
// CleanedTransactionMetadata).
#pragma once

#include <map>
#include <optional>
#include <queue>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "engine/log/index_format.h"
#include "engine/log/record_batch.h"
#include "engine/types.h"

namespace keelson::engine::log {

/// Told of the batches of a log in the order of their offsets.
class CompactionTransactions {
 public:
  /// Aborted transactions that overlap what is to come. One may be added twice.
  void add_aborted(std::span<const TransactionIndexEntry> entries);

  /// A batch of records: true where its transaction was aborted, so that they can go.
  bool note_data(const BatchHeader& header);
  /// A control batch, whole: true where it ends nothing that is left, so that it can go once its
  /// time has come.
  bool note_control(const BatchHeader& header, Bytes batch);
  /// The marker that was noted last stays for now. Then so does its entry, also where nothing is
  /// left for it to end: whoever reads the log from a producer snapshot on counts it.
  void keep_marker();

  /// The entries of aborted transactions whose marker stays, since the last call; in the order of
  /// the markers.
  std::vector<TransactionIndexEntry> take_index() { return std::exchange(index_, {}); }

 private:
  struct Aborted {
    TransactionIndexEntry entry;
    bool has_batches = false;  // some were seen, be they emptied
  };
  struct StartsLater {
    bool operator()(const TransactionIndexEntry& left, const TransactionIndexEntry& right) const {
      return left.first_offset > right.first_offset;
    }
  };

  void begin_up_to(Offset offset);
  std::priority_queue<TransactionIndexEntry, std::vector<TransactionIndexEntry>, StartsLater>
      coming_;
  std::map<ProducerId, Aborted> aborted_;       // begun, marker not seen
  std::set<ProducerId> committed_;              // with batches, marker not seen
  std::optional<TransactionIndexEntry> ended_;  // by the marker noted last, an abort
  std::vector<TransactionIndexEntry> index_;
};

}  // namespace keelson::engine::log
