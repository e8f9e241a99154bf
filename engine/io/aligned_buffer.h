// engine/io/aligned_buffer.h: memory that direct I/O accepts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include "engine/types.h"

namespace keelson::engine::io {

inline constexpr std::size_t kBlockBytes = 4096;  // unit of direct writes; a multiple of any sector

constexpr std::uint64_t round_down_to_block(std::uint64_t bytes) {
  return bytes & ~std::uint64_t{kBlockBytes - 1};
}
constexpr std::uint64_t round_up_to_block(std::uint64_t bytes) {
  return round_down_to_block(bytes + kBlockBytes - 1);
}

/// Owns `size_bytes` of memory aligned to kBlockBytes; contents undefined.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  /// `size_bytes` is rounded up to whole blocks.
  explicit AlignedBuffer(std::size_t size_bytes)
      : size_bytes_(round_up_to_block(size_bytes)),
        data_(static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, size_bytes_))) {
    if (data_ == nullptr) std::abort();  // budgets bound what is asked for; nothing to go on with
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : size_bytes_(std::exchange(other.size_bytes_, 0)), data_(std::move(other.data_)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    size_bytes_ = std::exchange(other.size_bytes_, 0);
    data_ = std::move(other.data_);
    return *this;
  }

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  std::size_t size_bytes() const { return size_bytes_; }
  MutableBytes bytes() { return {data_.get(), size_bytes_}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::size_t size_bytes_ = 0;
  std::unique_ptr<std::byte, Free> data_;
};

}  // namespace keelson::engine::io
