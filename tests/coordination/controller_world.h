// tests/coordination/controller_world.h: a controller on a memory coordinator, and its neighbours.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coordination/controller/controller_standard.h"
#include "coordination/memory/coordinator_memory.h"
#include "tests/coordination/ram_disk.h"

namespace keelson::test {

/// A log store that knows which logs there are, and nothing of what is in them.
class ListedLogs final : public LogStore {
 public:
  std::uint32_t owner(const PartitionKey&) const override { return 0; }
  const std::vector<StoredLog>& stored() const override { return stored_; }
  const std::string& cluster_id() const override { return cluster_id_; }
  engine::Task<engine::Result<engine::log::Log*>> open_log(engine::io::Shard&, std::string,
                                                           PartitionKey,
                                                           engine::log::LogConfig) override {
    co_return engine::fail(engine::Errc::unsupported);
  }
  engine::Task<engine::Result<void>> remove_log(engine::io::Shard&, PartitionKey key) override {
    co_return logs.erase(key) == 1 ? engine::Result<void>{} : engine::fail(engine::Errc::not_found);
  }
  engine::Task<engine::Result<LogDirInfo>> dir_info() override { co_return LogDirInfo{}; }
  engine::Task<engine::Result<std::optional<AdoptedMetadata>>> read_adopted(
      std::int64_t known_position) override {
    if (adopted && adopted->end_position > known_position) co_return adopted;
    co_return std::optional<AdoptedMetadata>{};
  }

  /// What a restart finds.
  void scan() {
    stored_.clear();
    for (const auto& [key, topic] : logs) stored_.push_back({topic, key});
  }

  std::map<PartitionKey, std::string> logs;
  std::optional<AdoptedMetadata> adopted;  // left by another broker

 private:
  std::vector<StoredLog> stored_;
  const std::string cluster_id_ = "test-cluster-id-000000";
};

/// As a replicator: makes and removes logs, and checks that it is told one state after the other.
class LogMaker final : public ClusterController::Listener {
 public:
  explicit LogMaker(ListedLogs& store) : store_(store) {}

  engine::Task<ApiResult<void>> apply(std::shared_ptr<const ClusterView> before,
                                      std::shared_ptr<const ClusterView> after) override {
    ++calls;
    for (const auto& [id, topic] : after->topics_by_id) {
      const TopicView* const old = before->find(id);
      if (old == topic.get()) continue;
      for (std::size_t p = old == nullptr ? 0 : old->partitions.size();
           p < topic->partitions.size(); ++p) {
        if (topic->partitions[p].leader == kNoBroker) continue;
        if (topic->name == refused) {
          co_return refuse(ApiErrc::kafka_storage_error, "no room for logs");
        }
        store_.logs[{id, static_cast<std::int32_t>(p)}] = topic->name;
      }
    }
    for (const auto& [id, topic] : before->topics_by_id) {
      if (after->topics_by_id.contains(id)) continue;
      if (refuse_removal) co_return refuse(ApiErrc::kafka_storage_error, "busy");
      for (std::size_t p = 0; p < topic->partitions.size(); ++p) {
        store_.logs.erase({id, static_cast<std::int32_t>(p)});
      }
    }
    co_return ApiResult<void>{};
  }

  int calls = 0;
  std::string refused;  // a topic whose logs cannot be made
  bool refuse_removal = false;

 private:
  ListedLogs& store_;
};

struct ControllerWorld {
  explicit ControllerWorld(std::uint64_t seed = 1, coordination::Hostility how = {})
      : ram(seed), hostility(how) {
    group.add(ram.shard);
  }
  ~ControllerWorld() {
    if (controller != nullptr) stop();
  }

  /// Open, whatever it answers. A start under hostility may be refused: then try again.
  ApiResult<void> start() {
    logs.scan();
    coordinator = std::make_unique<coordination::CoordinatorMemory>(ram.shard, store, hostility);
    controller = std::make_unique<coordination::ControllerStandard>(
        coordination::ControllerStandard::Parts{ram.shard, group, *coordinator, logs, settings},
        options);
    controller->add_listener(maker);
    return ram.run(controller->open());
  }
  void stop() {
    ram.run(controller->stop());
    controller.reset();
    ram.run(coordinator->stop());
  }
  /// The process is gone; the store ends its lease; what the disk has stays.
  void crash() {
    controller.reset();
    ram.run(coordinator->stop());
  }

  ApiResult<std::shared_ptr<const TopicView>> create(NewTopic topic, bool validate_only = false) {
    return ram.run(controller->create_topic(ram.shard, std::move(topic), validate_only));
  }
  ApiResult<void> remove(engine::Uuid id) {
    return ram.run(controller->delete_topic(ram.shard, id));
  }
  ApiResult<void> grow(std::string topic, std::int32_t count) {
    return ram.run(controller->create_partitions(ram.shard, std::move(topic), count, {}, false));
  }
  ApiResult<void> alter(ConfigResource resource, std::string name,
                        std::vector<SettingChange> changes, bool replace_all = false) {
    return ram.run(controller->alter_settings(ram.shard, resource, std::move(name),
                                              std::move(changes), replace_all, false));
  }
  ApiResult<engine::ProducerId> producer_id() {
    return ram.run(controller->next_producer_id(ram.shard));
  }
  const TopicView* find(std::string_view name) { return controller->view()->find(name); }

  RamShard ram;
  engine::io::ShardGroup group;
  coordination::Hostility hostility;
  std::shared_ptr<coordination::MemoryStore> store = std::make_shared<coordination::MemoryStore>();
  ListedLogs logs;
  LogMaker maker{logs};
  BrokerSettings settings;
  coordination::ControllerOptions options;
  std::unique_ptr<coordination::CoordinatorMemory> coordinator;
  std::unique_ptr<coordination::ControllerStandard> controller;
};

}  // namespace keelson::test
