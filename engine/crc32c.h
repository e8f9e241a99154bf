// engine/crc32c.h: the checksum of record batches and of our own files.
#pragma once

#include <cstdint>

#include "engine/types.h"

namespace keelson::engine {

/// CRC-32C (Castagnoli, RFC 3720) of `bytes`, continuing from `seed`, the value of what went
/// before (0 at the start). Any thread.
std::uint32_t crc32c(Bytes bytes, std::uint32_t seed = 0);

}  // namespace keelson::engine
