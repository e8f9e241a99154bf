// plugins/broker/commands/topic_commands.h: what `keelson topic` asks of a running broker.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/io/shard.h"
#include "engine/task.h"
#include "plugins/broker/commands/options.h"

namespace keelson::broker {

struct TopicOptions : ServerOptions {
  std::vector<std::string> topics;
  std::int32_t partitions = -1;          // the broker's default; alter: as they are
  std::int16_t replication_factor = -1;  // the broker's default
  std::vector<std::string> settings;     // name=value
  std::vector<std::string> removed_settings;
  bool if_not_exists = false;
  bool if_exists = false;
  bool exclude_internal = false;
};

/// Each prints what was done or found. 0 done, 1 it could not be, 2 wrong use.
engine::Task<int> create_topics(engine::io::Shard& shard, TopicOptions options);
engine::Task<int> list_topics(engine::io::Shard& shard, TopicOptions options);
engine::Task<int> describe_topics(engine::io::Shard& shard, TopicOptions options);
engine::Task<int> delete_topics(engine::io::Shard& shard, TopicOptions options);
engine::Task<int> alter_topics(engine::io::Shard& shard, TopicOptions options);

}  // namespace keelson::broker
