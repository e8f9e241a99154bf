#include "engine/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace keelson::engine {

std::uint32_t crc32c(Bytes bytes, std::uint32_t seed) {
  constexpr std::size_t kPieceBytes = std::size_t{1} << 30;  // the library takes an int
  std::uint32_t state = ~seed;
  while (!bytes.empty()) {
    const std::size_t piece_bytes = std::min(bytes.size(), kPieceBytes);
    // The library's argument is not const, but it only reads.
    auto* start = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data()));
    state = crc32_iscsi(start, static_cast<int>(piece_bytes), state);
    bytes = bytes.subspan(piece_bytes);
  }
  return ~state;
}

}  // namespace keelson::engine
