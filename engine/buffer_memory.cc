#include "engine/buffer_memory.h"

#include <algorithm>
#include <array>
#include <atomic>
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
// A block that is used after it was freed is to be seen.
constexpr std::size_t kKeptBytesMax = 0;
constexpr std::size_t kSharedBytesMax = 0;
#else
constexpr std::size_t kKeptBytesMax = std::size_t{2} << 20;     // a thread's
constexpr std::size_t kSharedBytesMax = std::size_t{12} << 20;  // of all threads
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

using Blocks = std::array<std::vector<std::byte*>, kClasses>;

std::byte* pop(Blocks& blocks, std::size_t& kept_bytes, std::size_t number) {
  if (blocks[number].empty()) return nullptr;
  std::byte* const block = blocks[number].back();
  blocks[number].pop_back();
  kept_bytes -= kKeptMin << number;
  return block;
}

bool push(Blocks& blocks, std::size_t& kept_bytes, std::size_t bytes_max, std::size_t number,
          std::byte* block) {
  const std::size_t block_bytes = kKeptMin << number;
  if (kept_bytes + block_bytes > bytes_max) return false;
  blocks[number].push_back(block);
  kept_bytes += block_bytes;
  return true;
}

/// What threads that free more than they allocate leave for the others: a shard that reads from
/// disk for another's connection never sees its buffers again.
class SharedBlocks {
 public:
  std::byte* take(std::size_t number) {
    const Turn turn(busy_);
    return pop(blocks_, bytes_, number);
  }
  bool give(std::size_t number, std::byte* block) {
    const Turn turn(busy_);
    return push(blocks_, bytes_, kSharedBytesMax, number, block);
  }

 private:
  // Held for a few instructions, once for some hundred KiB of work.
  struct Turn {
    explicit Turn(std::atomic_flag& flag) : busy(flag) {
      while (busy.test_and_set(std::memory_order_acquire)) {
      }
    }
    ~Turn() { busy.clear(std::memory_order_release); }
    std::atomic_flag& busy;
  };
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
  Blocks blocks_;
  std::size_t bytes_ = 0;
};

SharedBlocks& shared_blocks() {
  static SharedBlocks* const blocks = new SharedBlocks;  // outlives every thread
  return *blocks;
}

struct Kept {
  ~Kept() {
    gone = true;
    for (std::size_t number = 0; number < kClasses; ++number) {
      for (std::byte* const block : blocks[number]) std::free(block);
    }
  }
  Blocks blocks;
  std::size_t bytes = 0;
  static thread_local bool gone;  // trivially destroyed: readable after `kept` itself is not
};
thread_local bool Kept::gone = false;
thread_local Kept kept;

}  // namespace

std::byte* allocate_buffer(std::size_t bytes, std::size_t align_bytes) {
  if (!is_kept_size(bytes)) return allocate(std::max<std::size_t>(bytes, 1), align_bytes);
  const std::size_t number = class_of(bytes);
  std::byte* block = Kept::gone ? nullptr : pop(kept.blocks, kept.bytes, number);
  if (block == nullptr) block = shared_blocks().take(number);
  return block != nullptr ? block : allocate(kKeptMin << number, kBufferAlignBytes);
}

void free_buffer(std::byte* memory, std::size_t bytes) {
  if (memory == nullptr) return;
  if (is_kept_size(bytes)) {
    const std::size_t number = class_of(bytes);
    if (!Kept::gone && push(kept.blocks, kept.bytes, kKeptBytesMax, number, memory)) return;
    if (shared_blocks().give(number, memory)) return;
  }
  std::free(memory);
}

std::size_t kept_buffer_bytes() { return Kept::gone ? 0 : kept.bytes; }

}  // namespace keelson::engine
