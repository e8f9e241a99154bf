#include "engine/log/transactions.h"

#include <algorithm>

#include "engine/byte_order.h"
#include "engine/log/record_reader.h"

namespace keelson::engine::log {

std::optional<MarkerType> marker_type(Bytes batch) {
  constexpr std::size_t kKeyBytes = 4;  // version i16, type i16
  RecordReader records(batch);
  const Result<std::optional<Record>> marker = records.next();
  if (!marker || !*marker || !(*marker)->key || (*marker)->key->size() < kKeyBytes) {
    return std::nullopt;
  }
  switch (load_big_endian<std::int16_t>((*marker)->key->data() + 2)) {
    case 0: return MarkerType::abort;
    case 1: return MarkerType::commit;
    default: return std::nullopt;
  }
}

void Transactions::assign(const ProducerStates& producers, Offset end) {
  open_.clear();
  starts_.clear();
  std::erase_if(ended_, [&](const Ended& ended) { return ended.last_offset >= end; });
  for (const auto& [id, entry] : producers.entries()) {
    if (!entry.transaction_start) continue;
    open_[id] = *entry.transaction_start;
    starts_.emplace(*entry.transaction_start, id);
  }
}

std::optional<TransactionIndexEntry> Transactions::note(const BatchHeader& header, Bytes batch) {
  if (!header.is_transactional() || !header.has_producer()) return std::nullopt;
  const ProducerId id = header.producer_id;
  const auto open = open_.find(id);
  if (!header.is_control()) {
    // One that compaction emptied is of a transaction that was decided; its marker may be gone.
    if (open == open_.end() && header.record_count > 0) {
      open_.emplace(id, header.base_offset);
      starts_.emplace(header.base_offset, id);
    }
    return std::nullopt;
  }
  const std::optional<MarkerType> type = marker_type(batch);
  // Without records before it a marker ends nothing.
  if (!type || open == open_.end()) return std::nullopt;
  const Offset first_offset = open->second;
  starts_.erase({first_offset, id});
  open_.erase(open);
  end(first_offset, header.last_offset());
  if (*type == MarkerType::commit) return std::nullopt;
  const Offset stable = starts_.empty() ? header.last_offset() + 1 : starts_.begin()->first;
  return TransactionIndexEntry{id, first_offset, header.last_offset(), stable};
}

void Transactions::end(Offset first_offset, Offset last_offset) {
  ended_.push_back({first_offset, last_offset});
  if (ended_.size() <= kEndedMax) return;
  const Ended oldest = ended_.front();
  ended_.pop_front();
  ended_.front().first_offset = std::min(ended_.front().first_offset, oldest.first_offset);
}

std::optional<Offset> Transactions::first_unstable(Offset high_watermark) {
  while (!ended_.empty() && ended_.front().last_offset < high_watermark) ended_.pop_front();
  return first_unstable_at(high_watermark);
}

std::optional<Offset> Transactions::first_unstable_at(Offset high_watermark) const {
  std::optional<Offset> first;
  if (!starts_.empty()) first = starts_.begin()->first;
  for (const Ended& ended : ended_) {
    if (ended.last_offset < high_watermark) continue;
    if (!first || ended.first_offset < *first) first = ended.first_offset;
  }
  return first;
}

bool is_index_of(std::span<const TransactionIndexEntry> file,
                 std::span<const TransactionIndexEntry> found, Offset first_there, bool compacted) {
  auto told = file.begin();
  const auto may_be_extra = [&](const TransactionIndexEntry& entry) {
    return compacted || entry.first_offset < first_there;
  };
  for (const TransactionIndexEntry& entry : found) {
    while (told != file.end() && told->last_offset < entry.last_offset) {
      if (!may_be_extra(*told++)) return false;
    }
    if (told == file.end() || told->last_offset != entry.last_offset) return false;
    if (told->producer_id != entry.producer_id) return false;
    // Found to begin before the log does: of a transaction whose marker compaction took away.
    const auto may_be_too_low = [&](Offset found) { return compacted && found < first_there; };
    if (told->first_offset > entry.first_offset && !may_be_too_low(entry.first_offset)) {
      return false;
    }
    if (told->first_offset < entry.first_offset && !may_be_extra(*told)) return false;
    // A lower one only makes readers look further.
    if (told->last_stable_offset > entry.last_stable_offset &&
        !may_be_too_low(entry.last_stable_offset)) {
      return false;
    }
    ++told;
  }
  return std::all_of(told, file.end(), may_be_extra);
}

std::string encode_transaction_index(std::span<const TransactionIndexEntry> entries) {
  std::string out;
  out.reserve(entries.size() * kTransactionIndexEntryBytes);
  for (const TransactionIndexEntry& entry : entries) append_entry(out, entry);
  return out;
}

}  // namespace keelson::engine::log
