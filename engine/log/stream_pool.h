// engine/log/stream_pool.h: idle codec contexts of one thread.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "engine/log/record_batch.h"

namespace keelson::engine::log {

/// Keeps a few streams per codec. Meant as a thread_local and not for the shard to own, because
/// streams are opened where no shard is known: tools, tests, programs that embed the libraries.
template <class Stream>
class StreamPool {
 public:
  /// An idle stream of `codec`, or null.
  std::unique_ptr<Stream> take(Codec codec) {
    auto& idle = idle_[static_cast<std::size_t>(codec)];
    if (idle.empty()) return nullptr;
    std::unique_ptr<Stream> stream = std::move(idle.back());
    idle.pop_back();
    return stream;
  }

  void give_back(Codec codec, std::unique_ptr<Stream> stream) {
    auto& idle = idle_[static_cast<std::size_t>(codec)];
    const bool keep = idle.size() < kIdleMax && stream->memory_bytes() <= kIdleBytesMax;
    if (keep) idle.push_back(std::move(stream));
  }

 private:
  // A thread validates one batch at a time, and a reader or two may be open beside that.
  static constexpr std::size_t kIdleMax = 4;
  // Above the zstd window of a client and its buffers, memory goes back at once.
  static constexpr std::size_t kIdleBytesMax = std::size_t{12} << 20;

  std::array<std::vector<std::unique_ptr<Stream>>, 5> idle_;
};

}  // namespace keelson::engine::log
