#include "plugins/kafka/server/connection.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/io/awaitables.h"

namespace keelson::kafka {

using engine::Result;
using engine::Slice;
using engine::SliceList;
using engine::Task;
using engine::io::TaskGroup;

namespace {
constexpr std::size_t kSendSlicesMax = 64;  // of one gathered send; far below IOV_MAX
}

Connection::Connection(engine::io::Shard& shard, int fd, std::uint64_t id, RequestHandler& handler,
                       ConnectionLimits limits, engine::io::Semaphore& request_memory)
    : shard_(shard),
      fd_(fd),
      handler_(handler),
      limits_(limits),
      cancelled_(shard),
      context_{shard, cancelled_, "PLAINTEXT", {}, id, {}, {}},
      reader_(shard, fd, limits.frame_bytes_max, request_memory),
      last_sent_ns_(shard.clock().now_ns()),
      changed_(shard) {}

Connection::~Connection() { shard_.backend().close(fd_); }

std::int64_t Connection::last_active_ns() const {
  return std::max(last_sent_ns_, reader_.last_received_ns());
}

void Connection::shut_down(bool at_once) {
  cancelled_.set();
  reading_done_ = true;
  if (at_once) fail_connection();
  // Ends the receive that waits; the socket can still send until it is closed only where nothing
  // is left to answer.
  if (at_once || (slots_.empty() && requests_.empty())) shard_.backend().shutdown(fd_);
  changed_.notify();
}

void Connection::fail_connection() {
  broken_ = true;
  cancelled_.set();
  requests_.clear();
  shard_.backend().shutdown(fd_);
  changed_.notify();
}

Task<void> Connection::read_requests() {
  while (!reading_done_) {
    if (requests_.size() + slots_.size() >= limits_.queued_requests_max) {
      co_await changed_.wait();
      continue;
    }
    Result<Frame> frame = co_await reader_.next();
    if (!frame || reading_done_) break;
    requests_.push_back(std::move(*frame));
    changed_.notify();
  }
  reading_done_ = true;
  cancelled_.set();  // nobody asks for more: long polls answer with what there is
  changed_.notify();
}

Task<void> Connection::run(Frame frame, std::shared_ptr<Slot> slot) {
  ++running_;
  slot->reply = co_await handler_.handle(context_, std::move(frame));
  --running_;
  alone_running_ = false;  // one that runs alone has no company that this could concern
  slot->ready = true;
  output_bytes_ += engine::total_bytes(slot->reply.bytes);
  changed_.notify();
}

Task<void> Connection::process_requests() {
  TaskGroup overlapping(shard_);
  while (!broken_) {
    if (requests_.empty()) {
      if (reading_done_) break;
      co_await changed_.wait();
      continue;
    }
    const bool overlap = handler_.may_overlap(requests_.front().bytes());
    const bool must_wait = overlap ? alone_running_ : running_ > 0;
    if (must_wait || output_bytes_ > limits_.output_bytes_max) {
      co_await changed_.wait();
      continue;
    }
    Frame frame = std::move(requests_.front());
    requests_.pop_front();
    const auto slot = std::make_shared<Slot>();
    slots_.push_back(slot);
    alone_running_ = !overlap;
    overlapping.start(run(std::move(frame), slot));
  }
  co_await overlapping.wait();
  processing_done_ = true;
  changed_.notify();
}

/// Sends all of `bytes`; false where the connection broke.
Task<bool> Connection::send(SliceList bytes) {
  std::vector<iovec> parts;
  std::size_t next = 0;  // first slice not sent whole
  std::size_t sent_of_next = 0;
  while (next < bytes.size()) {
    parts.clear();
    for (std::size_t i = next; i < bytes.size() && parts.size() < kSendSlicesMax; ++i) {
      engine::Bytes part = bytes[i].bytes;
      if (i == next) part = part.subspan(sent_of_next);
      parts.push_back({const_cast<std::byte*>(part.data()), part.size()});
    }
    engine::io::IoAwaiter operation{shard_};
    operation.code = engine::io::OpCode::send;
    operation.fd = fd_;
    operation.buffers = parts.data();
    operation.buffer_count = static_cast<std::uint32_t>(parts.size());
    const std::int64_t result = co_await operation;
    if (result <= 0) co_return false;
    last_sent_ns_ = shard_.clock().now_ns();
    std::size_t sent = static_cast<std::size_t>(result);
    while (next < bytes.size() && sent >= bytes[next].bytes.size() - sent_of_next) {
      sent -= bytes[next].bytes.size() - sent_of_next;
      sent_of_next = 0;
      bytes[next].owner.reset();  // the log may have its memory back
      ++next;
    }
    sent_of_next += sent;
  }
  co_return true;
}

Task<void> Connection::write_responses() {
  while (true) {
    if (slots_.empty() && processing_done_) break;
    if (slots_.empty() || !slots_.front()->ready) {
      co_await changed_.wait();
      continue;
    }
    // Everything that is ready, in order, in one send.
    SliceList gathered;
    bool close_after = false;
    std::size_t answered = 0;
    for (const auto& slot : slots_) {
      if (!slot->ready || gathered.size() >= kSendSlicesMax) break;
      ++answered;
      if (slot->reply.action == Reply::Action::close) {
        close_after = true;
        break;
      }
      std::move(slot->reply.bytes.begin(), slot->reply.bytes.end(), std::back_inserter(gathered));
    }
    const std::size_t bytes = engine::total_bytes(gathered);
    bool sent = true;
    if (!broken_ && bytes > 0) sent = co_await send(std::move(gathered));
    output_bytes_ -= bytes;
    slots_.erase(slots_.begin(), slots_.begin() + static_cast<std::ptrdiff_t>(answered));
    if (!sent || close_after) {
      reading_done_ = true;
      fail_connection();
    }
    changed_.notify();
  }
}

Task<void> Connection::serve() {
  TaskGroup tasks(shard_);
  tasks.start(write_responses());
  tasks.start(process_requests());
  tasks.start(read_requests());
  while (!processing_done_ || !slots_.empty()) co_await changed_.wait();
  // All is answered. A reader that still waits for bytes is released.
  reading_done_ = true;
  shard_.backend().shutdown(fd_);
  changed_.notify();
  co_await tasks.wait();
}

}  // namespace keelson::kafka
