// plugins/storage/shard_logs.h: what SegmentStore keeps for each shard. For its own files.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/io/cross_shard.h"
#include "engine/io/sync.h"
#include "plugins/storage/segment_store.h"

namespace keelson::storage {

inline constexpr std::string_view kStrayEnding = "-stray";  // of what is put aside, as Kafka's

/// Its shard's thread only.
struct SegmentStore::ShardLogs {
  ShardLogs(engine::io::Shard& shard, const SegmentStoreConfig& config)
      : context(shard, config.limits),
        cleaner(shard, config.cleaner),
        opening(shard, kOpensAtOnce),
        stopping(shard),
        housekeeping(shard) {
    if (config.compact) context.compaction = &cleaner;
  }

  // A log whose tail is walked comes to a buffer of 512 KiB, which the next one takes over.
  static constexpr std::uint64_t kOpensAtOnce = 32;

  struct Held {
    std::string name;  // of its directory
    std::unique_ptr<engine::log::Log> log;
  };
  engine::log::LogContext context;
  engine::log::Cleaner cleaner;  // idle where logs do not know it
  std::unordered_map<PartitionKey, Held> logs;
  engine::io::Semaphore opening;
  engine::io::Event stopping;
  engine::io::Gate housekeeping;  // retention and checkpoints at work on this shard's logs
  bool unclean = false;           // a log was lost sight of: no clean-stop marker
};

}  // namespace keelson::storage
