// engine/io/probe.h: what this machine and this directory offer, for start-up lines and
// `keelson doctor`.
//
// Everything is tried, not looked up by kernel version. Blocking calls: use before shards run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/io/backend.h"

namespace keelson::engine::io {

/// One thing that was tried.
struct ProbedFeature {
  std::string name;
  bool present = false;
  std::string remedy;  // where it is missing: what to do to get it; else empty
};

struct UringProbe {
  bool available = false;
  int sys_errno = 0;   // of io_uring_setup where it failed
  std::string reason;  // one line: why it is or is not available
  std::string remedy;  // where it is not: what to do to get it
  std::vector<ProbedFeature> features;
};

struct DirectIoProbe {
  bool supported = false;
  std::uint32_t align_bytes = 4096;  // positions, lengths and memory
  bool reported = false;             // by statx; otherwise found by trying
  int sys_errno = 0;                 // of the attempt where it failed
  std::string remedy;
};

struct CommitProbe {
  bool measured = false;
  CommitPrimitive chosen = CommitPrimitive::write_dsync;
  std::int64_t dsync_median_ns = 0;            // one 4 KiB write with RWF_DSYNC
  std::int64_t write_then_sync_median_ns = 0;  // the same write, then fdatasync
  std::uint32_t rounds = 0;
  int sys_errno = 0;   // what stopped the measurement
  std::string reason;  // one line
};

struct MachineProbe {
  UringProbe uring;
  DirectIoProbe direct_io;
  CommitProbe commit;
};

/// Sets a ring up and takes it down again.
UringProbe probe_uring();
/// `directory` exists and is writable.
DirectIoProbe probe_direct_io(const std::string& directory);
/// At most about 200 ms of writing to a file of zeroes in `directory` that has no name, or loses it
/// at once: nothing is left behind, whatever happens.
CommitProbe calibrate_commit(const std::string& directory);
/// All three; without the latter two where `directory` is empty.
MachineProbe probe_machine(const std::string& directory);

}  // namespace keelson::engine::io
