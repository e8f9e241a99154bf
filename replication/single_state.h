// replication/single_state.h: what SingleReplicator keeps per shard. Private to this folder.
#pragma once

#include <memory>
#include <unordered_map>

#include "replication/partition.h"
#include "replication/single_replicator.h"

namespace keelson::replication {

struct SingleReplicator::ShardState {
  std::unordered_map<PartitionKey, std::unique_ptr<Partition>> partitions;

  /// A partition that may be worked on now, or null. Enter its gate before the first await.
  Partition* find(const PartitionKey& key) const {
    const auto found = partitions.find(key);
    if (found == partitions.end() || found->second->gate().closing()) return nullptr;
    return found->second.get();
  }
};

template <class PartitionList>
std::vector<SingleReplicator::Indexes> SingleReplicator::split(
    const PartitionList& partitions) const {
  std::vector<Indexes> by_shard(parts_.shards.size());
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    by_shard[parts_.store.owner(partitions[i].key)].push_back(i);
  }
  return by_shard;
}

}  // namespace keelson::replication
