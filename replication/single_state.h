// replication/single_state.h: what SingleReplicator keeps per shard. Private to this folder.
#pragma once

#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "replication/partition.h"
#include "replication/single_replicator.h"

namespace keelson::replication {

struct SingleReplicator::ShardState {
  explicit ShardState(engine::io::Shard& shard) : shared(shard), requests(shard) {}

  PartitionShard shared;
  std::unordered_map<PartitionKey, std::unique_ptr<Partition>> partitions;
  std::unordered_set<PartitionKey> damaged;  // whose log did not open at the start
  engine::io::TaskGroup requests;  // produce requests from here that may outlive their answer
  std::size_t late_requests = 0;   // of those: answered, not ended

  /// What a request for a partition that find() does not have is told.
  ApiErrc reason_missing(const PartitionKey& key) const {
    return damaged.contains(key) ? ApiErrc::kafka_storage_error
                                 : ApiErrc::unknown_topic_or_partition;
  }

  /// A partition that may be worked on now, or null. Enter its gate before the first await.
  Partition* find(const PartitionKey& key) const {
    const auto found = partitions.find(key);
    if (found == partitions.end() || found->second->gate().closing()) return nullptr;
    return found->second.get();
  }
};

/// The partitions of a call that one shard owns, as positions in the call. Most calls concern one
/// shard only, and then nothing is listed.
struct SingleReplicator::Share {
  std::uint32_t shard = 0;
  std::size_t count = 0;
  std::vector<std::size_t> listed;  // empty: the first `count`, which are all
  bool ended = false;  // of a produce: its appends have; known where the call came from

  std::size_t operator[](std::size_t i) const { return listed.empty() ? i : listed[i]; }
};

template <class PartitionList>
std::vector<SingleReplicator::Share> SingleReplicator::split(
    const PartitionList& partitions) const {
  std::vector<Share> shares;
  if (partitions.empty()) return shares;
  const std::uint32_t first = parts_.store.owner(partitions.front().key);
  std::size_t same = 1;
  while (same < partitions.size() && parts_.store.owner(partitions[same].key) == first) ++same;
  if (same == partitions.size()) {
    shares.push_back({first, same, {}});
    return shares;
  }
  std::vector<Share> by_shard(parts_.shards.size());
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    by_shard[parts_.store.owner(partitions[i].key)].listed.push_back(i);
  }
  for (std::uint32_t shard = 0; shard < by_shard.size(); ++shard) {
    if (by_shard[shard].listed.empty()) continue;
    const std::size_t count = by_shard[shard].listed.size();
    shares.push_back({shard, count, std::move(by_shard[shard].listed)});
  }
  return shares;
}

}  // namespace keelson::replication
