// plugins/offsets/consumer_assignors.h: who of a group reads which partition.
//
// Pure functions: the same input gives the same answer. Every partition of a topic that somebody
// subscribes to is given to exactly one of its subscribers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/uuid.h"
#include "plugins/offsets/consumer_member.h"

namespace keelson::offsets {

struct AssignableTopic {
  std::int32_t partition_count = 0;
  /// By partition, where its replicas are; empty: not known.
  std::vector<std::vector<std::string>> racks;
};

struct AssignableMember {
  std::optional<std::string> instance_id;
  std::string rack;                  // empty: none
  std::vector<engine::Uuid> topics;  // ascending, each once, all in AssignmentInput::topics
  PartitionSet current;              // what it was to get before
};

struct AssignmentInput {
  std::map<std::string, AssignableMember> members;  // by id
  std::map<engine::Uuid, AssignableTopic> topics;
};

using Assignments = std::map<std::string, PartitionSet>;  // of every member, empty ones too
using Assignor = Assignments (*)(const AssignmentInput& input);

/// `uniform`: sizes differ by at most one where all subscribe to the same; then as few moves as
/// possible; then racks. With different subscriptions no single move would balance it better.
Assignments assign_uniform(const AssignmentInput& input);

/// `range`: of each topic neighbouring partitions, in the order of the members, static ones (by
/// instance id) first: topics of the same size are cut alike.
Assignments assign_range(const AssignmentInput& input);

/// Null for a name that is neither.
Assignor find_assignor(std::string_view name);

}  // namespace keelson::offsets
