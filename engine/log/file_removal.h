// engine/log/file_removal.h: files that go without holding up the drive.
//
// Where a file system tells the drive which blocks are free (ext4 and XFS mounted with `discard`),
// it does so as its journal commits, and every durable write waits until the drive has taken note:
// 22 to 26 ms for 100 MB on a cloud drive, whoever writes to whatever file. So a large file is cut
// from its end, a step at a time. Each step is a commit of its own, and others have as long again
// before the next (the same in steps of 4 MiB: 1.4 ms at most).
#pragma once

#include <cstdint>
#include <string>

#include "engine/error.h"
#include "engine/io/shard.h"
#include "engine/io/sync.h"
#include "engine/task.h"

namespace keelson::engine::log {

inline constexpr std::uint64_t kRemovalStepBytes = std::uint64_t{4} << 20;

/// Unlinks the file at `path`, which nobody reads any more. Once `hurry` is set, what is left of it
/// goes at once. `step_bytes` is the first step; those that follow are up to 16 times larger or 4
/// times smaller, by what it took. Errors: not_found, io.
[[nodiscard]] Task<Result<void>> remove_file(io::Shard& shard, std::string path, io::Event& hurry,
                                             std::uint64_t step_bytes = kRemovalStepBytes);

/// The directory at `path` and the files in it. Errors: io, also where it has folders.
[[nodiscard]] Task<Result<void>> remove_directory(io::Shard& shard, std::string path,
                                                  io::Event& hurry);

}  // namespace keelson::engine::log
