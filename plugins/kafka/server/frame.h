// plugins/kafka/server/frame.h: one request as it came from the wire, and the memory it is in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include "engine/io/sync.h"
#include "engine/types.h"

namespace keelson::kafka {

/// Bytes of requests larger than this are charged to the shard's budget while they are held;
/// smaller ones are bounded by the number of connections.
inline constexpr std::size_t kFreeFrameBytes = std::size_t{64} << 10;

/// The bytes behind the size prefix of a request. Grows as bytes arrive, never ahead of them by
/// more than they are already; gives its charge back when it goes.
class Frame {
 public:
  Frame() = default;
  Frame(Frame&& other) noexcept
      : memory_(std::move(other.memory_)),
        capacity_bytes_(std::exchange(other.capacity_bytes_, 0)),
        size_bytes_(std::exchange(other.size_bytes_, 0)),
        charged_bytes_(std::exchange(other.charged_bytes_, 0)),
        budget_(std::exchange(other.budget_, nullptr)) {}
  Frame& operator=(Frame&& other) noexcept {
    if (this != &other) {
      release();
      memory_ = std::move(other.memory_);
      capacity_bytes_ = std::exchange(other.capacity_bytes_, 0);
      size_bytes_ = std::exchange(other.size_bytes_, 0);
      charged_bytes_ = std::exchange(other.charged_bytes_, 0);
      budget_ = std::exchange(other.budget_, nullptr);
    }
    return *this;
  }
  ~Frame() { release(); }

  engine::MutableBytes bytes() { return {memory_.get(), size_bytes_}; }
  std::size_t size_bytes() const { return size_bytes_; }
  std::size_t capacity_bytes() const { return capacity_bytes_; }
  engine::MutableBytes free_space() {
    return {memory_.get() + size_bytes_, capacity_bytes_ - size_bytes_};
  }
  /// `count` bytes of free_space() were filled.
  void filled(std::size_t count) { size_bytes_ += count; }

  /// What growing to `capacity_bytes` would add to the charge.
  std::size_t extra_charge(std::size_t capacity_bytes) const {
    const std::size_t due = capacity_bytes > kFreeFrameBytes ? capacity_bytes : 0;
    return due - charged_bytes_;
  }
  /// Makes room for `capacity_bytes` in all; the caller has taken extra_charge() from `budget`.
  void grow(std::size_t capacity_bytes, engine::io::Semaphore& budget) {
    charged_bytes_ += extra_charge(capacity_bytes);
    budget_ = &budget;
    auto* const grown = static_cast<std::byte*>(std::realloc(memory_.release(), capacity_bytes));
    if (grown == nullptr) std::abort();  // the budget bounds what is asked for
    memory_.reset(grown);
    capacity_bytes_ = capacity_bytes;
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  void release() {
    if (charged_bytes_ > 0) budget_->give(std::exchange(charged_bytes_, 0));
  }

  std::unique_ptr<std::byte, Free> memory_;
  std::size_t capacity_bytes_ = 0;
  std::size_t size_bytes_ = 0;
  std::size_t charged_bytes_ = 0;
  engine::io::Semaphore* budget_ = nullptr;
};

}  // namespace keelson::kafka
