#include "plugins/offsets/register_offsets.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "plugins/offsets/log_offset_store.h"
#include "plugins/registry/log_store.h"

namespace keelson::offsets {
namespace {

ApiResult<std::unique_ptr<LogOffsetStore>> make(const Deps& deps, const ConfigView&) {
  const PluginHost& host = deps.host();
  if (host.settings.get_list("group.consumer.assignors").empty()) {
    return refuse(ApiErrc::invalid_config,
                  "group.consumer.assignors is empty; name uniform, range or both");
  }
  LogStore& store = deps.get<LogStore>();
  return std::make_unique<LogOffsetStore>(
      LogOffsetStoreParts{.shards = host.shards,
                          .replicator = deps.get<Replicator>(),
                          .controller = deps.get<ClusterController>(),
                          .owner = [&store](const PartitionKey& key) { return store.owner(key); },
                          .self = host.settings.node_id(),
                          .settings = offset_settings(host.settings),
                          .fixed = host.settings});
}

}  // namespace

OffsetSettings offset_settings(const BrokerSettings& settings) {
  const auto int32 = [&](std::string_view name) {
    return static_cast<std::int32_t>(settings.get_integer(name));  // the table bounds it
  };
  OffsetSettings own;
  own.classic.session_timeout_min_ms = int32("group.min.session.timeout.ms");
  own.classic.session_timeout_max_ms = int32("group.max.session.timeout.ms");
  own.classic.initial_rebalance_delay_ms = int32("group.initial.rebalance.delay.ms");
  own.classic.members_max = int32("group.max.size");
  own.consumer.assignors = settings.get_list("group.consumer.assignors");
  own.consumer.members_max = int32("group.consumer.max.size");
  own.consumer.regex_refresh_ms = int32("group.consumer.regex.refresh.interval.ms");
  const std::vector<std::string> protocols =
      settings.get_list("group.coordinator.rebalance.protocols");
  own.consumer_protocol =
      std::find(protocols.begin(), protocols.end(), "consumer") != protocols.end();
  const std::string policy = settings.get_string("group.consumer.migration.policy");
  own.consumer_upgrade = policy == "upgrade" || policy == "bidirectional";
  own.consumer_downgrade = policy == "downgrade" || policy == "bidirectional";
  own.topic_partitions = int32("offsets.topic.num.partitions");
  own.topic_replication_factor =
      static_cast<std::int16_t>(settings.get_integer("offsets.topic.replication.factor"));
  own.topic_replication_exact = settings.is_set("offsets.topic.replication.factor");
  own.topic_segment_bytes = int32("offsets.topic.segment.bytes");
  own.metadata_units_max = int32("offset.metadata.max.bytes");
  own.commit_timeout_ms = int32("offsets.commit.timeout.ms");
  own.load_bytes = int32("offsets.load.buffer.size");
  own.retention_ms = settings.get_integer("offsets.retention.minutes") * 60'000;
  own.retention_check_interval_ms = settings.get_integer("offsets.retention.check.interval.ms");
  return own;
}

void register_offsets(Registry& registry) {
  registry.add(plugin_factory<GroupCoordinator>(
      {.name = "log",
       .version = "1.0.0",
       .stability = Stability::beta,
       .doc = "Consumer groups and their offsets, in the compacted topic __consumer_offsets.",
       .needs = {require<Replicator>(), require<ClusterController>(), require<LogStore>()}},
      make));
}

}  // namespace keelson::offsets
