// The program `keelson`: its command line, and nothing else.
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <vector>

#include "plugins/broker/commands/commands.h"
#include "plugins/broker/commands/options.h"

int main(int argc, char** argv) {
  using namespace keelson::broker;
  // Large blocks go back to the system when they are freed; those that are worth keeping are kept
  // by engine/buffer_memory.h. Without this the allocator raises its limit to 32 MiB by itself.
  mallopt(M_MMAP_THRESHOLD, 128 << 10);
  CLI::App program{"Keelson: a log engine and a broker that speaks Kafka's protocol", "keelson"};
  program.set_version_flag("--version", KEELSON_VERSION);
  program.require_subcommand(1);
  const std::vector<Command> commands = {
      add_serve(program), add_check_config(program), add_doctor(program), add_plugin_list(program),
      add_topic(program), add_group(program),        add_log(program),    add_completions(program),
  };
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : kExitUsage;
  }
  for (const Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  return kExitUsage;
}
