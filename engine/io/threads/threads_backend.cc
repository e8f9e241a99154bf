#include "engine/io/threads/threads_backend.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <utility>

#include "engine/counters.h"
#include "engine/io/posix/file_operations.h"
#include "engine/io/posix/stand_back.h"

namespace keelson::engine::io {
namespace {

constexpr std::uint64_t kBellMark = ~std::uint64_t{0};  // epoll data of the doorbell
constexpr std::size_t kEdgesMax = 256;                  // taken from the kernel in one call

// Operation::backend_word of a connect.
constexpr std::uint64_t kConnectNotStarted = 0;
constexpr std::uint64_t kConnectStarted = 1;

bool is_inward(OpCode code) { return code == OpCode::accept || code == OpCode::receive; }

std::int64_t transfer_message(const Operation& operation) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(operation.buffers);
  message.msg_iovlen = operation.buffer_count;
  tally(Counter::system_calls);
  if (operation.code == OpCode::receive) return ::recvmsg(operation.fd, &message, 0);
  return ::sendmsg(operation.fd, &message, MSG_NOSIGNAL);
}

}  // namespace

Result<std::unique_ptr<ThreadsBackend>> ThreadsBackend::create(const Clock& clock, BackendInfo info,
                                                               HelperPool::Limits limits) {
  const int epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return fail(Errc::io, errno);
  std::unique_ptr<ThreadsBackend> backend(
      new ThreadsBackend(clock, std::move(info), limits, epoll_fd));
  const int bell_fd = backend->bell_.fd();
  if (bell_fd < 0) return fail(Errc::io, -bell_fd);
  epoll_event interest{.events = EPOLLIN | EPOLLET, .data = {.u64 = kBellMark}};
  if (::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, bell_fd, &interest) < 0) return fail(Errc::io, errno);
  return backend;
}

ThreadsBackend::ThreadsBackend(const Clock& clock, BackendInfo info, HelperPool::Limits limits,
                               int epoll_fd)
    : clock_(clock),
      info_(std::move(info)),
      epoll_fd_(epoll_fd),
      pool_(bell_, info_.commit, limits),
      background_(bell_, clock) {
  info_.name = "threads";
}

ThreadsBackend::~ThreadsBackend() {
  assert(waiting_count_ == 0 && finished_.empty() && finished_fs_.empty());
  ::close(epoll_fd_);
}

ThreadsBackend::Socket& ThreadsBackend::socket_of(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  if (index >= sockets_.size()) sockets_.resize(std::max(index + 1, sockets_.size() * 2));
  return sockets_[index];
}

void ThreadsBackend::submit(Operation& operation) {
  operation.next = nullptr;
  foreground.note_submitted(operation);
  switch (operation.code) {
    case OpCode::read:
      if (read_from_cache(operation)) return finished_.push_back(operation);
      return pool_.submit(operation);
    case OpCode::write:
      if (!operation.at_once) return pool_.submit(operation);
      return finish(operation, run_file_operation(operation, info_.commit));
    case OpCode::sync_data: return pool_.submit(operation);
    case OpCode::accept:
    case OpCode::connect:
    case OpCode::receive:
    case OpCode::send: return submit_to_socket(operation);
  }
}

void ThreadsBackend::submit(FsOperation& operation) {
  if (operation.code == FsCode::compute) return background_.submit(operation);
  pool_.submit(operation);
}

// For buffered files only: with O_DIRECT the call would wait for the disk in spite of RWF_NOWAIT.
bool ThreadsBackend::read_from_cache(Operation& operation) {
  const auto index = static_cast<std::size_t>(operation.fd);
  if (index >= buffered_files_.size() || !buffered_files_[index]) return false;
  tally(Counter::system_calls);
  operation.result =
      ::preadv2(operation.fd, operation.buffers, static_cast<int>(operation.buffer_count),
                static_cast<off_t>(operation.position_bytes), RWF_NOWAIT);
  return operation.result >= 0;  // not cached, or an error: a helper finds out which
}

