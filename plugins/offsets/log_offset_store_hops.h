// plugins/offsets/log_offset_store_hops.h: how work gets to the coordinators of a LogOffsetStore.
// Private to this folder.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "plugins/offsets/log_offset_store.h"

namespace keelson::offsets {

template <class R, class F>
engine::Task<R> LogOffsetStore::on_coordinator(Place place, R refused, F& work) {
  PartitionCoordinator* const coordinator = at(place);
  if (coordinator == nullptr) co_return refused;
  engine::Task<R> task = work(*coordinator);
  co_return co_await task;
}

template <class R, class F>
engine::Task<R> LogOffsetStore::on_group(engine::io::Shard& home, std::string group_id, R refused,
                                         F work) {
  const std::optional<Place> place = locate(group_id);
  if (!place) co_return refused;
  const auto there = [this, &place, &refused, &work] {
    return on_coordinator<R>(*place, refused, work);
  };
  co_return co_await engine::io::call_on(home, parts_.shards.at(place->shard), there);
}

template <class F>
engine::Task<void> LogOffsetStore::on_all_of(std::uint32_t shard, F& work) {
  std::vector<PartitionKey> keys;
  for (const auto& [key, served] : coordinators_[shard]) keys.push_back(key);
  for (const PartitionKey& key : keys) {
    PartitionCoordinator* const coordinator = at({key, shard});
    if (coordinator == nullptr) continue;  // left meanwhile
    engine::Task<void> task = work(*coordinator);
    co_await task;
  }
}

template <class F>
engine::Task<void> LogOffsetStore::on_all(engine::io::Shard& home, F work) {
  for (std::uint32_t shard = 0; shard < parts_.shards.size(); ++shard) {
    const auto there = [this, shard, &work] { return on_all_of(shard, work); };
    co_await engine::io::call_on(home, parts_.shards.at(shard), there);
  }
}

}  // namespace keelson::offsets
