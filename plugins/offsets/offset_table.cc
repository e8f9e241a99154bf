#include "plugins/offsets/offset_table.h"

#include <cassert>
#include <utility>

namespace keelson::offsets {
namespace {

constexpr std::size_t kNodeBytes = 48;  // a tree node's links and its share of the allocator

std::size_t bytes_of(const StoredOffset& offset) {
  return kNodeBytes + sizeof(OffsetTable::Entry) + offset.metadata.size();
}

}  // namespace

void OffsetTable::begin_write(const std::string& topic, std::int32_t partition) {
  ++topics_[topic][partition].writes_under_way;
}

void OffsetTable::end_write(const std::string& topic, std::int32_t partition) {
  Entry& entry = topics_.at(topic).at(partition);
  assert(entry.writes_under_way > 0);
  --entry.writes_under_way;
  drop_if_unused(topic, partition);
}

void OffsetTable::apply(const std::string& topic, std::int32_t partition,
                        std::optional<StoredOffset> value) {
  Entry& entry = topics_[topic][partition];
  if (entry.stored) {
    --stored_count_;
    memory_bytes_ -= bytes_of(*entry.stored);
  }
  entry.stored = std::move(value);
  if (entry.stored) {
    ++stored_count_;
    memory_bytes_ += bytes_of(*entry.stored);
  }
  drop_if_unused(topic, partition);
}

void OffsetTable::drop_if_unused(const std::string& topic, std::int32_t partition) {
  const auto partitions = topics_.find(topic);
  const auto entry = partitions->second.find(partition);
  if (entry->second.stored || entry->second.writes_under_way > 0) return;
  partitions->second.erase(entry);
  if (partitions->second.empty()) topics_.erase(partitions);
}

const OffsetTable::Entry* OffsetTable::find_entry(const std::string& topic,
                                                  std::int32_t partition) const {
  const auto partitions = topics_.find(topic);
  if (partitions == topics_.end()) return nullptr;
  const auto entry = partitions->second.find(partition);
  return entry == partitions->second.end() ? nullptr : &entry->second;
}

const StoredOffset* OffsetTable::find(const std::string& topic, std::int32_t partition) const {
  const Entry* const entry = find_entry(topic, partition);
  return entry != nullptr && entry->stored ? &*entry->stored : nullptr;
}

}  // namespace keelson::offsets
