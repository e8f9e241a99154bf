// engine/uuid.h: 16 bytes that name a log, a topic, a cluster or a directory for ever.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace keelson::engine {

/// Kafka's Uuid: printed as 22 characters of URL-safe base64 without padding.
struct Uuid {
  std::array<std::byte, 16> bytes{};

  constexpr auto operator<=>(const Uuid&) const = default;
  constexpr bool is_zero() const { return *this == Uuid{}; }
};

/// 22 characters of URL-safe base64, as in partition.metadata.
std::string to_string(const Uuid& uuid);
/// The reverse of to_string(); nothing for anything but 22 characters of its alphabet.
std::optional<Uuid> parse_uuid(std::string_view text);
/// A random (version 4) uuid of 128 bits from the caller's source. Never zero.
Uuid make_uuid(std::uint64_t high, std::uint64_t low);

}  // namespace keelson::engine

template <>
struct std::hash<keelson::engine::Uuid> {
  std::size_t operator()(const keelson::engine::Uuid& uuid) const noexcept;
};
