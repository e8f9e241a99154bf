#include "engine/counters.h"

#ifdef KEELSON_COUNTERS

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <new>

namespace keelson::engine {
namespace {

constinit std::atomic<std::uint64_t> own_counters[kCounters];

void* allocate(std::size_t bytes, std::size_t align_bytes) {
  tally(Counter::allocations);
  tally(Counter::allocated_bytes, bytes);
  const std::size_t rounded = (bytes + align_bytes - 1) / align_bytes * align_bytes;
  void* const memory = align_bytes <= alignof(std::max_align_t)
                           ? std::malloc(bytes)
                           : std::aligned_alloc(align_bytes, rounded);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

constinit std::atomic<std::uint64_t>* counters = own_counters;

void attach_counters() {
  const char* const path = std::getenv("KEELSON_COUNTERS_FILE");
  if (path == nullptr) return;
  const int fd = ::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ::ftruncate(fd, sizeof own_counters) < 0) std::abort();
  void* const shared =
      ::mmap(nullptr, sizeof own_counters, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared == MAP_FAILED) std::abort();
  ::close(fd);
  counters = new (shared) std::atomic<std::uint64_t>[kCounters];
}

}  // namespace keelson::engine

void* operator new(std::size_t bytes) {
  return keelson::engine::allocate(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t align) {
  return keelson::engine::allocate(bytes, static_cast<std::size_t>(align));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

#endif
