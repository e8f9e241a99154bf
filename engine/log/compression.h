// engine/log/compression.h: the codecs of record batches, as streams.
//
//   1 gzip    RFC 1952, members back to back
//   2 snappy  one raw block (librdkafka, Go), or xerial framing as Java writes it:
//             82 'S' 'N' 'A' 'P' 'P' 'Y' 00, version i32, oldest reader i32, then chunks of
//             i32 length and a raw block; both integers and lengths big-endian
//   3 lz4     LZ4 frame: independent blocks, no dictionary; what follows its end mark is ignored
//   4 zstd    frames back to back
//
// Contexts and buffers come from a pool of the calling thread and go back to that of the thread
// that drops the stream, so that a batch costs no allocation once a thread is warm. Should memory
// for one be lacking, the process ends, as for any other allocation.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/error.h"
#include "engine/log/record_batch.h"

namespace keelson::engine::log {

/// The largest zstd window of a batch that a client sent: 8 MiB, what level 19 uses. The library
/// allocates what a frame declares, so this is the bound on memory.
inline constexpr int kClientWindowLog = 23;
/// For stored batches, which another broker may have accepted: the library's own default, 128 MiB.
inline constexpr int kStoredWindowLog = 27;
/// A snappy block cannot be streamed; a larger one is refused before anything is allocated.
inline constexpr std::size_t kSnappyBlockBytesMax = std::size_t{128} << 20;

/// The bytes behind a compressed stream, piece by piece. Memory is bounded by constants and by the
/// compressed size, whatever the stream claims.
class Decompressor {
 public:
  /// A codec's state between streams; defined with the codecs.
  class Stream;

  /// `compressed` outlives the object.
  Decompressor(Codec codec, Bytes compressed, int zstd_window_log_max = kStoredWindowLog);
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  /// The next piece, valid until the next call; empty at the end of the stream.
  /// Errors: corrupt, final: no such stream, cut short, or beyond a bound.
  [[nodiscard]] Result<Bytes> next();

 private:
  enum class State : std::uint8_t { running, ended, failed };

  Codec codec_;
  State state_ = State::running;
  Bytes plain_;  // codec none: what next() has still to give
  std::unique_ptr<Stream> stream_;
};

/// Compresses into a vector, framed as Kafka's Java client does. `level` is Kafka's
/// (compression.{gzip,lz4,zstd}.level), 0 the codec's default; what is out of range is clamped.
class Compressor {
 public:
  class Stream;

  /// Appends to `out`, which outlives the object. Codec none copies.
  Compressor(Codec codec, int level, std::vector<std::byte>& out,
             std::size_t out_bytes_max = SIZE_MAX);
  ~Compressor();
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  /// False, for good, once `out` is larger than `out_bytes_max`; its content is then undefined.
  [[nodiscard]] bool write(Bytes plain);
  /// Ends the stream: `out` is complete. Once, and last.
  [[nodiscard]] bool finish();

 private:
  Codec codec_;
  std::vector<std::byte>& out_;
  std::size_t out_bytes_max_;
  std::unique_ptr<Stream> stream_;
};

}  // namespace keelson::engine::log
