#include "plugins/offsets/group_records.h"

#include <utility>

#include "plugins/offsets/messages/group_metadata.h"
#include "plugins/offsets/messages/legacy_offset_commit.h"
#include "plugins/offsets/messages/offset_commit.h"
#include "plugins/offsets/record_codec.h"

namespace keelson::offsets {
namespace {

using engine::Bytes;
using engine::Errc;
using engine::Result;

// As Apache Kafka 4.3.1 writes them: the explicit time to expire exists in version 1 only.
constexpr std::int16_t kOffsetVersion = 4;
constexpr std::int16_t kOffsetWithExpiryVersion = 1;
constexpr std::int16_t kGroupVersion = 3;  // 4 only makes room for tagged fields

std::optional<EncodedRecord> encode_record(const OffsetRecord& record) {
  if (record.group_id.size() > kKeyStringBytesMax || record.topic.size() > kKeyStringBytesMax) {
    return std::nullopt;
  }
  messages::OffsetCommitKey key;
  key.group = record.group_id;
  key.topic = record.topic;
  key.partition = record.partition;
  EncodedRecord encoded;
  auto key_bytes = encode_key(key);
  if (!key_bytes) return std::nullopt;
  encoded.key = std::move(*key_bytes);
  if (!record.value) return encoded;

  messages::OffsetCommitValue value;
  value.offset = record.value->offset;
  value.leader_epoch = record.value->leader_epoch.value();
  value.metadata = record.value->metadata;
  value.commit_timestamp = record.value->commit_timestamp_ms;
  value.expire_timestamp = record.value->expire_timestamp_ms;
  value.topic_id = record.value->topic_id;
  const bool expires = record.value->expire_timestamp_ms >= 0;
  encoded.value = encode_value(value, expires ? kOffsetWithExpiryVersion : kOffsetVersion);
  if (!encoded.value) return std::nullopt;
  return encoded;
}

std::optional<EncodedRecord> encode_record(const ClassicGroupRecord& record) {
  if (record.group_id.size() > kKeyStringBytesMax) return std::nullopt;
  messages::GroupMetadataKey key;
  key.group = record.group_id;
  EncodedRecord encoded;
  auto key_bytes = encode_key(key);
  if (!key_bytes) return std::nullopt;
  encoded.key = std::move(*key_bytes);
  if (!record.value) return encoded;

  messages::GroupMetadataValue value;
  value.protocol_type = record.value->protocol_type;
  value.generation = record.value->generation;
  value.protocol = record.value->protocol_name;
  value.leader = record.value->leader;
  value.current_state_timestamp = record.value->state_timestamp_ms;
  value.members.reserve(record.value->members.size());
  for (const ClassicGroupState::Member& member : record.value->members) {
    auto& stored = value.members.emplace_back();
    stored.member_id = member.member_id;
    stored.group_instance_id = member.group_instance_id;
    stored.client_id = member.client_id;
    stored.client_host = member.client_host;
    stored.rebalance_timeout = member.rebalance_timeout_ms;
    stored.session_timeout = member.session_timeout_ms;
    stored.subscription = member.subscription;
    stored.assignment = member.assignment;
  }
  encoded.value = encode_value(value, kGroupVersion);
  if (!encoded.value) return std::nullopt;
  return encoded;
}

/// The older key has the same body, and old writers paired both with any version of the value.
Result<OffsetRecord> decode_offset(Bytes body, std::optional<Bytes> value) {
  auto key = decode_body<messages::OffsetCommitKey>(body, 0);
  if (!key) return std::unexpected(key.error());
  OffsetRecord record{std::move(key->group), std::move(key->topic), key->partition, std::nullopt};
  if (!value) return record;
  auto stored = decode_value<messages::OffsetCommitValue>(*value);
  if (!stored) return std::unexpected(stored.error());
  record.value = StoredOffset{.offset = stored->offset,
                              .leader_epoch = engine::LeaderEpoch{stored->leader_epoch},
                              .metadata = std::move(stored->metadata),
                              .commit_timestamp_ms = stored->commit_timestamp,
                              .expire_timestamp_ms = stored->expire_timestamp,
                              .topic_id = stored->topic_id};
  return record;
}

Result<ClassicGroupRecord> decode_group(Bytes body, std::optional<Bytes> value) {
  auto key = decode_body<messages::GroupMetadataKey>(body, 0);
  if (!key) return std::unexpected(key.error());
  ClassicGroupRecord record{std::move(key->group), std::nullopt};
  if (!value) return record;
  auto stored = decode_value<messages::GroupMetadataValue>(*value);
  if (!stored) return std::unexpected(stored.error());
  ClassicGroupState& state = record.value.emplace();
  state.protocol_type = std::move(stored->protocol_type);
  state.generation = stored->generation;
  state.protocol_name = std::move(stored->protocol);
  state.leader = std::move(stored->leader);
  state.state_timestamp_ms = stored->current_state_timestamp;
  state.members.reserve(stored->members.size());
  for (auto& member : stored->members) {
    state.members.push_back({std::move(member.member_id), std::move(member.group_instance_id),
                             std::move(member.client_id), std::move(member.client_host),
                             member.rebalance_timeout, member.session_timeout,
                             std::move(member.subscription), std::move(member.assignment)});
  }
  return record;
}

}  // namespace

std::optional<EncodedRecord> encode(const GroupRecord& record) {
  return std::visit([](const auto& known) { return encode_record(known); }, record);
}

Result<std::variant<GroupRecord, UnknownRecord>> decode(Bytes key, std::optional<Bytes> value) {
  using Decoded = std::variant<GroupRecord, UnknownRecord>;
  const Result<Prefixed> typed = split(key);
  if (!typed) return std::unexpected(typed.error());
  switch (typed->number) {
    case messages::LegacyOffsetCommitKey::kRecordType:
    case messages::OffsetCommitKey::kRecordType: {
      Result<OffsetRecord> record = decode_offset(typed->body, value);
      if (!record) return std::unexpected(record.error());
      return Decoded{GroupRecord{std::move(*record)}};
    }
    case messages::GroupMetadataKey::kRecordType: {
      Result<ClassicGroupRecord> record = decode_group(typed->body, value);
      if (!record) return std::unexpected(record.error());
      return Decoded{GroupRecord{std::move(*record)}};
    }
    default: break;
  }
  std::optional<Result<GroupRecord>> consumer = decode_consumer(typed->number, typed->body, value);
  if (!consumer) return Decoded{UnknownRecord{typed->number}};
  if (!*consumer) return std::unexpected(consumer->error());
  return Decoded{std::move(**consumer)};
}

}  // namespace keelson::offsets
