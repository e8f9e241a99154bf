// plugins/broker/commands/server_command.h: commands that ask a running broker.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "engine/io/shard.h"
#include "engine/task.h"
#include "plugins/broker/commands/commands.h"
#include "plugins/broker/commands/offline.h"
#include "plugins/broker/commands/options.h"

namespace keelson::broker {

/// One of several under a common name. `work` gives the exit code.
template <class Options>
struct ServerCommand {
  CLI::App* app;
  engine::Task<int> (*work)(engine::io::Shard&, Options);
};

/// Adds the command with the options that all of them have.
inline CLI::App* add_server_command(CLI::App& parent, const char* name, const char* what,
                                    ServerOptions& options) {
  CLI::App* const command = parent.add_subcommand(name, what);
  command->add_option("--bootstrap-server", options.server, "Address of the broker, HOST:PORT")
      ->capture_default_str();
  command->add_option("--timeout-ms", options.timeout_ms, "For connecting and for each request")
      ->check(CLI::Range(1, 86'400'000))
      ->capture_default_str();
  add_output_option(*command, options.output);
  return command;
}

/// Runs the one that was asked for.
template <class Options>
RunCommand run_chosen(std::shared_ptr<Options> options,
                      std::vector<ServerCommand<Options>> commands) {
  return [options = std::move(options), commands = std::move(commands)] {
    for (const ServerCommand<Options>& command : commands) {
      if (!command.app->parsed()) continue;
      return run_on_one_shard(
          [&](engine::io::Shard& shard) { return command.work(shard, std::move(*options)); });
    }
    return kExitUsage;
  };
}

}  // namespace keelson::broker
