// plugins/broker/commands/group_commands.h: what `keelson group` asks of a running broker.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/io/shard.h"
#include "engine/task.h"
#include "plugins/broker/commands/options.h"

namespace keelson::broker {

/// Where offsets are set to. One of them.
struct ResetTo {
  bool earliest = false;
  bool latest = false;
  bool current = false;
  std::optional<std::int64_t> offset;
  std::optional<std::int64_t> shift;
  std::string time;      // as parse_time_ms() reads it
  std::string duration;  // before now, as parse_duration_ms() reads it
  std::string file;      // path of an offset plan
};

struct GroupOptions : ServerOptions {
  std::vector<std::string> groups;
  std::vector<std::string> states;  // list
  std::vector<std::string> types;   // list
  bool show_state = false;          // describe
  bool show_members = false;        // describe
  std::vector<std::string> topics;  // reset: TOPIC or TOPIC:0,1
  bool all_topics = false;          // reset: all that the group has committed
  ResetTo to;
  bool execute = false;    // reset: else it is only shown
  bool if_exists = false;  // delete
};

/// Each prints what was done or found. 0 done, 1 it could not be, 2 wrong use.
engine::Task<int> list_groups(engine::io::Shard& shard, GroupOptions options);
engine::Task<int> describe_groups(engine::io::Shard& shard, GroupOptions options);
engine::Task<int> reset_group_offsets(engine::io::Shard& shard, GroupOptions options);
engine::Task<int> delete_groups(engine::io::Shard& shard, GroupOptions options);

}  // namespace keelson::broker
