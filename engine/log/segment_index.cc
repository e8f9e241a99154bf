#include "engine/log/segment_index.h"

#include <algorithm>

#include "engine/byte_order.h"

namespace keelson::engine::log {
namespace {

template <class T>
void put(std::string& out, T value) {
  std::byte bytes[sizeof(T)];
  store_big_endian(bytes, value);
  out.append(reinterpret_cast<const char*>(bytes), sizeof bytes);
}

}  // namespace

void SegmentIndex::add(const IndexedBatch& batch) {
  if (batch_count_ == 0 || batch.max_timestamp_ms > max_timestamp_ms_) {
    max_timestamp_ms_ = batch.max_timestamp_ms;
    max_timestamp_offset_ = batch.last_offset;
  }
  if (bytes_since_entry_ > interval_bytes_) {
    entries_.push_back({static_cast<std::uint32_t>(batch.last_offset - base_offset_),
                        static_cast<std::uint32_t>(batch.position_bytes), batch_count_});
    add_time();
    bytes_since_entry_ = 0;
  }
  bytes_since_entry_ += batch.size_bytes;
  ++batch_count_;
}

void SegmentIndex::add_time() {
  if (max_timestamp_ms_ < 0) return;
  if (!times_.empty() && times_.back().timestamp_ms >= max_timestamp_ms_) return;
  times_.push_back(
      {max_timestamp_ms_, static_cast<std::uint32_t>(max_timestamp_offset_ - base_offset_)});
}

void SegmentIndex::finish_times() {
  if (batch_count_ > 0) add_time();
}

SegmentIndex::Entry SegmentIndex::floor(Offset offset) const {
  const auto after = std::ranges::upper_bound(
      entries_, offset - base_offset_, {},
      [](const Entry& entry) -> std::int64_t { return entry.relative_offset; });
  return after == entries_.begin() ? Entry{} : *std::prev(after);
}

SegmentIndex::Entry SegmentIndex::floor_time(std::int64_t timestamp_ms) const {
  const auto after = std::ranges::upper_bound(times_, timestamp_ms, {}, &TimeEntry::timestamp_ms);
  if (after == times_.begin()) return Entry{};
  return floor(base_offset_ + std::prev(after)->relative_offset);
}

std::string SegmentIndex::encode_offsets() const {
  std::string out;
  out.reserve(entries_.size() * 8);
  for (const Entry& entry : entries_) {
    put(out, entry.relative_offset);
    put(out, entry.position_bytes);
  }
  return out;
}

std::string SegmentIndex::encode_times() const {
  std::string out;
  out.reserve(times_.size() * 12);
  for (const TimeEntry& entry : times_) {
    put(out, entry.timestamp_ms);
    put(out, entry.relative_offset);
  }
  return out;
}

}  // namespace keelson::engine::log
