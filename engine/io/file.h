// engine/io/file.h: files and directories as coroutines.
//
// Everything here is for one shard's thread. A short transfer is continued, ENOSPC and EDQUOT
// become Errc::no_space, ENOENT Errc::not_found, EEXIST Errc::already_exists; the rest is Errc::io
// with its errno.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/io/backend.h"
#include "engine/io/shard.h"
#include "engine/task.h"
#include "engine/types.h"

namespace keelson::engine::io {

/// So many short writes in a row without a whole block are an error of the drive: EIO.
inline constexpr int kWriteStallsMax = 16;

/// An open file. Closed by close() or at the latest by the destructor; no operation may be under
/// way then.
class File {
 public:
  File() = default;
  /// `direct`: opened with O_DIRECT.
  File(Shard& shard, int fd, bool direct = false) : shard_(&shard), fd_(fd), direct_(direct) {}
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File() { close(); }

  [[nodiscard]] static Task<Result<File>> open(Shard& shard, std::string path, OpenFlags flags);

  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  void close();

  /// Reads until `into` is full or the file ends; how many bytes were read.
  [[nodiscard]] Task<Result<std::size_t>> read_at(std::uint64_t position_bytes, MutableBytes into);
  /// Writes all of `bytes`. With `durable`, they are on stable storage at success.
  /// A short write goes on where its last whole block ended (not direct: its last byte).
  /// Errors: no_space and io. Part may have been written.
  [[nodiscard]] Task<Result<void>> write_at(std::uint64_t position_bytes, Bytes bytes,
                                            bool durable = false);
  /// fdatasync. An error is final: a later success proves nothing about what was lost
  /// (source: Rebello et al., USENIX ATC 2020).
  [[nodiscard]] Task<Result<void>> sync_data();
  [[nodiscard]] Task<Result<void>> truncate(std::uint64_t size_bytes);
  [[nodiscard]] Task<Result<void>> allocate(std::uint64_t size_bytes);
  /// Gives memory back: what is synced of these bytes leaves the page cache.
  [[nodiscard]] Task<Result<void>> drop_cache(std::uint64_t position_bytes,
                                              std::uint64_t size_bytes);
  /// Errors: locked where another open file holds it.
  [[nodiscard]] Task<Result<void>> lock();

 private:
  /// Of `bytes` that were transferred, those after which the next transfer may start.
  std::size_t whole_blocks(std::size_t bytes) const;

  Shard* shard_ = nullptr;
  int fd_ = -1;
  bool direct_ = false;
};

[[nodiscard]] Task<Result<void>> rename(Shard& shard, std::string from, std::string to);
[[nodiscard]] Task<Result<void>> unlink(Shard& shard, std::string path);
[[nodiscard]] Task<Result<void>> make_dir(Shard& shard, std::string path);
[[nodiscard]] Task<Result<void>> remove_dir(Shard& shard, std::string path);
[[nodiscard]] Task<Result<std::vector<DirEntry>>> list_dir(Shard& shard, std::string path);
[[nodiscard]] Task<Result<FileStat>> stat(Shard& shard, std::string path);
[[nodiscard]] Task<Result<void>> sync_dir(Shard& shard, std::string path);
struct DiskSpace {
  std::uint64_t free_bytes = 0;
  std::uint64_t total_bytes = 0;
};
[[nodiscard]] Task<Result<DiskSpace>> disk_space(Shard& shard, std::string path);

/// The whole file. Errors: too large for `bytes_max` is invalid_argument.
[[nodiscard]] Task<Result<std::string>> read_file(Shard& shard, std::string path,
                                                  std::size_t bytes_max);
/// Replaces `path` so that a crash leaves the old content or the new: writes `path`.tmp, syncs
/// it, renames it, syncs the directory. (Kafka's protocol for checkpoint files.)
[[nodiscard]] Task<Result<void>> replace_file(Shard& shard, std::string path, std::string content);

/// "a/b/c" -> "a/b"; "c" -> ".".
std::string parent_of(std::string_view path);

}  // namespace keelson::engine::io
