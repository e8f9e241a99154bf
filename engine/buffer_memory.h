// engine/buffer_memory.h: large, short-lived memory, recycled.
//
// Requests, chunks and reads come and go by the thousand a second at some hundred KiB each. The
// general allocator either keeps what they tore into pieces (measured: 250 MiB resident for 60 in
// use) or maps and unmaps each (twice the CPU per byte). So blocks of a few sizes are kept:
// 2 MiB by the thread that frees them, and 12 MiB behind that for all threads. Those of 256 KiB and
// more are cut from huge pages (engine/huge_pages.h), and whole pages up to 16 KiB from slabs
// (engine/page_slabs.h).
#pragma once

#include <cstddef>

namespace keelson::engine {

/// The largest alignment that can be asked for; kept blocks always have it.
inline constexpr std::size_t kBufferAlignBytes = 4096;

/// At least `bytes` of memory, contents undefined. Aborts where the system has none: what is asked
/// for was bounded by a budget before. Any thread; free_buffer() with the same `bytes` and
/// `align_bytes`, anywhere.
[[nodiscard]] std::byte* allocate_buffer(std::size_t bytes, std::size_t align_bytes = 1);
void free_buffer(std::byte* memory, std::size_t bytes, std::size_t align_bytes = 1);

/// What this thread keeps for reuse, bytes.
std::size_t kept_buffer_bytes();

}  // namespace keelson::engine
