#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/aligned_buffer.h"
#include "engine/io/posix/clock.h"
#include "engine/io/probe.h"
#include "engine/logger.h"

// Linux 6.1; Debian 12's libc does not wrap the fields yet.
#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x00002000U
#endif

namespace keelson::engine::io {
namespace {

constexpr std::size_t kScratchBytes = 256 * kBlockBytes;
constexpr std::int64_t kBudgetNs = 180'000'000;  // of 200 ms, less what opening and closing take
constexpr std::uint32_t kRoundsMax = 64;
constexpr std::uint32_t kRoundsMin = 3;

/// A file without a name in `directory`, gone with its last descriptor.
class ScratchFile {
 public:
  explicit ScratchFile(const std::string& directory) {
    fd_ = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd_ >= 0) return;
    // A file system without O_TMPFILE: a name that is taken away at once.
    std::string name = directory + "/.keelson-probe-XXXXXX";
    fd_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd_ >= 0) {
      ::unlink(name.c_str());
    } else {
      sys_errno_ = errno;
    }
  }
  ScratchFile(const ScratchFile&) = delete;
  ~ScratchFile() {
    if (fd_ >= 0) ::close(fd_);
  }

  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  int sys_errno() const { return sys_errno_; }

  /// From now on O_DIRECT, or 0 and errno stays as it was set.
  bool set_direct(bool on) const {
    const int flags = ::fcntl(fd_, F_GETFL);
    return ::fcntl(fd_, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
  }

 private:
  int fd_ = -1;
  int sys_errno_ = 0;
};

/// As the kernel lays it out: the two alignments stand behind stx_mnt_id.
bool read_reported_alignment(int fd, DirectIoProbe& probe) {
  alignas(8) std::array<unsigned char, 256> raw{};
  static_assert(sizeof(struct statx) == 256);
  if (::syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, raw.data()) != 0) return false;
  std::uint32_t mask = 0;
  std::memcpy(&mask, raw.data(), sizeof mask);
  if ((mask & STATX_DIOALIGN) == 0) return false;
  constexpr std::size_t kMemoryAlignPosition = 0x98;
  constexpr std::size_t kOffsetAlignPosition = 0x9c;
  std::uint32_t memory_align = 0;
  std::uint32_t offset_align = 0;
  std::memcpy(&memory_align, raw.data() + kMemoryAlignPosition, sizeof memory_align);
  std::memcpy(&offset_align, raw.data() + kOffsetAlignPosition, sizeof offset_align);
  probe.reported = true;
  probe.supported = memory_align != 0 && offset_align != 0;
  if (probe.supported) probe.align_bytes = std::max(memory_align, offset_align);
  return true;
}

constexpr const char* kDirectRemedy =
    "put the data directory on ext4 or XFS on a local disk; buffered I/O is used until then";

/// Writes block `index`; errno-style result, 0 for good.
int write_block(int fd, const AlignedBuffer& block, std::uint64_t index, int flags) {
  const iovec source{const_cast<std::byte*>(block.data()), kBlockBytes};
  const auto position = static_cast<off_t>(index % (kScratchBytes / kBlockBytes) * kBlockBytes);
  const ssize_t written = ::pwritev2(fd, &source, 1, position, flags);
  if (written < 0) return errno;
  return written == static_cast<ssize_t>(kBlockBytes) ? 0 : EIO;
}

int fill_with_zeroes(int fd) {
  AlignedBuffer zeroes(kScratchBytes);
  std::memset(zeroes.data(), 0, kScratchBytes);
  const ssize_t written = ::pwrite(fd, zeroes.data(), kScratchBytes, 0);
  if (written < 0) return errno;
  if (written != static_cast<ssize_t>(kScratchBytes)) return ENOSPC;
  return ::fdatasync(fd) < 0 ? errno : 0;
}

