// tests/engine/log/batch_support.h: what the tests of batches share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "engine/byte_order.h"
#include "engine/crc32c.h"
#include "engine/log/batch_builder.h"
#include "engine/log/record_batch.h"

namespace keelson::engine::log {

inline constexpr Codec kAllCodecs[] = {Codec::none, Codec::gzip, Codec::snappy, Codec::lz4,
                                       Codec::zstd};

inline Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

inline std::string text_of(Bytes bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

/// A file of the test data, whole.
inline std::string read_test_file(const std::string& name) {
  std::ifstream file(std::string(KEELSON_LOG_TEST_DATA) + "/" + name, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << name;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// Makes the CRC right again after a test changed the batch.
inline void fix_crc(MutableBytes batch) {
  store_big_endian(batch.data() + 17, crc32c(batch.subspan(kCrcStart)));
}

/// Stores `value` at `at` and makes the CRC right.
template <class T>
void poke(std::vector<std::byte>& batch, std::size_t at, T value) {
  store_big_endian(batch.data() + at, value);
  fix_crc(batch);
}

/// `batch` with other bytes behind its header; length and CRC fit them, the counts stay.
inline std::vector<std::byte> with_records(std::vector<std::byte> batch, Bytes records) {
  batch.resize(kBatchHeaderBytes);
  batch.insert(batch.end(), records.begin(), records.end());
  store_big_endian(batch.data() + 8, static_cast<std::int32_t>(batch.size() - kBatchPrefixBytes));
  fix_crc(batch);
  return batch;
}

/// A record as a test remembers it.
struct PlainRecord {
  std::int64_t timestamp_ms = 0;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
};

inline void add_record(BatchBuilder& builder, const PlainRecord& record) {
  std::vector<RecordHeader> headers;
  for (const auto& [key, value] : record.headers) {
    headers.push_back({bytes_of(key), value ? std::optional(bytes_of(*value)) : std::nullopt});
  }
  builder.add(record.timestamp_ms, record.key ? std::optional(bytes_of(*record.key)) : std::nullopt,
              record.value ? std::optional(bytes_of(*record.value)) : std::nullopt, headers);
}

}  // namespace keelson::engine::log
