// plugins/offsets/group_records.h: what the internal topic says, as structs of our own, and their
// bytes. Layout of keys and values: Kafka's (kafka-dump-log decodes them); see the schemas beside.
//
// A record's key is a type (2 bytes) and its body; a value is a schema version (2 bytes) and its
// body; a null value takes the key's state away.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/types.h"
#include "engine/uuid.h"
#include "plugins/offsets/consumer_member.h"
#include "plugins/registry/group_coordinator.h"

namespace keelson::offsets {

/// A group offset as it is kept.
struct StoredOffset {
  std::int64_t offset = -1;
  engine::LeaderEpoch leader_epoch = engine::kNoLeaderEpoch;
  std::string metadata;
  std::int64_t commit_timestamp_ms = -1;
  std::int64_t expire_timestamp_ms = -1;  // -1: none given
  engine::Uuid topic_id;                  // zero: not known

  friend bool operator==(const StoredOffset&, const StoredOffset&) = default;
};

struct OffsetRecord {
  std::string group_id;
  std::string topic;
  std::int32_t partition = 0;
  std::optional<StoredOffset> value;  // nothing: taken away

  friend bool operator==(const OffsetRecord&, const OffsetRecord&) = default;
};

struct ClassicGroupState {
  struct Member {
    std::string member_id;
    std::optional<std::string> group_instance_id;
    std::string client_id;
    std::string client_host;
    std::int32_t rebalance_timeout_ms = -1;
    std::int32_t session_timeout_ms = -1;
    MemberBytes subscription;  // its metadata for the protocol chosen
    MemberBytes assignment;

    friend bool operator==(const Member&, const Member&) = default;
  };
  std::string protocol_type;  // empty: none
  std::int32_t generation = 0;
  std::optional<std::string> protocol_name;
  std::optional<std::string> leader;
  std::int64_t state_timestamp_ms = -1;  // when its state last changed
  std::vector<Member> members;

  friend bool operator==(const ClassicGroupState&, const ClassicGroupState&) = default;
};

struct ClassicGroupRecord {
  std::string group_id;
  std::optional<ClassicGroupState> value;  // nothing: taken away

  friend bool operator==(const ClassicGroupRecord&, const ClassicGroupRecord&) = default;
};

// A group of the consumer protocol is many records; see consumer_group.h for what each one means.

struct ConsumerGroupEpoch {
  std::int32_t epoch = 0;
  std::int64_t metadata_hash = 0;  // of the topics subscribed to, as they were at this epoch

  friend bool operator==(const ConsumerGroupEpoch&, const ConsumerGroupEpoch&) = default;
};
struct ConsumerGroupRecord {
  std::string group_id;
  std::optional<ConsumerGroupEpoch> value;

  friend bool operator==(const ConsumerGroupRecord&, const ConsumerGroupRecord&) = default;
};

/// What older brokers kept of the topics. Read and written as a tombstone only.
struct ConsumerTopicsRecord {
  std::string group_id;
  std::optional<std::monostate> value;

  friend bool operator==(const ConsumerTopicsRecord&, const ConsumerTopicsRecord&) = default;
};

struct ConsumerMemberRecord {
  std::string group_id;
  std::string member_id;
  std::optional<ConsumerMemberMetadata> value;

  friend bool operator==(const ConsumerMemberRecord&, const ConsumerMemberRecord&) = default;
};

struct ConsumerTargetEpoch {
  std::int32_t epoch = 0;
  std::int64_t made_ms = 0;

  friend bool operator==(const ConsumerTargetEpoch&, const ConsumerTargetEpoch&) = default;
};
struct ConsumerTargetEpochRecord {
  std::string group_id;
  std::optional<ConsumerTargetEpoch> value;

  friend bool operator==(const ConsumerTargetEpochRecord&,
                         const ConsumerTargetEpochRecord&) = default;
};

struct ConsumerTargetRecord {
  std::string group_id;
  std::string member_id;
  std::optional<PartitionSet> value;

  friend bool operator==(const ConsumerTargetRecord&, const ConsumerTargetRecord&) = default;
};

struct ConsumerAssignmentRecord {
  std::string group_id;
  std::string member_id;
  std::optional<ConsumerMemberAssignment> value;

  friend bool operator==(const ConsumerAssignmentRecord&,
                         const ConsumerAssignmentRecord&) = default;
};

struct ResolvedRegex {
  std::set<std::string> topics;
  std::int64_t metadata_version = 0;
  std::int64_t resolved_ms = 0;

  friend bool operator==(const ResolvedRegex&, const ResolvedRegex&) = default;
};
struct ConsumerRegexRecord {
  std::string group_id;
  std::string regex;
  std::optional<ResolvedRegex> value;

  friend bool operator==(const ConsumerRegexRecord&, const ConsumerRegexRecord&) = default;
};

using GroupRecord =
    std::variant<OffsetRecord, ClassicGroupRecord, ConsumerGroupRecord, ConsumerTopicsRecord,
                 ConsumerMemberRecord, ConsumerTargetEpochRecord, ConsumerTargetRecord,
                 ConsumerAssignmentRecord, ConsumerRegexRecord>;

struct EncodedRecord {
  std::vector<std::byte> key;
  std::optional<std::vector<std::byte>> value;

  std::size_t size_bytes() const { return key.size() + (value ? value->size() : 0); }
};

/// Nothing where a field is longer than its format can say (a name above 32767 bytes).
std::optional<EncodedRecord> encode(const GroupRecord& record);

struct UnknownRecord {
  std::int16_t type = 0;  // written by a later version or by a feature this one has not
};

/// Total: any bytes give a record, an unknown one, or the error `corrupt`.
[[nodiscard]] engine::Result<std::variant<GroupRecord, UnknownRecord>> decode(
    engine::Bytes key, std::optional<engine::Bytes> value);

}  // namespace keelson::offsets
