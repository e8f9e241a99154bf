#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>

#include "engine/io/runtime.h"
#include "engine/log/meta_properties.h"
#include "plugins/broker/commands/commands.h"
#include "plugins/broker/commands/options.h"
#include "plugins/broker/commands/stop_signals.h"
#include "plugins/broker/console_logger.h"
#include "plugins/broker/plugins.h"
#include "plugins/registry/assembly.h"
#include "plugins/registry/protocol.h"

namespace keelson::broker {
namespace {

using engine::LogLevel;
using engine::Result;
using engine::Task;
using engine::io::BackendChoice;
using engine::io::Runtime;

struct ServeOptions {
  ConfigOptions config;
  bool verbose = false;
};

int refuse_data_dir(const std::string& path, const std::string& why) {
  std::cerr << "keelson: cannot use the data directory " << path << ": " << why << '\n';
  return kExitFailed;
}

/// Makes the directory itself, not its parents: a mistyped path is an error, not a new tree.
/// 0, or an exit code and a line on standard error.
int make_data_dir(const std::string& path) {
  if (path.empty()) {
    std::cerr << "keelson: no data directory: give --data DIR, or set log.dirs\n";
    return kExitUsage;
  }
  const int problem = mkdir(path.c_str(), 0700) == 0 ? 0 : errno;
  if (problem == ENOENT) {
    return refuse_data_dir(path, "the directory it would be in does not exist; make that first");
  }
  struct stat found{};
  if (stat(path.c_str(), &found) != 0) {
    return refuse_data_dir(path, std::strerror(problem != 0 ? problem : errno));
  }
  if (!S_ISDIR(found.st_mode)) {
    return refuse_data_dir(path, "it is a file; choose another path with --data");
  }
  if (access(path.c_str(), R_OK | W_OK | X_OK) != 0) {
    return refuse_data_dir(path, std::string(std::strerror(errno)) +
                                     "; choose one that this user may write to, or change its "
                                     "owner");
  }
  return 0;
}

/// The node id of a directory that was served before, by Kafka or by us; nothing where that cannot
/// be told, and then the store says what is wrong with it.
std::optional<std::int32_t> find_node_id(const std::string& data_dir) {
  std::ifstream file(data_dir + "/meta.properties", std::ios::binary);
  if (!file) return std::nullopt;
  std::string text(std::size_t{64} << 10, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  const auto properties = engine::log::parse_meta_properties(text);
  return properties ? properties->node_id : std::nullopt;
}

/// The configuration with the directory's own node id where the user named none: a broker is who
/// its data says it is.
std::expected<Config, int> with_node_id_of(const std::string& data_dir, Config config,
                                           ConfigOptions options) {
  const BrokerSettings& settings = config.settings();
  if (settings.is_set("node.id") || settings.is_set("broker.id")) return config;
  const std::optional<std::int32_t> found = find_node_id(data_dir);
  if (!found || *found == settings.node_id()) return config;
  options.sets.push_back("node.id=" + std::to_string(*found));
  return load_config(options);
}

engine::io::RuntimeOptions runtime_options(const Config& config, const std::string& data_dir,
                                           engine::Logger& logger) {
  engine::io::RuntimeOptions options;
  const std::int64_t asked = config.settings().get_integer("keelson.shards");
  const std::uint32_t cores = std::max(1U, std::thread::hardware_concurrency());
  options.shards = asked > 0 ? static_cast<std::uint32_t>(asked) : cores;
  const std::string backend = config.settings().get_string("keelson.io.backend");
  options.backend = backend == "uring"     ? BackendChoice::uring
                    : backend == "threads" ? BackendChoice::threads
                                           : BackendChoice::automatic;
  options.data_dir_for_probe = data_dir;
  options.logger = &logger;
  return options;
}

void print_start(const Assembly& assembly, const Runtime& runtime, const std::string& data_dir) {
  for (Protocol* protocol : assembly.all<Protocol>()) {
    for (const BrokerEndpoint& endpoint : protocol->endpoints()) {
      std::cout << "keelson: listening on " << endpoint.host << ':' << endpoint.port << " ("
                << endpoint.listener << ")\n";
    }
  }
  const engine::io::BackendInfo& info = runtime.info();
  const bool dsync = info.commit == engine::io::CommitPrimitive::write_dsync;
  std::cout << "keelson: data in " << data_dir << '\n'
            << "keelson: " << runtime.size() << " shards, I/O by " << info.name << " ("
            << info.reason << "), commits by "
            << (dsync ? "write with RWF_DSYNC" : "write and fdatasync") << '\n'
            << "keelson: no encryption and no authentication: whoever reaches the port may do "
               "everything\n"
            << std::flush;
}

struct Broker {
  Runtime& runtime;
  std::unique_ptr<Assembly> assembly;
  std::int64_t drain_ms = 0;

  /// Start-up ends early, and well, where a stop is asked for meanwhile.
  Task<ApiResult<void>> start(const StopSignals& signals) {
    if (signals.requested()) co_return ApiResult<void>{};
    ApiResult<void> opened = co_await assembly->open();
    if (signals.requested()) co_return ApiResult<void>{};
    if (!opened) co_return opened;
    co_return co_await assembly->start();
  }
  Task<void> stop() {
    const std::int64_t now_ns = runtime.shard(0).clock().now_ns();
    co_await assembly->shutdown(now_ns + drain_ms * 1'000'000);
  }
};

int serve_with(const Config& config, const std::string& data_dir, Runtime& runtime,
               ConsoleLogger& logger, StopSignals& signals) {
  const Registry registry = builtin_plugins();
  const PluginHost host{runtime.group(), logger, config.settings(), config.listeners(),
                        [&signals] { return signals.requested(); }};
  Broker broker{runtime, nullptr, config.settings().get_integer("keelson.drain.timeout.ms")};
  struct Made {
    static Task<ApiResult<std::unique_ptr<Assembly>>> make(const Registry& registry,
                                                           const Config& config,
                                                           const PluginHost& host) {
      co_return Assembly::make(registry, config, host);
    }
    static Task<void> destroy(Broker& broker) {
      broker.assembly.reset();
      co_return;
    }
  };
  auto made = runtime.run(0, [&] { return Made::make(registry, config, host); });
  if (!made) {
    std::cerr << made.error().message << '\n';
    return kExitUsage;
  }
  broker.assembly = std::move(*made);
  for (const std::string& name : config.settings().without_effect()) {
    logger.write(LogLevel::warning, "config", name + " is accepted and has no effect here");
  }
  const ApiResult<void> started = runtime.run(0, [&] { return broker.start(signals); });
  int code = 0;
  if (started) {
    if (!signals.requested()) print_start(*broker.assembly, runtime, data_dir);
    signals.wait();
    logger.write(LogLevel::info, "broker", "stopping");
    runtime.run(0, [&] { return broker.stop(); });
    logger.write(LogLevel::info, "broker", "stopped");
  } else {
    std::cerr << "keelson: " << started.error().message << '\n';
    code = kExitFailed;
  }
  runtime.run(0, [&] { return Made::destroy(broker); });
  return code;
}

int serve(const ServeOptions& options) {
  StopSignals signals;
  auto config = load_config(options.config);
  if (!config) return config.error();
  const std::vector<std::string> dirs = config->settings().data_dirs();
  const std::string data_dir = dirs.empty() ? std::string{} : dirs.front();
  const int dir_problem = make_data_dir(data_dir);
  if (dir_problem != 0) return dir_problem;
  config = with_node_id_of(data_dir, *std::move(config), options.config);
  if (!config) return config.error();
  ConsoleLogger logger(options.verbose ? LogLevel::debug : LogLevel::info);
  Result<std::unique_ptr<Runtime>> runtime =
      Runtime::start(runtime_options(*config, data_dir, logger));
  if (!runtime) {
    std::cerr << "keelson: cannot start the I/O backend, errno " << runtime.error().sys_errno
              << "; `keelson doctor` tells more\n";
    return kExitFailed;
  }
  const int code = serve_with(*config, data_dir, **runtime, logger, signals);
  (*runtime)->stop();
  return code;
}

}  // namespace

Command add_serve(CLI::App& program) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* const command = program.add_subcommand("serve", "Run the broker");
  add_config_options(*command, options->config);
  command->add_flag("--verbose", options->verbose, "Log details");
  return {command, [options] { return serve(*options); }};
}

}  // namespace keelson::broker
