#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "plugins/broker/commands/group_commands.h"
#include "plugins/broker/commands/server_command.h"

namespace keelson::broker {
namespace {

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

  CLI::App* const list =
      add_server_command(*group, "list", "Print groups with type and state", *options);
  list->add_option("--state", options->states, "Only groups in these: Stable, Empty, …")
      ->delimiter(',');
  list->add_option("--type", options->types, "Only groups of these: classic, consumer")
      ->delimiter(',');

  CLI::App* const describe = add_server_command(
      *group, "describe", "Print offsets with their lag, or members, or the state", *options);
  add_groups(*describe, *options);
  describe->add_flag("--state", options->show_state, "State, assignor and number of members");
  describe->add_flag("--members", options->show_members, "Members and what they are assigned");

  CLI::App* const reset = add_server_command(
      *group, "reset-offsets",
      "Set offsets of groups without members. Shows what would be done; --execute does it",
      *options);
  add_reset(*reset, *options);

  CLI::App* const remove =
      add_server_command(*group, "delete", "Delete groups and all their offsets", *options);
  add_groups(*remove, *options)->required();
  remove->add_flag("--if-exists", options->if_exists, "One that is not there is no error");

  return {group, run_chosen<GroupOptions>(options, {{list, list_groups},
                                                    {describe, describe_groups},
                                                    {reset, reset_group_offsets},
                                                    {remove, delete_groups}})};
}

}  // namespace keelson::broker