void ThreadsBackend::note_opened(const FsOperation& operation) {
  if (operation.code != FsCode::open || operation.result < 0) return;
  const auto index = static_cast<std::size_t>(operation.result);
  if (index >= buffered_files_.size()) buffered_files_.resize(index + 64);
  buffered_files_[index] = !operation.flags.direct;
}

void ThreadsBackend::submit_to_socket(Operation& operation) {
  operation.backend_word = kConnectNotStarted;
  if (operation.fd < 0) return finish(operation, -EBADF);
  Socket& socket = socket_of(operation.fd);
  Direction& direction = is_inward(operation.code) ? socket.inward : socket.outward;
  if (direction.waiting.empty() && direction.maybe_ready) {
    if (attempt(operation)) return finished_.push_back(operation);
    direction.maybe_ready = false;
  }
  // Watching starts after the first EAGAIN: what became ready in between is reported as an edge.
  if (!socket.watched && !watch(operation.fd, socket)) return finish(operation, -errno);
  direction.waiting.push_back(operation);
  ++waiting_count_;
}

bool ThreadsBackend::watch(int fd, Socket& socket) {
  epoll_event interest{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                       .data = {.u64 = static_cast<std::uint64_t>(fd)}};
  if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &interest) < 0) return false;
  socket.watched = true;
  return true;
}

bool ThreadsBackend::attempt(Operation& operation) {
  if (operation.code == OpCode::connect) return attempt_connect(operation);
  while (true) {
    std::int64_t result = -1;
    if (operation.code == OpCode::accept) {
      tally(Counter::system_calls);
      result = ::accept4(operation.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (result >= 0) prepare_accepted(static_cast<int>(result));
    } else {
      result = transfer_message(operation);
    }
    if (result < 0 && errno == EINTR) continue;
    if (result < 0 && errno == EAGAIN) return false;
    operation.result = result < 0 ? -errno : result;
    return true;
  }
}

bool ThreadsBackend::attempt_connect(Operation& operation) {
  if (operation.backend_word == kConnectNotStarted) {
    const auto address = connect_addresses_.extract(operation.fd);
    operation.backend_word = kConnectStarted;
    if (address.empty()) {
      operation.result = -EINVAL;
      return true;
    }
    const SocketAddress& to = address.mapped();
    const int result = ::connect(operation.fd, to.get(), to.size_bytes);
    if (result < 0 && (errno == EINPROGRESS || errno == EINTR)) return false;
    operation.result = result < 0 ? -errno : 0;
    return true;
  }
  int reason = 0;
  socklen_t reason_size = sizeof reason;
  if (::getsockopt(operation.fd, SOL_SOCKET, SO_ERROR, &reason, &reason_size) < 0) reason = errno;
  if (reason == 0 && !peer_of(operation.fd)) return false;  // an edge, but not connected yet
  operation.result = -reason;
  return true;
}

void ThreadsBackend::advance(Direction& direction) {
  direction.maybe_ready = true;
  while (Operation* const first = direction.waiting.front()) {
    if (!attempt(*first)) {
      direction.maybe_ready = false;
      return;
    }
    direction.waiting.pop_front();
    --waiting_count_;
    finished_.push_back(*first);
  }
}

void ThreadsBackend::finish(Operation& operation, std::int64_t result) {
  operation.result = result;
  finished_.push_back(operation);
}

void ThreadsBackend::cancel(Operation& operation) {
  switch (operation.code) {
    case OpCode::read:
    case OpCode::write:
    case OpCode::sync_data: return;  // it ends by itself
    case OpCode::accept:
    case OpCode::connect:
    case OpCode::receive:
    case OpCode::send: break;
  }
  if (operation.fd < 0) return;  // refused at submit
  Socket& socket = socket_of(operation.fd);
  Direction& direction = is_inward(operation.code) ? socket.inward : socket.outward;
  if (!direction.waiting.remove(operation)) return;  // finished already
  --waiting_count_;
  finish(operation, -ECANCELED);
}

std::size_t ThreadsBackend::poll(std::optional<std::int64_t> deadline_ns) {
  take_finished();
  pool_.prepare_memory();
  const bool idle = finished_.empty() && finished_fs_.empty();
  const bool may_sleep =
      idle && (!deadline_ns || (*deadline_ns > 0 && *deadline_ns > clock_.now_ns()));
  if (may_sleep && bell_.prepare_to_sleep()) {
    // The last look: a helper that finished before it saw us sleeping did not ring.
    const bool finished = pool_.has_finished() || background_.has_finished();
    collect_edges(finished ? std::int64_t{0} : deadline_ns);
    bell_.awake();
    take_finished();
  } else if (waiting_count_ > 0) {
    collect_edges(std::int64_t{0});
  }
  return run_finished();
}

void ThreadsBackend::take_finished() {
  pool_.take_finished(finished_, finished_fs_);
  background_.take_finished(finished_fs_);
}

void ThreadsBackend::collect_edges(std::optional<std::int64_t> deadline_ns) {
  std::array<epoll_event, kEdgesMax> events;
  const int count = wait_for_edges(events.data(), kEdgesMax, deadline_ns);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == kBellMark) continue;
    Socket& socket = sockets_[event.data.u64];
    const std::uint32_t broken = event.events & (EPOLLHUP | EPOLLERR);
    if (broken != 0 || (event.events & (EPOLLIN | EPOLLRDHUP)) != 0) advance(socket.inward);
    if (broken != 0 || (event.events & EPOLLOUT) != 0) advance(socket.outward);
  }
}

