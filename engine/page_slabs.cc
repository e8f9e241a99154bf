#include "engine/page_slabs.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstdint>
#include <new>

#include "engine/spin_lock.h"

namespace keelson::engine {
namespace {

/// Lies at the start of its slab, in the place of the first block.
struct Slab {
  std::uint64_t free_blocks = 0;  // a bit for each
  std::size_t number = 0;         // of its size
  Slab* before = nullptr;         // in the list of those that have free blocks
  Slab* after = nullptr;
};
static_assert(sizeof(Slab) <= kSlabBlockBytesMin);
static_assert(kSlabBytes / kSlabBlockBytesMin <= 64, "a bit for each block");

constexpr std::size_t kSizes =
    std::countr_zero(kSlabBlockBytesMax) - std::countr_zero(kSlabBlockBytesMin) + 1;

constexpr std::size_t bytes_of(std::size_t number) { return kSlabBlockBytesMin << number; }

/// Of a slab: a bit for each block but the first.
constexpr std::uint64_t all_blocks(std::size_t number) {
  return ~std::uint64_t{0} >> (64 - kSlabBytes / bytes_of(number)) & ~std::uint64_t{1};
}

std::size_t number_of(std::size_t bytes) {
  const std::size_t pages = (bytes + kSlabBlockBytesMin - 1) / kSlabBlockBytesMin;
  return static_cast<std::size_t>(std::bit_width(std::max<std::size_t>(pages, 1) - 1));
}

/// Slabs of one block size that have a free block. Under the lock.
class SlabList {
 public:
  Slab* first() const { return first_; }
  bool is_only(const Slab& slab) const { return first_ == &slab && slab.after == nullptr; }

  void add(Slab& slab) {
    slab.before = nullptr;
    slab.after = first_;
    if (first_ != nullptr) first_->before = &slab;
    first_ = &slab;
  }
  void remove(Slab& slab) {
    (slab.before != nullptr ? slab.before->after : first_) = slab.after;
    if (slab.after != nullptr) slab.after->before = slab.before;
  }

 private:
  Slab* first_ = nullptr;
};

SpinLock lock;
std::array<SlabList, kSizes> with_free_blocks;

std::byte* take_from(Slab& slab) {
  const int place = std::countr_zero(slab.free_blocks);
  slab.free_blocks &= slab.free_blocks - 1;
  if (slab.free_blocks == 0) with_free_blocks[slab.number].remove(slab);
  return reinterpret_cast<std::byte*>(&slab) +
         static_cast<std::size_t>(place) * bytes_of(slab.number);
}

Slab& make_slab(std::byte* memory, std::size_t number) {
  assert(reinterpret_cast<std::uintptr_t>(memory) % kSlabBytes == 0);
  Slab& slab = *new (memory) Slab;
  slab.free_blocks = all_blocks(number);
  slab.number = number;
  return slab;
}

}  // namespace

std::byte* take_slab_block(std::size_t bytes, std::byte* (*new_slab)()) {
  assert(bytes <= kSlabBlockBytesMax);
  const std::size_t number = number_of(bytes);
  {
    const SpinLock::Holder holder(lock);
    if (Slab* const slab = with_free_blocks[number].first()) return take_from(*slab);
  }
  Slab& slab = make_slab(new_slab(), number);  // slow, perhaps: not under the lock
  const SpinLock::Holder holder(lock);
  with_free_blocks[number].add(slab);
  return take_from(slab);
}

std::byte* give_slab_block(std::byte* block) {
  const std::size_t at = reinterpret_cast<std::uintptr_t>(block) % kSlabBytes;
  Slab& slab = *std::launder(reinterpret_cast<Slab*>(block - at));
  const std::uint64_t bit = std::uint64_t{1} << (at / bytes_of(slab.number));
  const SpinLock::Holder holder(lock);
  SlabList& list = with_free_blocks[slab.number];
  assert((all_blocks(slab.number) & ~slab.free_blocks & bit) != 0);
  if (slab.free_blocks == 0) list.add(slab);
  slab.free_blocks |= bit;
  if (slab.free_blocks != all_blocks(slab.number) || list.is_only(slab)) return nullptr;
  list.remove(slab);
  return reinterpret_cast<std::byte*>(&slab);
}

}  // namespace keelson::engine
