#include "engine/uuid.h"

#include <cstring>

namespace keelson::engine {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t kTextChars = 22;  // 16 bytes in groups of 6 bits

}  // namespace

std::string to_string(const Uuid& uuid) {
  std::string text;
  text.reserve(kTextChars);
  std::uint32_t bits = 0;
  int bit_count = 0;
  for (std::byte byte : uuid.bytes) {
    bits = bits << 8 | std::to_integer<std::uint32_t>(byte);
    bit_count += 8;
    while (bit_count >= 6) {
      bit_count -= 6;
      text.push_back(kAlphabet[bits >> bit_count & 63]);
    }
  }
  text.push_back(kAlphabet[bits << (6 - bit_count) & 63]);
  return text;
}

std::optional<Uuid> parse_uuid(std::string_view text) {
  if (text.size() != kTextChars) return std::nullopt;
  Uuid uuid;
  std::uint32_t bits = 0;
  int bit_count = 0;
  std::size_t filled = 0;
  for (char character : text) {
    const std::size_t value = kAlphabet.find(character);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    bit_count += 6;
    if (bit_count >= 8 && filled < uuid.bytes.size()) {
      bit_count -= 8;
      uuid.bytes[filled++] = static_cast<std::byte>(bits >> bit_count & 255);
    }
  }
  return uuid;
}

Uuid make_uuid(std::uint64_t high, std::uint64_t low) {
  Uuid uuid;
  for (int i = 0; i < 8; ++i) {
    uuid.bytes[i] = static_cast<std::byte>(high >> (56 - 8 * i));
    uuid.bytes[8 + i] = static_cast<std::byte>(low >> (56 - 8 * i));
  }
  uuid.bytes[6] = (uuid.bytes[6] & std::byte{0x0f}) | std::byte{0x40};  // version 4: random
  uuid.bytes[8] = (uuid.bytes[8] & std::byte{0x3f}) | std::byte{0x80};  // RFC 4122 variant
  return uuid;
}

}  // namespace keelson::engine

std::size_t std::hash<keelson::engine::Uuid>::operator()(
    const keelson::engine::Uuid& uuid) const noexcept {
  std::uint64_t halves[2];
  std::memcpy(halves, uuid.bytes.data(), sizeof halves);
  return halves[0] ^ (halves[1] * 0x9e3779b97f4a7c15ULL);
}
