// replication/single_replicator.h: `replicator.single`: every partition has one replica, here.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/io/cross_shard.h"
#include "plugins/registry/cluster.h"
#include "plugins/registry/log_store.h"
#include "plugins/registry/replicator.h"
#include "replication/partition.h"

namespace keelson::replication {

struct SingleReplicatorParts {
  engine::io::ShardGroup& shards;
  LogStore& store;
  ClusterController& controller;
  BrokerId self;
  /// A topic's settings as the engine takes them, with the broker's defaults filled in. Any shard.
  std::function<engine::log::LogConfig(const ClusterView&, const TopicView&)> log_config;
  /// The same for the store's own work.
  std::function<engine::log::CleanerConfig(const ClusterView&)> cleaner_config;
};

/// Opens and closes logs as the controller's view changes, and serves them. The high watermark is
/// the log's durable offset: the only replica is the whole in-sync set.
///
/// A log that does not open refuses the change that brings it, except at the start: then its
/// partition alone answers kafka_storage_error, and the others serve.
class SingleReplicator final : public Replicator, public ClusterController::Listener {
 public:
  explicit SingleReplicator(SingleReplicatorParts parts);
  ~SingleReplicator() override;

  engine::Task<ApiResult<void>> apply(std::shared_ptr<const ClusterView> before,
                                      std::shared_ptr<const ClusterView> after) override;
  engine::Task<ApiResult<void>> start() override;
  engine::Task<void> stop() override;

  engine::Task<std::vector<ProduceAnswer>> produce(engine::io::Shard& home,
                                                   ProduceCall call) override;
  engine::Task<std::vector<FetchAnswer>> fetch(engine::io::Shard& home, FetchCall call,
                                               engine::io::Event& cancelled) override;
  engine::Task<ApiResult<OffsetAnswer>> list_offset(engine::io::Shard& home, PartitionKey key,
                                                    std::int64_t timestamp_ms, bool read_committed,
                                                    engine::LeaderEpoch current_epoch) override;
  engine::Task<ApiResult<engine::log::EpochEnd>> epoch_end(
      engine::io::Shard& home, PartitionKey key, engine::LeaderEpoch epoch,
      engine::LeaderEpoch current_epoch) override;
  engine::Task<ApiResult<std::int64_t>> delete_records(engine::io::Shard& home, PartitionKey key,
                                                       std::int64_t offset) override;
  engine::Task<ApiResult<std::vector<engine::log::Log::ProducerInfo>>> producers(
      engine::io::Shard& home, PartitionKey key) override;
  engine::Task<std::vector<PartitionSize>> sizes(
      engine::io::Shard& home, std::optional<std::vector<PartitionKey>> keys) override;
  engine::Task<ApiResult<FetchAnswer>> read(engine::io::Shard& home, PartitionKey key,
                                            engine::Offset offset, std::int32_t bytes_max) override;

 private:
  struct ShardState;   // the partitions of one shard; its thread only
  struct FetchWait;    // a long poll that sleeps on several shards
  struct Share;        // what one shard owns of a call
  struct ProduceWork;  // a produce request whose answer may come before its end

  ShardState& state_of(std::uint32_t shard) { return *states_[shard]; }
  engine::io::Shard& owner_of(const PartitionKey& key);
  template <class PartitionList>
  std::vector<Share> split(const PartitionList& partitions) const;

  static engine::Task<void> append_held(Partition& partition, ProducePartition produced,
                                        const ProduceCall& call, std::int64_t now_ms,
                                        ProduceAnswer& answer);
  engine::Task<void> produce_on(const Share& share, const ProduceCall& call,
                                std::vector<ProduceAnswer>& answers);
  engine::Task<void> run_share(engine::io::Shard& home, std::shared_ptr<ProduceWork> work,
                               std::size_t index);
  engine::Task<bool> fetch_once(engine::io::Shard& home, FetchCall& call,
                                const std::vector<Share>& shares,
                                std::vector<FetchAnswer>& answers);
  std::size_t expect_more(ShardState& state, const Share& share, std::size_t at, std::size_t next,
                          const FetchCall& call, std::int64_t bytes_left);
  engine::Task<void> fetch_on(const Share& share, FetchCall& call,
                              std::vector<FetchAnswer>& answers, std::int64_t& bytes_left,
                              bool& nothing_yet);
  /// `sleeper` is the place of a shard in `wait`.
  engine::Task<void> wait_on(std::size_t sleeper, std::shared_ptr<FetchWait> wait);
  engine::Task<void> wait_from(engine::io::Shard& home, std::size_t sleeper,
                               std::shared_ptr<FetchWait> wait);
  engine::Task<void> cancel_on(engine::io::Shard& home, std::size_t sleeper,
                               std::shared_ptr<FetchWait> wait);

  engine::Task<ApiResult<void>> open_partition(PartitionKey key, std::string topic,
                                               engine::LeaderEpoch epoch,
                                               engine::log::LogConfig config);
  engine::Task<ApiResult<void>> remove_partition(PartitionKey key);
  /// At the start: takes those that did not open out of service and out of `opened`.
  engine::Task<void> set_damaged_apart(std::vector<ApiResult<void>>& opened,
                                       const std::vector<PartitionKey>& keys);
  engine::Task<void> configure_partition(PartitionKey key, engine::log::LogConfig config);

  /// Runs `function(Partition&)`, a Task<ApiResult<R>>, on the owner shard, holding the gate.
  template <class R, class F>
  engine::Task<ApiResult<R>> on_partition(engine::io::Shard& home, PartitionKey key, F function);
  template <class R, class F>
  engine::Task<ApiResult<R>> inside_partition(PartitionKey key, F function);

  SingleReplicatorParts parts_;
  std::vector<std::unique_ptr<ShardState>> states_;
  bool started_ = false;  // shard 0's: from then on a log that cannot be opened refuses the change
};

}  // namespace keelson::replication
