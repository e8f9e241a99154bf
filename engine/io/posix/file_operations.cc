#include "engine/io/posix/file_operations.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <utility>

#include "engine/counters.h"

namespace keelson::engine::io {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirMode = 0700;

std::int64_t or_errno(std::int64_t result) { return result < 0 ? -errno : result; }

std::int64_t transfer_once(const Operation& operation, int flags) {
  const auto position = static_cast<off_t>(operation.position_bytes);
  const auto count = static_cast<int>(operation.buffer_count);
  if (operation.code == OpCode::read) {
    return or_errno(::preadv2(operation.fd, operation.buffers, count, position, flags));
  }
  return or_errno(::pwritev2(operation.fd, operation.buffers, count, position, flags));
}

std::int64_t transfer(const Operation& operation, int flags) {
  std::int64_t result = 0;
  for (int tries = 0; tries <= kTransferRetriesMax; ++tries) {
    result = transfer_once(operation, flags);
    if (result != -EINTR && result != -EAGAIN) return result;
  }
  return -EIO;
}

std::int64_t open_file(const std::string& path, OpenFlags flags) {
  int mode = O_CLOEXEC | (flags.write ? O_RDWR : O_RDONLY);
  if (flags.create) mode |= O_CREAT;
  if (flags.exclusive) mode |= O_EXCL;
  if (flags.truncate) mode |= O_TRUNC;
  if (flags.direct) mode |= O_DIRECT;
  int fd = -1;
  do {
    fd = ::open(path.c_str(), mode, kFileMode);
  } while (fd < 0 && errno == EINTR);
  return or_errno(fd);
}

std::int64_t list_entries(const std::string& path, std::vector<DirEntry>& entries) {
  DIR* const dir = ::opendir(path.c_str());
  if (dir == nullptr) return -errno;
  std::int64_t result = 0;
  while (true) {
    errno = 0;
    const dirent* const entry = ::readdir(dir);
    if (entry == nullptr) {
      result = -errno;
      break;
    }
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    bool is_dir = entry->d_type == DT_DIR;
    struct stat found{};
    // Gone, or a link to nothing: no directory, and empty.
    if (!is_dir && ::fstatat(::dirfd(dir), entry->d_name, &found, 0) == 0) {
      is_dir = S_ISDIR(found.st_mode);
    }
    entries.push_back(
        {std::string(name), is_dir, is_dir ? 0 : static_cast<std::uint64_t>(found.st_size)});
  }
  ::closedir(dir);
  if (result < 0) {
    entries.clear();
    return result;
  }
  std::sort(entries.begin(), entries.end(),
            [](const DirEntry& left, const DirEntry& right) { return left.name < right.name; });
  return 0;
}

std::int64_t read_open_file(int fd, std::uint64_t bytes_max, std::string& content) {
  struct stat found{};
  if (::fstat(fd, &found) < 0) return -errno;
  if (S_ISDIR(found.st_mode)) return -EISDIR;
  const auto size_bytes = static_cast<std::uint64_t>(found.st_size);
  if (size_bytes > bytes_max) return -EFBIG;
  content.resize(size_bytes);
  std::size_t done_bytes = 0;
  while (done_bytes < content.size()) {
    const ssize_t part = ::pread(fd, content.data() + done_bytes, content.size() - done_bytes,
                                 static_cast<off_t>(done_bytes));
    if (part < 0 && errno == EINTR) continue;
    if (part < 0) return -errno;
    if (part == 0) break;  // cut meanwhile
    done_bytes += static_cast<std::size_t>(part);
  }
  content.resize(done_bytes);
  return 0;
}

std::int64_t read_whole_file(const std::string& path, std::uint64_t bytes_max,
                             std::string& content) {
  const std::int64_t fd = open_file(path, {});
  if (fd < 0) return fd;
  const std::int64_t result = read_open_file(static_cast<int>(fd), bytes_max, content);
  ::close(static_cast<int>(fd));
  return result;
}

std::int64_t read_stat(const std::string& path, FileStat& into) {
  struct stat found{};
  if (::stat(path.c_str(), &found) < 0) return -errno;
  into.size_bytes = static_cast<std::uint64_t>(found.st_size);
  into.modified_ms = std::int64_t{found.st_mtim.tv_sec} * 1000 + found.st_mtim.tv_nsec / 1'000'000;
  into.is_dir = S_ISDIR(found.st_mode);
  into.inode = found.st_ino;
  return 0;
}

std::int64_t sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  const std::int64_t result = or_errno(::fsync(fd));
  ::close(fd);
  return result;
}

