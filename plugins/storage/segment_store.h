// plugins/storage/segment_store.h: `log_store.segment`: logs of the engine in one data directory.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/io/sync.h"
#include "engine/log/cleaner.h"
#include "engine/log/data_directory.h"
#include "engine/log/log_context.h"
#include "plugins/registry/log_store.h"

namespace keelson::storage {

struct SegmentStoreConfig {
  std::string data_dir;
  BrokerId node_id = 1;
  bool adopt = false;                          // serve a directory that Apache Kafka wrote
  engine::log::LogLimits limits;               // per shard
  std::int64_t retention_check_ms = 300'000;   // log.retention.check.interval.ms
  std::int64_t first_check_delay_ms = 30'000;  // log.initial.task.delay.ms
  std::int64_t checkpoint_ms = 60'000;         // log.flush.offset.checkpoint.interval.ms
  bool compact = true;                         // log.cleaner.enable
  engine::log::CleanerConfig cleaner;          // per shard
  std::function<bool()> stop_asked;            // PluginHost::stop_asked
};

/// Owns the data directory: its lock, its identity, its checkpoints, and every open log.
class SegmentStore final : public LogStore {
 public:
  SegmentStore(engine::io::ShardGroup& shards, SegmentStoreConfig config);
  ~SegmentStore() override;

  engine::Task<ApiResult<void>> open() override;
  engine::Task<ApiResult<void>> start() override;
  engine::Task<void> stop() override;

  std::uint32_t owner(const PartitionKey& key) const override;
  const std::vector<StoredLog>& stored() const override { return stored_; }
  const std::string& cluster_id() const override { return identity_.cluster_id; }
  engine::Task<engine::Result<std::optional<AdoptedMetadata>>> read_adopted(
      std::int64_t known_position) override;
  engine::Task<engine::Result<engine::log::Log*>> open_log(engine::io::Shard& owner,
                                                           std::string topic, PartitionKey key,
                                                           engine::log::LogConfig config) override;
  engine::Task<engine::Result<void>> remove_log(engine::io::Shard& owner,
                                                PartitionKey key) override;
  engine::Task<engine::Result<LogDirInfo>> dir_info() override;
  engine::Task<void> tune_compaction(engine::log::CleanerConfig config) override;

  /// How compaction stands, shard by shard. On the first shard, while the store serves.
  engine::Task<std::vector<engine::log::CleanerStats>> compaction_stats();

 private:
  struct ShardLogs;  // the logs of one shard; its thread only
  using Checkpoints = std::map<std::string, engine::log::DataDirectory::Checkpoint>;

  engine::io::Shard& first_shard() { return shards_.at(0); }
  engine::Task<ApiResult<void>> take_directory();
  engine::Task<ApiResult<void>> identify_logs();
  bool ends_early() const { return !started_ && config_.stop_asked && config_.stop_asked(); }
  engine::Task<void> report_opened();
  engine::Task<void> take_strays_back();
  engine::Task<engine::Result<void>> remove_unopened(engine::io::Shard& owner, PartitionKey key);
  engine::Task<engine::Result<void>> remove_files(engine::io::Shard& owner, engine::log::Log& log);
  engine::Task<void> run_retention(std::uint32_t shard);
  engine::Task<void> run_checkpoints();
  engine::Task<void> apply_retention_once(std::uint32_t shard);
  engine::Task<Checkpoints> checkpoint_logs(bool write_side_files);
  void keep_unopened(Checkpoints& checkpoints) const;
  engine::Task<engine::Result<void>> write_checkpoints(bool write_side_files);
  engine::Task<engine::Result<void>> make_way(std::string name, engine::Uuid id);
  engine::Task<bool> close_logs();

  engine::io::ShardGroup& shards_;
  const SegmentStoreConfig config_;
  std::unique_ptr<engine::log::DataDirectory> directory_;
  engine::log::DirectoryIdentity identity_;
  std::vector<StoredLog> stored_;
  // What the directory remembered at open(), by log name. Constant afterwards: read on any shard.
  std::map<std::string, engine::log::OpenHints> hints_;
  std::map<std::string, engine::Uuid> ids_;
  std::vector<std::unique_ptr<ShardLogs>> by_shard_;
  bool serving_ = false;
  std::int64_t opened_ns_ = 0;         // when open() began
  std::atomic<bool> started_ = false;  // every log that there was is open
  // First shard only. Whoever writes checkpoints holds the lock from before it asks the logs.
  engine::io::Semaphore checkpoint_lock_;
  std::set<std::string> checkpointed_;  // logs that the directory's checkpoints may name
  bool checkpoints_are_ours_ = false;   // until the first write they may name any log
  std::set<std::string> replaced_;      // names of hints_ that are another log's now
};

}  // namespace keelson::storage
