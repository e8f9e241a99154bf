// plugins/kafka/server/frame.h: one request as it came from the wire, and the memory it is in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "engine/buffer_memory.h"
#include "engine/counters.h"
#include "engine/io/sync.h"
#include "engine/types.h"

namespace keelson::kafka {

/// Bytes of requests larger than this are charged to the shard's budget while they are held;
/// smaller ones are bounded by the number of connections.
inline constexpr std::size_t kFreeFrameBytes = std::size_t{4} << 10;

/// The bytes behind the size prefix of a request. Gives its memory and its charge back when it
/// goes.
class Frame {
 public:
  Frame() = default;
  Frame(Frame&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)),
        capacity_bytes_(std::exchange(other.capacity_bytes_, 0)),
        size_bytes_(std::exchange(other.size_bytes_, 0)),
        charged_bytes_(std::exchange(other.charged_bytes_, 0)),
        budget_(std::exchange(other.budget_, nullptr)) {}
  Frame& operator=(Frame&& other) noexcept {
    if (this != &other) {
      release();
      memory_ = std::exchange(other.memory_, nullptr);
      capacity_bytes_ = std::exchange(other.capacity_bytes_, 0);
      size_bytes_ = std::exchange(other.size_bytes_, 0);
      charged_bytes_ = std::exchange(other.charged_bytes_, 0);
      budget_ = std::exchange(other.budget_, nullptr);
    }
    return *this;
  }
  ~Frame() { release(); }

  engine::MutableBytes bytes() { return {memory_, size_bytes_}; }
  std::size_t size_bytes() const { return size_bytes_; }
  std::size_t capacity_bytes() const { return capacity_bytes_; }
  engine::MutableBytes free_space() {
    return {memory_ + size_bytes_, capacity_bytes_ - size_bytes_};
  }
  /// `count` bytes of free_space() were filled.
  void filled(std::size_t count) { size_bytes_ += count; }

  /// What growing to `capacity_bytes` would add to the charge. A frame larger than the whole budget
  /// is charged all of it: such frames come one at a time.
  std::size_t extra_charge(std::size_t capacity_bytes, const engine::io::Semaphore& budget) const {
    const std::size_t due = capacity_bytes > kFreeFrameBytes ? capacity_bytes : 0;
    return std::min<std::size_t>(due, budget.total()) - charged_bytes_;
  }
  /// Makes room for `capacity_bytes` in all; the caller has taken extra_charge() from `budget`.
  void grow(std::size_t capacity_bytes, engine::io::Semaphore& budget) {
    charged_bytes_ += extra_charge(capacity_bytes, budget);
    budget_ = &budget;
    std::byte* const grown = engine::allocate_buffer(capacity_bytes);
    engine::tally_copy(size_bytes_);
    if (size_bytes_ > 0) std::memcpy(grown, memory_, size_bytes_);
    engine::free_buffer(memory_, capacity_bytes_);
    memory_ = grown;
    capacity_bytes_ = capacity_bytes;
  }

 private:
  void release() {
    engine::free_buffer(memory_, capacity_bytes_);
    if (charged_bytes_ > 0) budget_->give(std::exchange(charged_bytes_, 0));
  }

  std::byte* memory_ = nullptr;
  std::size_t capacity_bytes_ = 0;
  std::size_t size_bytes_ = 0;
  std::size_t charged_bytes_ = 0;
  engine::io::Semaphore* budget_ = nullptr;
};

}  // namespace keelson::kafka
