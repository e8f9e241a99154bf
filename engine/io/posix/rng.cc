#include "engine/io/posix/rng.h"

#include <sys/random.h>

#include <bit>
#include <cerrno>
#include <cstdlib>

namespace keelson::engine::io {

SystemRng::SystemRng() {
  // 32 bytes: up to 256 are given whole once the pool is ready (source: getrandom(2)).
  while (::getrandom(state_.data(), sizeof state_, 0) != static_cast<ssize_t>(sizeof state_)) {
    if (errno != EINTR) std::abort();  // no seed, no ids: nothing to go on with
  }
  state_[0] |= 1;  // all zero is the one state it never leaves
}

std::uint64_t SystemRng::next() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

}  // namespace keelson::engine::io
