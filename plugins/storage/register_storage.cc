#include "plugins/storage/register_storage.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "plugins/registry/settings/effective.h"
#include "plugins/storage/segment_store.h"

namespace keelson::storage {
namespace {

ApiResult<std::unique_ptr<SegmentStore>> make_segment_store(const Deps& deps,
                                                            const ConfigView& config) {
  const BrokerSettings& settings = deps.host().settings;
  const std::vector<std::string> dirs = settings.data_dirs();
  if (dirs.size() != 1) {
    return refuse(ApiErrc::invalid_config,
                  engine::concat("one data directory is served, ", dirs.size(),
                                 " are given: leave one in log.dirs"));
  }
  SegmentStoreConfig made;
  made.data_dir = dirs.front();
  made.node_id = settings.node_id();
  made.stop_asked = deps.host().stop_asked;
  made.adopt = config.get_bool("adopt");
  made.retention_check_ms = settings.get_integer("log.retention.check.interval.ms");
  made.first_check_delay_ms = settings.get_integer("log.initial.task.delay.ms");
  made.checkpoint_ms = settings.get_integer("log.flush.offset.checkpoint.interval.ms");
  made.compact = settings.get_bool("log.cleaner.enable");
  made.cleaner = to_cleaner_config({.fixed = &settings}, deps.host().shards.size());
  // The cache is the broker's; each shard has its part.
  const auto cache_bytes = static_cast<std::uint64_t>(settings.get_integer("keelson.cache.bytes"));
  made.limits.cache_bytes =
      std::max<std::uint64_t>(1 << 20, cache_bytes / deps.host().shards.size());
  // All requests of all connections may be for one shard's partitions. Twice, for small requests
  // are not charged: who meets this limit is told to try again, so none should that could wait.
  made.limits.pending_bytes =
      2 * static_cast<std::uint64_t>(settings.get_integer("keelson.pending.bytes"));
  made.limits.disk_reserve_bytes = static_cast<std::uint64_t>(config.get_integer("disk_reserve"));
  made.limits.retain_at_roll = true;
  made.limits.direct_io = config.get_bool("direct_io");
  return std::make_unique<SegmentStore>(deps.host().shards, std::move(made));
}

}  // namespace

void register_storage(Registry& registry) {
  registry.add(plugin_factory<LogStore>(
      {.name = "segment",
       .version = "0.1.0",
       .doc = "append-only segments in one data directory, laid out as Kafka's",
       .schema = {{.key = "adopt",
                   .type = ConfigType::boolean,
                   .default_text = "false",
                   .doc = "serve a directory that Apache Kafka wrote"},
                  {.key = "disk_reserve",
                   .type = ConfigType::bytes,
                   .default_text = "256MiB",
                   .doc = "appends are refused when less than this is free"},
                  {.key = "direct_io",
                   .type = ConfigType::boolean,
                   .default_text = "true",
                   .doc = "O_DIRECT where the file system has it"}}},
      make_segment_store));
}

}  // namespace keelson::storage
