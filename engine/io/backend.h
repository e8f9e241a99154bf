// engine/io/backend.h: everything a shard asks of the outside, behind one interface.
//
// Three implementations, one behaviour, one conformance suite (tests/engine/io):
//   uring    io_uring, one ring a shard                    engine/io/uring/
//   threads  epoll for sockets, a small pool for files     engine/io/threads/
//   sim      seeded and deterministic, with faults         engine/io/sim/
// File and socket descriptors are plain ints that mean something to their backend only.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/types.h"

namespace keelson::engine::io {

enum class OpCode : std::uint8_t {
  read,       // file: buffers, position_bytes
  write,      // file: buffers, position_bytes, durable
  sync_data,  // file: fdatasync. Covers only writes whose completion was seen before submitting
  accept,     // listener: result is the descriptor of the new connection, TCP_NODELAY set
  connect,    // socket made by Backend::connect_socket()
  receive,    // socket: buffers; result 0 is the end of the stream
  send,       // socket: buffers; never raises SIGPIPE
};

/// One operation under way. Lives in the waiting coroutine's frame, and with its buffers belongs to
/// the backend from submit() until on_complete is called, whatever happens in between: cancelling,
/// a time-out or a disconnect does not return them earlier.
struct Operation {
  OpCode code{};
  bool durable =
      false;  // write only: on stable storage (data, and the size it needs) at completion
  /// Write only, of a file opened without `direct`, and not with `durable`: made within submit(),
  /// on the shard's own thread. It is a copy into the page cache, some microseconds, while to have
  /// it made elsewhere is two wake-ups. Where the kernel holds back who makes pages dirty, it
  /// sleeps.
  bool at_once = false;
  int fd = -1;
  const iovec* buffers = nullptr;
  std::uint32_t buffer_count = 0;
  std::uint64_t position_bytes = 0;

  /// Bytes transferred (may be short), a descriptor, 0, or -errno.
  std::int64_t result = 0;
  /// Called exactly once, on the shard's thread, from within Backend::poll().
  void (*on_complete)(Operation& self) = nullptr;

  // For the backend's use between submit() and completion.
  std::uint64_t backend_word = 0;
  void* backend_pointer = nullptr;
  Operation* next = nullptr;
};

enum class FsCode : std::uint8_t {
  open,        // path, flags, -> result descriptor
  rename,      // path -> other_path, replacing it
  unlink,      // path; ENOENT where absent
  make_dir,    // path, mode 0700
  remove_dir,  // path, empty
  list_dir,    // path -> entries, sorted by name, without "." and ".."
  read_file,   // path -> content; EFBIG where it is larger than size_bytes
  stat,        // path -> stat
  sync_dir,    // path: makes its entries durable
  truncate,    // fd, size_bytes
  allocate,    // fd, size_bytes: space reserved and file size set (fallocate, mode 0)
  drop_cache,  // fd, position_bytes, size_bytes: what is synced there leaves the page cache
  lock,        // fd, open for writing: exclusive advisory lock of the open file, until its
               // close; EWOULDBLOCK where another open file, or a JVM's FileChannel, holds it
  space,       // path -> free_bytes, total_bytes of its file system
  compute,     // computation(subject), on a thread that gives way to every shard
};

struct DirEntry {
  std::string name;
  bool is_dir = false;
  std::uint64_t size_bytes = 0;  // of a file
};

struct FileStat {
  std::uint64_t size_bytes = 0;
  std::int64_t modified_ms = 0;  // milliseconds since 1970
  bool is_dir = false;
  std::uint64_t inode = 0;
};

/// How a file is opened. `direct` asks for O_DIRECT: positions, lengths and memory aligned to
/// BackendInfo::direct_align_bytes; refused with EINVAL where the file system cannot.
struct OpenFlags {
  bool write = false;
  bool create = false;
  bool exclusive = false;  // with create: EEXIST where it is there
  bool truncate = false;
  bool direct = false;
};

/// A metadata operation: slow, rare, run off the shard's thread (uring, threads: a helper thread).
/// Computations run one at a time on a thread of their own.
struct FsOperation {
  FsCode code{};
  std::string path;
  std::string other_path;
  int fd = -1;
  OpenFlags flags;
  std::uint64_t position_bytes = 0;
  std::uint64_t size_bytes = 0;
  void (*computation)(void* subject) = nullptr;
  void* subject = nullptr;

