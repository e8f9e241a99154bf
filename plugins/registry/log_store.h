// plugins/registry/log_store.h: kind `log_store`: where partitions' logs are kept.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/io/cross_shard.h"
#include "engine/log/cleaner.h"
#include "engine/log/log.h"
#include "engine/task.h"
#include "plugins/registry/cluster.h"
#include "plugins/registry/plugin.h"

namespace keelson {

/// A log found in the store at open(): what a controller compares its topics with.
struct StoredLog {
  std::string topic;
  PartitionKey key;
};

/// What another broker's metadata says of the logs it left here: the store reads it, a controller
/// takes it over. Foreign bytes: names and values are not yet checked.
struct AdoptedMetadata {
  /// A value, and where in the other's metadata it was set.
  struct Setting {
    std::string value;
    std::int64_t position = 0;
  };
  using Settings = std::map<std::string, Setting, std::less<>>;
  struct Topic {
    std::string name;
    engine::Uuid id;
    std::map<std::int32_t, engine::LeaderEpoch> partitions;  // number -> last leader epoch
    Settings settings;
  };

  /// Grows with everything the other broker writes; positions are below it.
  std::int64_t end_position = 0;
  /// Read from beginning to end. Otherwise topics, settings and deletions may be missing.
  bool complete = false;
  std::vector<Topic> topics;
  std::set<engine::Uuid> removed_topics;
  Settings broker_defaults;
  std::map<BrokerId, Settings> broker_settings;
  std::map<std::string, Settings, std::less<>> group_settings;
  /// No producer id at or above it was given by the other broker.
  engine::ProducerId next_producer_id{0};
  std::vector<std::string> findings;  // one sentence each, for the log
};

struct LogDirInfo {
  std::string path;
  std::uint64_t total_bytes = 0;
  std::uint64_t usable_bytes = 0;
};

/// Logs of one broker. A log lives on the shard `owner(key)`, and only that shard may touch it.
/// Retention and checkpoints of open logs are the store's work.
class LogStore : public Plugin {
 public:
  static constexpr const char* kKind = "log_store";

  virtual std::uint32_t owner(const PartitionKey& key) const = 0;

  /// Known after open().
  virtual const std::vector<StoredLog>& stored() const = 0;
  /// From meta.properties; made at the first open().
  virtual const std::string& cluster_id() const = 0;

  /// What another broker left here, read now: its metadata, and what the logs say for themselves.
  /// Nothing where its metadata does not go beyond `known_position` (-1: a first time, which the
  /// logs alone are enough for). On shard 0, after open(). Errors: io.
  [[nodiscard]] virtual engine::Task<engine::Result<std::optional<AdoptedMetadata>>> read_adopted(
      std::int64_t known_position) {
    (void)known_position;
    co_return std::optional<AdoptedMetadata>{};
  }

  /// Opens or makes a log; called on its owner shard. The store keeps it until close or remove.
  /// Errors: as engine::log::Log::open(); already_exists where another topic id has the name.
  [[nodiscard]] virtual engine::Task<engine::Result<engine::log::Log*>> open_log(
      engine::io::Shard& owner, std::string topic, PartitionKey key,
      engine::log::LogConfig config) = 0;
  /// Deletes a log and its data; called on its owner shard. Durable at success.
  [[nodiscard]] virtual engine::Task<engine::Result<void>> remove_log(engine::io::Shard& owner,
                                                                      PartitionKey key) = 0;

  [[nodiscard]] virtual engine::Task<engine::Result<LogDirInfo>> dir_info() = 0;

  /// How each shard compacts from now on. On shard 0, after open(). A store that does not compact
  /// does nothing.
  [[nodiscard]] virtual engine::Task<void> tune_compaction(engine::log::CleanerConfig config) {
    (void)config;
    co_return;
  }
};

}  // namespace keelson
