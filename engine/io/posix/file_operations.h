// engine/io/posix/file_operations.h: file and directory operations as blocking calls, for helper
// threads.
#pragma once

#include <cstdint>

#include "engine/io/backend.h"

namespace keelson::engine::io {

/// How often an interrupted or not-ready transfer is tried again before its error is final
/// (XFS answers EAGAIN to writes that would succeed: tigerbeetle/tigerbeetle#2474).
inline constexpr int kTransferRetriesMax = 1000;

/// read, write or sync_data, now. Returns what Operation::result is to be. A failed sync is not
/// tried again: a later success would prove nothing.
[[nodiscard]] std::int64_t run_file_operation(const Operation& operation, CommitPrimitive commit);

/// The whole operation, now; fills `operation`.
void run_fs_operation(FsOperation& operation);

}  // namespace keelson::engine::io
