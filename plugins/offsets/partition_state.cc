// plugins/offsets/partition_state.cc: what a partition's groups come to, for statistics and checks.
#include <xxhash.h>

#include <cassert>

#include "plugins/offsets/partition_group.h"

namespace keelson::offsets {

std::uint64_t hash_of(const GroupRecord& record) {
  const std::optional<EncodedRecord> encoded = encode(record);
  assert(encoded && encoded->value);  // it was in the log
  const std::uint64_t key = XXH3_64bits(encoded->key.data(), encoded->key.size());
  return XXH3_64bits_withSeed(encoded->value->data(), encoded->value->size(), key);
}

void PartitionCoordinator::count(GroupCounters& counters) const {
  for (const auto& [id, group] : groups_) {
    counters.groups += is_visible(*group) ? 1 : 0;
    counters.members += group->classic.member_count();
    counters.offsets += group->offsets.stored_count();
    counters.memory_bytes += sizeof(Group) + id.size() + group->classic.memory_bytes() +
                             group->offsets.memory_bytes() +
                             group->timers.size() * sizeof(Group::DueTimer);
    counters.rebalances += group->classic.rebalances();
    if (group->consumer) {
      counters.members += group->consumer->members().size();
      counters.memory_bytes += group->consumer->memory_bytes();
      counters.rebalances += group->consumer->rebalances();
    }
    counters.parked_joins += group->classic.parked_joins();
    counters.parked_syncs += group->classic.parked_syncs();
  }
  counters.rebalances += past_rebalances_;
  counters.offset_commits += offset_commits_;
  counters.offset_expirations += offset_expirations_;
  if (!log_) return;
  counters.appends += log_->appends();
  counters.failed_appends += log_->failed_appends();
}

std::uint64_t PartitionCoordinator::state_hash() const {
  std::uint64_t sum = 0;
  for (const auto& [id, group] : groups_) {
    sum += group->record_hash;
    if (group->consumer) {
      for (const GroupRecord& record : group->consumer->records()) sum += hash_of(record);
    }
    for (const auto& [topic, partitions] : group->offsets.topics()) {
      for (const auto& [partition, entry] : partitions) {
        if (entry.stored) sum += hash_of(OffsetRecord{id, topic, partition, entry.stored});
      }
    }
  }
  return sum;
}

void PartitionCoordinator::check_invariants() const {
  for (const auto& [id, group] : groups_) {
    group->classic.check_invariants();
    if (group->consumer) group->consumer->check_invariants();
    // Whoever is in the group has a timer that will end it, or waits for one that will.
    for (const auto& [name, timer] : group->timers) assert(timer.armed());
  }
}

}  // namespace keelson::offsets
