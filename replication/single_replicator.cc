#include "replication/single_replicator.h"

#include <algorithm>
#include <utility>

#include "replication/single_state.h"

namespace keelson::replication {

using engine::Task;
using engine::io::call_on;
using engine::io::Gate;
using engine::io::Shard;
using engine::io::TaskGroup;

SingleReplicator::SingleReplicator(SingleReplicatorParts parts) : parts_(std::move(parts)) {
  for (std::uint32_t i = 0; i < parts_.shards.size(); ++i) {
    states_.push_back(std::make_unique<ShardState>(parts_.shards.at(i)));
  }
  parts_.controller.add_listener(*this);
}

SingleReplicator::~SingleReplicator() = default;

Shard& SingleReplicator::owner_of(const PartitionKey& key) {
  return parts_.shards.at(parts_.store.owner(key));
}

// --- partitions come and go -------------------------------------------------------------------

Task<ApiResult<void>> SingleReplicator::open_partition(PartitionKey key, std::string topic,
                                                       engine::LeaderEpoch epoch,
                                                       engine::log::LogConfig config) {
  Shard& owner = owner_of(key);
  engine::Result<engine::log::Log*> log = co_await parts_.store.open_log(owner, topic, key, config);
  if (!log) {
    co_return refuse(to_api_error(log.error()),
                     engine::concat("cannot open the log of ", topic, "-", key.partition, ": ",
                                    engine::to_string(log.error().code)));
  }
  // Never below what the log has seen: a reader would take its newest records for a fork.
  const engine::LeaderEpoch led = std::max(epoch, (*log)->latest_epoch());
  ShardState& state = state_of(owner.index());
  state.partitions.emplace(key, std::make_unique<Partition>(state.shared, topic, key, **log, led));
  co_return ApiResult<void>{};
}

Task<ApiResult<void>> SingleReplicator::remove_partition(PartitionKey key) {
  Shard& owner = owner_of(key);
  ShardState& state = state_of(owner.index());
  const auto found = state.partitions.find(key);
  if (found != state.partitions.end()) {
    Partition& partition = *found->second;
    Task<void> closed = partition.gate().close();
    partition.log().moved().notify();  // long polls let go of the gate
    co_await closed;
    state.partitions.erase(key);
  }
  // One that never opened may have left a directory.
  const engine::Result<void> removed = co_await parts_.store.remove_log(owner, key);
  if (!removed && removed.error().code != engine::Errc::not_found) {
    co_return refuse(to_api_error(removed.error()));
  }
  state.damaged.erase(key);
  co_return ApiResult<void>{};
}

Task<void> SingleReplicator::configure_partition(PartitionKey key, engine::log::LogConfig config) {
  Partition* const partition = state_of(parts_.store.owner(key)).find(key);
  if (partition != nullptr) partition->log().set_config(config);
  co_return;
}

Task<ApiResult<void>> SingleReplicator::apply(std::shared_ptr<const ClusterView> before,
                                              std::shared_ptr<const ClusterView> after) {
  Shard& home = parts_.shards.at(0);
  const bool defaults_changed = before->broker_defaults != after->broker_defaults ||
                                before->broker_settings != after->broker_settings;
  if (defaults_changed) co_await parts_.store.tune_compaction(parts_.cleaner_config(*after));
  std::vector<ApiResult<void>> opened;
  std::vector<PartitionKey> opened_keys;
  {
    struct Work {
      static Task<void> open(SingleReplicator& self, Shard& home, PartitionKey key,
                             std::string topic, engine::LeaderEpoch epoch,
                             engine::log::LogConfig config, ApiResult<void>& result) {
        const auto work = [&] { return self.open_partition(key, topic, epoch, config); };
        result = co_await call_on(home, self.owner_of(key), work);
      }
      static Task<void> configure(SingleReplicator& self, Shard& home, PartitionKey key,
                                  engine::log::LogConfig config) {
        const auto work = [&] { return self.configure_partition(key, config); };
        co_await call_on(home, self.owner_of(key), work);
      }
    };
    std::size_t total = 0;
    for (const auto& [id, topic] : after->topics_by_id) total += topic->partitions.size();
    opened.reserve(total);  // results are written through references
    opened_keys.reserve(total);
    TaskGroup group(home);
    for (const auto& [id, topic] : after->topics_by_id) {
      const TopicView* const old = before->find(id);
      const std::size_t known = old == nullptr ? 0 : old->partitions.size();
      if (old == topic.get() && !defaults_changed) continue;
      const engine::log::LogConfig config = parts_.log_config(*after, *topic);
      for (std::size_t i = 0; i < topic->partitions.size(); ++i) {
        const PartitionKey key{id, static_cast<std::int32_t>(i)};
        const PartitionView& partition = topic->partitions[i];
        if (partition.leader != parts_.self) continue;
        if (i < known) {
          group.start(Work::configure(*this, home, key, config));
          continue;
        }
        opened.emplace_back();
        opened_keys.push_back(key);
        group.start(Work::open(*this, home, key, topic->name, partition.leader_epoch, config,
                               opened.back()));
      }
    }
    co_await group.wait();
  }
  for (ApiResult<void>& result : opened) {
    // Told to stop while it starts: no log is damaged, and none will be served.
    const bool ended = !result && result.error().code == ApiErrc::not_leader_or_follower;
    if (!started_ && ended) co_return std::move(result);
  }
  if (!started_) co_await set_damaged_apart(opened, opened_keys);
  for (const auto& [id, topic] : before->topics_by_id) {
    // Fewer than before: the way back from a growth that failed.
    const TopicView* const still = after->find(id);
    const std::size_t kept = still == nullptr ? 0 : still->partitions.size();
    for (std::size_t i = kept; i < topic->partitions.size(); ++i) {
      const PartitionKey key{id, static_cast<std::int32_t>(i)};
      const auto work = [this, key] { return remove_partition(key); };
      const ApiResult<void> removed = co_await call_on(home, owner_of(key), work);
      if (!removed) opened.push_back(removed);
    }
  }
  for (ApiResult<void>& result : opened) {
    if (!result) co_return std::move(result);
  }
  co_return ApiResult<void>{};
}

Task<void> SingleReplicator::set_damaged_apart(std::vector<ApiResult<void>>& opened,
                                               const std::vector<PartitionKey>& keys) {
  struct Work {
    static Task<void> note(ShardState& state, PartitionKey key) {
      state.damaged.insert(key);
      co_return;
    }
  };
  Shard& home = parts_.shards.at(0);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (opened[i]) continue;
    home.logger().write(engine::LogLevel::error, "replication",
                        engine::concat(opened[i].error().message,
                                       "; the partition answers KAFKA_STORAGE_ERROR, the others "
                                       "serve: look at it with `keelson log verify`"));
    const std::uint32_t owner = parts_.store.owner(keys[i]);
    const auto work = [this, owner, key = keys[i]] { return Work::note(state_of(owner), key); };
    co_await call_on(home, parts_.shards.at(owner), work);
    opened[i] = {};
  }
}

