// coordination/controller/controller_standard.h: topics, settings and brokers over any coordinator.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordination/controller/cluster_state.h"
#include "engine/io/cross_shard.h"
#include "engine/io/shard.h"
#include "engine/io/sync.h"
#include "plugins/registry/cluster.h"
#include "plugins/registry/coordinator.h"
#include "plugins/registry/log_store.h"
#include "plugins/registry/settings/broker_settings.h"

namespace keelson::coordination {

/// Of one transaction: every coordinator takes that many.
inline constexpr std::size_t kWritesPerCommitMax = 120;

struct ControllerOptions {
  BrokerId broker_id = 1;
  std::string root = "/keelson";
  std::int32_t default_partition_count = 1;          // num.partitions
  std::int16_t default_replication_factor = 1;       // default.replication.factor
  bool delete_topic_enable = true;                   // delete.topic.enable
  std::int32_t partitions_per_request_max = 10'000;  // source: Kafka, ReplicationControlManager
  std::int64_t partitions_total_max = 200'000;
  /// No producer id below it is given: above those that adopted logs know.
  std::int64_t first_producer_id = 0;
};

/// The controller of a cluster, and the only writer of its keys while it holds controller/leader.
///
/// A change: checked, committed with compares of every version it was decided on, applied by the
/// listeners, shown by view(), answered. Where a listener fails a creation, the change is undone by
/// a second commit, the listeners are told the way back, and the error is answered. A deletion is
/// shown first; then the listeners remove; then the coordinator forgets. One change at a time.
///
/// A conflict or an unknown outcome reads everything again and decides again; what turns out to
/// have been written is applied and answered as a success.
class ControllerStandard final : public ClusterController {
 public:
  /// All outlive the controller and are open when open() is called.
  struct Parts {
    engine::io::Shard& shard;  // shard 0
    engine::io::ShardGroup& group;
    Coordinator& coordinator;
    LogStore& log_store;
    const BrokerSettings& settings;
  };
  ControllerStandard(Parts parts, ControllerOptions options);
  ~ControllerStandard() override;

  /// Takes leadership, loads, finishes interrupted deletions, opens what is there through the
  /// listeners. A log on disk of an unknown topic is reported and left. A partition whose log is
  /// gone is reported and shown without a leader: never an empty log in place of a full one.
  [[nodiscard]] engine::Task<ApiResult<void>> open() override;
  engine::Task<void> drain(std::int64_t deadline_ns) override;
  engine::Task<void> stop() override;

  std::shared_ptr<const ClusterView> view() const override {
    return view_.load(std::memory_order_acquire);
  }
  void add_listener(Listener& listener) override { listeners_.push_back(&listener); }

  [[nodiscard]] engine::Task<ApiResult<void>> register_broker(BrokerView self) override;
  [[nodiscard]] engine::Task<ApiResult<std::shared_ptr<const TopicView>>> create_topic(
      engine::io::Shard& home, NewTopic topic, bool validate_only) override;
  [[nodiscard]] engine::Task<ApiResult<void>> delete_topic(engine::io::Shard& home,
                                                           engine::Uuid id) override;
  [[nodiscard]] engine::Task<ApiResult<void>> create_partitions(
      engine::io::Shard& home, std::string topic, std::int32_t count,
      std::optional<std::vector<std::vector<BrokerId>>> assignment, bool validate_only) override;
  [[nodiscard]] engine::Task<ApiResult<void>> alter_settings(
      engine::io::Shard& home, ConfigResource resource, std::string name,
      std::vector<SettingChange> changes, bool replace_all, bool validate_only) override;
  [[nodiscard]] engine::Task<ApiResult<engine::ProducerId>> next_producer_id(
      engine::io::Shard& home) override;

  /// Logs on disk that no topic claims: reported and left. After open().
  const std::vector<StoredLog>& unclaimed_logs() const { return unclaimed_logs_; }

 private:
  enum class Step : std::uint8_t {
    done,     // written
    refused,  // a compare failed: nothing was written; state_ was read again
    unknown,  // perhaps written; state_ was read again and tells
  };
  struct Written {
    Step step = Step::done;
    KeyVersion version = 0;  // where done
  };
  using StepResult = ApiResult<Written>;
  using TopicPointer = std::shared_ptr<const TopicView>;

  // The work of the public methods: on shard 0, holding turn_.
  engine::Task<ApiResult<void>> open_here();
  engine::Task<ApiResult<void>> register_here(BrokerView self);
  engine::Task<ApiResult<TopicPointer>> create_here(NewTopic topic, bool validate_only);
  engine::Task<ApiResult<void>> delete_here(engine::Uuid id);
  engine::Task<ApiResult<void>> grow_here(
      std::string name, std::int32_t count,
      std::optional<std::vector<std::vector<BrokerId>>> assignment, bool validate_only);
  engine::Task<ApiResult<void>> alter_here(ConfigResource resource, std::string name,
                                           std::vector<SettingChange> changes, bool replace_all,
                                           bool validate_only);
  engine::Task<ApiResult<engine::ProducerId>> producer_id_here();

