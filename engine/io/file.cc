#include "engine/io/file.h"

#include <cerrno>
#include <utility>

#include "engine/io/aligned_buffer.h"
#include "engine/io/awaitables.h"

namespace keelson::engine::io {
namespace {

std::unexpected<Error> system_error(std::int64_t result) {
  const int sys_errno = static_cast<int>(-result);
  switch (sys_errno) {
    case ENOSPC:
    case EDQUOT: return fail(Errc::no_space, sys_errno);
    case ENOENT: return fail(Errc::not_found, sys_errno);
    case EEXIST: return fail(Errc::already_exists, sys_errno);
    case EWOULDBLOCK: return fail(Errc::locked, sys_errno);
    default: return fail(Errc::io, sys_errno);
  }
}

Task<Result<void>> on_descriptor(Shard& shard, FsCode code, int fd, std::uint64_t size_bytes,
                                 std::uint64_t position_bytes = 0) {
  FsAwaiter operation{shard};
  operation.code = code;
  operation.fd = fd;
  operation.position_bytes = position_bytes;
  operation.size_bytes = size_bytes;
  const std::int64_t result = co_await operation;
  if (result < 0) co_return system_error(result);
  co_return Result<void>{};
}

Task<Result<void>> on_path(Shard& shard, FsCode code, std::string path, std::string other_path) {
  FsAwaiter operation{shard};
  operation.code = code;
  operation.path = std::move(path);
  operation.other_path = std::move(other_path);
  const std::int64_t result = co_await operation;
  if (result < 0) co_return system_error(result);
  co_return Result<void>{};
}

}  // namespace

File::File(File&& other) noexcept
    : shard_(std::exchange(other.shard_, nullptr)),
      fd_(std::exchange(other.fd_, -1)),
      direct_(other.direct_) {}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    close();
    shard_ = std::exchange(other.shard_, nullptr);
    fd_ = std::exchange(other.fd_, -1);
    direct_ = other.direct_;
  }
  return *this;
}

void File::close() {
  if (fd_ >= 0) shard_->backend().close(std::exchange(fd_, -1));
}

Task<Result<File>> File::open(Shard& shard, std::string path, OpenFlags flags) {
  FsAwaiter operation{shard};
  operation.code = FsCode::open;
  operation.path = std::move(path);
  operation.flags = flags;
  const std::int64_t result = co_await operation;
  if (result < 0) co_return system_error(result);
  co_return File{shard, static_cast<int>(result), flags.direct};
}

std::size_t File::whole_blocks(std::size_t bytes) const {
  return direct_ ? round_down_to_block(bytes) : bytes;
}

Task<Result<std::size_t>> File::read_at(std::uint64_t position_bytes, MutableBytes into) {
  std::size_t done_bytes = 0;  // from here the next transfer starts
  std::size_t tail_bytes = 0;  // direct: read after it, part of a block
  while (done_bytes < into.size()) {
    const iovec target{into.data() + done_bytes, into.size() - done_bytes};
    IoAwaiter operation{*shard_};
    operation.code = OpCode::read;
    operation.fd = fd_;
    operation.buffers = &target;
    operation.buffer_count = 1;
    operation.position_bytes = position_bytes + done_bytes;
    const std::int64_t result = co_await operation;
    if (result < 0) co_return system_error(result);
    const auto read_bytes = static_cast<std::size_t>(result);
    const std::size_t whole_bytes = whole_blocks(read_bytes);
    // Direct reads start at blocks only. The same part of a block twice: there the file ends.
    if (whole_bytes == 0 && read_bytes <= tail_bytes) break;
    done_bytes += whole_bytes;
    tail_bytes = read_bytes - whole_bytes;
  }
  co_return done_bytes + tail_bytes;
}

Task<Result<void>> File::write_at(std::uint64_t position_bytes, Bytes bytes, bool durable) {
  std::size_t done_bytes = 0;
  int stalls = 0;
  while (done_bytes < bytes.size()) {
    const iovec source{const_cast<std::byte*>(bytes.data()) + done_bytes,
                       bytes.size() - done_bytes};
    IoAwaiter operation{*shard_};
    operation.code = OpCode::write;
    operation.durable = durable;
    operation.fd = fd_;
    operation.buffers = &source;
    operation.buffer_count = 1;
    operation.position_bytes = position_bytes + done_bytes;
    const std::int64_t result = co_await operation;
    if (result < 0) co_return system_error(result);
    // A direct write that stopped inside a block starts again at that block, with the same bytes.
    const std::size_t whole_bytes = whole_blocks(static_cast<std::size_t>(result));
    stalls = whole_bytes == 0 ? stalls + 1 : 0;
    if (stalls == kWriteStallsMax) co_return fail(Errc::io, EIO);
    done_bytes += whole_bytes;
  }
  co_return Result<void>{};
}

