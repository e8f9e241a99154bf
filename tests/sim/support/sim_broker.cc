#include "tests/sim/support/sim_broker.h"

#include <cassert>
#include <cstdlib>
#include <utility>

#include "coordination/register_coordination.h"
#include "engine/logger.h"
#include "plugins/kafka/kafka_protocol.h"
#include "plugins/offsets/register_offsets.h"
#include "plugins/registry/config/config.h"
#include "plugins/storage/register_storage.h"
#include "replication/register_replication.h"

namespace keelson::test {

using engine::concat;
using engine::Task;

namespace {

constexpr const char* kDataDir = "/data";

/// The plugins of the reference broker (plugins/broker/plugins.cc).
Registry builtin_plugins() {
  Registry registry;
  storage::register_storage(registry);
  coordination::register_coordination(registry);
  replication::register_replication(registry);
  offsets::register_offsets(registry);
  kafka::register_kafka(registry);
  return registry;
}

Config load_config(const std::vector<std::string>& settings, const std::string& host) {
  ConfigSources sources;
  sources.sets = settings;
  sources.sets.push_back(concat("log.dirs=", kDataDir));
  sources.sets.push_back(concat("listeners=PLAINTEXT://", host, ":", SimBroker::kPort));
  auto config = Config::load(sources);
  if (!config) {
    for (const auto& problem : config.error()) {
      std::fprintf(stderr, "sim broker: %s\n", problem.message.c_str());
    }
    std::abort();
  }
  return *std::move(config);
}

}  // namespace

struct SimBroker::Process {
  Process(const std::vector<std::string>& settings, engine::io::SimNode& node,
          engine::Logger& logger)
      : config(load_config(settings, node.host())),
        host{shards, logger, config.settings(), config.listeners()} {
    for (std::uint32_t i = 0; i < node.group().size(); ++i) shards.add(node.shard(i));
  }

  Task<void> start() {
    auto made = Assembly::make(registry, config, host);
    if (!made) {
      error = made.error().message;
      co_return;
    }
    assembly = std::move(*made);
    const ApiResult<void> opened = co_await assembly->open();
    if (!opened) {
      error = opened.error().message.empty() ? "open failed" : opened.error().message;
      co_return;
    }
    const ApiResult<void> started = co_await assembly->start();
    if (!started) {
      error = started.error().message.empty() ? "start failed" : started.error().message;
      co_return;
    }
    serving = true;
  }

  Task<bool> stop(std::int64_t deadline_ns) {
    co_await assembly->shutdown(deadline_ns);
    assembly.reset();
    co_return true;
  }

  const Registry registry = builtin_plugins();
  const Config config;
  engine::io::ShardGroup shards;  // the node's, as its tasks see it
  const PluginHost host;
  std::unique_ptr<Assembly> assembly;
  std::string error;
  bool serving = false;
};

SimBroker::SimBroker(engine::io::SimWorld& world, engine::Logger& logger, std::uint32_t shards,
                     std::vector<std::string> settings)
    : world_(world),
      logger_(logger),
      shards_(shards),
      settings_(std::move(settings)),
      node_(world.start_node("broker", shards)) {
  node_.disk().make_dir(kDataDir, 0);
  node_.disk().sync_everything();
}

SimBroker::~SimBroker() { abandon(); }

void SimBroker::abandon() {
  // Reachable until the program ends, so that a leak checker tells these from leaks.
  static std::vector<std::shared_ptr<Process>> graveyard;
  if (process_ != nullptr) graveyard.push_back(std::move(process_));
  process_.reset();
}

void SimBroker::begin_start() {
  assert(process_ == nullptr);
  if (!first_) world_.restart_node(node_, shards_);
  first_ = false;
  process_ = std::make_shared<Process>(settings_, node_, logger_);
  node_.shard(0).spawn(process_->start());
}

bool SimBroker::is_serving() const { return process_ != nullptr && process_->serving; }

std::string SimBroker::start_error() const {
  return process_ == nullptr ? std::string{} : process_->error;
}

bool SimBroker::start(std::int64_t limit_ns) {
  begin_start();
  world_.run_until([&] { return process_->serving || !process_->error.empty(); },
                   world_.now_ns() + limit_ns);
  return process_->serving;
}

std::string SimBroker::stop(std::int64_t drain_ns) {
  assert(is_serving());
  const std::int64_t deadline_ns = node_.clock().now_ns() + drain_ns;
  const auto ended =
      world_.try_run_task(node_.shard(0), process_->stop(deadline_ns), drain_ns + 60'000'000'000);
  std::string problem;
  if (!ended) problem = "the broker has not stopped a minute after its drain deadline";
  for (std::uint32_t i = 0; ended && i < shards_; ++i) {
    const bool quiet = world_.run_until([&] { return node_.shard(i).live_tasks() == 0; },
                                        world_.now_ns() + 1'000'000'000);
    if (!quiet) {
      problem = concat(node_.shard(i).live_tasks(), " tasks left on shard ", i, " after the stop");
    }
  }
  if (problem.empty() && node_.descriptors_open() > 0) {
    problem = concat(node_.descriptors_open(), " descriptors left open after the stop");
  }
  kill();
  return problem;
}

void SimBroker::kill() {
  assert(process_ != nullptr);
  world_.kill_node(node_);
  abandon();
}

void SimBroker::power_cut() {
  assert(process_ != nullptr);
  world_.power_cut(node_);
  abandon();
}

}  // namespace keelson::test