std::int64_t reserve(int fd, std::uint64_t size_bytes) {
  std::int64_t result = 0;
  do {
    result = or_errno(::fallocate(fd, 0, 0, static_cast<off_t>(size_bytes)));
  } while (result == -EINTR);
  return result;
}

std::int64_t drop_cached(const FsOperation& operation) {
  return -::posix_fadvise(operation.fd, static_cast<off_t>(operation.position_bytes),
                          static_cast<off_t>(operation.size_bytes), POSIX_FADV_DONTNEED);
}

// A lock of the open file description, so that two opens in one process exclude each other too;
// and of the fcntl family, so that a JVM's FileChannel.lock() on the file is seen and sees it.
std::int64_t take_lock(int fd) {
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(fd, F_OFD_SETLK, &whole) == 0) return 0;
  return errno == EACCES || errno == EAGAIN ? -EWOULDBLOCK : -errno;
}

std::int64_t read_space(const std::string& path, FsOperation& into) {
  struct statvfs found{};
  if (::statvfs(path.c_str(), &found) < 0) return -errno;
  into.free_bytes = std::uint64_t{found.f_bavail} * found.f_frsize;
  into.total_bytes = std::uint64_t{found.f_blocks} * found.f_frsize;
  return 0;
}

}  // namespace

std::int64_t run_file_operation(const Operation& operation, CommitPrimitive commit) {
  tally(Counter::system_calls);
  if (operation.code == OpCode::sync_data) return or_errno(::fdatasync(operation.fd));
  if (operation.code == OpCode::read || !operation.durable) return transfer(operation, 0);
  if (commit == CommitPrimitive::write_dsync) return transfer(operation, RWF_DSYNC);
  const std::int64_t written = transfer(operation, 0);
  if (written <= 0) return written;
  return ::fdatasync(operation.fd) < 0 ? -errno : written;
}

void run_fs_operation(FsOperation& operation) {
  tally(Counter::metadata_calls);
  const std::string& path = operation.path;
  operation.result = [&]() -> std::int64_t {
    switch (operation.code) {
      case FsCode::open: return open_file(path, operation.flags);
      case FsCode::rename: return or_errno(::rename(path.c_str(), operation.other_path.c_str()));
      case FsCode::unlink: return or_errno(::unlink(path.c_str()));
      case FsCode::make_dir: return or_errno(::mkdir(path.c_str(), kDirMode));
      case FsCode::remove_dir: return or_errno(::rmdir(path.c_str()));
      case FsCode::list_dir: return list_entries(path, operation.entries);
      case FsCode::read_file: return read_whole_file(path, operation.size_bytes, operation.content);
      case FsCode::stat: return read_stat(path, operation.stat);
      case FsCode::sync_dir: return sync_directory(path);
      case FsCode::truncate:
        return or_errno(::ftruncate(operation.fd, static_cast<off_t>(operation.size_bytes)));
      case FsCode::allocate: return reserve(operation.fd, operation.size_bytes);
      case FsCode::drop_cache: return drop_cached(operation);
      case FsCode::lock: return take_lock(operation.fd);
      case FsCode::space: return read_space(path, operation);
      case FsCode::compute: break;  // BackgroundPool's
    }
    return -EINVAL;
  }();
}

}  // namespace keelson::engine::io