  std::int64_t result = 0;  // 0, a descriptor, or -errno
  std::vector<DirEntry> entries;
  std::string content;
  FileStat stat;
  std::uint64_t free_bytes = 0;  // available to this process
  std::uint64_t total_bytes = 0;
  void (*on_complete)(FsOperation& self) = nullptr;  // as Operation::on_complete

  // For the backend's use between submit() and completion.
  std::uint64_t backend_word = 0;
  FsOperation* next = nullptr;
};

/// Where a listener or a peer is. `host` is a numeric IPv4 or IPv6 address.
struct Endpoint {
  std::string host;
  std::uint16_t port = 0;

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// How an append is made durable; chosen by calibration (engine/io/probe.h).
enum class CommitPrimitive : std::uint8_t {
  write_dsync,      // one write with RWF_DSYNC
  write_then_sync,  // a write, then fdatasync, in order
};

struct BackendInfo {
  std::string name;    // "uring", "threads", "sim"
  std::string reason;  // why this one, for the start-up lines and `keelson doctor`
  std::uint32_t direct_align_bytes = 4096;
  CommitPrimitive commit = CommitPrimitive::write_dsync;
};

/// One shard's door to the outside. Every method but wake() is for the shard's thread only.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual const BackendInfo& info() const = 0;

  /// Takes `operation`; it completes in a later poll(), never within this call (Operation::at_once:
  /// what it does is done, and told later). Interrupted and
  /// not-ready results are retried inside; what comes back is final. Sockets without data wait.
  virtual void submit(Operation& operation) = 0;
  virtual void submit(FsOperation& operation) = 0;

  /// Asks that `operation` end soon: with -ECANCELED or with whatever it had come to. It still
  /// completes exactly once. File operations may ignore the wish.
  virtual void cancel(Operation& operation) = 0;

  /// Runs the completions that are there. Where there is none, sleeps until one comes, wake() is
  /// called or the clock passes `deadline_ns` (Clock::now_ns(); nothing: no limit; a past one: do
  /// not sleep). Returns how many completions ran.
  virtual std::size_t poll(std::optional<std::int64_t> deadline_ns) = 0;

  /// Ends the current or next sleep in poll(). Any thread.
  virtual void wake() = 0;

  /// Closes a file or socket. Operations on it must have completed.
  virtual void close(int fd) = 0;
  /// Ends both directions of a socket: its pending and later operations complete at once.
  virtual void shutdown(int fd) = 0;

  /// A listening socket on `endpoint`, port 0 for any; `endpoint` gets the port it was given.
  /// Errors: io with EADDRINUSE, EADDRNOTAVAIL, EACCES, EINVAL (not a numeric address).
  virtual Result<int> listen(Endpoint& endpoint, int backlog) = 0;
  /// A socket for OpCode::connect to `endpoint`, which must outlive that operation's completion.
  virtual Result<int> connect_socket(const Endpoint& endpoint) = 0;
  /// The other end of a connection.
  virtual Result<Endpoint> peer(int fd) = 0;
};

/// Time. `now_ns` counts suspend (CLOCK_BOOTTIME) and never goes back; `wall_ms` may jump.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::int64_t now_ns() const = 0;
  virtual std::int64_t wall_ms() const = 0;
};

/// Random bits; seeded and repeatable on sim, from the system elsewhere.
class Rng {
 public:
  virtual ~Rng() = default;
  virtual std::uint64_t next() = 0;
};

}  // namespace keelson::engine::io
