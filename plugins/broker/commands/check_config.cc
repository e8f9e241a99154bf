#include "plugins/registry/check_config.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "plugins/broker/commands/commands.h"
#include "plugins/broker/commands/options.h"
#include "plugins/broker/plugins.h"

namespace keelson::broker {
namespace {

struct CheckConfigOptions {
  ConfigOptions config;
  Output output = Output::text;
  bool all = false;
  bool print_defaults = false;
};

int run(const CheckConfigOptions& options) {
  const Registry registry = builtin_plugins();
  if (options.print_defaults) {
    std::cout << render_defaults(registry);
    return 0;
  }
  const auto config = load_config(options.config);
  if (!config) return config.error();
  const auto entries = effective_config(registry, *config, !options.all);
  if (!entries) {
    std::cerr << to_text(entries.error()) << '\n';
    return kExitUsage;
  }
  std::cout << (options.output == Output::json ? render_json(*entries) : render_text(*entries));
  return 0;
}

}  // namespace

Command add_check_config(CLI::App& program) {
  auto options = std::make_shared<CheckConfigOptions>();
  CLI::App* const command =
      program.add_subcommand("check-config", "Show the configuration in effect, and what is wrong");
  add_config_options(*command, options->config);
  add_output_option(*command, options->output);
  command->add_flag("--all", options->all, "Values that nobody set, too");
  command->add_flag("--print-defaults", options->print_defaults,
                    "A commented TOML file of all defaults, instead");
  return {command, [options] { return run(*options); }};
}

}  // namespace keelson::broker
