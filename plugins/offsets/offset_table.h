// plugins/offsets/offset_table.h: the committed offsets of one group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "plugins/offsets/group_records.h"

namespace keelson::offsets {

/// What is durable, and which partitions have writes under way: a deletion must cover those too,
/// for they become durable before it.
class OffsetTable {
 public:
  struct Entry {
    std::optional<StoredOffset> stored;
    std::uint32_t writes_under_way = 0;
  };
  using Partitions = std::map<std::int32_t, Entry>;

  /// A write of this offset was queued; each begin has one end, whatever became of the write.
  void begin_write(const std::string& topic, std::int32_t partition);
  void end_write(const std::string& topic, std::int32_t partition);
  /// A record of the log: keeps, replaces or takes away.
  void apply(const std::string& topic, std::int32_t partition, std::optional<StoredOffset> value);

  /// The durable offset, or null.
  const StoredOffset* find(const std::string& topic, std::int32_t partition) const;
  const Entry* find_entry(const std::string& topic, std::int32_t partition) const;
  const std::map<std::string, Partitions>& topics() const { return topics_; }
  /// Neither an offset nor a write of one.
  bool empty() const { return topics_.empty(); }
  std::size_t stored_count() const { return stored_count_; }
  std::size_t memory_bytes() const { return memory_bytes_; }

 private:
  void drop_if_unused(const std::string& topic, std::int32_t partition);

  std::map<std::string, Partitions> topics_;  // no empty partitions, no unused entries
  std::size_t stored_count_ = 0;
  std::size_t memory_bytes_ = 0;
};

}  // namespace keelson::offsets
