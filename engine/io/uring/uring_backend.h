// engine/io/uring/uring_backend.h: the backend on io_uring, one ring for one shard.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/io/backend.h"
#include "engine/io/posix/background_pool.h"
#include "engine/io/posix/doorbell.h"
#include "engine/io/posix/helper_pool.h"
#include "engine/io/posix/operation_list.h"
#include "engine/io/posix/sockets.h"

namespace keelson::engine::io {

/// How the ring came to be set up: the first of several sets of flags that the kernel took.
struct RingSetup {
  unsigned flags = 0;
  std::string description;
};

/// Sets up `ring` on this thread, which alone may submit to it.
/// Errors: io with the errno of io_uring_setup. What each means: probe_uring().
[[nodiscard]] Result<RingSetup> set_up_ring(io_uring& ring);

/// submit() only fills a submission entry; poll() enters the kernel once to submit, reap and sleep.
/// Metadata operations run on a helper thread. Sockets and files are blocking descriptors: io_uring
/// answers EAGAIN at once for others.
class UringBackend final : public Backend {
 public:
  /// On the thread that will use it. `clock` outlives the backend.
  /// Errors: io with the errno of io_uring_setup or eventfd.
  [[nodiscard]] static Result<std::unique_ptr<Backend>> create(const Clock& clock,
                                                               BackendInfo info);
  /// On the same thread; nothing may be under way.
  ~UringBackend() override;

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
  /// What an entry points to beside the buffers. The kernel copies it when the entry is submitted
  /// (IORING_FEAT_SUBMIT_STABLE), so there is one for each place in the submission queue.
  struct Attachment {
    msghdr message;
    SocketAddress address;
  };

  UringBackend(const Clock& clock, BackendInfo info);
  Result<void> start();

  /// A free entry; makes room where there is none.
  io_uring_sqe& next_entry();
  Attachment& attachment_of(const io_uring_sqe& entry);
  void prepare(Operation& operation);
  void prepare_file_transfer(io_uring_sqe& entry, const Operation& operation);
  void prepare_message(io_uring_sqe& entry, Operation& operation);
  void prepare_connect(io_uring_sqe& entry, Operation& operation);
  void watch_bell();

  void enter_without_sleep();
  void enter_and_sleep(std::optional<std::int64_t> deadline_ns);
  /// Takes completions off the queue into finished_. Runs no callback.
  void reap();
  void take_transfer(Operation& operation, std::int64_t result);
  void start_commit_sync(Operation& operation, std::int64_t written);
  void take_commit_sync(Operation& operation, std::int64_t result);
  void finish(Operation& operation, std::int64_t result);
  void take_finished();
  std::size_t run_finished();

  const Clock& clock_;
  BackendInfo info_;
  io_uring ring_{};
  bool ring_exists_ = false;
  Doorbell bell_;
  HelperPool pool_;
  BackgroundPool background_;
  std::vector<Attachment> attachments_;  // by place in the submission queue
  std::unordered_map<int, SocketAddress> connect_addresses_;
  std::size_t under_way_ = 0;  // operations whose last completion has not been reaped
  bool bell_watched_ = false;
  OperationList finished_;
  FsOperationList finished_fs_;
};

}  // namespace keelson::engine::io