Task<ApiResult<void>> SingleReplicator::start() {
  started_ = true;
  co_return ApiResult<void>{};
}

Task<void> SingleReplicator::stop() {
  struct Work {
    static Task<void> close(ShardState& state) {
      for (auto& [key, partition] : state.partitions) {
        Task<void> closed = partition->gate().close();
        partition->log().moved().notify();
        co_await closed;
      }
      state.partitions.clear();
    }
    static Task<void> wait_for_requests(ShardState& state) { co_await state.requests.wait(); }
  };
  for (std::uint32_t shard = 0; shard < parts_.shards.size(); ++shard) {
    const auto work = [this, shard] { return Work::close(state_of(shard)); };
    co_await call_on(parts_.shards.at(0), parts_.shards.at(shard), work);
  }
  // Their appends have ended with the partitions; what is left is the way back.
  for (std::uint32_t shard = 0; shard < parts_.shards.size(); ++shard) {
    const auto work = [this, shard] { return Work::wait_for_requests(state_of(shard)); };
    co_await call_on(parts_.shards.at(0), parts_.shards.at(shard), work);
  }
}

// --- one partition ------------------------------------------------------------------------------

template <class R, class F>
Task<ApiResult<R>> SingleReplicator::inside_partition(PartitionKey key, F function) {
  Partition* const partition = state_of(parts_.store.owner(key)).find(key);
  if (partition == nullptr || !partition->gate().enter()) {
    co_return refuse(state_of(parts_.store.owner(key)).reason_missing(key));
  }
  const Gate::Pass pass(partition->gate());
  co_return co_await function(*partition);
}

template <class R, class F>
Task<ApiResult<R>> SingleReplicator::on_partition(Shard& home, PartitionKey key, F function) {
  const auto work = [&] { return inside_partition<R>(key, function); };
  co_return co_await call_on(home, owner_of(key), work);
}

