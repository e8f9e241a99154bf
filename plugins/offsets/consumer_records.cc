// Records of groups of the consumer protocol, as Apache Kafka 4.3.1 writes them.
#include <utility>

#include "plugins/offsets/messages/consumer_group_current_member_assignment.h"
#include "plugins/offsets/messages/consumer_group_member_metadata.h"
#include "plugins/offsets/messages/consumer_group_metadata.h"
#include "plugins/offsets/messages/consumer_group_partition_metadata.h"
#include "plugins/offsets/messages/consumer_group_regular_expression.h"
#include "plugins/offsets/messages/consumer_group_target_assignment_member.h"
#include "plugins/offsets/messages/consumer_group_target_assignment_metadata.h"
#include "plugins/offsets/record_codec.h"

namespace keelson::offsets {
namespace {

using engine::Bytes;
using engine::Result;
using StoredAssignment = messages::ConsumerGroupCurrentMemberAssignmentValue;

constexpr std::int16_t kValueVersion = 0;  // of all of them

bool fits(const std::string& name) { return name.size() <= kKeyStringBytesMax; }

/// `value` null: a tombstone.
template <class Key, class Value>
std::optional<EncodedRecord> encode_pair(const Key& key, const Value* value) {
  EncodedRecord encoded;
  auto key_bytes = encode_key(key);
  if (!key_bytes) return std::nullopt;
  encoded.key = std::move(*key_bytes);
  if (value == nullptr) return encoded;
  encoded.value = encode_value(*value, kValueVersion);
  if (!encoded.value) return std::nullopt;
  return encoded;
}

template <class Key>
std::optional<Key> member_key(const std::string& group_id, const std::string& member_id) {
  if (!fits(group_id) || !fits(member_id)) return std::nullopt;
  Key key;
  key.group_id = group_id;
  key.member_id = member_id;
  return key;
}

std::vector<StoredAssignment::TopicPartitions> to_stored(const PartitionEpochs& partitions) {
  std::vector<StoredAssignment::TopicPartitions> stored;
  for (const auto& [topic, epochs] : partitions) {
    auto& added = stored.emplace_back();
    added.topic_id = topic;
    added.assignment_epochs.emplace();
    for (const auto& [partition, epoch] : epochs) {
      added.partitions.push_back(partition);
      added.assignment_epochs->push_back(epoch);
    }
  }
  return stored;
}

/// Older writers say nothing of epochs: the member's is the best that is known.
PartitionEpochs from_stored(const std::vector<StoredAssignment::TopicPartitions>& stored,
                            std::int32_t member_epoch) {
  PartitionEpochs partitions;
  for (const auto& topic : stored) {
    const auto& epochs = topic.assignment_epochs;
    const bool known = epochs && epochs->size() == topic.partitions.size();
    for (std::size_t i = 0; i < topic.partitions.size(); ++i) {
      partitions[topic.topic_id][topic.partitions[i]] = known ? (*epochs)[i] : member_epoch;
    }
  }
  return partitions;
}

MemberState to_state(std::int8_t number) {
  switch (number) {
    case 0: return MemberState::stable;
    case 1: return MemberState::unrevoked_partitions;
    case 2: return MemberState::unreleased_partitions;
    default: return MemberState::unknown;
  }
}

/// `read` takes the value, stored as a `Value`, into the record.
template <class Value, class Record, class Read>
Result<GroupRecord> decode_pair(Record record, std::optional<Bytes> value, Read read) {
  if (!value) return GroupRecord{std::move(record)};
  auto stored = decode_value<Value>(*value);
  if (!stored) return std::unexpected(stored.error());
  read(record, *stored);
  return GroupRecord{std::move(record)};
}

Result<GroupRecord> decode_group_epoch(Bytes body, std::optional<Bytes> value) {
  auto key = decode_body<messages::ConsumerGroupMetadataKey>(body, 0);
  if (!key) return std::unexpected(key.error());
  return decode_pair<messages::ConsumerGroupMetadataValue>(
      ConsumerGroupRecord{std::move(key->group_id), {}}, value,
      [](auto& record, auto& stored) { record.value = {stored.epoch, stored.metadata_hash}; });
}

Result<GroupRecord> decode_topics(Bytes body, std::optional<Bytes> value) {
  auto key = decode_body<messages::ConsumerGroupPartitionMetadataKey>(body, 0);
  if (!key) return std::unexpected(key.error());
  return decode_pair<messages::ConsumerGroupPartitionMetadataValue>(
      ConsumerTopicsRecord{std::move(key->group_id), {}}, value,
      [](auto& record, auto&) { record.value.emplace(); });
}

Result<GroupRecord> decode_member(Bytes body, std::optional<Bytes> value) {
  using Key = messages::ConsumerGroupMemberMetadataKey;
  auto key = decode_body<Key>(body, 0);
  if (!key) return std::unexpected(key.error());
  return decode_pair<messages::ConsumerGroupMemberMetadataValue>(
      ConsumerMemberRecord{std::move(key->group_id), std::move(key->member_id), {}}, value,
      [](auto& record, auto& stored) {
        ConsumerMemberMetadata& member = record.value.emplace();
        member.instance_id = std::move(stored.instance_id);
        member.rack_id = std::move(stored.rack_id);
        member.client_id = std::move(stored.client_id);
        member.client_host = std::move(stored.client_host);
        for (std::string& topic : stored.subscribed_topic_names) {
          member.topics.insert(std::move(topic));
        }
        member.regex = stored.subscribed_topic_regex.value_or("");
        member.rebalance_timeout_ms = stored.rebalance_timeout_ms;
        member.assignor = std::move(stored.server_assignor);
        auto& classic = stored.classic_member_metadata;
        // The format's own default is an empty one, which no writer means.
        if (!classic || classic->supported_protocols.empty()) return;
        member.classic.emplace().session_timeout_ms = classic->session_timeout_ms;
        for (auto& protocol : classic->supported_protocols) {
          member.classic->protocols.push_back(
              {std::move(protocol.name), {protocol.metadata.begin(), protocol.metadata.end()}});
        }
      });
}

Result<GroupRecord> decode_target_epoch(Bytes body, std::optional<Bytes> value) {
  using Key = messages::ConsumerGroupTargetAssignmentMetadataKey;
  auto key = decode_body<Key>(body, 0);
  if (!key) return std::unexpected(key.error());
  return decode_pair<messages::ConsumerGroupTargetAssignmentMetadataValue>(
      ConsumerTargetEpochRecord{std::move(key->group_id), {}}, value,
      [](auto& record, auto& stored) {
        record.value = {stored.assignment_epoch, stored.assignment_timestamp};
      });
}

Result<GroupRecord> decode_target(Bytes body, std::optional<Bytes> value) {
  using Key = messages::ConsumerGroupTargetAssignmentMemberKey;
  auto key = decode_body<Key>(body, 0);
  if (!key) return std::unexpected(key.error());
  return decode_pair<messages::ConsumerGroupTargetAssignmentMemberValue>(
      ConsumerTargetRecord{std::move(key->group_id), std::move(key->member_id), {}}, value,
      [](auto& record, auto& stored) {
        PartitionSet& target = record.value.emplace();
        for (const auto& topic : stored.topic_partitions) {
          if (topic.partitions.empty()) continue;
          target[topic.topic_id].insert(topic.partitions.begin(), topic.partitions.end());
        }
      });
}

Result<GroupRecord> decode_assignment(Bytes body, std::optional<Bytes> value) {
  using Key = messages::ConsumerGroupCurrentMemberAssignmentKey;
  auto key = decode_body<Key>(body, 0);
  if (!key) return std::unexpected(key.error());
  return decode_pair<StoredAssignment>(
      ConsumerAssignmentRecord{std::move(key->group_id), std::move(key->member_id), {}}, value,
      [](auto& record, auto& stored) {
        record.value = ConsumerMemberAssignment{
            stored.member_epoch, stored.previous_member_epoch, to_state(stored.state),
            from_stored(stored.assigned_partitions, stored.member_epoch),
            from_stored(stored.partitions_pending_revocation, stored.member_epoch)};
      });
}

Result<GroupRecord> decode_regex(Bytes body, std::optional<Bytes> value) {
  using Key = messages::ConsumerGroupRegularExpressionKey;
  auto key = decode_body<Key>(body, 0);
  if (!key) return std::unexpected(key.error());
  return decode_pair<messages::ConsumerGroupRegularExpressionValue>(
      ConsumerRegexRecord{std::move(key->group_id), std::move(key->regular_expression), {}}, value,
      [](auto& record, auto& stored) {
        ResolvedRegex& resolved = record.value.emplace();
        for (std::string& topic : stored.topics) resolved.topics.insert(std::move(topic));
        resolved.metadata_version = stored.metadata_version;
        resolved.resolved_ms = stored.timestamp;
      });
}

}  // namespace

std::optional<EncodedRecord> encode_record(const ConsumerGroupRecord& record) {
  if (!fits(record.group_id)) return std::nullopt;
  messages::ConsumerGroupMetadataKey key;
  key.group_id = record.group_id;
  messages::ConsumerGroupMetadataValue value;
  if (record.value) {
    value.epoch = record.value->epoch;
    value.metadata_hash = record.value->metadata_hash;
  }
  return encode_pair(key, record.value ? &value : nullptr);
}

std::optional<EncodedRecord> encode_record(const ConsumerTopicsRecord& record) {
  if (!fits(record.group_id)) return std::nullopt;
  messages::ConsumerGroupPartitionMetadataKey key;
  key.group_id = record.group_id;
  const messages::ConsumerGroupPartitionMetadataValue value;
  return encode_pair(key, record.value ? &value : nullptr);
}

std::optional<EncodedRecord> encode_record(const ConsumerMemberRecord& record) {
  const auto key =
      member_key<messages::ConsumerGroupMemberMetadataKey>(record.group_id, record.member_id);
  if (!key) return std::nullopt;
  messages::ConsumerGroupMemberMetadataValue value;
  value.classic_member_metadata.reset();
  if (record.value) {
    const ConsumerMemberMetadata& member = *record.value;
    value.instance_id = member.instance_id;
    value.rack_id = member.rack_id;
    value.client_id = member.client_id;
    value.client_host = member.client_host;
    value.subscribed_topic_names.assign(member.topics.begin(), member.topics.end());
    value.subscribed_topic_regex = member.regex;
    value.rebalance_timeout_ms = member.rebalance_timeout_ms;
    value.server_assignor = member.assignor;
    if (member.classic) {
      auto& classic = value.classic_member_metadata.emplace();
      classic.session_timeout_ms = member.classic->session_timeout_ms;
      for (const GroupProtocol& protocol : member.classic->protocols) {
        auto& added = classic.supported_protocols.emplace_back();
        added.name = protocol.name;
        added.metadata = protocol.metadata;
      }
    }
  }
  return encode_pair(*key, record.value ? &value : nullptr);
}

std::optional<EncodedRecord> encode_record(const ConsumerTargetEpochRecord& record) {
  if (!fits(record.group_id)) return std::nullopt;
  messages::ConsumerGroupTargetAssignmentMetadataKey key;
  key.group_id = record.group_id;
  messages::ConsumerGroupTargetAssignmentMetadataValue value;
  if (record.value) {
    value.assignment_epoch = record.value->epoch;
    value.assignment_timestamp = record.value->made_ms;
  }
  return encode_pair(key, record.value ? &value : nullptr);
}

std::optional<EncodedRecord> encode_record(const ConsumerTargetRecord& record) {
  const auto key = member_key<messages::ConsumerGroupTargetAssignmentMemberKey>(record.group_id,
                                                                                record.member_id);
  if (!key) return std::nullopt;
  messages::ConsumerGroupTargetAssignmentMemberValue value;
  if (record.value) {
    for (const auto& [topic, partitions] : *record.value) {
      auto& added = value.topic_partitions.emplace_back();
      added.topic_id = topic;
      added.partitions.assign(partitions.begin(), partitions.end());
    }
  }
  return encode_pair(*key, record.value ? &value : nullptr);
}

std::optional<EncodedRecord> encode_record(const ConsumerAssignmentRecord& record) {
  const auto key = member_key<messages::ConsumerGroupCurrentMemberAssignmentKey>(record.group_id,
                                                                                 record.member_id);
  if (!key) return std::nullopt;
  StoredAssignment value;
  if (record.value) {
    value.member_epoch = record.value->epoch;
    value.previous_member_epoch = record.value->previous_epoch;
    value.state = static_cast<std::int8_t>(record.value->state);
    value.assigned_partitions = to_stored(record.value->assigned);
    value.partitions_pending_revocation = to_stored(record.value->revoking);
  }
  return encode_pair(*key, record.value ? &value : nullptr);
}

std::optional<EncodedRecord> encode_record(const ConsumerRegexRecord& record) {
  if (!fits(record.group_id) || !fits(record.regex)) return std::nullopt;
  messages::ConsumerGroupRegularExpressionKey key;
  key.group_id = record.group_id;
  key.regular_expression = record.regex;
  messages::ConsumerGroupRegularExpressionValue value;
  if (record.value) {
    value.topics.assign(record.value->topics.begin(), record.value->topics.end());
    value.metadata_version = record.value->metadata_version;
    value.timestamp = record.value->resolved_ms;
  }
  return encode_pair(key, record.value ? &value : nullptr);
}

std::optional<Result<GroupRecord>> decode_consumer(std::int16_t type, Bytes key,
                                                   std::optional<Bytes> value) {
  switch (type) {
    case messages::ConsumerGroupMetadataKey::kRecordType: return decode_group_epoch(key, value);
    case messages::ConsumerGroupPartitionMetadataKey::kRecordType: return decode_topics(key, value);
    case messages::ConsumerGroupMemberMetadataKey::kRecordType: return decode_member(key, value);
    case messages::ConsumerGroupTargetAssignmentMetadataKey::kRecordType:
      return decode_target_epoch(key, value);
    case messages::ConsumerGroupTargetAssignmentMemberKey::kRecordType:
      return decode_target(key, value);
    case messages::ConsumerGroupCurrentMemberAssignmentKey::kRecordType:
      return decode_assignment(key, value);
    case messages::ConsumerGroupRegularExpressionKey::kRecordType: return decode_regex(key, value);
    default: return std::nullopt;
  }
}

}  // namespace keelson::offsets
