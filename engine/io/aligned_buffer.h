// engine/io/aligned_buffer.h: memory that direct I/O accepts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "engine/buffer_memory.h"
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
        data_(allocate_buffer(size_bytes_, kBlockBytes)) {}
  AlignedBuffer(AlignedBuffer&& other) noexcept { swap(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    AlignedBuffer(std::move(other)).swap(*this);
    return *this;
  }
  ~AlignedBuffer() { free_buffer(data_, size_bytes_, kBlockBytes); }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::size_t size_bytes() const { return size_bytes_; }
  MutableBytes bytes() { return {data_, size_bytes_}; }

 private:
  void swap(AlignedBuffer& other) noexcept {
    std::swap(size_bytes_, other.size_bytes_);
    std::swap(data_, other.data_);
  }

  std::size_t size_bytes_ = 0;
  std::byte* data_ = nullptr;
};

}  // namespace keelson::engine::io
