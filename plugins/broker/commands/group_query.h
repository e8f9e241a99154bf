// plugins/broker/commands/group_query.h: what a running broker says of groups and of offsets.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/task.h"
#include "plugins/broker/client/kafka_client.h"
#include "plugins/broker/commands/reset_target.h"

namespace keelson::broker {

struct GroupMember {
  std::string id;
  std::optional<std::string> instance_id;
  std::string client_id;
  std::string host;
  std::vector<TopicPartition> partitions;  // sorted
};

struct GroupSummary {
  std::string id;
  std::string type;           // "classic", "consumer"
  std::string state;          // Kafka's name: "Stable"
  std::string protocol_type;  // "consumer" for consumers; may be empty
};

struct GroupDetail : GroupSummary {
  std::int16_t error_code = 0;  // what follows and the state are unknown then
  std::optional<std::string> error_message;
  std::string assignor;
  std::vector<GroupMember> members;
};

using PartitionOffsets = std::map<TopicPartition, std::int64_t>;

// Each asks the broker that `client` is connected to. Errors: the client's.

/// All groups, by name; those of these states and types only, where some are given.
engine::Task<ClientResult<std::vector<GroupSummary>>> read_groups(KafkaClient& client,
                                                                  std::vector<std::string> states,
                                                                  std::vector<std::string> types);

/// These groups in their order, of either type; an unknown one has GROUP_ID_NOT_FOUND.
engine::Task<ClientResult<std::vector<GroupDetail>>> read_group_details(
    KafkaClient& client, std::vector<std::string> ids);

/// What the group has committed, of all topics.
engine::Task<ClientResult<PartitionOffsets>> read_committed(KafkaClient& client, std::string group);

inline constexpr std::int64_t kLatestOffset = -1;
inline constexpr std::int64_t kEarliestOffset = -2;
/// Of each partition the first offset at or after `time_ms`, or the start or end; -1 where there is
/// none. A partition that cannot be asked is left out.
engine::Task<ClientResult<PartitionOffsets>> read_log_offsets(
    KafkaClient& client, std::vector<TopicPartition> partitions, std::int64_t time_ms);

}  // namespace keelson::broker
