// Blocks of a few pages: that none is handed out twice, and that slabs go when they are empty.
#include "engine/page_slabs.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "engine/buffer_memory.h"

namespace keelson::engine {
namespace {

std::atomic<int> slabs_made{0};

std::byte* make_slab() {
  ++slabs_made;
  return allocate_buffer(kSlabBytes);
}

/// Whether a slab went with it.
bool give(std::byte* block) {
  std::byte* const slab = give_slab_block(block);
  free_buffer(slab, kSlabBytes);
  return slab != nullptr;
}

TEST(PageSlabs, BlocksAreAlignedApartAndAllOfASlab) {
  for (const auto& [bytes, in_a_slab] :
       {std::pair{4096u, 63u}, std::pair{8192u, 31u}, std::pair{16384u, 15u}}) {
    slabs_made = 0;
    std::set<std::byte*> blocks;
    // One kept from an earlier test may have room.
    while (slabs_made < 3) {
      std::byte* const block = take_slab_block(bytes, make_slab);
      ASSERT_NE(block, nullptr);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 4096, 0u);
      std::memset(block, 0xff, bytes);
      const auto next = blocks.lower_bound(block);
      if (next != blocks.end()) EXPECT_LE(block + bytes, *next);
      if (next != blocks.begin()) EXPECT_LE(*std::prev(next) + bytes, block);
      blocks.insert(block);
    }
    EXPECT_GE(blocks.size(), 2 * in_a_slab + 1);
    int gone = 0;
    for (std::byte* const block : blocks) gone += give(block) ? 1 : 0;
    EXPECT_GE(gone, 2);
  }
}

TEST(PageSlabs, OneThatIsEmptyIsKeptForTheNextBlock) {
  std::byte* const first = take_slab_block(4096, make_slab);
  EXPECT_FALSE(give(first));
  slabs_made = 0;
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(give(take_slab_block(4096, make_slab)));
  EXPECT_EQ(slabs_made, 0);
}

TEST(PageSlabs, NoBlockHasTwoOwners) {
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) {
    threads.emplace_back([seed] {
      std::mt19937 random(seed);
      std::vector<std::pair<std::byte*, std::size_t>> held;
      for (int turn = 0; turn < 20'000; ++turn) {
        if (held.size() < 300 && random() % 2 == 0) {
          const std::size_t bytes = 1 + random() % kSlabBlockBytesMax;
          std::byte* const block = allocate_buffer(bytes, kBufferAlignBytes);
          std::memset(block, static_cast<int>(seed), bytes);
          held.emplace_back(block, bytes);
        } else if (!held.empty()) {
          std::swap(held[random() % held.size()], held.back());
          const auto [block, bytes] = held.back();
          held.pop_back();
          ASSERT_EQ(block[0], static_cast<std::byte>(seed));
          ASSERT_EQ(block[bytes - 1], static_cast<std::byte>(seed));
          free_buffer(block, bytes, kBufferAlignBytes);
        }
      }
      for (const auto& [block, bytes] : held) free_buffer(block, bytes, kBufferAlignBytes);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace keelson::engine
