#include "engine/log/compaction_transactions.h"

#include "engine/log/transactions.h"

namespace keelson::engine::log {

void CompactionTransactions::add_aborted(std::span<const TransactionIndexEntry> entries) {
  for (const TransactionIndexEntry& entry : entries) coming_.push(entry);
}

void CompactionTransactions::begin_up_to(Offset offset) {
  while (!coming_.empty() && coming_.top().first_offset <= offset) {
    const TransactionIndexEntry entry = coming_.top();
    coming_.pop();
    aborted_.try_emplace(entry.producer_id, Aborted{entry});
  }
}

bool CompactionTransactions::note_data(const BatchHeader& header) {
  begin_up_to(header.last_offset());
  if (!header.is_transactional()) return false;
  const auto aborted = aborted_.find(header.producer_id);
  // One that is listed twice may have ended already.
  if (aborted != aborted_.end() && aborted->second.entry.last_offset < header.base_offset) {
    aborted_.erase(aborted);
  } else if (aborted != aborted_.end()) {
    aborted->second.has_batches = true;
    return true;
  }
  committed_.insert(header.producer_id);
  return false;
}

bool CompactionTransactions::note_control(const BatchHeader& header, Bytes batch) {
  begin_up_to(header.last_offset());
  ended_.reset();
  if (header.record_count == 0) return true;  // emptied before
  const std::optional<MarkerType> type = marker_type(batch);
  if (!type) return false;
  const ProducerId id = header.producer_id;
  if (*type == MarkerType::commit) return committed_.erase(id) == 0;
  const auto aborted = aborted_.find(id);
  if (aborted == aborted_.end()) return true;
  const bool has_batches = aborted->second.has_batches;
  ended_ = aborted->second.entry;
  aborted_.erase(aborted);
  return !has_batches;
}

void CompactionTransactions::keep_marker() {
  if (ended_) index_.push_back(*ended_);
  ended_.reset();
}

}  // namespace keelson::engine::log
