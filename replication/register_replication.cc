#include "replication/register_replication.h"

#include <memory>
#include <utility>

#include "plugins/registry/settings/effective.h"
#include "replication/single_replicator.h"

namespace keelson::replication {
namespace {

ApiResult<std::unique_ptr<SingleReplicator>> make_single(const Deps& deps, const ConfigView&) {
  const BrokerSettings& settings = deps.host().settings;
  const BrokerId self = settings.node_id();
  SingleReplicatorParts parts{
      deps.host().shards,
      deps.get<LogStore>(),
      deps.get<ClusterController>(),
      self,
      [&settings, self](const ClusterView& view, const TopicView& topic) {
        return to_log_config(setting_layers(view, self, settings, &topic.settings));
      },
      [&settings, self, shards = deps.host().shards.size()](const ClusterView& view) {
        return to_cleaner_config(setting_layers(view, self, settings), shards);
      }};
  return std::make_unique<SingleReplicator>(std::move(parts));
}

}  // namespace

void register_replication(Registry& registry) {
  registry.add(
      plugin_factory<Replicator>({.name = "single",
                                  .version = "0.1.0",
                                  .doc = "one replica of each partition, on this broker",
                                  .needs = {require<LogStore>(), require<ClusterController>()}},
                                 make_single));
}

}  // namespace keelson::replication
