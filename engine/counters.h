// engine/counters.h: what a request costs, counted. Nothing but in a build with KEELSON_COUNTERS.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef KEELSON_COUNTERS
#include <atomic>
#endif

namespace keelson::engine {

/// In the order of bench/counters/counters.py.
enum class Counter : std::uint8_t {
  requests,         // Kafka requests that were dispatched
  batches,          // record batches that were appended for producers
  ring_enters,      // io_uring_enter
  ring_entries,     // submitted to the kernel by these
  system_calls,     // other calls on the request's path: sockets, files, waits
  metadata_calls,   // operations of helper threads: open, rename, ... each is a call or a few
  wake_ups,         // a sleeping shard's eventfd was written
  shard_messages,   // requests and answers between shards
  copies,           // of record bytes: how many
  copied_bytes,     // and of how many bytes
  allocations,      // operator new
  allocated_bytes,  // asked of it
  buffers,          // engine/buffer_memory.h, recycled ones too
};
inline constexpr std::size_t kCounters = static_cast<std::size_t>(Counter::buffers) + 1;

#ifdef KEELSON_COUNTERS
/// Any thread. Shared memory once attach_counters() was called.
extern std::atomic<std::uint64_t>* counters;
inline void tally(Counter counter, std::uint64_t more = 1) {
  counters[static_cast<std::size_t>(counter)].fetch_add(more, std::memory_order_relaxed);
}
/// From now on they are in the file that the environment variable KEELSON_COUNTERS_FILE names, 8
/// bytes each in the machine's order, for another process to read at any time.
void attach_counters();
#else
inline void tally(Counter, std::uint64_t = 1) {}
inline void attach_counters() {}
#endif

inline void tally_copy(std::uint64_t bytes) {
  tally(Counter::copies);
  tally(Counter::copied_bytes, bytes);
}

}  // namespace keelson::engine
