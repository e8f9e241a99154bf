// engine/io/posix/rng.h: random bits seeded by the system.
#pragma once

#include <array>
#include <cstdint>

#include "engine/io/backend.h"

namespace keelson::engine::io {

/// xoshiro256** (source: Blackman and Vigna, public domain), seeded by getrandom(). Good for ids,
/// jitter and sampling; not for keys. One thread.
class SystemRng final : public Rng {
 public:
  SystemRng();
  std::uint64_t next() override;

 private:
  std::array<std::uint64_t, 4> state_{};
};

}  // namespace keelson::engine::io
