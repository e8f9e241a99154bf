// plugins/wire/reader.h: reads the types of Kafka's protocol from bytes that nobody vouches for.
//
// Integers are big-endian. Lengths come in two forms, chosen by the version of the message:
//   classic  string: int16 length; bytes, records, array: int32 length. Negative is null.
//   compact  unsigned varint of length + 1. 0 is null, and so is whatever is negative as an int32:
//            Kafka computes in 32 bits, so 2^32-1 is null too.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "engine/byte_order.h"
#include "engine/slice.h"
#include "engine/types.h"
#include "engine/uuid.h"
#include "plugins/wire/message.h"

namespace keelson::wire {

/// Walks once over one frame or record. Total: no input makes it read outside of its bytes, assert,
/// throw, or take memory out of proportion. After the first malformed byte it fails for good, every
/// further read returns 0, "" or nothing, and ok() is false; callers check once at the end.
///
/// Memory: the elements of arrays may take up to 8 times the frame, and 64 KiB on top so that small
/// frames of short strings pass. The bytes of owned strings come out of the frame one to one.
///
/// Views that it returns point into the bytes, which must outlive them. One thread.
class Reader {
 public:
  /// Lengths are written compact from a message's first flexible version on.
  enum class Lengths : bool { classic, compact };
  using enum Lengths;

  /// `owner` keeps `bytes` alive. Where it is given, slices() shares it; else slices() copies.
  explicit Reader(engine::Bytes bytes, std::shared_ptr<const void> owner = nullptr)
      : next_(bytes.data()),
        end_(bytes.data() + bytes.size()),
        memory_left_(bytes.size() * kMemoryPerByte + kMemoryFloorBytes),
        owner_(std::move(owner)) {}
  /// A frame that may be written to: needed where a message hands out mutable bytes (Produce).
  explicit Reader(engine::MutableBytes bytes) : Reader(engine::Bytes(bytes)) { mutable_ = true; }

  bool ok() const { return ok_; }
  std::size_t remaining_bytes() const { return static_cast<std::size_t>(end_ - next_); }
  /// Where the next read starts. Meaningless once failed.
  const std::byte* position() const { return next_; }
  void fail() {
    ok_ = false;
    next_ = end_;
  }

  template <std::integral T>
  T integer() {
    if (remaining_bytes() < sizeof(T)) {
      fail();
      return 0;
    }
    const T value = engine::load_big_endian<T>(next_);
    next_ += sizeof(T);
    return value;
  }
  bool boolean() { return integer<std::uint8_t>() != 0; }
  double float64() { return std::bit_cast<double>(integer<std::uint64_t>()); }
  engine::Uuid uuid();
  /// At most 5 bytes and 32 bits. Longer forms than needed are read, as Kafka does.
  std::uint32_t unsigned_varint() {
    if (next_ != end_ && static_cast<std::uint8_t>(*next_) < 0x80) {
      return static_cast<std::uint8_t>(*next_++);
    }
    return long_varint();
  }

  /// A string where null is not allowed. Not checked to be UTF-8. At most 32767 bytes.
  std::string_view string(Lengths lengths) {
    const auto value = nullable_string(lengths);
    if (!value) fail();
    return value.value_or(std::string_view{});
  }
  std::optional<std::string_view> nullable_string(Lengths lengths);
  engine::Bytes bytes(Lengths lengths) {
    const auto value = nullable_bytes(lengths);
    if (!value) fail();
    return value.value_or(engine::Bytes{});
  }
  std::optional<engine::Bytes> nullable_bytes(Lengths lengths);
  OwnedBytes owned_bytes(Lengths lengths) {
    const engine::Bytes value = bytes(lengths);
    return {value.begin(), value.end()};
  }
  std::optional<OwnedBytes> nullable_owned_bytes(Lengths lengths) {
    const auto value = nullable_bytes(lengths);
    if (!value) return std::nullopt;
    return OwnedBytes(value->begin(), value->end());
  }
  /// As nullable_bytes(), writable. The reader must have been made from mutable bytes.
  std::optional<engine::MutableBytes> nullable_mutable_bytes(Lengths lengths);
  /// As nullable_bytes(), kept alive by the owner, or copied where there is none.
  std::optional<engine::SliceList> nullable_slices(Lengths lengths);

  /// The number of elements of an array, checked: `min_element_bytes` (at least 1) each fit into
  /// what remains, and `element_memory_bytes` each into the memory the frame may take. Nothing for
  /// null.
  std::optional<std::uint32_t> array_count(Lengths lengths, std::size_t min_element_bytes,
                                           std::size_t element_memory_bytes);

  /// Reads an array with `read_element(Reader&, T&)`. Null where that is not allowed is an error.
  template <class T, class ReadElement>
  std::vector<T> array(Lengths lengths, std::size_t min_element_bytes, ReadElement read_element) {
    auto value = nullable_array<T>(lengths, min_element_bytes, read_element);
    if (!value) fail();
    return value ? std::move(*value) : std::vector<T>{};
  }
  template <class T, class ReadElement>
  std::optional<std::vector<T>> nullable_array(Lengths lengths, std::size_t min_element_bytes,
                                               ReadElement read_element) {
    const auto count = array_count(lengths, min_element_bytes, sizeof(T));
    if (!count) return std::nullopt;
    std::vector<T> elements;
    elements.reserve(std::min<std::size_t>(*count, kReserveBytesMax / sizeof(T) + 1));
    for (std::uint32_t i = 0; i < *count && ok_; ++i) read_element(*this, elements.emplace_back());
    return elements;
  }

  /// Whether a nullable struct follows: int8, negative is null. Kafka writes 1 and -1.
  bool struct_follows() { return integer<std::int8_t>() >= 0; }
  /// The same for one in a tagged field: an unsigned varint, 0 is null. Kafka writes 1 and 0.
  bool tagged_struct_follows() { return static_cast<std::int32_t>(unsigned_varint()) > 0; }

  /// Reads the tagged section that ends a struct of a flexible version. `read_field(reader, tag)`
  /// reads a field it knows and returns true, or returns false to have it skipped. Any order and
  /// number are taken; nothing is kept of unknown fields. A known field must fill its size.
  template <class ReadField>
  void tagged_fields(ReadField read_field) {
    const auto count = static_cast<std::int32_t>(unsigned_varint());
    for (std::int32_t i = 0; i < count && ok_; ++i) {
      const std::uint32_t tag = unsigned_varint();
      const std::uint32_t size_bytes = unsigned_varint();
      if (size_bytes > remaining_bytes()) return fail();
      const std::byte* const field_end = next_ + size_bytes;
      if (!read_field(*this, tag)) {
        next_ = field_end;
      } else if (next_ != field_end) {
        return fail();
      }
    }
  }
  void skip_tagged_fields() {
    tagged_fields([](Reader&, std::uint32_t) { return false; });
  }

 private:
  static constexpr std::size_t kMemoryPerByte = 8;
  static constexpr std::size_t kMemoryFloorBytes = 64 * 1024;
  static constexpr std::size_t kReserveBytesMax = 4096;
  static constexpr std::int32_t kStringBytesMax = 32767;  // source: Kafka's generated readers

  std::uint32_t long_varint();
  /// A length of bytes that are there, or -1 for null (also once failed).
  std::int32_t length_of_bytes(Lengths lengths);
  std::int32_t compact_length() { return static_cast<std::int32_t>(unsigned_varint() - 1); }

  const std::byte* next_;
  const std::byte* end_;
  std::size_t memory_left_;
  std::shared_ptr<const void> owner_;
  bool ok_ = true;
  bool mutable_ = false;
};

}  // namespace keelson::wire
