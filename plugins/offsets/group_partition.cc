#include "plugins/offsets/group_partition.h"

#include <cassert>
#include <limits>

namespace keelson::offsets {
namespace {

constexpr std::uint32_t kReplacement = 0xfffd;

/// What a first byte promises: how many follow, and the range the second must be in.
struct Lead {
  int following = -1;  // -1: not a first byte
  std::uint8_t second_min = 0x80;
  std::uint8_t second_max = 0xbf;
};

Lead lead_of(std::uint8_t byte) {
  if (byte < 0x80) return {0};
  if (byte >= 0xc2 && byte <= 0xdf) return {1};
  if (byte == 0xe0) return {2, 0xa0, 0xbf};
  if (byte == 0xed) return {2, 0x80, 0x9f};  // no surrogates
  if (byte >= 0xe1 && byte <= 0xef) return {2};
  if (byte == 0xf0) return {3, 0x90, 0xbf};
  if (byte >= 0xf1 && byte <= 0xf3) return {3};
  if (byte == 0xf4) return {3, 0x80, 0x8f};
  return {};
}

/// The code point at `text[position]`, which is moved past it.
std::uint32_t next_code_point(std::string_view text, std::size_t& position) {
  const auto first = static_cast<std::uint8_t>(text[position++]);
  const Lead lead = lead_of(first);
  if (lead.following == 0) return first;
  if (lead.following < 0) return kReplacement;
  std::uint32_t code_point = first & (0x3f >> lead.following);
  for (int i = 0; i < lead.following; ++i) {
    if (position == text.size()) return kReplacement;
    const auto byte = static_cast<std::uint8_t>(text[position]);
    const std::uint8_t low = i == 0 ? lead.second_min : 0x80;
    const std::uint8_t high = i == 0 ? lead.second_max : 0xbf;
    if (byte < low || byte > high) return kReplacement;
    code_point = code_point << 6 | (byte & 0x3f);
    ++position;
  }
  return code_point;
}

template <class F>
void for_each_utf16_unit(std::string_view utf8, F take) {
  for (std::size_t position = 0; position < utf8.size();) {
    const std::uint32_t code_point = next_code_point(utf8, position);
    if (code_point < 0x10000) {
      take(code_point);
    } else {
      take(0xd800 + ((code_point - 0x10000) >> 10));
      take(0xdc00 + ((code_point - 0x10000) & 0x3ff));
    }
  }
}

}  // namespace

std::int32_t java_string_hash(std::string_view utf8) {
  std::uint32_t hash = 0;
  for_each_utf16_unit(utf8, [&](std::uint32_t unit) { hash = hash * 31 + unit; });
  return static_cast<std::int32_t>(hash);
}

std::size_t utf16_units(std::string_view utf8) {
  std::size_t units = 0;
  for_each_utf16_unit(utf8, [&](std::uint32_t) { ++units; });
  return units;
}

std::int32_t group_partition(std::string_view group_id, std::int32_t partition_count) {
  assert(partition_count > 0);
  const std::int32_t hash = java_string_hash(group_id);
  if (hash == std::numeric_limits<std::int32_t>::min()) return 0;
  return (hash < 0 ? -hash : hash) % partition_count;
}

}  // namespace keelson::offsets
