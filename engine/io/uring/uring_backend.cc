#include "engine/io/uring/uring_backend.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "engine/counters.h"
#include "engine/io/posix/file_operations.h"
#include "engine/io/posix/stand_back.h"

namespace keelson::engine::io {
namespace {

constexpr unsigned kSubmissionEntries = 512;
constexpr unsigned kCompletionEntries = 4096;  // a power of two, at least 4 x the submissions
// No lost completions; attachments copied at submission; waiting for sockets without a thread; a
// timeout in the wait; and RSRC_TAGS because it came with multishot poll, in Linux 5.13.
constexpr unsigned kFeaturesNeeded = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |
                                     IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG |
                                     IORING_FEAT_RSRC_TAGS;
constexpr unsigned kBoundedWorkersMax = 2;    // kernel threads for file operations it cannot start
constexpr unsigned kUnboundedWorkersMax = 2;  // inline; its default is RLIMIT_NPROC

// The lowest bits of an entry's user_data say what its completion means; the rest is the Operation.
constexpr std::uint64_t kTagTransfer = 0;    // the operation itself
constexpr std::uint64_t kTagCommitSync = 1;  // the fdatasync after a durable write
constexpr std::uint64_t kTagOwn = 2;         // no operation: the bell, or a cancel
constexpr std::uint64_t kTagMask = 3;
static_assert(alignof(Operation) > kTagMask);

constexpr std::uint64_t kBellData = (std::uint64_t{1} << 2) | kTagOwn;
constexpr std::uint64_t kCancelData = (std::uint64_t{2} << 2) | kTagOwn;

constexpr std::size_t kSingleBufferBytesMax = std::size_t{1} << 30;  // an entry's length: 32 bits

// Operation::backend_word counts how often its transfer was tried again.

std::uint64_t data_of(const Operation& operation, std::uint64_t tag) {
  return reinterpret_cast<std::uint64_t>(&operation) | tag;
}

bool is_transient(std::int64_t result) { return result == -EINTR || result == -EAGAIN; }

/// What io_uring_enter may answer and all is well: nothing is lost, the queue keeps the rest.
bool is_passing(int result) {
  switch (-result) {
    case EINTR:
    case EAGAIN:
    case EBUSY:  // completions have to be taken off first
    case ENOMEM:
    case ETIME: return true;  // the deadline
    default: return result >= 0;
  }
}

void count_enter(const io_uring& ring) {
  tally(Counter::ring_enters);
  tally(Counter::ring_entries, ::io_uring_sq_ready(&ring));
}

__kernel_timespec to_timespec(std::int64_t nanoseconds) {
  return {.tv_sec = nanoseconds / 1'000'000'000, .tv_nsec = nanoseconds % 1'000'000'000};
}

}  // namespace

Result<RingSetup> set_up_ring(io_uring& ring) {
  constexpr unsigned kBase = IORING_SETUP_CQSIZE;
  struct Choice {
    unsigned flags;
    const char* description;
  };
  // From the best to what every kernel since 5.5 has.
  constexpr std::array<Choice, 4> kChoices{{
      {kBase | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
           IORING_SETUP_TASKRUN_FLAG,
       "single issuer, deferred task work"},
      {kBase | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
       "cooperative task work"},
      {kBase | IORING_SETUP_SUBMIT_ALL, "no task work flags"},
      {kBase, "plain"},
  }};
  int error = 0;
  for (const Choice& choice : kChoices) {
    io_uring_params params{};
    params.flags = choice.flags;
    params.cq_entries = kCompletionEntries;
    error = ::io_uring_queue_init_params(kSubmissionEntries, &ring, &params);
    if (error == 0) {
      if ((params.features & kFeaturesNeeded) == kFeaturesNeeded) {
        return RingSetup{choice.flags, choice.description};
      }
      ::io_uring_queue_exit(&ring);
      return fail(Errc::io, EOPNOTSUPP);
    }
    if (error != -EINVAL) break;  // only unknown flags are worth asking for less
  }
  return fail(Errc::io, -error);
}

Result<std::unique_ptr<Backend>> UringBackend::create(const Clock& clock, BackendInfo info) {
  std::unique_ptr<UringBackend> backend(new UringBackend(clock, std::move(info)));
  const Result<void> started = backend->start();
  if (!started) return std::unexpected(started.error());
  return backend;
}

UringBackend::UringBackend(const Clock& clock, BackendInfo info)
    : clock_(clock),
      info_(std::move(info)),
      pool_(bell_, info_.commit, {.threads_max = 1, .metadata_threads_max = 1}),
      background_(bell_, clock) {
  info_.name = "uring";
}

Result<void> UringBackend::start() {
  if (bell_.fd() < 0) return fail(Errc::io, -bell_.fd());
  const Result<RingSetup> setup = set_up_ring(ring_);
  if (!setup) return std::unexpected(setup.error());
  ring_exists_ = true;
  attachments_.resize(ring_.sq.ring_entries);
  // Wishes: without them everything works, a little slower or with more kernel threads.
  ::io_uring_register_ring_fd(&ring_);
  unsigned workers[2] = {kBoundedWorkersMax, kUnboundedWorkersMax};
  ::io_uring_register_iowq_max_workers(&ring_, workers);
  ::io_uring_ring_dontfork(&ring_);
  watch_bell();
  return {};
}

UringBackend::~UringBackend() {
  assert(under_way_ == 0 && finished_.empty() && finished_fs_.empty());
  if (ring_exists_) ::io_uring_queue_exit(&ring_);
}

// --- Submitting ---------------------------------------------------------------------------------

io_uring_sqe& UringBackend::next_entry() {
  while (true) {
    if (io_uring_sqe* const entry = ::io_uring_get_sqe(&ring_)) return *entry;
    // Full. Refused with EBUSY or EAGAIN, the kernel wants completions to be taken off first; they
    // go to finished_, which has no bound, so this ends.
    enter_without_sleep();
    reap();
  }
}

UringBackend::Attachment& UringBackend::attachment_of(const io_uring_sqe& entry) {
  return attachments_[static_cast<std::size_t>(&entry - ring_.sq.sqes)];
}

void UringBackend::submit(Operation& operation) {
  operation.next = nullptr;
  operation.backend_word = 0;
  ++under_way_;
  foreground.note_submitted(operation);
  if (operation.at_once) return finish(operation, run_file_operation(operation, info_.commit));
  prepare(operation);
}

void UringBackend::submit(FsOperation& operation) {
  if (operation.code == FsCode::compute) return background_.submit(operation);
  pool_.submit(operation);
}

void UringBackend::prepare(Operation& operation) {
  io_uring_sqe& entry = next_entry();
  switch (operation.code) {
    case OpCode::read:
    case OpCode::write: prepare_file_transfer(entry, operation); break;
    case OpCode::sync_data:
      ::io_uring_prep_fsync(&entry, operation.fd, IORING_FSYNC_DATASYNC);
      break;
    case OpCode::accept:
      ::io_uring_prep_accept(&entry, operation.fd, nullptr, nullptr, SOCK_CLOEXEC);
      break;
    case OpCode::connect: prepare_connect(entry, operation); break;
    case OpCode::receive:
    case OpCode::send: prepare_message(entry, operation); break;
  }
  entry.user_data = data_of(operation, kTagTransfer);
}

void UringBackend::prepare_file_transfer(io_uring_sqe& entry, const Operation& operation) {
  const iovec* const buffers = operation.buffers;
  const bool single = operation.buffer_count == 1 && buffers->iov_len <= kSingleBufferBytesMax;
  const auto single_bytes = static_cast<unsigned>(single ? buffers->iov_len : 0);
  if (operation.code == OpCode::read && single) {
    ::io_uring_prep_read(&entry, operation.fd, buffers->iov_base, single_bytes,
                         operation.position_bytes);
  } else if (operation.code == OpCode::read) {
    ::io_uring_prep_readv(&entry, operation.fd, buffers, operation.buffer_count,
                          operation.position_bytes);
  } else if (single) {
    ::io_uring_prep_write(&entry, operation.fd, buffers->iov_base, single_bytes,
                          operation.position_bytes);
  } else {
    ::io_uring_prep_writev(&entry, operation.fd, buffers, operation.buffer_count,
                           operation.position_bytes);
  }
  if (operation.durable && info_.commit == CommitPrimitive::write_dsync) {
    entry.rw_flags = RWF_DSYNC;
  }
}

void UringBackend::prepare_message(io_uring_sqe& entry, Operation& operation) {
  const bool receive = operation.code == OpCode::receive;
  if (operation.buffer_count == 1) {
    const iovec& buffer = *operation.buffers;
    const std::size_t bytes = std::min(buffer.iov_len, kSingleBufferBytesMax);
    if (receive) {
      ::io_uring_prep_recv(&entry, operation.fd, buffer.iov_base, bytes, 0);
    } else {
      ::io_uring_prep_send(&entry, operation.fd, buffer.iov_base, bytes, MSG_NOSIGNAL);
    }
    return;
  }
  msghdr& message = attachment_of(entry).message;
  message = {};
  message.msg_iov = const_cast<iovec*>(operation.buffers);
  message.msg_iovlen = operation.buffer_count;
  if (receive) {
    ::io_uring_prep_recvmsg(&entry, operation.fd, &message, 0);
  } else {
    ::io_uring_prep_sendmsg(&entry, operation.fd, &message, MSG_NOSIGNAL);
  }
}

void UringBackend::prepare_connect(io_uring_sqe& entry, Operation& operation) {
  const auto found = connect_addresses_.extract(operation.fd);
  SocketAddress& address = attachment_of(entry).address;
  address = found.empty() ? SocketAddress{} : found.mapped();  // none: the kernel answers EINVAL
  ::io_uring_prep_connect(&entry, operation.fd, address.get(), address.size_bytes);
}

void UringBackend::cancel(Operation& operation) {
  switch (operation.code) {
    case OpCode::read:
    case OpCode::write:
    case OpCode::sync_data: return;  // it ends by itself
    case OpCode::accept:
    case OpCode::connect:
    case OpCode::receive:
    case OpCode::send: break;
  }
  // Behind the operation's own entry in the queue; where that has completed it finds nothing.
  io_uring_sqe& entry = next_entry();
  ::io_uring_prep_cancel64(&entry, data_of(operation, kTagTransfer), 0);
  entry.user_data = kCancelData;
}

void UringBackend::watch_bell() {
  io_uring_sqe& entry = next_entry();
  ::io_uring_prep_poll_multishot(&entry, bell_.fd(), POLLIN);
  entry.user_data = kBellData;
  bell_watched_ = true;
}

// --- Completing ---------------------------------------------------------------------------------

std::size_t UringBackend::poll(std::optional<std::int64_t> deadline_ns) {
  reap();
  take_finished();
  pool_.prepare_memory();
  const bool idle = finished_.empty() && finished_fs_.empty();
  const bool may_sleep =
      idle && (!deadline_ns || (*deadline_ns > 0 && *deadline_ns > clock_.now_ns()));
  if (!bell_watched_) watch_bell();
  if (may_sleep && bell_.prepare_to_sleep()) {
    // The last look: a helper that finished before it saw us sleeping did not ring.
    if (pool_.has_finished() || background_.has_finished()) {
      enter_without_sleep();
    } else {
      enter_and_sleep(deadline_ns);
    }
    bell_.awake();
    take_finished();
  } else {
    enter_without_sleep();
  }
  reap();
  return run_finished();
}

void UringBackend::take_finished() {
  pool_.take_finished(finished_, finished_fs_);
  background_.take_finished(finished_fs_);
}

void UringBackend::enter_without_sleep() {
  // Peeking alone brings nothing where the kernel defers its work to our next call.
  const bool has_work =
      (IO_URING_READ_ONCE(*ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
  if (::io_uring_sq_ready(&ring_) == 0 && !has_work) return;
  count_enter(ring_);
  const int result = ::io_uring_submit_and_get_events(&ring_);
  assert(is_passing(result));
}

void UringBackend::enter_and_sleep(std::optional<std::int64_t> deadline_ns) {
  if (!deadline_ns) {
    count_enter(ring_);
    const int result = ::io_uring_submit_and_wait(&ring_, 1);
    assert(is_passing(result));
    return;
  }
  const std::int64_t left_ns = *deadline_ns - clock_.now_ns();
  if (left_ns <= 0) return enter_without_sleep();
  __kernel_timespec left = to_timespec(left_ns);
  io_uring_cqe* unused = nullptr;
  count_enter(ring_);
  const int result = ::io_uring_submit_and_wait_timeout(&ring_, &unused, 1, &left, nullptr);
  assert(is_passing(result));
}

void UringBackend::reap() {
  // One at a time, off the queue before it is handled: handling may submit, and that may reap.
  while (::io_uring_cq_ready(&ring_) > 0) {
    const unsigned place = *ring_.cq.khead & *ring_.cq.kring_mask;
    const io_uring_cqe cqe = ring_.cq.cqes[place];
    ::io_uring_cq_advance(&ring_, 1);
    const std::uint64_t tag = cqe.user_data & kTagMask;
    if (tag == kTagOwn) {
      const bool bell_ended = cqe.user_data == kBellData && (cqe.flags & IORING_CQE_F_MORE) == 0;
      if (bell_ended) bell_watched_ = false;
      continue;
    }
    auto& operation = *reinterpret_cast<Operation*>(cqe.user_data & ~kTagMask);
    if (tag == kTagTransfer) {
      take_transfer(operation, cqe.res);
    } else {
      take_commit_sync(operation, cqe.res);
    }
  }
}

void UringBackend::take_transfer(Operation& operation, std::int64_t result) {
  // A sync is not tried again: a later success would prove nothing. Nor a connect: the next one
  // would find the address gone.
  const bool repeatable = operation.code != OpCode::sync_data && operation.code != OpCode::connect;
  if (is_transient(result) && repeatable) {
    if (operation.backend_word++ < kTransferRetriesMax) return prepare(operation);
    result = -EIO;
  }
  const bool sync_follows = operation.code == OpCode::write && operation.durable && result > 0 &&
                            info_.commit == CommitPrimitive::write_then_sync;
  if (sync_follows) return start_commit_sync(operation, result);
  if (operation.code == OpCode::accept && result >= 0) {
    prepare_accepted(static_cast<int>(result));
  }
  finish(operation, result);
}

// Not linked to the write (IOSQE_IO_LINK): a chain ends where the kernel stops taking entries, and
// the half that comes with the next call would sync what is not written yet and report success.
// Starting it here costs one more turn of the loop, and covers a short write as well.
void UringBackend::start_commit_sync(Operation& operation, std::int64_t written) {
  operation.result = written;
  io_uring_sqe& entry = next_entry();
  ::io_uring_prep_fsync(&entry, operation.fd, IORING_FSYNC_DATASYNC);
  entry.user_data = data_of(operation, kTagCommitSync);
}

void UringBackend::take_commit_sync(Operation& operation, std::int64_t result) {
  finish(operation, result < 0 ? result : operation.result);
}

void UringBackend::finish(Operation& operation, std::int64_t result) {
  assert(under_way_ > 0);
  --under_way_;
  operation.result = result;
  finished_.push_back(operation);
}

std::size_t UringBackend::run_finished() {
  // Only what is there now: what a callback submits completes in a later poll.
  OperationList operations = finished_.take();
  FsOperationList fs_operations = finished_fs_.take();
  std::size_t ran = 0;
  while (Operation* const operation = operations.pop_front()) {
    foreground.note_finished(*operation);
    operation->on_complete(*operation);
    ++ran;
  }
  while (FsOperation* const operation = fs_operations.pop_front()) {
    operation->on_complete(*operation);
    ++ran;
  }
  return ran;
}

// --- Descriptors --------------------------------------------------------------------------------

void UringBackend::close(int fd) {
  connect_addresses_.erase(fd);
  tally(Counter::system_calls);
  ::close(fd);
}

void UringBackend::shutdown(int fd) { ::shutdown(fd, SHUT_RDWR); }

Result<int> UringBackend::listen(Endpoint& endpoint, int backlog) {
  return open_listener(endpoint, backlog, SocketMode::blocking);
}

Result<int> UringBackend::connect_socket(const Endpoint& endpoint) {
  const Result<SocketAddress> address = to_socket_address(endpoint);
  if (!address) return std::unexpected(address.error());
  const Result<int> fd = open_stream_socket(*address, SocketMode::blocking);
  if (fd) connect_addresses_.insert_or_assign(*fd, *address);
  return fd;
}

}  // namespace keelson::engine::io
