// engine/io/sim/sim_rng.h: the random numbers of a simulation.
#pragma once

#include <bit>
#include <cassert>
#include <cstdint>

#include "engine/io/backend.h"

namespace keelson::engine::io {

/// xoshiro256** seeded through splitmix64 (source: Blackman and Vigna, 2018). Same seed, same
/// numbers, on every machine.
class SimRng final : public Rng {
 public:
  explicit SimRng(std::uint64_t seed) {
    for (std::uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15;
      std::uint64_t mixed = seed;
      mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
      mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
      word = mixed ^ (mixed >> 31);
    }
  }

  std::uint64_t next() override {
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

  /// Uniform in [0, bound); `bound` is not 0. The bias of 2^-64 * bound does not matter here.
  std::uint64_t below(std::uint64_t bound) {
    assert(bound > 0);
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }
  /// Uniform in [low, high], both ends included.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    assert(low <= high);
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
  }
  bool coin() { return (next() >> 63) != 0; }
  /// True `ppm` times in a million. Draws nothing where `ppm` is 0.
  bool chance_ppm(std::uint32_t ppm) { return ppm != 0 && below(1'000'000) < ppm; }

 private:
  std::uint64_t state_[4];
};

/// Takes everything a simulation decides, so that two runs of a seed can be compared.
class TraceHash {
 public:
  void add(std::uint64_t word) {
    value_ = (std::rotl(value_, 23) ^ word) * 0x9fb21c651e98df25;
    value_ ^= value_ >> 32;
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0x8c2f9d31a5b0e647;
};

}  // namespace keelson::engine::io
