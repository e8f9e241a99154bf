#include <CLI/CLI.hpp>
#include <iomanip>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "plugins/broker/commands/commands.h"
#include "plugins/broker/commands/options.h"
#include "plugins/broker/plugins.h"

namespace keelson::broker {
namespace {

int list(Output output) {
  const Registry registry = builtin_plugins();
  if (output == Output::json) {
    nlohmann::json all = nlohmann::json::array();
    for (const auto& [type, factory] : registry.factories()) {
      all.push_back({{"type", type},
                     {"version", factory.version},
                     {"stability", to_string(factory.stability)},
                     {"doc", factory.doc}});
    }
    std::cout << all.dump(2) << '\n';
    return 0;
  }
  for (const auto& [type, factory] : registry.factories()) {
    std::cout << std::left << std::setw(24) << type << std::setw(9) << factory.version
              << std::setw(14) << to_string(factory.stability) << factory.doc << '\n';
  }
  return 0;
}

}  // namespace

Command add_plugin_list(CLI::App& program) {
  auto output = std::make_shared<Output>(Output::text);
  CLI::App* const plugin = program.add_subcommand("plugin", "Plugins of this program");
  plugin->require_subcommand(1);
  CLI::App* const command = plugin->add_subcommand("list", "Their types, versions and purpose");
  add_output_option(*command, *output);
  return {plugin, [output] { return list(*output); }};
}

}  // namespace keelson::broker
