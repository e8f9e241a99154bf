#include "engine/log/record_cursor.h"

#include <algorithm>

namespace keelson::engine::log {

bool RecordCursor::refill() {
  if (source_ == nullptr || failed_) return false;
  const Result<Bytes> piece = source_->next();
  if (!piece) {
    failed_ = true;
    return false;
  }
  position_ = piece->data();
  end_ = position_ + piece->size();
  end_at_ += piece->size();
  return !piece->empty();
}

template <class T>
bool RecordCursor::read_slowly(T& value) {
  std::byte groups[kVarintBytesMax<T>];
  for (std::size_t count = 0; count < kVarintBytesMax<T>;) {
    if (position_ == end_ && !refill()) return false;
    groups[count++] = *position_++;
    if (static_cast<std::uint8_t>(groups[count - 1]) < 0x80) {
      const std::byte* start = groups;
      return read_varint(start, groups + count, value);
    }
  }
  return false;
}

bool RecordCursor::skip_slowly(std::uint64_t bytes) {
  while (bytes > 0) {
    if (position_ == end_ && !refill()) return false;
    const std::uint64_t here = std::min(bytes, static_cast<std::uint64_t>(end_ - position_));
    position_ += here;
    bytes -= here;
  }
  return true;
}

bool RecordCursor::skip(std::int32_t bytes, std::uint64_t record_end) {
  const std::uint64_t at = consumed();
  if (bytes < 0 || at > record_end || static_cast<std::uint64_t>(bytes) > record_end - at) {
    return false;
  }
  if (bytes <= end_ - position_) [[likely]] {
    position_ += bytes;
    return true;
  }
  return skip_slowly(static_cast<std::uint64_t>(bytes));
}

bool RecordCursor::skip_headers(std::int32_t count, std::uint64_t record_end) {
  // A header takes two bytes at least, so a false count runs out of bytes, not of time.
  for (std::int32_t index = 0; index < count; ++index) {
    std::int32_t key_bytes = 0;
    std::int32_t value_bytes = 0;
    if (!read(key_bytes) || !skip(key_bytes, record_end)) return false;
    if (!read(value_bytes)) return false;
    if (value_bytes < -1) return false;
    if (value_bytes >= 0 && !skip(value_bytes, record_end)) return false;
    if (consumed() > record_end) return false;
  }
  return true;
}

bool RecordCursor::read_record(RecordFields& fields) {
  std::int32_t length = 0;
  if (!read(length) || length < 0) return false;
  const std::uint64_t record_end = consumed() + static_cast<std::uint64_t>(length);

  if (!skip(1, record_end)) return false;  // attributes
  if (!read(fields.timestamp_delta) || !read(fields.offset_delta)) return false;

  if (!read(fields.key_bytes) || fields.key_bytes < -1) return false;
  fields.key = position_;
  if (fields.key_bytes > 0 && !skip(fields.key_bytes, record_end)) return false;

  if (!read(fields.value_bytes) || fields.value_bytes < -1) return false;
  fields.value = position_;
  if (fields.value_bytes > 0 && !skip(fields.value_bytes, record_end)) return false;

  if (!read(fields.header_count) || fields.header_count < 0) return false;
  fields.headers = position_;
  if (!skip_headers(fields.header_count, record_end)) return false;
  fields.end = position_;
  return consumed() == record_end;
}

}  // namespace keelson::engine::log
