#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "engine/byte_order.h"
#include "engine/log/decompressor_stream.h"
#include "engine/log/snappy_framing.h"

namespace keelson::engine::log {
namespace {

class GzipStream final : public Decompressor::Stream {
 public:
  GzipStream() : buffer_(kPieceBytes) {
    // 16: gzip framing only. Fails for want of memory only, which ends the process elsewhere too.
    const int made = inflateInit2(&state_, 16 + MAX_WBITS);
    assert(made == Z_OK);
  }
  ~GzipStream() override { inflateEnd(&state_); }

  void start(Bytes compressed, int /*zstd_window_log_max*/) override {
    inflateReset(&state_);
    rest_ = compressed;
    between_members_ = false;
  }

  Result<Bytes> next() override {
    state_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
    state_.avail_out = static_cast<uInt>(buffer_.size());
    while (state_.avail_out > 0) {
      if (between_members_) {
        if (rest_.empty()) break;
        inflateReset(&state_);
        between_members_ = false;
      }
      const std::size_t given = std::min(rest_.size(), std::size_t{1} << 30);
      state_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(rest_.data()));
      state_.avail_in = static_cast<uInt>(given);
      const int status = inflate(&state_, Z_NO_FLUSH);
      rest_ = rest_.subspan(given - state_.avail_in);
      if (status == Z_STREAM_END) {
        between_members_ = true;
      } else if (status != Z_OK) {
        return fail(Errc::corrupt);  // Z_BUF_ERROR: the stream is cut short
      }
    }
    return Bytes(buffer_).first(buffer_.size() - state_.avail_out);
  }

  std::size_t memory_bytes() const override { return buffer_.capacity() + (std::size_t{64} << 10); }

 private:
  z_stream state_{};
  std::vector<std::byte> buffer_;
  Bytes rest_;
  bool between_members_ = false;
};

class SnappyStream final : public Decompressor::Stream {
 public:
  void start(Bytes compressed, int /*zstd_window_log_max*/) override {
    rest_ = compressed;
    framed_ = xerial_header_at(rest_);
    ended_ = false;
  }

  Result<Bytes> next() override {
    if (!framed_) return std::exchange(ended_, true) ? Result<Bytes>(Bytes{}) : decode(rest_);
    while (true) {
      // Streams may stand back to back, each with its header.
      while (xerial_header_at(rest_)) rest_ = rest_.subspan(kXerialHeaderBytes);
      if (rest_.empty()) return Bytes{};
      if (rest_.size() < kXerialLengthBytes) return fail(Errc::corrupt);
      const auto length = load_big_endian<std::int32_t>(rest_.data());
      rest_ = rest_.subspan(kXerialLengthBytes);
      if (length < 0 || static_cast<std::size_t>(length) > rest_.size()) {
        return fail(Errc::corrupt);
      }
      const Bytes block = rest_.first(static_cast<std::size_t>(length));
      rest_ = rest_.subspan(block.size());
      Result<Bytes> plain = decode(block);
      if (!plain || !plain->empty()) return plain;  // an empty block is no end
    }
  }

  std::size_t memory_bytes() const override { return capacity_; }

 private:
  Result<Bytes> decode(Bytes block) {
    // A copy of three bytes makes 64 at most, so a larger claim is false. What is allocated is
    // thereby bounded by what came, times 22.
    const auto* data = reinterpret_cast<const char*>(block.data());
    std::size_t plain_bytes = 0;
    if (!snappy::GetUncompressedLength(data, block.size(), &plain_bytes) ||
        plain_bytes > kSnappyBlockBytesMax || plain_bytes > (block.size() / 3 + 1) * 64) {
      return fail(Errc::corrupt);
    }
    if (plain_bytes > capacity_) {
      capacity_ = std::max(plain_bytes, kPieceBytes);
      buffer_ = std::make_unique_for_overwrite<std::byte[]>(capacity_);
    }
    if (!snappy::RawUncompress(data, block.size(), reinterpret_cast<char*>(buffer_.get()))) {
      return fail(Errc::corrupt);
    }
    return Bytes(buffer_.get(), plain_bytes);
  }

  Bytes rest_;
  bool framed_ = false;
  bool ended_ = false;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t capacity_ = 0;
};

class Lz4Stream final : public Decompressor::Stream {
 public:
  Lz4Stream() : buffer_(kPieceBytes) {
    const LZ4F_errorCode_t made = LZ4F_createDecompressionContext(&context_, LZ4F_VERSION);
    assert(!LZ4F_isError(made));
  }
  ~Lz4Stream() override { LZ4F_freeDecompressionContext(context_); }

