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

namespace {

/// A reader of one record whose bytes are all there. Everything is inlined into one loop without
/// memory traffic: of the bytes of small records, this is what the broker spends most on.
class WholeRecord {
 public:
  WholeRecord(const std::byte* start, const std::byte* end) : at_(start), end_(end) {}

  const std::byte* at() const { return at_; }
  bool at_end() const { return at_ == end_; }

  template <class T>
  [[gnu::always_inline]] bool read(T& value) {
    using U = std::make_unsigned_t<T>;
    if (at_ == end_) return false;
    const auto first = static_cast<std::uint8_t>(at_[0]);
    if (first < 0x80) [[likely]] {
      ++at_;
      value = un_zig_zag(static_cast<U>(first));
      return true;
    }
    if (end_ - at_ >= 2 && static_cast<std::uint8_t>(at_[1]) < 0x80) {
      value = un_zig_zag(static_cast<U>((first & 0x7f) | static_cast<U>(at_[1]) << 7));
      at_ += 2;
      return true;
    }
    return read_varint(at_, end_, value);
  }
  [[gnu::always_inline]] bool skip(std::int32_t bytes) {
    if (bytes < 0 || bytes > end_ - at_) return false;
    at_ += bytes;
    return true;
  }
  /// A length of -1 stands for null.
  [[gnu::always_inline]] bool skip_nullable(std::int32_t bytes) {
    return bytes == -1 || skip(bytes);
  }
  bool skip_headers(std::int32_t count) {
    // A header takes two bytes at least, so a false count runs out of bytes, not of time.
    for (std::int32_t index = 0; index < count; ++index) {
      std::int32_t bytes = 0;
      if (!read(bytes) || !skip(bytes)) return false;
      if (!read(bytes) || !skip_nullable(bytes)) return false;
    }
    return true;
  }

 private:
  const std::byte* at_;
  const std::byte* end_;
};

}  // namespace

/// The record lies whole in the window.
bool RecordCursor::read_whole(RecordFields& fields, std::int32_t length) {
  WholeRecord record(position_, position_ + length);
  if (!record.skip(1)) return false;  // attributes
  if (!record.read(fields.timestamp_delta) || !record.read(fields.offset_delta)) return false;
  if (!record.read(fields.key_bytes)) return false;
  fields.key = record.at();
  if (!record.skip_nullable(fields.key_bytes) || !record.read(fields.value_bytes)) return false;
  fields.value = record.at();
  if (!record.skip_nullable(fields.value_bytes) || !record.read(fields.header_count)) return false;
  fields.headers = record.at();
  if (fields.header_count < 0) return false;
  if (fields.header_count > 0 && !record.skip_headers(fields.header_count)) return false;
  fields.end = position_ = record.at();
  return record.at_end();
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
  if (length <= end_ - position_) [[likely]] {
    return read_whole(fields, length) ? Step::record : Step::failed;
  }
  in_parts_ = true;
  part_ = Part::start;
  record_end_ = consumed() + static_cast<std::uint64_t>(length);
  return skip_later(1) ? read_in_parts(fields) : Step::failed;  // attributes
}

}  // namespace keelson::engine::log
