// engine/page_slabs.h: blocks of a few pages, kept apart from everything else that is allocated.
//
// With thousands of logs their chunks are of 4 to 16 KiB. In the general allocator these lie
// between what lives as long as the process, and what they leave behind when the logs are idle is
// never given back (measured after a load over 1,000 partitions: 29 of 76 MiB resident).
#pragma once

#include <cstddef>

namespace keelson::engine {

inline constexpr std::size_t kSlabBytes = std::size_t{256} << 10;
inline constexpr std::size_t kSlabBlockBytesMin = std::size_t{4} << 10;
inline constexpr std::size_t kSlabBlockBytesMax = std::size_t{16} << 10;

/// A block of at least `bytes`, at most kSlabBlockBytesMax, at a multiple of kSlabBlockBytesMin.
/// Cut from a slab: kSlabBytes at a multiple of them, asked of `new_slab`, never null. Any thread.
[[nodiscard]] std::byte* take_slab_block(std::size_t bytes, std::byte* (*new_slab)());

/// Takes `block` back. A slab of which nothing is in use any more, or null: the caller's to free.
/// One such is kept for each size. Any thread.
[[nodiscard]] std::byte* give_slab_block(std::byte* block);

}  // namespace keelson::engine
