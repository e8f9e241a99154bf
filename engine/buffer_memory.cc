#include "engine/buffer_memory.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdlib>
#include <vector>

namespace keelson::engine {
namespace {

// Kept sizes are powers of two; what is smaller or larger goes to the allocator and back.
constexpr std::size_t kKeptMin = std::size_t{32} << 10;
constexpr std::size_t kKeptMax = std::size_t{4} << 20;
constexpr std::size_t kClasses = std::countr_zero(kKeptMax) - std::countr_zero(kKeptMin) + 1;
#if __has_feature(address_sanitizer)
constexpr std::size_t kKeptBytesMax = 0;  // a block that is used after it was freed is to be seen
#else
constexpr std::size_t kKeptBytesMax = std::size_t{4} << 20;
#endif

std::byte* allocate(std::size_t bytes, std::size_t align_bytes) {
  const std::size_t rounded = (bytes + align_bytes - 1) & ~(align_bytes - 1);
  void* const memory = align_bytes <= alignof(std::max_align_t)
                           ? std::malloc(rounded)
                           : std::aligned_alloc(align_bytes, rounded);
  if (memory == nullptr) std::abort();
  return static_cast<std::byte*>(memory);
}

bool is_kept_size(std::size_t bytes) { return bytes >= kKeptMin && bytes <= kKeptMax; }

std::size_t class_of(std::size_t bytes) {
  return static_cast<std::size_t>(std::bit_width(bytes - 1) - std::countr_zero(kKeptMin));
}

struct Kept {
  ~Kept() {
    for (const std::vector<std::byte*>& blocks : by_class) {
      for (std::byte* const block : blocks) std::free(block);
    }
    gone = true;
  }
  std::array<std::vector<std::byte*>, kClasses> by_class;
  std::size_t bytes = 0;
  static thread_local bool gone;  // trivially destroyed: readable after `kept` itself is not
};
thread_local bool Kept::gone = false;
thread_local Kept kept;

}  // namespace

std::byte* allocate_buffer(std::size_t bytes, std::size_t align_bytes) {
  if (!is_kept_size(bytes)) return allocate(std::max<std::size_t>(bytes, 1), align_bytes);
  const std::size_t number = class_of(bytes);
  const std::size_t block_bytes = kKeptMin << number;
  if (Kept::gone || kept.by_class[number].empty()) {
    return allocate(block_bytes, kBufferAlignBytes);
  }
  std::byte* const block = kept.by_class[number].back();
  kept.by_class[number].pop_back();
  kept.bytes -= block_bytes;
  return block;
}

void free_buffer(std::byte* memory, std::size_t bytes) {
  if (memory == nullptr) return;
  const std::size_t number = is_kept_size(bytes) ? class_of(bytes) : 0;
  const std::size_t block_bytes = kKeptMin << number;
  if (!is_kept_size(bytes) || Kept::gone || kept.bytes + block_bytes > kKeptBytesMax) {
    std::free(memory);
    return;
  }
  kept.by_class[number].push_back(memory);
  kept.bytes += block_bytes;
}

std::size_t kept_buffer_bytes() { return Kept::gone ? 0 : kept.bytes; }

}  // namespace keelson::engine