  // controller_open.cc
  engine::Task<ApiResult<void>> read_all();
  engine::Task<ApiResult<void>> take_leadership();
  engine::Task<ApiResult<void>> finish_deletions(std::map<engine::Uuid, std::string> deleted);
  engine::Task<engine::Result<void>> remove_stored(PartitionKey key);
  /// `deleted`: topics whose logs may still be among those that were found.
  void compare_with_disk(const std::map<engine::Uuid, std::string>& deleted);

  // controller_adopt.cc
  class AdoptionPlan;
  /// What another broker left in the log store, once, and again where it has served since.
  engine::Task<ApiResult<void>> take_over_adopted();
  AdoptionPlan plan_adoption(const AdoptedMetadata& found, std::int64_t known_position);
  engine::Task<engine::Result<void>> write_adopted(AdoptionPlan plan);
  void plan_adopted_topics(const AdoptedMetadata& found, std::int64_t known_position,
                           AdoptionPlan& plan);
  void plan_adopted_settings(const AdoptedMetadata& found, std::int64_t known_position,
                             AdoptionPlan& plan);
  TopicPointer merge_adopted(const AdoptedMetadata::Topic& topic, std::int64_t known_position);
  bool has_stored_log(const engine::Uuid& topic_id) const;
  void drop_unstored(TopicPointer topic, AdoptionPlan& plan);
  void put_topic(TopicPointer topic, AdoptionPlan& plan);

  // controller_commit.cc
  /// Before a change is decided on: state_ is what the coordinator holds, and so is view(), save
  /// for what the listeners refuse.
  engine::Task<ApiResult<void>> ready();
  engine::Task<StepResult> commit(std::vector<Compare> compares, std::vector<KeyWrite> writes);
  /// Reads everything, and checks that this process still leads.
  engine::Task<ApiResult<void>> read_again();
  engine::Task<ApiResult<void>> tell_listeners(std::shared_ptr<const ClusterView> before,
                                               std::shared_ptr<const ClusterView> after);
  engine::Task<ApiResult<void>> apply_and_show(std::shared_ptr<const ClusterView> next);
  std::shared_ptr<ClusterView> next_view() const;
  std::shared_ptr<const ClusterView> whole_view() const;
  void show(std::shared_ptr<const ClusterView> next);
  /// What clients see of `topic`: partitions whose log is lost have no leader.
  TopicPointer shown(TopicPointer topic) const;

  // controller_topics.cc
  ApiResult<std::vector<PartitionView>> place(const std::vector<std::vector<BrokerId>>& assignment,
                                              std::int32_t count,
                                              std::size_t replication_factor) const;
  ApiResult<std::shared_ptr<TopicView>> plan_topic(const NewTopic& topic,
                                                   const engine::Uuid& id) const;
  ApiResult<std::shared_ptr<TopicView>> plan_growth(
      const TopicView& topic, std::int32_t count,
      const std::optional<std::vector<std::vector<BrokerId>>>& assignment) const;
  /// Writes `topic` with its partitions from `first` on. The topic's own key goes last, so that a
  /// crash between two transactions leaves partitions of a topic that is not there.
  engine::Task<StepResult> write_topic(TopicPointer topic, std::int32_t first);
  engine::Task<ApiResult<TopicPointer>> bring_up(TopicPointer topic);
  engine::Task<StepResult> write_deletion(TopicPointer topic);
  engine::Task<void> withdraw(TopicPointer topic);
  engine::Task<void> forget(TopicPointer topic);
  std::shared_ptr<const ClusterView> view_with(TopicPointer topic) const;
  std::shared_ptr<const ClusterView> view_without(const TopicView& topic) const;
  engine::Uuid new_id();

  // controller_settings.cc
  struct SettingsPlace {
    std::string key;
    SettingsEntry entry;
  };
  ApiResult<SettingsPlace> find_settings(ConfigResource resource, const std::string& name) const;
  void keep_settings(ConfigResource resource, const std::string& name, SettingsEntry entry);
  engine::Task<ApiResult<void>> alter_topic(std::string name, std::vector<SettingChange> changes,
                                            bool replace_all, bool validate_only);

  bool knows_broker(BrokerId id) const;
  void log(engine::LogLevel level, std::string_view line) const;

  const Parts parts_;
  const ControllerOptions options_;
  Keys keys_{{}, {}};         // from open() on: the log store knows the cluster's id then
  engine::Uuid incarnation_;  // of this process: tells our writes from another's
  std::vector<Listener*> listeners_;
  engine::io::Semaphore turn_;  // one change at a time, in the order of arrival
  engine::io::Gate gate_;

  ClusterState state_;
  bool stale_ = true;         // state_ may not be what the coordinator holds
  bool view_behind_ = false;  // state_ was read again since view() was made
  std::atomic<std::shared_ptr<const ClusterView>> view_;
  std::vector<StoredLog> unclaimed_logs_;
  std::vector<PartitionKey> lost_logs_;  // shown without a leader
  std::vector<engine::Uuid> created_;    // creating/{id} to be removed with the next change
  std::int64_t producer_id_next_ = 0;    // of the block at hand
  std::int64_t producer_id_end_ = 0;
};

}  // namespace keelson::coordination
