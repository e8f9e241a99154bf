// plugins/broker/commands/commands.h: the program's sub-commands.
//
// Each adds itself to the command line; the returned function runs it and gives the exit code.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace keelson::broker {

using RunCommand = std::function<int()>;

struct Command {
  CLI::App* app;
  RunCommand run;
};

Command add_serve(CLI::App& program);
Command add_check_config(CLI::App& program);
Command add_doctor(CLI::App& program);
Command add_plugin_list(CLI::App& program);
Command add_log(CLI::App& program);
Command add_topic(CLI::App& program);
Command add_group(CLI::App& program);
/// `program` outlives the command.
Command add_completions(CLI::App& program);

}  // namespace keelson::broker
