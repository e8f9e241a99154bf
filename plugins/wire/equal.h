// plugins/wire/equal.h: whether fields hold the same, by the bytes they stand for.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>

#include "engine/slice.h"
#include "engine/types.h"

namespace keelson::wire {

template <class T>
bool equal(const T& left, const T& right) {
  return left == right;
}
/// By bits, so that a message with a NaN equals its copy.
inline bool equal(const double& left, const double& right) {
  return std::bit_cast<std::uint64_t>(left) == std::bit_cast<std::uint64_t>(right);
}
inline bool equal(const engine::Bytes& left, const engine::Bytes& right) {
  return std::ranges::equal(left, right);
}
inline bool equal(const engine::MutableBytes& left, const engine::MutableBytes& right) {
  return std::ranges::equal(left, right);
}
/// By the run of bytes, however it is cut.
bool equal(const engine::SliceList& left, const engine::SliceList& right);

template <class T>
bool equal(const std::optional<T>& left, const std::optional<T>& right) {
  if (!left || !right) return left.has_value() == right.has_value();
  return equal(*left, *right);
}

}  // namespace keelson::wire
