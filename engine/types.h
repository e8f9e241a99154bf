// engine/types.h: the numbers a log is made of, as types that do not convert into each other.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace keelson::engine {

/// A number with a meaning. Construction is explicit; comparison only with its own kind.
template <class Tag, class Rep>
class Number {
 public:
  using rep = Rep;
  constexpr Number() = default;
  constexpr explicit Number(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  constexpr auto operator<=>(const Number&) const = default;

 private:
  Rep value_ = 0;
};

/// A record's number in its log (Kafka: offset). Never a byte position.
using Offset = Number<struct OffsetTag, std::int64_t>;
/// Grows with each leader of a partition; -1 where none is known.
using LeaderEpoch = Number<struct LeaderEpochTag, std::int32_t>;
/// Identifies an idempotent producer; -1 where there is none.
using ProducerId = Number<struct ProducerIdTag, std::int64_t>;
using ProducerEpoch = Number<struct ProducerEpochTag, std::int16_t>;

inline constexpr LeaderEpoch kNoLeaderEpoch{-1};
inline constexpr ProducerId kNoProducerId{-1};
inline constexpr ProducerEpoch kNoProducerEpoch{-1};
inline constexpr std::int32_t kNoSequence = -1;
inline constexpr std::int64_t kNoTimestamp = -1;  // milliseconds since 1970, as Kafka

constexpr Offset operator+(Offset offset, std::int64_t count) {
  return Offset{offset.value() + count};
}
constexpr std::int64_t operator-(Offset left, Offset right) { return left.value() - right.value(); }

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

}  // namespace keelson::engine

template <class Tag, class Rep>
struct std::hash<keelson::engine::Number<Tag, Rep>> {
  std::size_t operator()(keelson::engine::Number<Tag, Rep> number) const noexcept {
    return std::hash<Rep>{}(number.value());
  }
};
