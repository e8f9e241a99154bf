#include <CLI/CLI.hpp>
#include <memory>

#include "plugins/broker/commands/commands.h"
#include "plugins/broker/commands/log_commands.h"
#include "plugins/broker/commands/offline.h"
#include "plugins/broker/commands/options.h"

namespace keelson::broker {

Command add_log(CLI::App& program) {
  struct Options {
    DumpOptions dump;
    VerifyCommandOptions verify;
  };
  auto options = std::make_shared<Options>();
  CLI::App* const log =
      program.add_subcommand("log", "Look into stored logs, Keelson's or Kafka's; changes nothing");
  log->require_subcommand(1);

  CLI::App* const dump = log->add_subcommand("dump", "Print batches, records and side files");
  dump->add_option("path", options->dump.path, "Data directory, a log's directory, or one file")
      ->required();
  dump->add_flag("--records", options->dump.records, "Every record, too");
  dump->add_flag("--batches-only", options->dump.batches_only, "No indexes and other side files");
  add_output_option(*dump, options->dump.output);

  CLI::App* const verify = log->add_subcommand(
      "verify", "Check every batch and every side file; exit code 1 where something is wrong");
  verify->add_option("path", options->verify.path, "Data directory, or a log's directory")
      ->required();
  verify->add_flag("--records", options->verify.records,
                   "Decompress the batches and read every record, too");
  verify->add_flag("--live", options->verify.live,
                   "Although a broker serves the directory; findings may be false");
  add_output_option(*verify, options->verify.output);

  return {
      log, [options, dump] {
        using engine::io::Shard;
        if (dump->parsed()) {
          return run_on_one_shard([&](Shard& shard) { return dump_path(shard, options->dump); });
        }
        return run_on_one_shard([&](Shard& shard) { return verify_path(shard, options->verify); });
      }};
}

}  // namespace keelson::broker
