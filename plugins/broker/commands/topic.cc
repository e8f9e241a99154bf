#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "plugins/broker/commands/server_command.h"
#include "plugins/broker/commands/topic_commands.h"

namespace keelson::broker {
namespace {

CLI::Option* add_topics(CLI::App& command, TopicOptions& options) {
  return command.add_option("--topic,topic", options.topics,
                            "Name of the topic; several may be given");
}

void add_settings(CLI::App& command, TopicOptions& options) {
  command.add_option("--config", options.settings, "name=value: a setting of the topic")
      ->allow_extra_args(false);
}

}  // namespace

Command add_topic(CLI::App& program) {
  auto options = std::make_shared<TopicOptions>();
  CLI::App* const topic = program.add_subcommand("topic", "Topics of a running broker");
  topic->require_subcommand(1);

  CLI::App* const create = add_server_command(*topic, "create", "Make topics", *options);
  add_topics(*create, *options)->required();
  create->add_option("--partitions", options->partitions, "How many; else num.partitions")
      ->check(CLI::Range(1, 1'000'000));
  create
      ->add_option("--replication-factor", options->replication_factor,
                   "How many; else default.replication.factor")
      ->check(CLI::Range(1, 32'767));
  add_settings(*create, *options);
  create->add_flag("--if-not-exists", options->if_not_exists, "One that is there is no error");

  CLI::App* const list = add_server_command(*topic, "list", "Print their names", *options);
  list->add_flag("--exclude-internal", options->exclude_internal, "Not the broker's own");

  CLI::App* const describe = add_server_command(
      *topic, "describe", "Print partitions, leaders, replicas and settings", *options);
  add_topics(*describe, *options);
  describe->add_flag("--exclude-internal", options->exclude_internal, "Not the broker's own");

  CLI::App* const remove =
      add_server_command(*topic, "delete", "Delete topics and all their records", *options);
  add_topics(*remove, *options)->required();
  remove->add_flag("--if-exists", options->if_exists, "One that is not there is no error");

  CLI::App* const alter =
      add_server_command(*topic, "alter", "Change settings, or add partitions", *options);
  add_topics(*alter, *options)->required();
  alter->add_option("--partitions", options->partitions, "How many it shall have; only more")
      ->check(CLI::Range(1, 1'000'000));
  add_settings(*alter, *options);
  alter
      ->add_option("--delete-config", options->removed_settings,
                   "Name of a setting that shall have its default again")
      ->allow_extra_args(false);

  return {topic, run_chosen<TopicOptions>(options, {{create, create_topics},
                                                    {list, list_topics},
                                                    {describe, describe_topics},
                                                    {remove, delete_topics},
                                                    {alter, alter_topics}})};
}

}  // namespace keelson::broker
