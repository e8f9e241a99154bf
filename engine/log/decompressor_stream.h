// engine/log/decompressor_stream.h: what the codecs implement for Decompressor.
#pragma once

#include <memory>

#include "engine/log/compression.h"

namespace keelson::engine::log {

/// One codec's context and buffers, used for one stream after the other.
class Decompressor::Stream {
 public:
  virtual ~Stream() = default;
  /// Begins with `compressed`, which outlives the stream's use.
  virtual void start(Bytes compressed, int zstd_window_log_max) = 0;
  /// As Decompressor::next(). Not called again after an error or the end.
  virtual Result<Bytes> next() = 0;
  /// Bytes held between streams; a large one is freed instead of pooled.
  virtual std::size_t memory_bytes() const = 0;
};

/// The size of the pieces that streams give, bytes: a block of the lz4 and zstd that clients write.
inline constexpr std::size_t kPieceBytes = std::size_t{64} << 10;

/// `codec` is not none.
std::unique_ptr<Decompressor::Stream> make_decompressor_stream(Codec codec);

}  // namespace keelson::engine::log
