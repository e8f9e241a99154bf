#include "engine/huge_pages.h"

#include <sys/mman.h>

#include <cstdint>

namespace keelson::engine {

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
