#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "plugins/broker/commands/commands.h"
#include "plugins/broker/commands/offline.h"
#include "plugins/broker/commands/options.h"
#include "plugins/broker/commands/topic_commands.h"

namespace keelson::broker {
namespace {

using TopicWork = engine::Task<int> (*)(engine::io::Shard&, TopicOptions);

struct TopicCommand {
  CLI::App* app;
  TopicWork work;
};

CLI::App* add(CLI::App& topic, const char* name, const char* what, TopicOptions& options) {
  CLI::App* const command = topic.add_subcommand(name, what);
  command->add_option("--bootstrap-server", options.server, "Address of the broker, HOST:PORT")
      ->capture_default_str();
  command->add_option("--timeout-ms", options.timeout_ms, "For connecting and for each request")
      ->check(CLI::Range(1, 86'400'000))
      ->capture_default_str();
  add_output_option(*command, options.output);
  return command;
}

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

  CLI::App* const create = add(*topic, "create", "Make topics", *options);
  add_topics(*create, *options)->required();
  create->add_option("--partitions", options->partitions, "How many; else num.partitions")
      ->check(CLI::Range(1, 1'000'000));
  create
      ->add_option("--replication-factor", options->replication_factor,
                   "How many; else default.replication.factor")
      ->check(CLI::Range(1, 32'767));
  add_settings(*create, *options);
  create->add_flag("--if-not-exists", options->if_not_exists, "One that is there is no error");

  CLI::App* const list = add(*topic, "list", "Print their names", *options);
  list->add_flag("--exclude-internal", options->exclude_internal, "Not the broker's own");

  CLI::App* const describe =
      add(*topic, "describe", "Print partitions, leaders, replicas and settings", *options);
  add_topics(*describe, *options);
  describe->add_flag("--exclude-internal", options->exclude_internal, "Not the broker's own");

  CLI::App* const remove = add(*topic, "delete", "Delete topics and all their records", *options);
  add_topics(*remove, *options)->required();
  remove->add_flag("--if-exists", options->if_exists, "One that is not there is no error");

  CLI::App* const alter = add(*topic, "alter", "Change settings, or add partitions", *options);
  add_topics(*alter, *options)->required();
  alter->add_option("--partitions", options->partitions, "How many it shall have; only more")
      ->check(CLI::Range(1, 1'000'000));
  add_settings(*alter, *options);
  alter
      ->add_option("--delete-config", options->removed_settings,
                   "Name of a setting that shall have its default again")
      ->allow_extra_args(false);

  const std::vector<TopicCommand> commands = {{create, create_topics},
                                              {list, list_topics},
                                              {describe, describe_topics},
                                              {remove, delete_topics},
                                              {alter, alter_topics}};
  return {topic, [options, commands] {
            for (const TopicCommand& command : commands) {
              if (!command.app->parsed()) continue;
              return run_on_one_shard([&](engine::io::Shard& shard) {
                return command.work(shard, std::move(*options));
              });
            }
            return kExitUsage;
          }};
}

}  // namespace keelson::broker
