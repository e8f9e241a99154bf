// engine/byte_order.h: integers as they stand in a Kafka log, big-endian, at any alignment.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstring>

namespace keelson::engine {

/// Reads sizeof(T) bytes at `source`, which the caller has checked to be there.
template <std::integral T>
T load_big_endian(const std::byte* source) {
  T value;
  std::memcpy(&value, source, sizeof value);
  if constexpr (std::endian::native == std::endian::little && sizeof(T) > 1) {
    value = std::byteswap(value);
  }
  return value;
}

/// Writes sizeof(T) bytes at `target`, which the caller has checked to be there.
template <std::integral T>
void store_big_endian(std::byte* target, T value) {
  if constexpr (std::endian::native == std::endian::little && sizeof(T) > 1) {
    value = std::byteswap(value);
  }
  std::memcpy(target, &value, sizeof value);
}

}  // namespace keelson::engine
