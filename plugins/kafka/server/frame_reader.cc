#include "plugins/kafka/server/frame_reader.h"

#include <algorithm>
#include <cstring>

#include "engine/byte_order.h"
#include "engine/counters.h"
#include "engine/io/awaitables.h"

namespace keelson::kafka {

using engine::Errc;
using engine::fail;
using engine::MutableBytes;
using engine::Result;
using engine::Task;

namespace {
constexpr std::size_t kSizeBytes = 4;           // the prefix that tells a request's size
constexpr std::size_t kFirstFrameBytes = 4096;  // given to a frame of which nothing has come
constexpr std::size_t kGrowth = 16;
}  // namespace

Task<Result<std::size_t>> FrameReader::receive(MutableBytes into) {
  const iovec target{into.data(), into.size()};
  engine::io::IoAwaiter operation{shard_};
  operation.code = engine::io::OpCode::receive;
  operation.fd = fd_;
  operation.buffers = &target;
  operation.buffer_count = 1;
  const std::int64_t result = co_await operation;
  if (result < 0) co_return fail(Errc::io, static_cast<int>(-result));
  if (result == 0) co_return fail(Errc::end_of_stream);
  last_received_ns_ = shard_.clock().now_ns();
  co_return static_cast<std::size_t>(result);
}

void FrameReader::resize_buffer() {
  // Full receives ask for a larger buffer; a quiet connection goes back to the small one.
  const std::size_t wanted = filled_whole_buffer_ ? kBusyBufferBytes : kIdleBufferBytes;
  const std::size_t held = buffered();
  if (buffer_bytes_ == wanted || held > wanted) return;
  auto resized = std::make_unique_for_overwrite<std::byte[]>(wanted);
  if (held > 0) std::memcpy(resized.get(), buffer_.get() + start_, held);
  buffer_ = std::move(resized);
  buffer_bytes_ = wanted;
  start_ = 0;
  end_ = held;
}

/// Receives until `bytes_wanted` (at most kIdleBufferBytes) are buffered.
Task<Result<void>> FrameReader::fill(std::size_t bytes_wanted) {
  while (buffered() < bytes_wanted) {
    if (start_ == end_) start_ = end_ = 0;
    resize_buffer();
    if (start_ > 0) {
      std::memmove(buffer_.get(), buffer_.get() + start_, buffered());
      end_ -= start_;
      start_ = 0;
    }
    const MutableBytes room{buffer_.get() + end_, buffer_bytes_ - end_};
    const Result<std::size_t> received = co_await receive(room);
    if (!received) co_return std::unexpected(received.error());
    filled_whole_buffer_ = *received == room.size();
    end_ += *received;
  }
  co_return Result<void>{};
}

Task<Result<void>> FrameReader::grow(Frame& frame, std::size_t frame_bytes) {
  // A few times what has come, so a claim without bytes costs next to nothing, and a frame of 1 MiB
  // is copied once at most, when it was 64 KiB.
  const std::size_t come_bytes = frame.size_bytes() + buffered();
  const std::size_t capacity_bytes =
      std::min(frame_bytes, std::max(kGrowth * come_bytes, kFirstFrameBytes));
  const std::size_t charge = frame.extra_charge(capacity_bytes, budget_);
  if (charge > 0) {
    const bool granted =
        co_await budget_.take(charge, shard_.clock().now_ns() + kBudgetWaitMs * 1'000'000);
    if (!granted) co_return fail(Errc::overloaded);
  }
  frame.grow(capacity_bytes, budget_);
  co_return Result<void>{};
}

Task<Result<Frame>> FrameReader::next() {
  const Result<void> prefix = co_await fill(kSizeBytes);
  if (!prefix) co_return std::unexpected(prefix.error());
  const auto announced = engine::load_big_endian<std::int32_t>(buffer_.get() + start_);
  if (announced <= 0 || static_cast<std::uint32_t>(announced) > frame_bytes_max_) {
    co_return fail(Errc::invalid_argument);
  }
  start_ += kSizeBytes;
  const auto frame_bytes = static_cast<std::size_t>(announced);

  Frame frame;
  while (frame.size_bytes() < frame_bytes) {
    if (frame.size_bytes() == frame.capacity_bytes()) {
      const Result<void> grown = co_await grow(frame, frame_bytes);
      if (!grown) co_return std::unexpected(grown.error());
    }
    MutableBytes room = frame.free_space();
    if (buffered() > 0) {
      const std::size_t taken = std::min(buffered(), room.size());
      engine::tally_copy(taken);
      std::memcpy(room.data(), buffer_.get() + start_, taken);
      start_ += taken;
      frame.filled(taken);
      continue;
    }
    const Result<std::size_t> received = co_await receive(room);
    if (!received) co_return std::unexpected(received.error());
    frame.filled(*received);
  }
  co_return std::move(frame);
}

}  // namespace keelson::kafka
