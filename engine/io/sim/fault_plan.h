// engine/io/sim/fault_plan.h: what goes wrong on one simulated node, and how often.
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/io/backend.h"

namespace keelson::engine::io {

/// Operations as tests count and fail them.
enum class OpKind : std::uint8_t {
  read,
  write,
  sync_data,
  open,
  rename,
  unlink,
  make_dir,
  remove_dir,
  list_dir,
  read_file,
  stat,
  sync_dir,
  truncate,
  allocate,
  drop_cache,
  lock,
  space,
  compute,
  accept,
  connect,
  receive,
  send,
  any_disk,  // every file and metadata operation, in the order they were submitted; no compute
};
inline constexpr std::size_t kOpKinds = static_cast<std::size_t>(OpKind::any_disk) + 1;

OpKind kind_of(OpCode code);
OpKind kind_of(FsCode code);

enum class FaultAction : std::uint8_t {
  none,
  fail,               // with sys_errno. A failed sync leaves its sectors clean and not on disk
  short_transfer,     // read, write, receive, send: fewer bytes than asked
  lost_write,         // success is reported, the medium keeps what it had
  misdirected_write,  // success is reported, the bytes land elsewhere
  stall,              // completes after FaultPlan::stall_max_ns
  hang,               // does not complete while the node lives
};

/// Hits the `nth` operation (from 1) of `kind` whose path contains `path_contains`.
struct NthFault {
  OpKind kind = OpKind::any_disk;
  std::uint64_t nth = 1;
  FaultAction action = FaultAction::fail;
  int sys_errno = EIO;
  std::string path_contains;  // empty: every path

  std::uint64_t seen = 0;  // counted by the node
};

/// All off by default: then operations only take time and complete out of order. Chances are in
/// parts per million of the operations they fit; each hit is drawn from the world's seed.
struct FaultPlan {
  std::uint32_t short_read_ppm = 0;
  std::uint32_t short_write_ppm = 0;
  std::uint32_t short_receive_ppm = 0;
  std::uint32_t short_send_ppm = 0;
  std::uint32_t read_error_ppm = 0;   // EIO
  std::uint32_t write_error_ppm = 0;  // EIO, part of the bytes may be written
  std::uint32_t sync_error_ppm = 0;   // EIO from sync_data and sync_dir
  std::uint32_t meta_error_ppm = 0;   // EIO from metadata operations
  std::uint32_t no_space_ppm = 0;     // ENOSPC from write, allocate and creation
  std::uint32_t lost_write_ppm = 0;
  std::uint32_t misdirected_write_ppm = 0;
  std::uint32_t stall_ppm = 0;  // file operations
  std::uint32_t hang_ppm = 0;   // file operations

  std::int64_t disk_delay_min_ns = 5'000;
  std::int64_t disk_delay_max_ns = 200'000;
  std::int64_t stall_max_ns = 10'000'000'000;

  bool read_only = false;       // EROFS for whatever would change the disk
  int no_space_errno = ENOSPC;  // EDQUOT where a quota is simulated

  std::vector<NthFault> nth;
};

}  // namespace keelson::engine::io
