#include "coordination/register_coordination.h"

#include <memory>
#include <utility>

#include "coordination/controller/controller_standard.h"
#include "coordination/local/coordinator_local.h"
#include "coordination/memory/coordinator_memory.h"

namespace keelson::coordination {
namespace {

constexpr const char* kVersion = "0.1.0";

using MadeCoordinator = ApiResult<std::unique_ptr<Coordinator>>;

MadeCoordinator make_local(const Deps& deps, const ConfigView& config) {
  LocalOptions options;
  if (config.has("path")) {
    options.path = config.get_string("path");
  } else {
    options.path = deps.host().settings.data_dirs().front() + "/" + kLocalFileName;
  }
  options.compact_floor_bytes = static_cast<std::size_t>(config.get_integer("compact_floor"));
  return std::make_unique<CoordinatorLocal>(deps.host().shards.at(0), std::move(options));
}

MadeCoordinator make_memory(const Deps& deps, const ConfigView&) {
  return std::make_unique<CoordinatorMemory>(deps.host().shards.at(0),
                                             std::make_shared<MemoryStore>());
}

ApiResult<std::unique_ptr<ClusterController>> make_controller(const Deps& deps,
                                                              const ConfigView& config) {
  const BrokerSettings& settings = deps.host().settings;
  ControllerOptions options;
  options.broker_id = settings.node_id();
  options.root = config.get_string("root");
  options.default_partition_count =
      static_cast<std::int32_t>(settings.get_integer("num.partitions"));
  options.default_replication_factor =
      static_cast<std::int16_t>(settings.get_integer("default.replication.factor"));
  options.delete_topic_enable = settings.get_bool("delete.topic.enable");
  options.partitions_total_max = config.get_integer("partitions_max");
  options.first_producer_id = config.get_integer("first_producer_id");
  const ControllerStandard::Parts parts{deps.host().shards.at(0), deps.host().shards,
                                        deps.get<Coordinator>(), deps.get<LogStore>(), settings};
  return std::make_unique<ControllerStandard>(parts, std::move(options));
}

}  // namespace

void register_coordination(Registry& registry) {
  registry.add(plugin_factory<Coordinator>(
      {.name = "local",
       .version = kVersion,
       .doc = "metadata of a broker that is alone, in one file of its data directory",
       .schema = {{.key = "path",
                   .type = ConfigType::string,
                   .doc = "the file; <data directory>/keelson.coordinator where not set"},
                  {.key = "compact_floor",
                   .type = ConfigType::bytes,
                   .default_text = "1MiB",
                   .min = 4096,
                   .max = std::int64_t{1} << 26,
                   .doc = "the file is not rewritten while it is smaller"}},
       // The log store holds the data directory's lock: it opens first.
       .needs = {require<LogStore>()}},
      make_local));
  registry.add(
      plugin_factory<Coordinator>({.name = "memory",
                                   .version = kVersion,
                                   .stability = Stability::experimental,
                                   .doc = "metadata that ends with the process: for tests"},
                                  make_memory));
  registry.add(plugin_factory<ClusterController>(
      {.name = "standard",
       .version = kVersion,
       .doc = "topics, settings and brokers, kept in a coordinator",
       .schema = {{.key = "root",
                   .type = ConfigType::string,
                   .default_text = "/keelson",
                   .doc = "prefix of every key in the coordinator"},
                  {.key = "partitions_max",
                   .type = ConfigType::integer,
                   .default_text = "200000",
                   .min = 1,
                   .doc = "of the whole cluster"},
                  {.key = "first_producer_id",
                   .type = ConfigType::integer,
                   .default_text = "0",
                   .min = 0,
                   .doc = "no smaller producer id is given; for directories that are adopted"}},
       .needs = {require<Coordinator>(), require<LogStore>()}},
      make_controller));
}

}  // namespace keelson::coordination
