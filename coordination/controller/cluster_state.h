// coordination/controller/cluster_state.h: the controller's keys, and their contents as one state.
//
// Keys, under "<root>/<cluster id>/v1/" (values: controller/values.h):
//   meta                       1, the format of all of this
//   controller/leader          leased; who may change the rest. Compared in every transaction
//   controller/epoch           grows with each leader
//   brokers/{id}               leased; where a broker listens
//   topic_names/{name}         the topic's id
//   topics/{id}                name, number of partitions, settings
//   partitions/{id}/{p}        leader, epochs, replicas. Without its topic: left of a change that a
//                              crash interrupted; removed at the next open
//   creating/{id}              the first partition whose log may not have been made yet
//   deleted/{id}               name of a topic whose logs may still be on disk
//   configs/brokers/{id}, configs/brokers/default, configs/groups/{name}
//   producer_ids               first producer id that nobody was given
//   adopted                    0: what another broker left in the data directory is still to be
//                              taken over; else one more than the position up to which it was
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/uuid.h"
#include "plugins/registry/cluster.h"
#include "plugins/registry/coordinator.h"

namespace keelson::coordination {

/// Builds keys.
class Keys {
 public:
  Keys(std::string_view root, std::string_view cluster_id);

  const std::string& prefix() const { return prefix_; }
  std::string meta() const { return prefix_ + "meta"; }
  std::string leader() const { return prefix_ + "controller/leader"; }
  std::string epoch() const { return prefix_ + "controller/epoch"; }
  std::string producer_ids() const { return prefix_ + "producer_ids"; }
  std::string adopted() const { return prefix_ + "adopted"; }
  std::string broker(BrokerId id) const { return prefix_ + "brokers/" + std::to_string(id); }
  std::string topic_name(std::string_view name) const;
  std::string topic(const engine::Uuid& id) const;
  std::string partition(const engine::Uuid& id, std::int32_t partition) const;
  std::string creating(const engine::Uuid& id) const;
  std::string deleted(const engine::Uuid& id) const;
  /// `name` as for ClusterController::alter_settings(): empty for all brokers together.
  std::string broker_settings(std::string_view name) const;
  std::string group_settings(std::string_view name) const;

 private:
  std::string prefix_;
};

struct TopicEntry {
  std::shared_ptr<const TopicView> view;
  KeyVersion version = 0;       // of topics/{id}
  KeyVersion name_version = 0;  // of topic_names/{name}
};

struct SettingsEntry {
  Settings settings;
  KeyVersion version = 0;  // 0: no such key
};

struct NumberEntry {
  std::int64_t value = 0;
  KeyVersion version = 0;  // 0: no such key
};

struct ClusterState {
  std::unordered_map<engine::Uuid, TopicEntry> topics;
  std::unordered_map<std::string, engine::Uuid> names;  // by collision_key()
  std::int64_t partitions_total = 0;

  std::map<BrokerId, std::pair<BrokerView, KeyVersion>> brokers;
  SettingsEntry broker_defaults;
  std::map<BrokerId, SettingsEntry> broker_settings;
  std::map<std::string, SettingsEntry> group_settings;

  NumberEntry meta;
  NumberEntry epoch;
  NumberEntry producer_ids;
  NumberEntry adopted;
  std::string leader;  // value of controller/leader
  KeyVersion leader_version = 0;

  std::unordered_map<engine::Uuid, std::int32_t> creating;  // first partition in question
  std::map<engine::Uuid, std::string> deleted;              // names
  std::vector<std::string> orphans;                         // keys of partitions without a topic

  void add_topic(TopicEntry entry);
  void remove_topic(const engine::Uuid& id);
};

/// Takes apart what list(keys.prefix()) gave. Total; the error names the first key that cannot be
/// understood and why. TopicViews of `known` that have not changed are taken from there.
std::expected<ClusterState, std::string> read_state(const Keys& keys,
                                                    const std::vector<KeyValue>& listed,
                                                    const ClusterState* known);

}  // namespace keelson::coordination
