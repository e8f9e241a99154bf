#include "engine/buffer_memory.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdlib>
#include <vector>

#include "engine/counters.h"
#include "engine/huge_pages.h"
#include "engine/page_slabs.h"
#include "engine/spin_lock.h"

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
constexpr bool kUseSlabs = false;
#else
constexpr std::size_t kKeptBytesMax = std::size_t{2} << 20;     // a thread's
constexpr std::size_t kSharedBytesMax = std::size_t{12} << 20;  // of all threads
constexpr bool kUseSlabs = true;
#endif

// Blocks from here on are cut from huge pages.
constexpr std::size_t kHugeMin = std::size_t{256} << 10;

std::byte* allocate(std::size_t bytes, std::size_t align_bytes) {
  const std::size_t rounded = (bytes + align_bytes - 1) & ~(align_bytes - 1);
  void* const memory = align_bytes <= alignof(std::max_align_t)
                           ? std::malloc(rounded)
                           : std::aligned_alloc(align_bytes, rounded);
  if (memory == nullptr) std::abort();
  return static_cast<std::byte*>(memory);
}

bool is_kept_size(std::size_t bytes) { return bytes >= kKeptMin && bytes <= kKeptMax; }

/// What lies between these and the kept ones goes to the allocator: few ask for it.
bool is_in_slab(std::size_t bytes, std::size_t align_bytes) {
  return kUseSlabs && align_bytes == kBufferAlignBytes && bytes <= kSlabBlockBytesMax;
}

std::size_t class_of(std::size_t bytes) {
  return static_cast<std::size_t>(std::bit_width(bytes - 1) - std::countr_zero(kKeptMin));
}

constexpr std::size_t bytes_of(std::size_t number) { return kKeptMin << number; }

/// Blocks that nobody uses, by class. Not for several threads.
class BlockPool {
 public:
  struct Block {
    std::byte* memory = nullptr;
    std::size_t number = 0;
  };

  explicit BlockPool(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  std::byte* take(std::size_t number) {
    if (blocks_[number].empty()) return nullptr;
    std::byte* const memory = blocks_[number].back();
    blocks_[number].pop_back();
    bytes_ -= bytes_of(number);
    return memory;
  }

  /// Keeps `block`; or, where there is no room, gives back what has to go before it is asked again:
  /// one of the class that holds the most, so that the pool follows what is used, or `block`
  /// itself.
  [[nodiscard]] Block give(Block block) {
    const std::size_t size = bytes_of(block.number);
    if (size > bytes_max_) return block;
    if (bytes_ + size <= bytes_max_) {
      blocks_[block.number].push_back(block.memory);
      bytes_ += size;
      return {};
    }
    std::size_t most = block.number;
    for (std::size_t number = 0; number < kClasses; ++number) {
      if (held_bytes(number) > held_bytes(most)) most = number;
    }
    if (most == block.number) return block;
    return {take(most), most};
  }

  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t held_bytes(std::size_t number) const {
    return blocks_[number].size() * bytes_of(number);
  }

  const std::size_t bytes_max_;
  std::array<std::vector<std::byte*>, kClasses> blocks_;
  std::size_t bytes_ = 0;
};

using Block = BlockPool::Block;

/// What threads that free more than they allocate leave for the others: a shard that reads from
/// disk for another's connection never sees its buffers again.
class SharedBlocks {
 public:
  std::byte* take(std::size_t number) {
    const SpinLock::Holder holder(lock_);
    return pool_.take(number);
  }
  Block give(Block block) {
    const SpinLock::Holder holder(lock_);
    return pool_.give(block);
  }

 private:
  SpinLock lock_;  // once for some hundred KiB of work
  BlockPool pool_{kSharedBytesMax};
};

SharedBlocks& shared_blocks() {
  static SharedBlocks* const blocks = new SharedBlocks;  // outlives every thread
  return *blocks;
}

void release(Block block) {
  const std::size_t size = bytes_of(block.number);
  if (size < kHugeMin) return std::free(block.memory);
  unmap_pages(block.memory, size);
}

/// Puts `block` into `pool`; what does not stay there goes to `overflow`.
void keep(auto& pool, Block block, void (*overflow)(Block)) {
  while (true) {
    const Block out = pool.give(block);
    if (out.memory != nullptr) overflow(out);
    if (out.memory == nullptr || out.memory == block.memory) return;
  }
}

/// To the pool of all threads, or to the system.
void hand_on(Block block) { keep(shared_blocks(), block, release); }

struct Kept {
  ~Kept() {
    gone = true;
    for (std::size_t number = 0; number < kClasses; ++number) {
      while (std::byte* const memory = pool.take(number)) release({memory, number});
    }
  }
  BlockPool pool{kKeptBytesMax};
  static thread_local bool gone;  // trivially destroyed: readable after `kept` itself is not
};
thread_local bool Kept::gone = false;
thread_local Kept kept;

/// New memory; what is left of its huge page is kept.
std::byte* make_block(std::size_t number) {
  const std::size_t size = bytes_of(number);
  if (size < kHugeMin) return allocate(size, kBufferAlignBytes);
  std::byte* memory = size <= kHugePageBytes ? take_prepared_page() : nullptr;
  if (memory == nullptr) memory = map_huge_pages(std::max(size, kHugePageBytes));
  if (memory == nullptr) std::abort();
  for (std::size_t rest = size; rest < kHugePageBytes; rest += size) {
    free_buffer(memory + rest, size);
  }
  return memory;
}

}  // namespace

std::byte* allocate_buffer(std::size_t bytes, std::size_t align_bytes) {
  tally(Counter::buffers);
  if (is_in_slab(bytes, align_bytes)) {
    return take_slab_block(bytes, [] { return allocate_buffer(kSlabBytes); });
  }
  if (!is_kept_size(bytes)) return allocate(std::max<std::size_t>(bytes, 1), align_bytes);
  const std::size_t number = class_of(bytes);
  std::byte* memory = Kept::gone ? nullptr : kept.pool.take(number);
  if (memory == nullptr) memory = shared_blocks().take(number);
  return memory != nullptr ? memory : make_block(number);
}

void free_buffer(std::byte* memory, std::size_t bytes, std::size_t align_bytes) {
  if (memory == nullptr) return;
  if (is_in_slab(bytes, align_bytes)) {
    std::byte* const slab = give_slab_block(memory);
    return free_buffer(slab, kSlabBytes);
  }
  if (!is_kept_size(bytes)) return std::free(memory);
  const Block block{memory, class_of(bytes)};
  if (Kept::gone) return hand_on(block);
  keep(kept.pool, block, hand_on);
}

std::size_t kept_buffer_bytes() { return Kept::gone ? 0 : kept.pool.bytes(); }

}  // namespace keelson::engine
