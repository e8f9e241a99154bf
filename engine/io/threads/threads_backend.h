// engine/io/threads/threads_backend.h: the backend for where io_uring is forbidden.
//
// Sockets: non-blocking, one edge-triggered epoll set. Files and directories: a HelperPool, save
// reads of what the page cache has, which cost less than the way to another thread and back.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/io/backend.h"
#include "engine/io/posix/background_pool.h"
#include "engine/io/posix/doorbell.h"
#include "engine/io/posix/helper_pool.h"
#include "engine/io/posix/operation_list.h"
#include "engine/io/posix/sockets.h"

namespace keelson::engine::io {

class ThreadsBackend final : public Backend {
 public:
  /// `info` is kept as it is, save its name. `clock` outlives the backend.
  /// Errors: io with EMFILE or ENFILE: no descriptors left.
  [[nodiscard]] static Result<std::unique_ptr<ThreadsBackend>> create(
      const Clock& clock, BackendInfo info, HelperPool::Limits limits = {});
  ~ThreadsBackend() override;

  const BackendInfo& info() const override { return info_; }
  void submit(Operation& operation) override;
  void submit(FsOperation& operation) override;
  void cancel(Operation& operation) override;
  std::size_t poll(std::optional<std::int64_t> deadline_ns) override;
  void wake() override { bell_.ring(); }
  void close(int fd) override;
  void shutdown(int fd) override;
  Result<int> listen(Endpoint& endpoint, int backlog) override;
  Result<int> connect_socket(const Endpoint& endpoint) override;
  Result<Endpoint> peer(int fd) override { return peer_of(fd); }

 private:
  /// One direction of a socket: accept and receive, or connect and send.
  struct Direction {
    OperationList waiting;
    bool maybe_ready = true;  // false from EAGAIN until epoll reports the next edge
  };
  struct Socket {
    Direction inward;
    Direction outward;
    bool watched = false;  // in the epoll set
  };

  ThreadsBackend(const Clock& clock, BackendInfo info, HelperPool::Limits limits, int epoll_fd);

  bool read_from_cache(Operation& operation);
  void note_opened(const FsOperation& operation);
  Socket& socket_of(int fd);
  void submit_to_socket(Operation& operation);
  /// False where the socket is not ready.
  bool attempt(Operation& operation);
  bool attempt_connect(Operation& operation);
  bool watch(int fd, Socket& socket);
  void advance(Direction& direction);
  void finish(Operation& operation, std::int64_t result);
  /// Waits for edges, at most until the deadline, and moves on what they made ready.
  void collect_edges(std::optional<std::int64_t> deadline_ns);
  int wait_for_edges(epoll_event* events, int count, std::optional<std::int64_t> deadline_ns);
  void take_finished();
  std::size_t run_finished();

  const Clock& clock_;
  BackendInfo info_;
  const int epoll_fd_;
  bool has_precise_wait_ = true;  // epoll_pwait2: Linux 5.11, and not filtered
  Doorbell bell_;
  HelperPool pool_;
  BackgroundPool background_;
  std::vector<Socket> sockets_;       // by descriptor
  std::vector<bool> buffered_files_;  // by descriptor: opened here, without O_DIRECT
  std::unordered_map<int, SocketAddress> connect_addresses_;
  std::size_t waiting_count_ = 0;  // operations in sockets_
  OperationList finished_;
  FsOperationList finished_fs_;
};

}  // namespace keelson::engine::io