Task<ApiResult<OffsetAnswer>> SingleReplicator::list_offset(Shard& home, PartitionKey key,
                                                            std::int64_t timestamp_ms,
                                                            bool read_committed,
                                                            engine::LeaderEpoch current_epoch) {
  struct Work {
    static Task<ApiResult<OffsetAnswer>> find(Partition& partition, std::int64_t timestamp_ms,
                                              bool read_committed,
                                              engine::LeaderEpoch current_epoch) {
      const ApiErrc fenced = partition.check_epoch(current_epoch);
      if (fenced != ApiErrc::none) co_return refuse(fenced);
      co_return co_await find_offset(partition, timestamp_ms, read_committed);
    }
  };
  const auto work = [=](Partition& partition) {
    return Work::find(partition, timestamp_ms, read_committed, current_epoch);
  };
  co_return co_await on_partition<OffsetAnswer>(home, key, work);
}

Task<ApiResult<engine::log::EpochEnd>> SingleReplicator::epoch_end(
    Shard& home, PartitionKey key, engine::LeaderEpoch epoch, engine::LeaderEpoch current_epoch) {
  struct Work {
    static Task<ApiResult<engine::log::EpochEnd>> find(Partition& partition,
                                                       engine::LeaderEpoch epoch,
                                                       engine::LeaderEpoch current_epoch) {
      const ApiErrc fenced = partition.check_epoch(current_epoch);
      if (fenced != ApiErrc::none) co_return refuse(fenced);
      co_return find_epoch_end(partition, epoch);
    }
  };
  const auto work = [=](Partition& partition) {
    return Work::find(partition, epoch, current_epoch);
  };
  co_return co_await on_partition<engine::log::EpochEnd>(home, key, work);
}

Task<ApiResult<std::int64_t>> SingleReplicator::delete_records(Shard& home, PartitionKey key,
                                                               std::int64_t offset) {
  const auto work = [offset](Partition& partition) {
    return delete_records_before(partition, offset);
  };
  co_return co_await on_partition<std::int64_t>(home, key, work);
}

Task<ApiResult<std::vector<engine::log::Log::ProducerInfo>>> SingleReplicator::producers(
    Shard& home, PartitionKey key) {
  using Producers = std::vector<engine::log::Log::ProducerInfo>;
  struct Work {
    static Task<ApiResult<Producers>> list(Partition& partition) {
      co_return partition.log().producers();
    }
  };
  const auto work = [](Partition& partition) { return Work::list(partition); };
  co_return co_await on_partition<Producers>(home, key, work);
}

Task<ApiResult<FetchAnswer>> SingleReplicator::read(Shard& home, PartitionKey key,
                                                    engine::Offset offset, std::int32_t bytes_max) {
  struct Work {
    static Task<ApiResult<FetchAnswer>> fetch(Partition& partition, FetchPartition wanted) {
      engine::log::ReadLimits limits;
      limits.bytes_max = static_cast<std::uint64_t>(wanted.bytes_max);
      FetchAnswer answer = co_await read_fetched(partition, wanted, false, true, limits);
      if (answer.error != ApiErrc::none) co_return refuse(answer.error);
      co_return std::move(answer);
    }
  };
  FetchPartition wanted;
  wanted.key = key;
  wanted.offset = offset;
  wanted.bytes_max = std::max(0, bytes_max);
  const auto work = [wanted](Partition& partition) { return Work::fetch(partition, wanted); };
  co_return co_await on_partition<FetchAnswer>(home, key, work);
}

Task<std::vector<PartitionSize>> SingleReplicator::sizes(
    Shard& home, std::optional<std::vector<PartitionKey>> keys) {
  struct Work {
    static Task<std::vector<PartitionSize>> list(
        ShardState& state, const std::optional<std::vector<PartitionKey>>& keys) {
      std::vector<PartitionSize> sizes;
      if (keys) {
        for (const PartitionKey& key : *keys) {
          const auto found = state.partitions.find(key);
          if (found == state.partitions.end()) continue;
          sizes.push_back({key, found->second->log().size_bytes()});
        }
      } else {
        for (const auto& [key, partition] : state.partitions) {
          sizes.push_back({key, partition->log().size_bytes()});
        }
      }
      co_return sizes;
    }
  };
  std::vector<PartitionSize> all;
  for (std::uint32_t shard = 0; shard < parts_.shards.size(); ++shard) {
    const auto work = [&, shard] { return Work::list(state_of(shard), keys); };
    std::vector<PartitionSize> some = co_await call_on(home, parts_.shards.at(shard), work);
    all.insert(all.end(), some.begin(), some.end());
  }
  std::sort(all.begin(), all.end(),
            [](const PartitionSize& a, const PartitionSize& b) { return a.key < b.key; });
  co_return all;
}

}  // namespace keelson::replication
