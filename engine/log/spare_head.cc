#include "engine/log/spare_head.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <string_view>

#include "engine/byte_order.h"
#include "engine/crc32c.h"

namespace keelson::engine::log {
namespace {

constexpr std::string_view kMagicText = "KEELSONR";
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kStart = 64;
constexpr std::size_t kCrcPosition = 102;
constexpr std::size_t kHeadBytes = 106;

}  // namespace

void write_spare_head(MutableBytes block, const LogIdentity& identity, Offset base_offset) {
  assert(block.size() >= kHeadBytes);
  std::ranges::fill(block.first(io::kBlockBytes), std::byte{0});
  std::memcpy(block.data() + kStart, kMagicText.data(), kMagicText.size());
  store_big_endian(block.data() + 72, kVersion);
  std::memcpy(block.data() + 74, identity.id.bytes.data(), 16);
  store_big_endian(block.data() + 90, identity.partition);
  store_big_endian(block.data() + 94, base_offset.value());
  const std::uint32_t crc = crc32c(Bytes(block).subspan(kStart, kCrcPosition - kStart));
  store_big_endian(block.data() + kCrcPosition, crc);
}

bool is_spare_head(Bytes block, const LogIdentity& identity, Offset base_offset) {
  if (block.size() < kHeadBytes) return false;
  std::array<std::byte, io::kBlockBytes> expected;
  write_spare_head(expected, identity, base_offset);
  return std::ranges::equal(block.first(kHeadBytes), Bytes(expected).first(kHeadBytes));
}

}  // namespace keelson::engine::log
