// tests/plugins/storage/metadata_support.h: records and files of Kafka's metadata log.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "engine/byte_order.h"
#include "engine/log/batch_builder.h"
#include "plugins/storage/kafka_metadata.h"

namespace keelson::storage {

using ByteString = std::vector<std::byte>;

/// A metadata log that Apache Kafka 4.3.1 wrote in two runs: topics plain (3 partitions), codecs,
/// compacted (grown to 2) and later; doomed and tx deleted; settings changed.
inline ByteString golden_log() {
  std::ifstream file(KEELSON_STORAGE_TEST_DATA "/kafka-4.3.1-cluster-metadata.log",
                     std::ios::binary);
  EXPECT_TRUE(file.is_open());
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

/// Writes a record's value piece by piece.
class RecordWriter {
 public:
  RecordWriter(std::uint8_t type, std::uint8_t version) { u8(1).u8(type).u8(version); }
  RecordWriter& u8(std::uint8_t value) {
    bytes_.push_back(static_cast<std::byte>(value));
    return *this;
  }
  template <class T>
  RecordWriter& number(T value) {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + sizeof(T));
    engine::store_big_endian(bytes_.data() + at, value);
    return *this;
  }
  RecordWriter& text(std::string_view text) {
    u8(static_cast<std::uint8_t>(text.size() + 1));
    for (const char c : text) u8(static_cast<std::uint8_t>(c));
    return *this;
  }
  RecordWriter& uuid(engine::Uuid id) {
    bytes_.insert(bytes_.end(), id.bytes.begin(), id.bytes.end());
    return *this;
  }
  const ByteString& end() { return u8(0).bytes_; }

 private:
  ByteString bytes_;
};

inline const engine::Uuid kSomeId = engine::make_uuid(1, 2);

inline ByteString topic_record(std::string_view name, engine::Uuid id = kSomeId) {
  return RecordWriter(2, 0).text(name).uuid(id).end();
}
inline ByteString partition_record(std::int32_t number, std::int32_t epoch,
                                   engine::Uuid id = kSomeId) {
  RecordWriter writer(3, 0);
  writer.number(number).uuid(id);
  for (int lists = 0; lists < 4; ++lists) writer.u8(2).number(std::int32_t{7});
  return writer.number(std::int32_t{7}).number(epoch).number(std::int32_t{0}).end();
}
inline ByteString config_record(std::uint8_t kind, std::string_view resource, std::string_view name,
                                std::optional<std::string_view> value) {
  RecordWriter writer(4, 0);
  writer.u8(kind).text(resource).text(name);
  value ? writer.text(*value) : writer.u8(0);
  return writer.end();
}
inline ByteString bare_record(std::uint8_t type) { return RecordWriter(type, 0).end(); }

/// One batch of `records`.
inline ByteString batch_of(const std::vector<ByteString>& records, std::int64_t base_offset) {
  engine::log::BatchBuilder builder;
  for (const ByteString& record : records) builder.add(0, std::nullopt, engine::Bytes(record));
  return builder.build(engine::Offset{base_offset});
}

}  // namespace keelson::storage
