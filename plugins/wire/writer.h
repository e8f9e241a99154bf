// plugins/wire/writer.h: writes the types of Kafka's protocol; see reader.h for their forms.
#pragma once

#include <bit>
#include <cassert>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/byte_order.h"
#include "engine/slice.h"
#include "engine/types.h"
#include "engine/uuid.h"
#include "plugins/wire/reader.h"

namespace keelson::wire {

/// Collects one message as owned bytes with foreign slices in between: slices are shared, never
/// copied, so a fetch response costs nothing per byte of records. Owned bytes sit in one buffer
/// that doubles when full; the first holds kFirstBufferBytes, which is all a small response takes.
///
/// What cannot be written (null where not nullable, a string above 32767 bytes, a frame above 2^31
/// bytes) makes it fail for good: ok() is false and the output must not be used. One thread.
class Writer {
 public:
  using Lengths = Reader::Lengths;
  using enum Reader::Lengths;
  static constexpr std::size_t kFirstBufferBytes = 512;

  /// `first_buffer_bytes` where the caller knows better what it is about to write.
  explicit Writer(std::size_t first_buffer_bytes = kFirstBufferBytes)
      : first_buffer_bytes_(first_buffer_bytes) {}
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  bool ok() const { return ok_; }
  void fail() { ok_ = false; }
  /// Bytes written so far, slices included.
  std::size_t size_bytes() const { return owned_bytes_ + slice_bytes_; }

  template <std::integral T>
  void integer(T value) {
    engine::store_big_endian(grow(sizeof(T)), value);
  }
  void boolean(bool value) { integer<std::uint8_t>(value ? 1 : 0); }
  void float64(double value) { integer(std::bit_cast<std::uint64_t>(value)); }
  void uuid(const engine::Uuid& value) {
    std::memcpy(grow(value.bytes.size()), value.bytes.data(), value.bytes.size());
  }
  void unsigned_varint(std::uint32_t value) {
    while (value >= 0x80) {
      integer(static_cast<std::uint8_t>(value | 0x80));
      value >>= 7;
    }
    integer(static_cast<std::uint8_t>(value));
  }
  void raw(engine::Bytes value) {
    if (!value.empty()) std::memcpy(grow(value.size()), value.data(), value.size());
  }

  void string(Lengths lengths, std::string_view value);
  void null_string(Lengths lengths);
  void bytes(Lengths lengths, engine::Bytes value) {
    array_count(lengths, value.size());
    raw(value);
  }
  void slices(Lengths lengths, const engine::SliceList& value);
  /// Null bytes, records or array.
  void null_array(Lengths lengths);
  void array_count(Lengths lengths, std::size_t count);
  /// Opens a nullable struct: 1 and the struct follows, or -1.
  void struct_follows(bool follows) { integer<std::int8_t>(follows ? 1 : -1); }
  /// The same for one in a tagged field: 1 and the struct follows, or 0.
  void tagged_struct_follows(bool follows) { unsigned_varint(follows ? 1 : 0); }

  /// Writes a tagged field: tag, size and what `write_value(Writer&)` writes, without slices.
  template <class WriteValue>
  void tagged_field(std::uint32_t tag, WriteValue write_value) {
    unsigned_varint(tag);
    const std::size_t start = owned_bytes_;
    write_value(*this);
    insert_size_before(start);
  }

  /// Leaves room for the size that goes ahead of a frame. First call of a frame's writer.
  void begin_frame() {
    assert(size_bytes() == 0);
    integer<std::int32_t>(0);
  }
  /// Fills in that size: all bytes written after it. Call once, last.
  void end_frame();

  /// Appends the output to `out` and leaves the writer empty. ok() must hold.
  void move_to(engine::SliceList& out);
  engine::SliceList take() {
    engine::SliceList out;
    move_to(out);
    return out;
  }
  /// The output where no slices were written, as a view until the next call. ok() must hold.
  engine::Bytes contiguous() const {
    assert(ok_ && parts_.empty());
    return {buffer_.get(), owned_bytes_};
  }

 private:
  /// A foreign slice, and how many owned bytes go before it.
  struct Part {
    std::size_t owned_before;
    engine::Slice slice;
  };

  /// Room for `bytes` more; returns where they go.
  std::byte* grow(std::size_t bytes) {
    if (bytes > capacity_bytes_ - owned_bytes_) enlarge(bytes);
    std::byte* const target = buffer_.get() + owned_bytes_;
    owned_bytes_ += bytes;
    return target;
  }
  void enlarge(std::size_t more_bytes);
  void insert_size_before(std::size_t start);

  std::shared_ptr<std::byte[]> buffer_;
  std::size_t owned_bytes_ = 0;
  std::size_t capacity_bytes_ = 0;
  std::vector<Part> parts_;
  std::size_t slice_bytes_ = 0;
  std::size_t first_buffer_bytes_;
  bool ok_ = true;
};

}  // namespace keelson::wire
