#include "engine/buffer_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "engine/huge_pages.h"

namespace keelson::engine {
namespace {

TEST(BufferMemory, FreedBlockIsTakenAgain) {
  std::byte* const first = allocate_buffer(300'000);
  std::memset(first, 1, 300'000);
  free_buffer(first, 300'000);
  const std::size_t kept = kept_buffer_bytes();
  EXPECT_GE(kept, 512u << 10);
  std::byte* const again = allocate_buffer(500'000);
  EXPECT_EQ(again, first);
  EXPECT_EQ(kept_buffer_bytes(), kept - (512u << 10));
  free_buffer(again, 500'000);
}

TEST(BufferMemory, EverySizeIsAlignedWritableAndApart) {
  std::vector<std::pair<std::byte*, std::size_t>> held;
  for (std::size_t bytes = 1; bytes <= (std::size_t{16} << 20); bytes = bytes * 3 / 2 + 1) {
    std::byte* const memory = allocate_buffer(bytes, 4096);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 4096, 0u) << bytes;
    std::memset(memory, static_cast<int>(held.size()), bytes);
    held.emplace_back(memory, bytes);
  }
  for (std::size_t i = 0; i < held.size(); ++i) {
    const auto [memory, bytes] = held[i];
    EXPECT_EQ(memory[0], static_cast<std::byte>(i));
    EXPECT_EQ(memory[bytes - 1], static_cast<std::byte>(i));
    free_buffer(memory, bytes, 4096);
  }
}

TEST(HugePages, OnesPreparedAreTakenAndAskedForAgain) {
  while (std::byte* const page = take_prepared_page()) unmap_pages(page, kHugePageBytes);
  EXPECT_TRUE(huge_pages_wanted());
  for (int i = 0; i < 100 && huge_pages_wanted(); ++i) prepare_huge_page();
  EXPECT_FALSE(huge_pages_wanted());
  std::byte* const page = take_prepared_page();
  ASSERT_NE(page, nullptr);
  EXPECT_TRUE(huge_pages_wanted());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(page) % kHugePageBytes, 0u);
  for (std::size_t at = 0; at < kHugePageBytes; at += 511) ASSERT_EQ(page[at], std::byte{0});
  std::memset(page, 1, kHugePageBytes);
  unmap_pages(page, kHugePageBytes);
  prepare_huge_page();
  EXPECT_FALSE(huge_pages_wanted());
  prepare_huge_page();  // not asked for: nothing
}

TEST(HugePages, ALargeBlockIsCutFromAPreparedOne) {
  while (huge_pages_wanted()) prepare_huge_page();
  std::vector<std::byte*> held;
  for (int i = 0; i < 100 && !huge_pages_wanted(); ++i) held.push_back(allocate_buffer(1 << 20));
  EXPECT_TRUE(huge_pages_wanted());  // one was taken
  for (std::byte* const memory : held) free_buffer(memory, 1 << 20);
}

TEST(HugePages, ThreadsThatTakeAndPrepareAtOnceGetPagesOfTheirOwn) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i] {
      for (int turn = 0; turn < 50; ++turn) {
        if (huge_pages_wanted()) prepare_huge_page();
        std::byte* const page = take_prepared_page();
        if (page == nullptr) continue;
        page[0] = static_cast<std::byte>(i);
        std::this_thread::yield();
        EXPECT_EQ(page[0], static_cast<std::byte>(i));
        unmap_pages(page, kHugePageBytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(BufferMemory, AThreadKeepsABoundedAmount) {
  std::vector<std::byte*> held;
  for (int i = 0; i < 64; ++i) held.push_back(allocate_buffer(1 << 20));
  for (std::byte* const memory : held) free_buffer(memory, 1 << 20);
  EXPECT_LE(kept_buffer_bytes(), std::size_t{2} << 20);
  EXPECT_GT(kept_buffer_bytes(), 0u);
}

TEST(BufferMemory, ThePoolFollowsTheSizesThatAreUsed) {
  std::vector<std::byte*> small;
  for (int i = 0; i < 128; ++i) small.push_back(allocate_buffer(256 << 10));
  for (std::byte* const memory : small) free_buffer(memory, 256 << 10);
  // The pools are full of small blocks. A large one that comes and goes finds room all the same.
  std::byte* const first = allocate_buffer(1 << 20);
  free_buffer(first, 1 << 20);
  std::byte* const again = allocate_buffer(1 << 20);
  EXPECT_EQ(again, first);
  free_buffer(again, 1 << 20);
  EXPECT_LE(kept_buffer_bytes(), std::size_t{2} << 20);
}

TEST(BufferMemory, PartsOfAHugePageAreApart) {
  std::set<std::byte*> held;
  for (int i = 0; i < 200; ++i) {
    std::byte* const memory = allocate_buffer(256 << 10);
    EXPECT_TRUE(held.insert(memory).second);
    std::memset(memory, i, 256 << 10);
  }
  const std::byte* before = nullptr;
  for (std::byte* const memory : held) {
    if (before != nullptr) EXPECT_GE(memory - before, 256 << 10);
    before = memory;
  }
  for (std::byte* const memory : held) free_buffer(memory, 256 << 10);
}

TEST(BufferMemory, WhatOneThreadFreesAnotherTakes) {
  std::set<std::byte*> freed;
  std::thread other([&] {
    for (int i = 0; i < 8; ++i) freed.insert(allocate_buffer(4 << 20));
    for (std::byte* const memory : freed) free_buffer(memory, 4 << 20);
  });
  other.join();
  std::byte* const memory = allocate_buffer(4 << 20);
  EXPECT_TRUE(freed.contains(memory));
  free_buffer(memory, 4 << 20);
}

TEST(BufferMemory, IsFreedByAnotherThread) {
  std::byte* const memory = allocate_buffer(1 << 20);
  std::size_t kept_there = 0;
  std::thread other([&] {
    free_buffer(memory, 1 << 20);
    kept_there = kept_buffer_bytes();
  });
  other.join();
  EXPECT_EQ(kept_there, 1u << 20);
}

}  // namespace
}  // namespace keelson::engine