  void start(Bytes compressed, int /*zstd_window_log_max*/) override {
    LZ4F_resetDecompressionContext(context_);
    rest_ = compressed;
    started_ = false;
    ended_ = false;
  }

  Result<Bytes> next() override {
    if (ended_) return Bytes{};
    if (!started_ && !begin()) return fail(Errc::corrupt);
    std::size_t made_total = 0;
    while (made_total < buffer_.size() && !ended_) {
      std::size_t made = buffer_.size() - made_total;
      std::size_t taken = rest_.size();
      const std::size_t hint = LZ4F_decompress(context_, buffer_.data() + made_total, &made,
                                               rest_.data(), &taken, nullptr);
      if (LZ4F_isError(hint)) return fail(Errc::corrupt);
      rest_ = rest_.subspan(taken);
      made_total += made;
      ended_ = hint == 0;
      if (made == 0 && taken == 0 && !ended_) return fail(Errc::corrupt);  // cut short
    }
    return Bytes(buffer_).first(made_total);
  }

  // Blocks of up to 4 MiB are kept twice within the context.
  std::size_t memory_bytes() const override { return buffer_.capacity() + 2 * block_bytes_max_; }

 private:
  bool begin() {
    // A skippable frame is legal for the library, but not for Kafka's clients.
    constexpr std::array<std::byte, 4> kFrameMagic{std::byte{0x04}, std::byte{0x22},
                                                   std::byte{0x4d}, std::byte{0x18}};
    if (rest_.size() < kFrameMagic.size() || !std::ranges::equal(rest_.first(4), kFrameMagic)) {
      return false;
    }
    LZ4F_frameInfo_t info{};
    std::size_t taken = rest_.size();
    if (LZ4F_isError(LZ4F_getFrameInfo(context_, &info, rest_.data(), &taken))) return false;
    if (info.blockMode != LZ4F_blockIndependent || info.dictID != 0) return false;
    rest_ = rest_.subspan(taken);
    const std::size_t block_bytes = std::size_t{1} << (8 + 2 * info.blockSizeID);  // 4: 64 KiB
    block_bytes_max_ = std::max(block_bytes_max_, block_bytes);
    started_ = true;
    return true;
  }

  LZ4F_dctx* context_ = nullptr;
  std::vector<std::byte> buffer_;
  std::size_t block_bytes_max_ = 0;
  Bytes rest_;
  bool started_ = false;
  bool ended_ = false;
};

class ZstdStream final : public Decompressor::Stream {
 public:
  ZstdStream() : context_(ZSTD_createDCtx()), buffer_(kPieceBytes) { assert(context_); }
  ~ZstdStream() override { ZSTD_freeDCtx(context_); }

  void start(Bytes compressed, int zstd_window_log_max) override {
    ZSTD_DCtx_reset(context_, ZSTD_reset_session_only);
    ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, zstd_window_log_max);
    input_ = ZSTD_inBuffer{compressed.data(), compressed.size(), 0};
    between_frames_ = false;
  }

  Result<Bytes> next() override {
    ZSTD_outBuffer out{buffer_.data(), buffer_.size(), 0};
    while (out.pos < out.size && !(between_frames_ && input_.pos == input_.size)) {
      const std::size_t made_before = out.pos;
      const std::size_t taken_before = input_.pos;
      const std::size_t hint = ZSTD_decompressStream(context_, &out, &input_);
      if (ZSTD_isError(hint)) return fail(Errc::corrupt);
      between_frames_ = hint == 0;
      if (!between_frames_ && out.pos == made_before && input_.pos == taken_before) {
        return fail(Errc::corrupt);  // cut short
      }
    }
    return Bytes(buffer_).first(out.pos);
  }

  std::size_t memory_bytes() const override {
    return buffer_.capacity() + ZSTD_sizeof_DCtx(context_);
  }

 private:
  ZSTD_DCtx* context_;
  std::vector<std::byte> buffer_;
  ZSTD_inBuffer input_{};
  bool between_frames_ = false;
};

}  // namespace

std::unique_ptr<Decompressor::Stream> make_decompressor_stream(Codec codec) {
  switch (codec) {
    case Codec::none: break;
    case Codec::gzip: return std::make_unique<GzipStream>();
    case Codec::snappy: return std::make_unique<SnappyStream>();
    case Codec::lz4: return std::make_unique<Lz4Stream>();
    case Codec::zstd: return std::make_unique<ZstdStream>();
  }
  std::unreachable();
}

}  // namespace keelson::engine::log
