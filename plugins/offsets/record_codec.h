// plugins/offsets/record_codec.h: prefixed messages, of which keys and values of the internal topic
// are made. Private to this folder.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "engine/byte_order.h"
#include "engine/error.h"
#include "plugins/offsets/group_records.h"
#include "plugins/wire/reader.h"
#include "plugins/wire/writer.h"

namespace keelson::offsets {

inline constexpr std::size_t kKeyStringBytesMax = std::numeric_limits<std::int16_t>::max();

inline std::vector<std::byte> flatten(wire::Writer& writer) {
  std::vector<std::byte> bytes;
  bytes.reserve(writer.size_bytes());
  const engine::SliceList slices = writer.take();
  for (const engine::Slice& slice : slices) {
    bytes.insert(bytes.end(), slice.bytes.begin(), slice.bytes.end());
  }
  return bytes;
}

/// A type or version in front, then the message's body.
template <class Message>
std::optional<std::vector<std::byte>> encode_message(const Message& message, std::int16_t prefix,
                                                     std::int16_t version) {
  wire::Writer writer;
  writer.integer(prefix);
  const engine::Result<void> written = message.encode(writer, version);
  if (!written || !writer.ok()) return std::nullopt;
  return flatten(writer);
}

template <class Message>
std::optional<std::vector<std::byte>> encode_key(const Message& key) {
  return encode_message(key, Message::kRecordType, 0);
}

template <class Message>
std::optional<std::vector<std::byte>> encode_value(const Message& value, std::int16_t version) {
  return encode_message(value, version, version);
}

/// The body behind a prefix that was read already.
template <class Message>
engine::Result<Message> decode_body(engine::Bytes body, std::int16_t version) {
  wire::Reader reader(body);
  engine::Result<Message> message = Message::decode(reader, version);
  if (!message || !reader.ok()) return engine::fail(engine::Errc::corrupt);
  return message;
}

struct Prefixed {
  std::int16_t number = 0;
  engine::Bytes body;
};

inline engine::Result<Prefixed> split(engine::Bytes bytes) {
  if (bytes.size() < sizeof(std::int16_t)) return engine::fail(engine::Errc::corrupt);
  return Prefixed{engine::load_big_endian<std::int16_t>(bytes.data()), bytes.subspan(2)};
}

template <class Message>
engine::Result<Message> decode_value(engine::Bytes bytes) {
  const engine::Result<Prefixed> value = split(bytes);
  if (!value) return std::unexpected(value.error());
  return decode_body<Message>(value->body, value->number);
}

// Records of the consumer protocol: consumer_records.cc.
std::optional<EncodedRecord> encode_record(const ConsumerGroupRecord& record);
std::optional<EncodedRecord> encode_record(const ConsumerTopicsRecord& record);
std::optional<EncodedRecord> encode_record(const ConsumerMemberRecord& record);
std::optional<EncodedRecord> encode_record(const ConsumerTargetEpochRecord& record);
std::optional<EncodedRecord> encode_record(const ConsumerTargetRecord& record);
std::optional<EncodedRecord> encode_record(const ConsumerAssignmentRecord& record);
std::optional<EncodedRecord> encode_record(const ConsumerRegexRecord& record);

/// Nothing where `type` is none of theirs.
std::optional<engine::Result<GroupRecord>> decode_consumer(std::int16_t type, engine::Bytes key,
                                                           std::optional<engine::Bytes> value);

}  // namespace keelson::offsets
