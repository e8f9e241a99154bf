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

bool RecordCursor::skip(std::int32_t bytes, std::uint64_t record_end) {
  const std::uint64_t at = consumed();
  if (bytes < 0 || at > record_end || static_cast<std::uint64_t>(bytes) > record_end - at) {
    return false;
  }
  position_ += bytes;
  return true;
}

bool RecordCursor::read_headers(std::int32_t count, std::uint64_t record_end) {
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

/// The record lies whole in the window.
bool RecordCursor::read_whole(RecordFields& fields, std::uint64_t record_end) {
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
  if (!read_headers(fields.header_count, record_end)) return false;
  fields.end = position_;
  return consumed() == record_end;
}

bool RecordCursor::skip_later(std::int32_t bytes) {
  const std::uint64_t at = consumed();
  if (bytes < 0 || at > record_end_ || static_cast<std::uint64_t>(bytes) > record_end_ - at) {
    return false;
  }
  skip_bytes_ = static_cast<std::uint64_t>(bytes);
  return true;
}

bool RecordCursor::pass_by(Step& step) {
  while (skip_bytes_ > 0) {
    if (position_ == end_) {
      step = consumed() >= pause_at_ ? Step::paused : Step::failed;
      if (step == Step::paused || !refill()) return false;
    }
    const std::uint64_t here = std::min(skip_bytes_, static_cast<std::uint64_t>(end_ - position_));
    position_ += here;
    skip_bytes_ -= here;
  }
  return true;
}

bool RecordCursor::read_part(RecordFields& fields) {
  std::int32_t bytes = 0;
  switch (part_) {
    case Part::start:  // behind the attributes
      part_ = Part::value;
      if (!read(fields.timestamp_delta) || !read(fields.offset_delta)) return false;
      if (!read(fields.key_bytes) || fields.key_bytes < -1) return false;
      fields.key = position_;
      return fields.key_bytes <= 0 || skip_later(fields.key_bytes);
    case Part::value:
      part_ = Part::headers;
      if (!read(fields.value_bytes) || fields.value_bytes < -1) return false;
      fields.value = position_;
      return fields.value_bytes <= 0 || skip_later(fields.value_bytes);
    case Part::headers:
      if (!read(fields.header_count) || fields.header_count < 0) return false;
      fields.headers = position_;
      headers_left_ = fields.header_count;
      part_ = headers_left_ == 0 ? Part::end : Part::header_key;
      return true;
    case Part::header_key: part_ = Part::header_value; return read(bytes) && skip_later(bytes);
    case Part::header_value:
      part_ = --headers_left_ == 0 ? Part::end : Part::header_key;
      if (!read(bytes) || bytes < -1 || consumed() > record_end_) return false;
      return bytes <= 0 || skip_later(bytes);
    case Part::end: break;
  }
  return false;
}

RecordCursor::Step RecordCursor::read_in_parts(RecordFields& fields) {
  Step step = Step::failed;
  while (true) {
    if (!pass_by(step)) return step;
    if (part_ == Part::end) break;
    if (consumed() >= pause_at_) return Step::paused;  // many headers, however short
    if (!read_part(fields)) return Step::failed;
  }
  in_parts_ = false;
  fields.end = position_;
  return consumed() == record_end_ ? Step::record : Step::failed;
}

RecordCursor::Step RecordCursor::next(RecordFields& fields) {
  if (in_parts_) return read_in_parts(fields);
  if (consumed() >= pause_at_) [[unlikely]]
    return Step::paused;
  std::int32_t length = 0;
  if (!read(length) || length < 0) return Step::failed;
  const std::uint64_t record_end = consumed() + static_cast<std::uint64_t>(length);
  if (length <= end_ - position_) [[likely]] {
    return read_whole(fields, record_end) ? Step::record : Step::failed;
  }
  in_parts_ = true;
  part_ = Part::start;
  record_end_ = record_end;
  return skip_later(1) ? read_in_parts(fields) : Step::failed;  // attributes
}

}  // namespace keelson::engine::log