Task<Result<void>> File::sync_data() {
  IoAwaiter operation{*shard_};
  operation.code = OpCode::sync_data;
  operation.fd = fd_;
  const std::int64_t result = co_await operation;
  if (result < 0) co_return system_error(result);
  co_return Result<void>{};
}

Task<Result<void>> File::truncate(std::uint64_t size_bytes) {
  return on_descriptor(*shard_, FsCode::truncate, fd_, size_bytes);
}

Task<Result<void>> File::allocate(std::uint64_t size_bytes) {
  return on_descriptor(*shard_, FsCode::allocate, fd_, size_bytes);
}

Task<Result<void>> File::drop_cache(std::uint64_t position_bytes, std::uint64_t size_bytes) {
  return on_descriptor(*shard_, FsCode::drop_cache, fd_, size_bytes, position_bytes);
}

Task<Result<void>> File::lock() { return on_descriptor(*shard_, FsCode::lock, fd_, 0); }

Task<Result<void>> rename(Shard& shard, std::string from, std::string to) {
  return on_path(shard, FsCode::rename, std::move(from), std::move(to));
}

Task<Result<void>> unlink(Shard& shard, std::string path) {
  return on_path(shard, FsCode::unlink, std::move(path), {});
}

Task<Result<void>> make_dir(Shard& shard, std::string path) {
  return on_path(shard, FsCode::make_dir, std::move(path), {});
}

Task<Result<void>> remove_dir(Shard& shard, std::string path) {
  return on_path(shard, FsCode::remove_dir, std::move(path), {});
}

Task<Result<void>> sync_dir(Shard& shard, std::string path) {
  return on_path(shard, FsCode::sync_dir, std::move(path), {});
}

Task<Result<std::vector<DirEntry>>> list_dir(Shard& shard, std::string path) {
  FsAwaiter operation{shard};
  operation.code = FsCode::list_dir;
  operation.path = std::move(path);
  const std::int64_t result = co_await operation;
  if (result < 0) co_return system_error(result);
  co_return std::move(operation.entries);
}

Task<Result<FileStat>> stat(Shard& shard, std::string path) {
  FsAwaiter operation{shard};
  operation.code = FsCode::stat;
  operation.path = std::move(path);
  const std::int64_t result = co_await operation;
  if (result < 0) co_return system_error(result);
  co_return operation.stat;
}

Task<Result<DiskSpace>> disk_space(Shard& shard, std::string path) {
  FsAwaiter operation{shard};
  operation.code = FsCode::space;
  operation.path = std::move(path);
  const std::int64_t result = co_await operation;
  if (result < 0) co_return system_error(result);
  co_return DiskSpace{operation.free_bytes, operation.total_bytes};
}

Task<Result<std::string>> read_file(Shard& shard, std::string path, std::size_t bytes_max) {
  FsAwaiter operation{shard};
  operation.code = FsCode::read_file;
  operation.path = std::move(path);
  operation.size_bytes = bytes_max;
  const std::int64_t result = co_await operation;
  if (result == -EFBIG) co_return fail(Errc::invalid_argument);
  if (result < 0) co_return system_error(result);
  co_return std::move(operation.content);
}

Task<Result<void>> replace_file(Shard& shard, std::string path, std::string content) {
  const std::string temporary = path + ".tmp";
  Result<File> file = co_await File::open(
      shard, temporary, OpenFlags{.write = true, .create = true, .truncate = true});
  if (!file) co_return std::unexpected(file.error());
  const Result<void> written = co_await file->write_at(0, std::as_bytes(std::span(content)));
  if (!written) co_return written;
  const Result<void> synced = co_await file->sync_data();
  if (!synced) co_return synced;
  file->close();
  const Result<void> renamed = co_await rename(shard, temporary, path);
  if (!renamed) co_return renamed;
  co_return co_await sync_dir(shard, parent_of(path));
}

std::string parent_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(path.substr(0, slash == 0 ? 1 : slash));
}

}  // namespace keelson::engine::io
