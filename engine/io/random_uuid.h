// engine/io/random_uuid.h: uuids from a shard's source of randomness.
#pragma once

#include "engine/io/backend.h"
#include "engine/uuid.h"

namespace keelson::engine::io {

/// Version 4; never zero.
inline Uuid random_uuid(Rng& rng) {
  const std::uint64_t high = rng.next();
  return make_uuid(high, rng.next());
}

}  // namespace keelson::engine::io
