// engine/log/varint.h: the variable-length integers inside records.
//
// Zig-zag, then base 128, least significant group first: at most 5 bytes for 32 bits and 10 for 64.
// Longer than needed is legal, bits beyond the width are dropped (source: Kafka ByteUtils).
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace keelson::engine::log {

template <std::signed_integral T>
inline constexpr std::size_t kVarintBytesMax = (sizeof(T) * 8 + 6) / 7;

template <std::signed_integral T>
constexpr std::make_unsigned_t<T> zig_zag(T value) {
  using U = std::make_unsigned_t<T>;
  return (static_cast<U>(value) << 1) ^ static_cast<U>(value >> (sizeof(T) * 8 - 1));
}

template <std::unsigned_integral U>
constexpr std::make_signed_t<U> un_zig_zag(U raw) {
  return static_cast<std::make_signed_t<U>>((raw >> 1) ^ (U{0} - (raw & 1)));
}

/// Reads one at `position` and moves behind it. False, with `position` undefined, where it does
/// not end before `end` or within its longest form.
template <std::signed_integral T>
inline bool read_varint(const std::byte*& position, const std::byte* end, T& value) {
  using U = std::make_unsigned_t<T>;
  U raw = 0;
  for (std::size_t index = 0; index < kVarintBytesMax<T> && position != end; ++index) {
    const auto group = static_cast<std::uint8_t>(*position++);
    raw |= static_cast<U>(static_cast<U>(group & 0x7f) << (7 * index));
    if (group < 0x80) {
      value = un_zig_zag(raw);
      return true;
    }
  }
  return false;
}

template <std::signed_integral T>
void append_varint(std::vector<std::byte>& out, T value) {
  auto raw = zig_zag(value);
  while (raw >= 0x80) {
    out.push_back(static_cast<std::byte>(raw | 0x80));
    raw >>= 7;
  }
  out.push_back(static_cast<std::byte>(raw));
}

}  // namespace keelson::engine::log
