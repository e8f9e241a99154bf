#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "plugins/broker/commands/commands.h"
#include "plugins/broker/commands/group_commands.h"
#include "plugins/broker/commands/offline.h"
#include "plugins/broker/commands/options.h"

namespace keelson::broker {
namespace {

using GroupWork = engine::Task<int> (*)(engine::io::Shard&, GroupOptions);

struct GroupCommand {
  CLI::App* app;
  GroupWork work;
};

CLI::App* add(CLI::App& group, const char* name, const char* what, GroupOptions& options) {
  CLI::App* const command = group.add_subcommand(name, what);
  command->add_option("--bootstrap-server", options.server, "Address of the broker, HOST:PORT")
      ->capture_default_str();
  command->add_option("--timeout-ms", options.timeout_ms, "For connecting and for each request")
      ->check(CLI::Range(1, 86'400'000))
      ->capture_default_str();
  add_output_option(*command, options.output);
  return command;
}

CLI::Option* add_groups(CLI::App& command, GroupOptions& options) {
  return command.add_option("--group,group", options.groups,
                            "Name of the group; several may be given");
}

void add_reset(CLI::App& reset, GroupOptions& options) {
  add_groups(reset, options)->required();
  reset
      .add_option("--topic", options.topics,
                  "TOPIC, or TOPIC:0,1 for some of its partitions; may be given again")
      ->allow_extra_args(false);
  reset.add_flag("--all-topics", options.all_topics, "All that the group has offsets of");
  ResetTo& to = options.to;
  reset.add_flag("--to-earliest", to.earliest, "The first record that is there");
  reset.add_flag("--to-latest", to.latest, "Behind the last record");
  reset.add_flag("--to-current", to.current, "As it is, or the latest where there is none");
  reset.add_option("--to-offset", to.offset, "This offset, in every partition")
      ->check(CLI::NonNegativeNumber);
  reset.add_option("--shift-by", to.shift, "So many records on, or back where negative");
  reset.add_option("--to-datetime", to.time,
                   "The first record at or after 2026-01-31T12:00:00Z, or milliseconds since 1970");
  reset.add_option("--by-duration", to.duration,
                   "The first record of the last P7D, PT1H30M and the like");
  reset
      .add_option("--from-file", to.file,
                  "Lines topic,partition,offset or group,topic,partition,offset")
      ->check(CLI::ExistingFile);
  reset.add_flag("--execute", options.execute, "Do it; else it is only shown what would be done");
}

}  // namespace

Command add_group(CLI::App& program) {
  auto options = std::make_shared<GroupOptions>();
  CLI::App* const group = program.add_subcommand("group", "Consumer groups of a running broker");
  group->require_subcommand(1);

  CLI::App* const list = add(*group, "list", "Print groups with type and state", *options);
  list->add_option("--state", options->states, "Only groups in these: Stable, Empty, …")
      ->delimiter(',');
  list->add_option("--type", options->types, "Only groups of these: classic, consumer")
      ->delimiter(',');

  CLI::App* const describe =
      add(*group, "describe", "Print offsets with their lag, or members, or the state", *options);
  add_groups(*describe, *options);
  describe->add_flag("--state", options->show_state, "State, assignor and number of members");
  describe->add_flag("--members", options->show_members, "Members and what they are assigned");

  CLI::App* const reset =
      add(*group, "reset-offsets",
          "Set offsets of groups without members. Shows what would be done; --execute does it",
          *options);
  add_reset(*reset, *options);

  CLI::App* const remove = add(*group, "delete", "Delete groups and all their offsets", *options);
  add_groups(*remove, *options)->required();
  remove->add_flag("--if-exists", options->if_exists, "One that is not there is no error");

  const std::vector<GroupCommand> commands = {{list, list_groups},
                                              {describe, describe_groups},
                                              {reset, reset_group_offsets},
                                              {remove, delete_groups}};
  return {group, [options, commands] {
            for (const GroupCommand& command : commands) {
              if (!command.app->parsed()) continue;
              return run_on_one_shard([&](engine::io::Shard& shard) {
                return command.work(shard, std::move(*options));
              });
            }
            return kExitUsage;
          }};
}

}  // namespace keelson::broker
