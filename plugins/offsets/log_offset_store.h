// plugins/offsets/log_offset_store.h: `offset_store.log`: groups and offsets kept in the compacted
// topic `__consumer_offsets`, as Kafka keeps them.
//
// One PartitionCoordinator for each partition of the topic that this broker leads, on the shard
// that owns the partition's log. Which those are follows from the controller's view. Where the
// partition gets a new leader epoch, it gets a new coordinator: the log may have been another's
// meanwhile.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/cross_shard.h"
#include "plugins/offsets/offset_settings.h"
#include "plugins/offsets/partition_coordinator.h"
#include "plugins/registry/cluster.h"
#include "plugins/registry/group_coordinator.h"
#include "plugins/registry/replicator.h"
#include "plugins/registry/settings/broker_settings.h"

namespace keelson::offsets {

/// All outlive the store.
struct LogOffsetStoreParts {
  engine::io::ShardGroup& shards;
  Replicator& replicator;
  ClusterController& controller;
  /// The shard that owns a partition's log. Any thread.
  std::function<std::uint32_t(const PartitionKey&)> owner;
  BrokerId self = kNoBroker;
  OffsetSettings settings;
  const BrokerSettings& fixed;  // beneath what is set for single groups
};

class LogOffsetStore final : public GroupCoordinator, public ClusterController::Listener {
 public:
  /// Listens to the controller from now on, so make it before the controller opens.
  explicit LogOffsetStore(LogOffsetStoreParts parts);
  ~LogOffsetStore() override;

  engine::Task<ApiResult<void>> start() override;
  engine::Task<void> drain(std::int64_t deadline_ns) override;
  engine::Task<void> stop() override;
  engine::Task<ApiResult<void>> apply(std::shared_ptr<const ClusterView> before,
                                      std::shared_ptr<const ClusterView> after) override;

  engine::Task<JoinGroupAnswer> join(engine::io::Shard& home, JoinGroupCall call,
                                     engine::io::Event& cancelled) override;
  engine::Task<SyncGroupAnswer> sync(engine::io::Shard& home, SyncGroupCall call,
                                     engine::io::Event& cancelled) override;
  engine::Task<ApiErrc> heartbeat(engine::io::Shard& home, HeartbeatCall call) override;
  engine::Task<LeaveGroupAnswer> leave(engine::io::Shard& home, LeaveGroupCall call) override;
  engine::Task<CommitOffsetsAnswer> commit_offsets(engine::io::Shard& home,
                                                   CommitOffsetsCall call) override;
  engine::Task<std::vector<FetchedOffsets>> fetch_offsets(engine::io::Shard& home,
                                                          FetchOffsetsCall call) override;
  engine::Task<DeleteOffsetsAnswer> delete_offsets(engine::io::Shard& home,
                                                   DeleteOffsetsCall call) override;
  engine::Task<ConsumerHeartbeatAnswer> consumer_heartbeat(engine::io::Shard& home,
                                                           ConsumerHeartbeatCall call) override;
  engine::Task<std::vector<DescribedConsumerGroup>> describe_consumer_groups(
      engine::io::Shard& home, std::vector<std::string> group_ids) override;
  engine::Task<std::vector<DescribedGroup>> describe_groups(engine::io::Shard& home,
                                                            std::vector<std::string> group_ids,
                                                            bool unknown_is_error) override;
  engine::Task<ListGroupsAnswer> list_groups(engine::io::Shard& home, ListGroupsCall call) override;
  engine::Task<std::vector<DeletedGroup>> delete_groups(
      engine::io::Shard& home, std::vector<std::string> group_ids) override;
  engine::Task<ApiResult<GroupHome>> find(engine::io::Shard& home, std::string group_id) override;
  engine::Task<GroupCounters> counters(engine::io::Shard& home) override;

  /// Looks at the ages of all offsets now, rather than at the next interval. For tools and tests.
  engine::Task<void> expire_offsets(engine::io::Shard& home);

 private:
  /// Where a group is served.
  struct Place {
    PartitionKey key;
    std::uint32_t shard = 0;
  };
  struct Served {
    engine::LeaderEpoch epoch;
    std::unique_ptr<PartitionCoordinator> coordinator;
  };
  using Coordinators = std::map<PartitionKey, Served>;

  std::optional<Place> locate(std::string_view group_id) const;
  PartitionCoordinator* at(const Place& place);
  std::map<PartitionKey, engine::LeaderEpoch> led_partitions(const ClusterView& view,
                                                             std::uint32_t shard) const;
  ConsumerGroupTimes consumer_times(const std::string& group_id) const;
  std::unique_ptr<PartitionCoordinator> make_coordinator(std::uint32_t shard, PartitionKey key);

  /// Runs `work(PartitionCoordinator&)`, a Task<R>, where the group is; `refused` where it is not
  /// here.
  template <class R, class F>
  engine::Task<R> on_group(engine::io::Shard& home, std::string group_id, R refused, F work);
  template <class R, class F>
  engine::Task<R> on_coordinator(Place place, R refused, F& work);
  /// Runs `work(PartitionCoordinator&)`, a Task<void>, for all, shard after shard.
  template <class F>
  engine::Task<void> on_all(engine::io::Shard& home, F work);
  template <class F>
  engine::Task<void> on_all_of(std::uint32_t shard, F& work);

  template <class Answer, class Call>
  engine::Task<Answer> park(engine::io::Shard& home, Call call, Answer refused,
                            engine::io::Event& cancelled);
  template <class Answer, class Call>
  engine::Task<void> run_parked(engine::io::Shard& home, Place place, Call call, Parked& parked,
                                Answer& answer, engine::io::Event& done);

  engine::Task<void> adopt(std::shared_ptr<const ClusterView> view);
  engine::Task<void> adopt_on(std::uint32_t shard, std::shared_ptr<const ClusterView> view);
  engine::Task<void> stop_on(std::uint32_t shard);
  engine::Task<void> spawn_forget(std::uint32_t shard, std::shared_ptr<const GoneTopics> gone);
  engine::Task<void> fetch_group(engine::io::Shard& home, FetchOffsetsCall::Group group,
                                 bool require_stable, FetchedOffsets& answer);
  engine::Task<void> delete_one(engine::io::Shard& home, DeletedGroup& answer);
  engine::Task<ApiResult<void>> create_topic(engine::io::Shard& home);

  LogOffsetStoreParts parts_;
  std::vector<Coordinators> coordinators_;  // by shard; touched on that shard only
  // Shard 0 only.
  bool started_ = false;
  bool stopped_ = false;
  std::atomic<bool> told_of_creation_{false};  // that __consumer_offsets cannot be created
};

}  // namespace keelson::offsets
