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

using GroupRecord = std::variant<OffsetRecord, ClassicGroupRecord>;

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
