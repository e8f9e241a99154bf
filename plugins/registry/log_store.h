// plugins/registry/log_store.h: kind `log_store`: where partitions' logs are kept.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/cross_shard.h"
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

  /// Opens or makes a log; called on its owner shard. The store keeps it until close or remove.
  /// Errors: as engine::log::Log::open(); already_exists where another topic id has the name.
  [[nodiscard]] virtual engine::Task<engine::Result<engine::log::Log*>> open_log(
      engine::io::Shard& owner, std::string topic, PartitionKey key,
      engine::log::LogConfig config) = 0;
  /// Deletes a log and its data; called on its owner shard. Durable at success.
  [[nodiscard]] virtual engine::Task<engine::Result<void>> remove_log(engine::io::Shard& owner,
                                                                      PartitionKey key) = 0;

  [[nodiscard]] virtual engine::Task<engine::Result<LogDirInfo>> dir_info() = 0;
};

}  // namespace keelson
