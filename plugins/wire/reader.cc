#include "plugins/wire/reader.h"

#include <cassert>
#include <cstring>

namespace keelson::wire {

engine::Uuid Reader::uuid() {
  engine::Uuid value;
  if (remaining_bytes() < value.bytes.size()) {
    fail();
    return value;
  }
  std::memcpy(value.bytes.data(), next_, value.bytes.size());
  next_ += value.bytes.size();
  return value;
}

std::uint32_t Reader::long_varint() {
  constexpr int kLastShift = 28;
  constexpr std::uint8_t kLastByteMax = 0x0f;  // 32 - 28 bits are left
  std::uint32_t value = 0;
  for (int shift = 0; shift <= kLastShift; shift += 7) {
    const auto byte = integer<std::uint8_t>();
    if (shift == kLastShift && byte > kLastByteMax) fail();
    if (!ok_) return 0;
    value |= static_cast<std::uint32_t>(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return value;
}

std::int32_t Reader::length_of_bytes(Lengths lengths) {
  const std::int32_t length = lengths == compact ? compact_length() : integer<std::int32_t>();
  if (!ok_ || length < 0) return -1;
  if (static_cast<std::uint32_t>(length) > remaining_bytes()) {
    fail();
    return -1;
  }
  return length;
}

std::optional<std::string_view> Reader::nullable_string(Lengths lengths) {
  const std::int32_t length =
      lengths == compact ? compact_length() : std::int32_t{integer<std::int16_t>()};
  if (!ok_ || length < 0) return std::nullopt;
  if (length > kStringBytesMax || static_cast<std::uint32_t>(length) > remaining_bytes()) {
    fail();
    return std::nullopt;
  }
  const std::string_view value(reinterpret_cast<const char*>(next_),
                               static_cast<std::size_t>(length));
  next_ += length;
  return value;
}

std::optional<engine::Bytes> Reader::nullable_bytes(Lengths lengths) {
  const std::int32_t length = length_of_bytes(lengths);
  if (length < 0) return std::nullopt;
  const engine::Bytes value(next_, static_cast<std::size_t>(length));
  next_ += length;
  return value;
}

std::optional<engine::MutableBytes> Reader::nullable_mutable_bytes(Lengths lengths) {
  assert(mutable_);  // Made from mutable bytes, so the const taken away here was only ours.
  const auto value = nullable_bytes(lengths);
  if (!value) return std::nullopt;
  return engine::MutableBytes(const_cast<std::byte*>(value->data()), value->size());
}

std::optional<engine::SliceList> Reader::nullable_slices(Lengths lengths) {
  const auto value = nullable_bytes(lengths);
  if (!value) return std::nullopt;
  if (value->empty()) return engine::SliceList{};
  if (owner_) return engine::SliceList{{owner_, *value}};
  const auto copy = std::make_shared_for_overwrite<std::byte[]>(value->size());
  std::memcpy(copy.get(), value->data(), value->size());
  return engine::SliceList{{copy, engine::Bytes(copy.get(), value->size())}};
}

std::optional<std::uint32_t> Reader::array_count(Lengths lengths, std::size_t min_element_bytes,
                                                 std::size_t element_memory_bytes) {
  assert(min_element_bytes > 0 && element_memory_bytes > 0);
  const std::int32_t signed_count = lengths == compact ? compact_length() : integer<std::int32_t>();
  if (!ok_ || signed_count < 0) return std::nullopt;
  const auto count = static_cast<std::uint32_t>(signed_count);
  if (count > remaining_bytes() / min_element_bytes ||
      count > memory_left_ / element_memory_bytes) {
    fail();
    return std::nullopt;
  }
  memory_left_ -= count * element_memory_bytes;
  return count;
}

}  // namespace keelson::wire
