// plugins/broker/commands/log_commands.h: what `keelson log` does.
#pragma once

#include <optional>
#include <string>

#include "engine/io/shard.h"
#include "engine/task.h"
#include "plugins/broker/commands/options.h"

namespace keelson::broker {

struct DumpOptions {
  std::string path;  // a data directory, a log's directory or one file
  bool records = false;
  bool batches_only = false;  // no side files
  Output output = Output::text;
};
/// Prints what the files say, believing none of them. 1 where something could not be read.
engine::Task<int> dump_path(engine::io::Shard& shard, DumpOptions options);

struct VerifyCommandOptions {
  std::string path;
  bool records = false;
  bool live = false;  // although a broker serves it
  Output output = Output::text;
};
/// 0 clean, 1 findings or unreadable, 2 not a directory of logs.
engine::Task<int> verify_path(engine::io::Shard& shard, VerifyCommandOptions options);

}  // namespace keelson::broker
