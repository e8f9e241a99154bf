// engine/log/record_reader.h: the records inside a batch, one after the other.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "engine/error.h"
#include "engine/log/record_batch.h"

namespace keelson::engine::log {

/// One record; key, value and headers point into the reader's memory, valid until the next next().
struct Record {
  Offset offset;
  std::int64_t timestamp_ms = kNoTimestamp;  // the batch's append time for log-append time
  std::optional<Bytes> key;
  std::optional<Bytes> value;
  Bytes headers;  // as stored: header after header, without their count
  std::int32_t header_count = 0;

  /// Of what the pointers point to.
  std::size_t size_bytes() const {
    return (key ? key->size() : 0) + (value ? value->size() : 0) + headers.size();
  }
  /// The work of looking at it, as bytes: an empty one is some, too.
  std::size_t cost_bytes() const { return 64 + size_bytes(); }
};

/// Walks a whole batch, decompressing by streaming. Total: any bytes give records or `corrupt`.
/// A record larger than `record_bytes_max` is corrupt too: nothing is sized by an unchecked number.
class RecordReader {
 public:
  explicit RecordReader(Bytes batch, std::size_t record_bytes_max = std::size_t{128} << 20);
  ~RecordReader();
  RecordReader(const RecordReader&) = delete;

  /// The next record; nothing at the end of the batch.
  [[nodiscard]] Result<std::optional<Record>> next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace keelson::engine::log
