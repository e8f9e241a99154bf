#include "engine/huge_pages.h"

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstdint>

// Linux 5.14; Debian 12's libc knows it, older ones do not.
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace keelson::engine {
namespace {

/// Prepared pages. Two: the shards of a small machine that fill their chunks alike want theirs at
/// the same time; with many shards one in a burst waits as it would without this.
class Stock {
 public:
  std::byte* take() {
    for (auto& place : places_) {
      if (std::byte* const page = place.exchange(nullptr)) return page;
    }
    return nullptr;
  }
  /// False where all places are taken.
  bool put(std::byte* page) {
    for (auto& place : places_) {
      std::byte* none = nullptr;
      if (place.compare_exchange_strong(none, page)) return true;
    }
    return false;
  }
  bool is_full() const {
    for (const auto& place : places_) {
      if (place.load(std::memory_order_relaxed) == nullptr) return false;
    }
    return true;
  }

 private:
  std::array<std::atomic<std::byte*>, 2> places_{};
};

Stock stock;
std::atomic<bool> anybody_asks{false};  // a program that never does keeps no pages
std::atomic<bool> one_prepares{false};

/// Has the system find and clear the page now.
void touch(std::byte* page) {
  if (::madvise(page, kHugePageBytes, MADV_POPULATE_WRITE) == 0) return;
  constexpr std::size_t kSmallPageBytes = 4096;
  for (std::size_t at = 0; at < kHugePageBytes; at += kSmallPageBytes) {
    static_cast<volatile std::byte*>(page)[at] = std::byte{0};
  }
}

}  // namespace

std::byte* take_prepared_page() {
  anybody_asks.store(true, std::memory_order_relaxed);
  return stock.take();
}

bool huge_pages_wanted() {
  return anybody_asks.load(std::memory_order_relaxed) && !stock.is_full() &&
         !one_prepares.load(std::memory_order_relaxed);
}

void prepare_huge_page() {
  if (one_prepares.exchange(true)) return;
  if (!stock.is_full()) {
    if (std::byte* const page = map_huge_pages(kHugePageBytes)) {
      touch(page);
      if (!stock.put(page)) unmap_pages(page, kHugePageBytes);
    }
  }
  one_prepares.store(false);
}

std::byte* map_huge_pages(std::size_t bytes) {
  // With room to cut off what is not aligned.
  void* const whole = ::mmap(nullptr, bytes + kHugePageBytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (whole == MAP_FAILED) return nullptr;
  auto* const start = static_cast<std::byte*>(whole);
  const std::size_t past = reinterpret_cast<std::uintptr_t>(start) % kHugePageBytes;
  const std::size_t before = past == 0 ? 0 : kHugePageBytes - past;
  if (before > 0) ::munmap(start, before);
  ::munmap(start + before + bytes, kHugePageBytes - before);
  ::madvise(start + before, bytes, MADV_HUGEPAGE);
  return start + before;
}

void unmap_pages(std::byte* memory, std::size_t bytes) { ::munmap(memory, bytes); }

}  // namespace keelson::engine
