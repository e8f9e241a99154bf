// engine/log/record_encoding.h: a record's fields as they stand in a batch of magic 2.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/log/varint.h"
#include "engine/types.h"

namespace keelson::engine::log {

inline void append_sized(std::vector<std::byte>& out, Bytes bytes) {
  append_varint(out, static_cast<std::int32_t>(bytes.size()));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

/// Null is a length of -1.
inline void append_nullable(std::vector<std::byte>& out, const std::optional<Bytes>& bytes) {
  if (bytes) {
    append_sized(out, *bytes);
  } else {
    append_varint(out, std::int32_t{-1});
  }
}

/// What precedes a record's headers. The length of all goes in front of this.
struct RecordStart {
  std::int64_t timestamp_delta_ms = 0;
  std::int32_t offset_delta = 0;
  const std::optional<Bytes>& key;
  const std::optional<Bytes>& value;
  std::int32_t header_count = 0;
};

inline void append_record_start(std::vector<std::byte>& out, const RecordStart& record) {
  out.push_back(std::byte{0});  // attributes
  append_varint(out, record.timestamp_delta_ms);
  append_varint(out, record.offset_delta);
  append_nullable(out, record.key);
  append_nullable(out, record.value);
  append_varint(out, record.header_count);
}

}  // namespace keelson::engine::log
