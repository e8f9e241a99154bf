// engine/huge_pages.h: memory in pages of 2 MiB, where the system has them.
//
// To read a MiB into small pages the kernel pins 256 of them and the drive gets 256 addresses; of a
// huge page it is one. Measured with catch-up reads of 2 GB: 0.25 CPU seconds a GB instead of 0.37,
// and 1.3 GB/s instead of 0.8; produce 0.39 instead of 0.55.
#pragma once

#include <cstddef>

namespace keelson::engine {

inline constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

/// `bytes` of zeros at a multiple of kHugePageBytes, which `bytes` is a multiple of too; null where
/// the system has none. Huge pages are a wish (MADV_HUGEPAGE): without them it is plain memory.
/// Any thread.
[[nodiscard]] std::byte* map_huge_pages(std::size_t bytes);

/// One huge page that a helper has prepared, so that its first use is not what makes it: to clear
/// 2 MiB takes 0.2 ms, and where a hypervisor first has to find the memory, 7 to 20 (measured on a
/// virtual machine whose balloon reports free pages). Null where none is ready. From the first call
/// on huge_pages_wanted() may say so. Any thread.
[[nodiscard]] std::byte* take_prepared_page();
/// Whether somebody should call prepare_huge_page(). Cheap; any thread.
bool huge_pages_wanted();
/// Makes one page for take_prepared_page(), where one is wanted. Slow: for helper threads.
void prepare_huge_page();

/// Gives back a part of what was mapped, in multiples of 4 KiB; the rest stays.
void unmap_pages(std::byte* memory, std::size_t bytes);

}  // namespace keelson::engine
