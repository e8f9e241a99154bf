// plugins/kafka/server/frame_reader.h: cuts a byte stream into requests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/error.h"
#include "engine/io/shard.h"
#include "engine/io/sync.h"
#include "engine/task.h"
#include "plugins/kafka/server/frame.h"

namespace keelson::kafka {

/// Reads requests from one connection. Small ones share a receive; a large one is received in
/// place. An idle connection keeps kIdleBufferBytes.
class FrameReader {
 public:
  static constexpr std::size_t kIdleBufferBytes = 2048;
  static constexpr std::size_t kBusyBufferBytes = std::size_t{64} << 10;

  /// `frame_bytes_max` is socket.request.max.bytes; `budget` is the shard's request memory.
  FrameReader(engine::io::Shard& shard, int fd, std::uint32_t frame_bytes_max,
              engine::io::Semaphore& budget)
      : shard_(shard), fd_(fd), frame_bytes_max_(frame_bytes_max), budget_(budget) {}

  /// The next whole request.
  /// Errors, all of which end the connection: end_of_stream: the peer is done (a frame begun and
  /// not finished is dropped). invalid_argument: a size of 0, negative or above the limit.
  /// overloaded: no memory for a large frame in kBudgetWaitMs. io: the socket failed.
  [[nodiscard]] engine::Task<engine::Result<Frame>> next();

  /// When bytes last came, by Clock::now_ns().
  std::int64_t last_received_ns() const { return last_received_ns_; }

 private:
  // As long as clients wait for an answer. A slow drive with many producers fills the budget for
  // seconds; to be cut off then would only bring every request again.
  static constexpr std::int64_t kBudgetWaitMs = 30'000;

  engine::Task<engine::Result<std::size_t>> receive(engine::MutableBytes into);
  engine::Task<engine::Result<void>> fill(std::size_t bytes_wanted);
  engine::Task<engine::Result<void>> grow(Frame& frame, std::size_t frame_bytes);
  std::size_t buffered() const { return end_ - start_; }
  void resize_buffer();

  engine::io::Shard& shard_;
  const int fd_;
  const std::uint32_t frame_bytes_max_;
  engine::io::Semaphore& budget_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t buffer_bytes_ = 0;
  std::size_t start_ = 0;  // first byte not yet given out
  std::size_t end_ = 0;
  bool filled_whole_buffer_ = false;
  std::int64_t last_received_ns_ = 0;
};

}  // namespace keelson::kafka
