// plugins/registry/cluster.h: kind `controller`: topics, their settings, brokers and leaders, kept
// in a coordinator; and the view of them that every shard reads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/io/shard.h"
#include "engine/task.h"
#include "engine/types.h"
#include "engine/uuid.h"
#include "plugins/registry/plugin.h"

namespace keelson {

using BrokerId = std::int32_t;
inline constexpr BrokerId kNoBroker = -1;

/// Names a partition for ever: a topic made again has another id.
struct PartitionKey {
  engine::Uuid topic_id;
  std::int32_t partition = 0;

  friend auto operator<=>(const PartitionKey&, const PartitionKey&) = default;
};

struct PartitionView {
  BrokerId leader = kNoBroker;
  engine::LeaderEpoch leader_epoch;
  std::int32_t partition_epoch = 0;
  std::vector<BrokerId> replicas;
  std::vector<BrokerId> in_sync_replicas;
};

/// A topic's own settings: Kafka's names, values as text. Validated before they get here.
using Settings = std::map<std::string, std::string>;

struct TopicView {
  std::string name;
  engine::Uuid id;
  bool internal = false;
  std::vector<PartitionView> partitions;  // by number
  Settings settings;                      // set on the topic itself only
};

struct BrokerEndpoint {
  std::string listener;  // "PLAINTEXT"
  std::string host;
  std::uint16_t port = 0;
};

struct BrokerView {
  BrokerId id = kNoBroker;
  std::vector<BrokerEndpoint> endpoints;
  std::string rack;  // empty: none
};

/// One consistent state of the cluster. Immutable; shared by every shard.
struct ClusterView {
  std::uint64_t version = 0;
  std::string cluster_id;
  BrokerId controller = kNoBroker;
  std::vector<BrokerView> brokers;  // by id
  Settings broker_defaults;         // dynamic settings of the cluster's brokers together
  std::map<BrokerId, Settings> broker_settings;  // and of single ones
  std::map<std::string, Settings> group_settings;
  std::map<std::string, std::shared_ptr<const TopicView>, std::less<>> topics;
  std::unordered_map<engine::Uuid, std::shared_ptr<const TopicView>> topics_by_id;

  const TopicView* find(std::string_view name) const {
    const auto found = topics.find(name);
    return found == topics.end() ? nullptr : found->second.get();
  }
  const TopicView* find(const engine::Uuid& id) const {
    const auto found = topics_by_id.find(id);
    return found == topics_by_id.end() ? nullptr : found->second.get();
  }
};

struct NewTopic {
  std::string name;
  std::int32_t partition_count = 1;               // -1: the broker's num.partitions
  std::int16_t replication_factor = 1;            // -1: the broker's default.replication.factor
  std::vector<std::vector<BrokerId>> assignment;  // by partition; empty: the controller chooses
  Settings settings;
  std::optional<engine::Uuid> id;  // adopted topics bring theirs
  bool internal = false;           // may use a reserved name
};

/// What a change of settings does to one name.
enum class SettingOp : std::uint8_t { set = 0, remove = 1, append = 2, subtract = 3 };
struct SettingChange {
  std::string name;
  SettingOp op = SettingOp::set;
  std::optional<std::string> value;  // nothing: null was sent
};
enum class ConfigResource : std::uint8_t { topic = 2, broker = 4, group = 32 };

class ClusterController : public Plugin {
 public:
  static constexpr const char* kKind = "controller";

  /// The newest state in effect here. Any thread; cheap.
  virtual std::shared_ptr<const ClusterView> view() const = 0;

  /// Told of each new state before it is shown by view() and before the change is answered: a topic
  /// that a client has seen can be written. Runs on shard 0; a failure refuses the change.
  class Listener {
   public:
    virtual ~Listener() = default;
    [[nodiscard]] virtual engine::Task<ApiResult<void>> apply(
        std::shared_ptr<const ClusterView> before, std::shared_ptr<const ClusterView> after) = 0;
  };
  /// Before open(). The listener outlives the controller's last change.
  virtual void add_listener(Listener& listener) = 0;

  /// This broker's own entry, once its listeners are bound. Shard 0.
  [[nodiscard]] virtual engine::Task<ApiResult<void>> register_broker(BrokerView self) = 0;

  // Administration. Any shard: the work hops to shard 0 and back to `home`. An answer comes when
  // the change is durable and in effect.

  /// With `validate_only` everything is checked and nothing done. Errors: topic_already_exists,
  /// invalid_topic_exception, invalid_partitions, invalid_replication_factor,
  /// invalid_replica_assignment, invalid_config, policy_violation, kafka_storage_error.
  [[nodiscard]] virtual engine::Task<ApiResult<std::shared_ptr<const TopicView>>> create_topic(
      engine::io::Shard& home, NewTopic topic, bool validate_only) = 0;
  /// Errors: unknown_topic_or_partition, topic_deletion_disabled.
  [[nodiscard]] virtual engine::Task<ApiResult<void>> delete_topic(engine::io::Shard& home,
                                                                   engine::Uuid id) = 0;
  /// Raises the number of partitions to `count`. Errors: unknown_topic_or_partition,
  /// invalid_partitions, invalid_replica_assignment.
  [[nodiscard]] virtual engine::Task<ApiResult<void>> create_partitions(
      engine::io::Shard& home, std::string topic, std::int32_t count,
      std::optional<std::vector<std::vector<BrokerId>>> assignment, bool validate_only) = 0;
  /// All changes of one resource or none. Errors: invalid_config, invalid_request,
  /// unknown_topic_or_partition.
  [[nodiscard]] virtual engine::Task<ApiResult<void>> alter_settings(
      engine::io::Shard& home, ConfigResource resource, std::string name,
      std::vector<SettingChange> changes, bool replace_all, bool validate_only) = 0;
  /// A producer id that was never given before and never will be again.
  [[nodiscard]] virtual engine::Task<ApiResult<engine::ProducerId>> next_producer_id(
      engine::io::Shard& home) = 0;
};

}  // namespace keelson

template <>
struct std::hash<keelson::PartitionKey> {
  std::size_t operator()(const keelson::PartitionKey& key) const noexcept {
    return std::hash<keelson::engine::Uuid>{}(key.topic_id) * 31 +
           static_cast<std::size_t>(key.partition);
  }
};
