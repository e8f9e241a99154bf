#include "engine/log/index_format.h"

#include <limits>

#include "engine/byte_order.h"
#include "engine/log/append_big_endian.h"

namespace keelson::engine::log {
namespace {

constexpr std::uint32_t kInt32Max = std::numeric_limits<std::int32_t>::max();
constexpr std::int16_t kTransactionIndexVersion = 0;

// What `read(at)` makes of each entry, if `follows(entry, previous or null)` holds for all.
template <class Entry, class Read, class Follows>
Result<std::vector<Entry>> parse_entries(Bytes file, std::size_t entry_bytes, Read read,
                                         Follows follows) {
  if (file.size() % entry_bytes != 0) return fail(Errc::corrupt);
  std::vector<Entry> entries;
  for (std::size_t at = 0; at < file.size(); at += entry_bytes) {
    const Entry entry = read(file.data() + at);
    if (!follows(entry, entries.empty() ? nullptr : &entries.back())) return fail(Errc::corrupt);
    entries.push_back(entry);
  }
  return entries;
}

}  // namespace

void append_entry(std::string& out, const OffsetIndexEntry& entry) {
  append_big_endian(out, entry.relative_offset);
  append_big_endian(out, entry.position_bytes);
}

void append_entry(std::string& out, const TimeIndexEntry& entry) {
  append_big_endian(out, entry.timestamp_ms);
  append_big_endian(out, entry.relative_offset);
}

void append_entry(std::string& out, const TransactionIndexEntry& entry) {
  append_big_endian(out, kTransactionIndexVersion);
  append_big_endian(out, entry.producer_id.value());
  append_big_endian(out, entry.first_offset.value());
  append_big_endian(out, entry.last_offset.value());
  append_big_endian(out, entry.last_stable_offset.value());
}

Result<std::vector<OffsetIndexEntry>> parse_offset_index(Bytes file) {
  return parse_entries<OffsetIndexEntry>(
      file, kOffsetIndexEntryBytes,
      [](const std::byte* at) {
        return OffsetIndexEntry{load_big_endian<std::uint32_t>(at),
                                load_big_endian<std::uint32_t>(at + 4)};
      },
      [](const OffsetIndexEntry& entry, const OffsetIndexEntry* previous) {
        const OffsetIndexEntry before = previous ? *previous : OffsetIndexEntry{};
        return entry.relative_offset > before.relative_offset &&
               entry.position_bytes > before.position_bytes && entry.relative_offset <= kInt32Max &&
               entry.position_bytes <= kInt32Max;
      });
}

Result<std::vector<TimeIndexEntry>> parse_time_index(Bytes file) {
  return parse_entries<TimeIndexEntry>(
      file, kTimeIndexEntryBytes,
      [](const std::byte* at) {
        return TimeIndexEntry{load_big_endian<std::int64_t>(at),
                              load_big_endian<std::uint32_t>(at + 8)};
      },
      [](const TimeIndexEntry& entry, const TimeIndexEntry* previous) {
        const TimeIndexEntry before = previous ? *previous : TimeIndexEntry{};
        return entry.timestamp_ms > before.timestamp_ms &&
               entry.relative_offset >= before.relative_offset &&
               entry.relative_offset <= kInt32Max;
      });
}

Result<std::vector<TransactionIndexEntry>> parse_transaction_index(Bytes file) {
  for (std::size_t at = 0; at + 2 <= file.size(); at += kTransactionIndexEntryBytes) {
    const auto version = load_big_endian<std::int16_t>(file.data() + at);
    if (version != kTransactionIndexVersion) return fail(Errc::corrupt);
  }
  return parse_entries<TransactionIndexEntry>(
      file, kTransactionIndexEntryBytes,
      [](const std::byte* at) {
        return TransactionIndexEntry{ProducerId{load_big_endian<std::int64_t>(at + 2)},
                                     Offset{load_big_endian<std::int64_t>(at + 10)},
                                     Offset{load_big_endian<std::int64_t>(at + 18)},
                                     Offset{load_big_endian<std::int64_t>(at + 26)}};
      },
      [](const TransactionIndexEntry& entry, const TransactionIndexEntry* previous) {
        return entry.producer_id.value() >= 0 && entry.first_offset >= Offset{0} &&
               entry.first_offset <= entry.last_offset && entry.last_stable_offset >= Offset{0} &&
               (previous == nullptr || entry.last_offset > previous->last_offset);
      });
}

}  // namespace keelson::engine::log