int ThreadsBackend::wait_for_edges(epoll_event* events, int count,
                                   std::optional<std::int64_t> deadline_ns) {
  std::int64_t left_ns = -1;
  if (deadline_ns) {
    left_ns = *deadline_ns <= 0 ? 0 : std::max<std::int64_t>(0, *deadline_ns - clock_.now_ns());
  }
  if (left_ns > 0 && has_precise_wait_) {
    const timespec left{.tv_sec = left_ns / 1'000'000'000, .tv_nsec = left_ns % 1'000'000'000};
    tally(Counter::system_calls);
    const int found = ::epoll_pwait2(epoll_fd_, events, count, &left, nullptr);
    if (found >= 0 || errno == EINTR) return found;
    has_precise_wait_ = false;  // ENOSYS, or EPERM from a filter
  }
  // Rounded up: waking before the deadline would only mean sleeping again. A day at most.
  const std::int64_t left_ms = left_ns < 0 ? -1 : (left_ns + 999'999) / 1'000'000;
  tally(Counter::system_calls);
  return ::epoll_wait(epoll_fd_, events, count,
                      static_cast<int>(std::min<std::int64_t>(left_ms, 86'400'000)));
}

std::size_t ThreadsBackend::run_finished() {
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
    note_opened(*operation);
    operation->on_complete(*operation);
    ++ran;
  }
  return ran;
}

void ThreadsBackend::close(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  if (index < buffered_files_.size()) buffered_files_[index] = false;
  if (index < sockets_.size()) {
    assert(sockets_[index].inward.waiting.empty() && sockets_[index].outward.waiting.empty());
    sockets_[index] = Socket{};  // closing takes it out of the epoll set
  }
  connect_addresses_.erase(fd);
  tally(Counter::system_calls);
  ::close(fd);
}

void ThreadsBackend::shutdown(int fd) { ::shutdown(fd, SHUT_RDWR); }

Result<int> ThreadsBackend::listen(Endpoint& endpoint, int backlog) {
  return open_listener(endpoint, backlog, SocketMode::non_blocking);
}

Result<int> ThreadsBackend::connect_socket(const Endpoint& endpoint) {
  const Result<SocketAddress> address = to_socket_address(endpoint);
  if (!address) return std::unexpected(address.error());
  const Result<int> fd = open_stream_socket(*address, SocketMode::non_blocking);
  if (fd) connect_addresses_.insert_or_assign(*fd, *address);
  return fd;
}

}  // namespace keelson::engine::io
