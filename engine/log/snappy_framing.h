// engine/log/snappy_framing.h: the framing of snappy blocks that Java's clients write (xerial).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "engine/types.h"

namespace keelson::engine::log {

inline constexpr std::array<std::byte, 8> kXerialMagic{
    std::byte{0x82}, std::byte{'S'}, std::byte{'N'}, std::byte{'A'},
    std::byte{'P'},  std::byte{'P'}, std::byte{'Y'}, std::byte{0}};
inline constexpr std::size_t kXerialHeaderBytes = 16;  // magic, version 1, oldest reader 1
inline constexpr std::size_t kXerialLengthBytes = 4;
inline constexpr std::size_t kXerialBlockBytes = std::size_t{32} << 10;  // plain, as Java's default

inline bool xerial_header_at(Bytes bytes) {
  return bytes.size() >= kXerialHeaderBytes &&
         std::ranges::equal(bytes.first(kXerialMagic.size()), kXerialMagic);
}

}  // namespace keelson::engine::log
