// plugins/offsets/consumer_member.h: a member of a group of the consumer protocol, as it is kept.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/uuid.h"
#include "plugins/registry/group_coordinator.h"

namespace keelson::offsets {

using PartitionSet = std::map<engine::Uuid, std::set<std::int32_t>>;  // no empty sets
/// Partitions and the member epoch in which each was given.
using PartitionEpochs = std::map<engine::Uuid, std::map<std::int32_t, std::int32_t>>;  // likewise

/// Of the member, as records and clients write it.
inline constexpr std::int32_t kJoinEpoch = 0;
inline constexpr std::int32_t kLeaveEpoch = -1;
inline constexpr std::int32_t kLeaveStaticEpoch = -2;  // will come back before its session ends

/// Of a group of which nothing was written yet; its first change makes it 2 (source: Kafka 4.3.1,
/// ModernGroup).
inline constexpr std::int32_t kEpochBeforeFirst = 1;

/// Numbers as stored (source: Kafka 4.3.1, MemberState).
enum class MemberState : std::int8_t {
  stable = 0,
  unrevoked_partitions = 1,   // waits for the client to give something up
  unreleased_partitions = 2,  // waits for others to give up what it shall get
  unknown = 127,              // written by a later version
};

/// What a member of the classic protocol brought when it joined.
struct ClassicMemberData {
  std::int32_t session_timeout_ms = 0;
  std::vector<GroupProtocol> protocols;  // most wanted first

  friend bool operator==(const ClassicMemberData&, const ClassicMemberData&) = default;
};

/// What a member says of itself.
struct ConsumerMemberMetadata {
  std::optional<std::string> instance_id;
  std::optional<std::string> rack_id;
  std::string client_id;
  std::string client_host;
  std::set<std::string> topics;
  std::string regex;  // empty: none
  std::int32_t rebalance_timeout_ms = -1;
  std::optional<std::string> assignor;
  std::optional<ClassicMemberData> classic;  // uses JoinGroup and its kin

  friend bool operator==(const ConsumerMemberMetadata&, const ConsumerMemberMetadata&) = default;
};

/// What a member has.
struct ConsumerMemberAssignment {
  std::int32_t epoch = 0;  // or kLeaveStaticEpoch
  std::int32_t previous_epoch = 0;
  MemberState state = MemberState::stable;
  PartitionEpochs assigned;
  PartitionEpochs revoking;  // asked back, still its own

  friend bool operator==(const ConsumerMemberAssignment&,
                         const ConsumerMemberAssignment&) = default;
};

struct ConsumerMember {
  ConsumerMemberMetadata metadata;
  ConsumerMemberAssignment assignment;

  friend bool operator==(const ConsumerMember&, const ConsumerMember&) = default;
};

}  // namespace keelson::offsets
