// engine/log/record_cursor.h: the fields of a record, from bytes at hand or as they decompress.
//
//   varint length of what follows      varint value length, -1 null, and the value
//   i8     attributes, unused          varint header count, and per header
//   varlong timestamp delta, ms          varint key length, and the key
//   varint offset delta                  varint value length, -1 null, and the value
//   varint key length, -1 null, and the key
#pragma once

#include <cstdint>

#include "engine/log/compression.h"
#include "engine/log/varint.h"
#include "engine/types.h"

namespace keelson::engine::log {

/// What a record says. The pointers are good only while the record lies in one piece of memory:
/// always where the cursor has no decompressor behind it.
struct RecordFields {
  std::int64_t timestamp_delta = 0;
  std::int32_t offset_delta = 0;
  std::int32_t key_bytes = -1;    // -1: null
  std::int32_t value_bytes = -1;  // -1: null
  std::int32_t header_count = 0;
  const std::byte* key = nullptr;
  const std::byte* value = nullptr;
  const std::byte* headers = nullptr;
  const std::byte* end = nullptr;
};

/// Reads forward through record bytes; holds nothing but a window on them. Once a call failed the
/// cursor is spent: the bytes were no records, or the decompressor behind them refused.
class RecordCursor {
 public:
  enum class Step : std::uint8_t { record, failed, paused };

  /// All bytes are there.
  explicit RecordCursor(Bytes bytes)
      : position_(bytes.data()), end_(bytes.data() + bytes.size()), end_at_(bytes.size()) {}
  /// The bytes come from `source`, which outlives the cursor.
  explicit RecordCursor(Decompressor& source) : source_(&source) {}

  /// Reads one record, whose length must fit its fields exactly.
  bool read_record(RecordFields& fields) { return next(fields) == Step::record; }
  /// The same, but may say `paused` once pause_at() was passed, be it in the middle of a record:
  /// call again with the same `fields`.
  Step next(RecordFields& fields);
  /// No bound at first. Bytes that lie in memory already may be read beyond it.
  void pause_at(std::uint64_t consumed_bytes) { pause_at_ = consumed_bytes; }

  /// True where the bytes end here; false also where that cannot be known.
  bool at_end() { return position_ == end_ && !refill() && !failed_; }

  /// Bytes read so far.
  std::uint64_t consumed() const { return end_at_ - static_cast<std::uint64_t>(end_ - position_); }

 private:
  bool refill();

  template <class T>
  bool read(T& value) {
    // Most numbers of a record are below 64 and take one byte.
    if (position_ != end_ && static_cast<std::uint8_t>(*position_) < 0x80) [[likely]] {
      using U = std::make_unsigned_t<T>;
      value = un_zig_zag(static_cast<U>(*position_++));
      return true;
    }
    if (end_ - position_ >= static_cast<std::ptrdiff_t>(kVarintBytesMax<T>)) [[likely]] {
      return read_varint(position_, end_, value);
    }
    return read_slowly(value);
  }
  template <class T>
  bool read_slowly(T& value);

  /// What comes behind the bytes that are still to be passed, of a record that does not lie whole
  /// in the window.
  enum class Part : std::uint8_t { start, value, headers, header_key, header_value, end };

  bool read_whole(RecordFields& fields, std::int32_t length);
  Step read_in_parts(RecordFields& fields);
  /// False where it takes longer: pause or fail.
  bool pass_by(Step& step);
  bool read_part(RecordFields& fields);
  /// Passes `bytes` of a record in parts, wherever they are, none of them behind record_end_.
  bool skip_later(std::int32_t bytes);

  const std::byte* position_ = nullptr;
  const std::byte* end_ = nullptr;
  std::uint64_t end_at_ = 0;  // of `end_`, counted from the first record byte
  Decompressor* source_ = nullptr;
  bool failed_ = false;

  std::uint64_t pause_at_ = ~std::uint64_t{0};  // of consumed()
  // Of the record in parts.
  Part part_ = Part::start;
  bool in_parts_ = false;
  std::int32_t headers_left_ = 0;
  std::uint64_t record_end_ = 0;
  std::uint64_t skip_bytes_ = 0;  // to pass before part_
};

}  // namespace keelson::engine::log
