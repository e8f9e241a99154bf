#include "tests/sim/support/history.h"

#include <algorithm>
#include <charconv>
#include <functional>

#include "engine/logger.h"

namespace keelson::test {

using engine::concat;

namespace {

constexpr std::size_t kViolationsMax = 20;  // the first ones tell

std::string to_text(RecordId id) { return concat(id.producer, ":", id.number); }

}  // namespace

std::string make_value(RecordId id, std::size_t padding_bytes) {
  std::string value = concat(to_text(id), ":");
  std::uint64_t mixed = id.number * 0x9e3779b97f4a7c15 + id.producer + 1;
  while (padding_bytes > 0) {
    // Half of it compresses.
    mixed = (mixed ^ (mixed >> 29)) * 0xbf58476d1ce4e5b9;
    const std::size_t run = std::min<std::size_t>(padding_bytes, 1 + mixed % 8);
    value.append(run, static_cast<char>('a' + (mixed >> 40) % 26));
    padding_bytes -= run;
  }
  return value;
}

std::optional<RecordId> read_value(std::string_view value) {
  RecordId id;
  const char* const end = value.data() + value.size();
  const auto producer = std::from_chars(value.data(), end, id.producer);
  if (producer.ec != std::errc{} || producer.ptr == end || *producer.ptr != ':') return {};
  const auto number = std::from_chars(producer.ptr + 1, end, id.number);
  if (number.ec != std::errc{} || number.ptr == end || *number.ptr != ':') return {};
  return id;
}

void History::violation(std::string text) {
  if (std::ranges::find(violations_, text) != violations_.end()) return;
  if (violations_.size() < kViolationsMax) violations_.push_back(std::move(text));
}

void History::sending(const PartitionName& partition, RecordId id, std::string value,
                      Promise promise) {
  Partition& here = partitions_[partition];
  here.records[id].value_hash = std::hash<std::string>{}(value);
  if (promise == Promise::plain) here.plain_producers.insert(id.producer);
  ++records_sent_;
}

void History::acknowledged(const PartitionName& partition, RecordId id, std::int64_t offset) {
  Partition& here = partitions_[partition];
  Record& record = here.records[id];
  record.acknowledged = true;
  ++records_acknowledged_;
  if (offset < 0) return;
  place(partition, here, offset, id);
  record.offset = offset;
}

void History::forget_idempotence(const PartitionName& partition, std::uint32_t producer) {
  partitions_[partition].plain_producers.insert(producer);
}

void History::sequence_refused(const PartitionName& partition, std::uint32_t producer) {
  violation(concat("H1 ", partition, ": producer ", producer,
                   " is out of sequence: what it was acknowledged is not known any more"));
}

void History::place(const PartitionName& name, Partition& partition, std::int64_t offset,
                    RecordId id) {
  const auto [there, added] = partition.at.emplace(offset, id);
  if (!added && there->second != id) {
    violation(concat("H3 ", name, " offset ", offset, ": was ", to_text(there->second), ", is ",
                     to_text(id)));
  }
  Record& record = partition.records[id];
  const bool once = !partition.plain_producers.contains(id.producer);
  if (once && record.offset >= 0 && record.offset != offset) {
    violation(concat("H2 ", name, ": ", to_text(id), " is at ", record.offset, " and at ", offset));
  }
  if (once) record.offset = offset;
}

History::Floors History::floors(const PartitionName& partition) const {
  const auto found = partitions_.find(partition);
  return found == partitions_.end() ? Floors{} : found->second.floors;
}

void History::told(const PartitionName& partition, Floors before, std::int64_t high_watermark,
                   std::int64_t log_start) {
  told_end(partition, before, high_watermark);
  told_start(partition, before, log_start);
  if (log_start > high_watermark) {
    violation(
        concat(partition, ": log start ", log_start, " above the high watermark ", high_watermark));
  }
}

void History::told_end(const PartitionName& partition, Floors before, std::int64_t high_watermark) {
  if (high_watermark < before.high_watermark) {
    violation(concat("H6 ", partition, ": high watermark went from ", before.high_watermark,
                     " back to ", high_watermark));
  }
  Floors& floors = partitions_[partition].floors;
  floors.high_watermark = std::max(floors.high_watermark, high_watermark);
}

void History::told_start(const PartitionName& partition, Floors before, std::int64_t log_start) {
  Partition& here = partitions_[partition];
  if (log_start < before.log_start) {
    violation(concat("H6 ", partition, ": log start went from ", before.log_start, " back to ",
                     log_start));
  }
  if (!here.retention && log_start > here.deletable_below) {
    violation(concat("H1 ", partition, ": log starts at ", log_start,
                     ", nobody asked for more than ", here.deletable_below));
  }
  here.floors.log_start = std::max(here.floors.log_start, log_start);
}

bool History::check_value(const PartitionName& name, const Partition& partition,
                          const SeenRecord& record, RecordId& id) {
  const auto read = read_value(record.value);
  if (!read) {
    violation(concat("H1 ", name, " offset ", record.offset,
                     ": a value nobody sends: ", record.value.substr(0, 40)));
    return false;
  }
  id = *read;
  const auto sent = partition.records.find(id);
  const bool same = sent != partition.records.end() &&
                    sent->second.value_hash == std::hash<std::string>{}(record.value);
  if (!same) {
    violation(concat("H1 ", name, " offset ", record.offset, ": ", to_text(id),
                     " was never sent there like this"));
  }
  return same;
}

void History::seen(const PartitionName& partition, std::int64_t expected,
                   const SeenRecord& record) {
  Partition& here = partitions_[partition];
  if (record.offset != expected) {
    violation(concat("H5 ", partition, ": a reader got offset ", record.offset, " in place of ",
                     expected));
  }
  RecordId id;
  if (!check_value(partition, here, record, id)) return;
  ++records_seen_;
  place(partition, here, record.offset, id);
}

void History::deleting_below(const PartitionName& partition, std::int64_t offset) {
  std::int64_t& below = partitions_[partition].deletable_below;
  below = std::max(below, offset);
}

void History::retention_on(const PartitionName& partition) {
  partitions_[partition].retention = true;
}

void History::lost_power(const PartitionName& partition) {
  Partition& here = partitions_[partition];
  here.at.clear();
  here.floors = {};
  for (auto& [id, record] : here.records) {
    record.acknowledged = false;
    record.offset = -1;
    here.plain_producers.insert(id.producer);
  }
}

void History::committing(const std::string& group, const PartitionName& partition,
                         std::int64_t offset) {
  commits_[{group, partition}].tried.insert(offset);
}

void History::committed(const std::string& group, const PartitionName& partition,
                        std::int64_t offset) {
  std::int64_t& floor = commits_[{group, partition}].floor;
  floor = std::max(floor, offset);
}

std::int64_t History::committed_floor(const std::string& group,
                                      const PartitionName& partition) const {
  const auto found = commits_.find({group, partition});
  return found == commits_.end() ? -1 : found->second.floor;
}

void History::fetched_commit(const std::string& group, const PartitionName& partition,
                             std::int64_t floor_before, std::int64_t offset) {
  const Commits& here = commits_[{group, partition}];
  if (offset < std::min(floor_before, here.floor)) {
    violation(
        concat("H9 ", group, " ", partition, ": committed ", floor_before, ", fetched ", offset));
  } else if (offset >= 0 && !here.tried.contains(offset)) {
    violation(concat("H9 ", group, " ", partition, ": nobody committed ", offset));
  }
}

void History::forget_commits(const PartitionName& partition) {
  for (auto& [key, commits] : commits_) {
    if (key.second == partition) commits.floor = -1;
  }
}

void History::final_log(const PartitionName& partition, std::int64_t log_start, std::int64_t end,
                        const std::vector<SeenRecord>& records) {
  Partition& here = partitions_[partition];
  std::int64_t expected = log_start;
  std::map<std::uint32_t, std::uint64_t> next_number;
  std::set<RecordId> present;
  for (const SeenRecord& record : records) {
    seen(partition, expected, record);
    expected = record.offset + 1;
    const auto id = read_value(record.value);
    if (!id) continue;
    present.insert(*id);
    if (here.plain_producers.contains(id->producer)) continue;
    const auto [next, first] = next_number.emplace(id->producer, id->number);
    if (!first && id->number < next->second) {
      violation(concat("H4 ", partition, ": ", to_text(*id), " behind number ", next->second - 1));
    }
    next->second = id->number + 1;
  }
  if (expected != end) {
    violation(concat("H5 ", partition, ": read to ", expected, ", the end is ", end));
  }
  if (!here.at.empty() && here.at.rbegin()->first >= end) {
    violation(concat("H1 ", partition, ": offset ", here.at.rbegin()->first,
                     " was told to a client, the log ends at ", end));
  }
  for (const auto& [id, record] : here.records) {
    if (!record.acknowledged || present.contains(id)) continue;
    if (record.offset >= 0 ? record.offset < log_start : log_start > 0) continue;
    violation(concat("H1 ", partition, ": ", to_text(id), " was acknowledged at ", record.offset,
                     " and is gone; the log goes from ", log_start, " to ", end));
  }
}

}  // namespace keelson::test
