#include "engine/log/file_removal.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/io/file.h"
#include "engine/logger.h"

namespace keelson::engine::log {
namespace {

constexpr std::uint64_t kSmallerAtMost = 4;
constexpr std::uint64_t kLargerAtMost = 16;
// A step that takes less than the first is doubled, and halved where it takes more than the second.
constexpr std::int64_t kShortStepNs = 1'000'000;
constexpr std::int64_t kLongStepNs = 3'000'000;

/// As far as it gets: unlinking takes the rest.
Task<void> cut_in_steps(io::Shard& shard, std::string path, std::uint64_t size_bytes,
                        std::uint64_t step_bytes, io::Event& hurry) {
  const std::uint64_t step_min = step_bytes / kSmallerAtMost;
  const std::uint64_t step_max = step_bytes * kLargerAtMost;
  Result<io::File> file = co_await io::File::open(shard, std::move(path), {.write = true});
  if (!file) co_return;
  while (size_bytes > step_bytes && !hurry.is_set()) {
    size_bytes -= step_bytes;
    const std::int64_t began_ns = shard.clock().now_ns();
    const Result<void> cut = co_await file->truncate(size_bytes);
    if (!cut) co_return;
    const Result<void> committed = co_await file->sync_data();
    if (!committed) co_return;
    const std::int64_t ended_ns = shard.clock().now_ns();
    const std::int64_t took_ns = ended_ns - began_ns;
    if (took_ns < kShortStepNs) step_bytes = std::min(step_bytes * 2, step_max);
    if (took_ns > kLongStepNs) step_bytes = std::max(step_bytes / 2, step_min);
    (void)co_await hurry.wait_until(ended_ns + took_ns);
  }
}

}  // namespace

Task<Result<void>> remove_file(io::Shard& shard, std::string path, io::Event& hurry,
                               std::uint64_t step_bytes) {
  if (!hurry.is_set()) {
    const Result<io::FileStat> found = co_await io::stat(shard, path);
    if (!found) co_return std::unexpected(found.error());
    if (found->size_bytes > step_bytes) {
      co_await cut_in_steps(shard, path, found->size_bytes, step_bytes, hurry);
    }
  }
  co_return co_await io::unlink(shard, std::move(path));
}

Task<Result<void>> remove_directory(io::Shard& shard, std::string path, io::Event& hurry) {
  const Result<std::vector<io::DirEntry>> entries = co_await io::list_dir(shard, path);
  if (!entries) co_return std::unexpected(entries.error());
  for (const io::DirEntry& entry : *entries) {
    const Result<void> gone = co_await remove_file(shard, concat(path, "/", entry.name), hurry);
    if (!gone && gone.error().code != Errc::not_found) co_return gone;
  }
  co_return co_await io::remove_dir(shard, std::move(path));
}

}  // namespace keelson::engine::log
