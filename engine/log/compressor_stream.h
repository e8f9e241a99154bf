// engine/log/compressor_stream.h: what the codecs implement for Compressor.
#pragma once

#include <memory>
#include <vector>

#include "engine/log/compression.h"

namespace keelson::engine::log {

/// One codec's context and buffers, used for one stream after the other. Nothing can fail: the
/// room asked for is the library's own bound.
class Compressor::Stream {
 public:
  virtual ~Stream() = default;
  virtual void start(int level, std::vector<std::byte>& out) = 0;
  virtual void write(Bytes plain, std::vector<std::byte>& out) = 0;  // at most kStepBytes
  virtual void finish(std::vector<std::byte>& out) = 0;
  /// Bytes held between streams; a large one is freed instead of pooled.
  virtual std::size_t memory_bytes() const = 0;
};

/// Bytes given to a stream at a time; between two steps the output's size is looked at.
inline constexpr std::size_t kStepBytes = std::size_t{64} << 10;

/// `codec` is not none.
std::unique_ptr<Compressor::Stream> make_compressor_stream(Codec codec);

}  // namespace keelson::engine::log