std::int64_t median_of(std::vector<std::int64_t> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// The two ways in turn, so that a disk that speeds up or slows down does so for both.
int measure(int fd, CommitProbe& probe) {
  const PosixClock clock;
  AlignedBuffer block(kBlockBytes);
  std::memset(block.data(), 0x5a, kBlockBytes);
  std::vector<std::int64_t> dsync_ns;
  std::vector<std::int64_t> sync_ns;
  const std::int64_t end_ns = clock.now_ns() + kBudgetNs;
  while (dsync_ns.size() < kRoundsMax) {
    const std::int64_t start_ns = clock.now_ns();
    if (start_ns >= end_ns) break;
    if (const int error = write_block(fd, block, dsync_ns.size() * 2, RWF_DSYNC)) return error;
    const std::int64_t middle_ns = clock.now_ns();
    if (const int error = write_block(fd, block, dsync_ns.size() * 2 + 1, 0)) return error;
    if (::fdatasync(fd) < 0) return errno;
    dsync_ns.push_back(middle_ns - start_ns);
    sync_ns.push_back(clock.now_ns() - middle_ns);
  }
  probe.rounds = static_cast<std::uint32_t>(dsync_ns.size());
  if (probe.rounds < kRoundsMin) return ETIMEDOUT;
  probe.dsync_median_ns = median_of(std::move(dsync_ns));
  probe.write_then_sync_median_ns = median_of(std::move(sync_ns));
  return 0;
}

std::string microseconds(std::int64_t nanoseconds) { return concat(nanoseconds / 1000, " us"); }

}  // namespace

DirectIoProbe probe_direct_io(const std::string& directory) {
  DirectIoProbe probe;
  const ScratchFile file(directory);
  if (!file.is_open()) {
    probe.sys_errno = file.sys_errno();
    probe.remedy = concat("make ", directory, " writable");
    return probe;
  }
  if (read_reported_alignment(file.fd(), probe) && !probe.supported) {
    probe.sys_errno = EINVAL;
    probe.remedy = kDirectRemedy;
    return probe;
  }
  // Reported or not, one aligned write settles it.
  AlignedBuffer block(kBlockBytes);
  std::memset(block.data(), 0, kBlockBytes);
  const bool opened = file.set_direct(true);
  probe.sys_errno = opened ? write_block(file.fd(), block, 0, 0) : errno;
  probe.supported = probe.sys_errno == 0;
  if (!probe.supported) probe.remedy = kDirectRemedy;
  return probe;
}

CommitProbe calibrate_commit(const std::string& directory) {
  CommitProbe probe;
  const ScratchFile file(directory);
  probe.sys_errno = file.is_open() ? fill_with_zeroes(file.fd()) : file.sys_errno();
  if (probe.sys_errno == 0) {
    file.set_direct(true);  // measured buffered where the file system has no direct I/O
    probe.sys_errno = measure(file.fd(), probe);
  }
  if (probe.sys_errno == EOPNOTSUPP) {
    probe.chosen = CommitPrimitive::write_then_sync;
    probe.reason = "this kernel or file system has no RWF_DSYNC";
    return probe;
  }
  if (probe.sys_errno != 0) {
    probe.reason = concat("not measured (", std::strerror(probe.sys_errno), "): RWF_DSYNC");
    return probe;
  }
  probe.measured = true;
  // A tie goes to one operation instead of two: within 15 %.
  const bool dsync_wins = probe.dsync_median_ns * 100 <= probe.write_then_sync_median_ns * 115;
  probe.chosen = dsync_wins ? CommitPrimitive::write_dsync : CommitPrimitive::write_then_sync;
  probe.reason =
      concat(dsync_wins ? "RWF_DSYNC" : "write, then fdatasync", ": median of ", probe.rounds,
             " rounds of 4 KiB ", microseconds(probe.dsync_median_ns), " with RWF_DSYNC, ",
             microseconds(probe.write_then_sync_median_ns), " with a write and fdatasync");
  return probe;
}

MachineProbe probe_machine(const std::string& directory) {
  MachineProbe probe;
  probe.uring = probe_uring();
  if (directory.empty()) return probe;
  probe.direct_io = probe_direct_io(directory);
  probe.commit = calibrate_commit(directory);
  return probe;
}

}  // namespace keelson::engine::io
