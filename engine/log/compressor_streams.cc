#include <lz4frame.h>
#include <lz4hc.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/byte_order.h"
#include "engine/log/compressor_stream.h"
#include "engine/log/snappy_framing.h"

namespace keelson::engine::log {
namespace {

/// Output is taken in pieces of this size where the library can go on in the next one. Small,
/// because most batches are.
constexpr std::size_t kRoomBytes = std::size_t{4} << 10;

/// Lets `produce(target, room)` write up to `room` bytes at the end of `out`; it returns how many.
template <class Produce>
void append_up_to(std::vector<std::byte>& out, std::size_t room, Produce&& produce) {
  const std::size_t start = out.size();
  out.resize(start + room);
  const std::size_t made = produce(out.data() + start, room);
  assert(made <= room);
  out.resize(start + made);
}

class GzipCompressor final : public Compressor::Stream {
 public:
  GzipCompressor() {
    const int made = deflateInit2(&state_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS,
                                  /*memLevel=*/8, Z_DEFAULT_STRATEGY);
    assert(made == Z_OK);
  }
  ~GzipCompressor() override { deflateEnd(&state_); }

  void start(int level, std::vector<std::byte>&) override {
    deflateReset(&state_);
    const int zlib_level = level <= 0 ? Z_DEFAULT_COMPRESSION : std::min(level, 9);
    deflateParams(&state_, zlib_level, Z_DEFAULT_STRATEGY);
  }
  void write(Bytes plain, std::vector<std::byte>& out) override { run(plain, out, Z_NO_FLUSH); }
  void finish(std::vector<std::byte>& out) override { run({}, out, Z_FINISH); }
  std::size_t memory_bytes() const override { return std::size_t{256} << 10; }

 private:
  void run(Bytes plain, std::vector<std::byte>& out, int flush) {
    state_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(plain.data()));
    state_.avail_in = static_cast<uInt>(plain.size());
    bool done = false;
    while (!done) {
      append_up_to(out, kRoomBytes, [&](std::byte* target, std::size_t room) {
        state_.next_out = reinterpret_cast<Bytef*>(target);
        state_.avail_out = static_cast<uInt>(room);
        deflate(&state_, flush);
        done = state_.avail_out > 0;  // room was left: it has nothing more to give
        return room - state_.avail_out;
      });
    }
  }

  z_stream state_{};
};

class SnappyCompressor final : public Compressor::Stream {
 public:
  void start(int, std::vector<std::byte>& out) override {
    plain_.clear();
    append_up_to(out, kXerialHeaderBytes, [](std::byte* target, std::size_t room) {
      std::ranges::copy(kXerialMagic, target);
      store_big_endian(target + 8, std::int32_t{1});   // version
      store_big_endian(target + 12, std::int32_t{1});  // the oldest that can read it
      return room;
    });
  }
  void write(Bytes plain, std::vector<std::byte>& out) override {
    while (!plain.empty()) {
      const std::size_t taken = std::min(plain.size(), kXerialBlockBytes - plain_.size());
      plain_.insert(plain_.end(), plain.begin(),
                    plain.begin() + static_cast<std::ptrdiff_t>(taken));
      plain = plain.subspan(taken);
      if (plain_.size() == kXerialBlockBytes) write_block(out);
    }
  }
  void finish(std::vector<std::byte>& out) override {
    if (!plain_.empty()) write_block(out);
  }
  std::size_t memory_bytes() const override { return plain_.capacity(); }

 private:
  void write_block(std::vector<std::byte>& out) {
    const std::size_t room = kXerialLengthBytes + snappy::MaxCompressedLength(plain_.size());
    append_up_to(out, room, [&](std::byte* target, std::size_t) {
      std::size_t made = 0;
      snappy::RawCompress(reinterpret_cast<const char*>(plain_.data()), plain_.size(),
                          reinterpret_cast<char*>(target + kXerialLengthBytes), &made);
      store_big_endian(target, static_cast<std::int32_t>(made));
      return kXerialLengthBytes + made;
    });
    plain_.clear();
  }

  std::vector<std::byte> plain_;  // less than a block
};

class Lz4Compressor final : public Compressor::Stream {
 public:
  Lz4Compressor() {
    const LZ4F_errorCode_t made = LZ4F_createCompressionContext(&context_, LZ4F_VERSION);
    assert(!LZ4F_isError(made));
  }
  ~Lz4Compressor() override { LZ4F_freeCompressionContext(context_); }

  void start(int level, std::vector<std::byte>& out) override {
    preferences_ = {};
    preferences_.frameInfo.blockSizeID = LZ4F_max64KB;
    preferences_.frameInfo.blockMode = LZ4F_blockIndependent;
    preferences_.compressionLevel = library_level(level);
    append_up_to(out, LZ4F_HEADER_SIZE_MAX, [&](std::byte* target, std::size_t room) {
      return LZ4F_compressBegin(context_, target, room, &preferences_);
    });
  }
  void write(Bytes plain, std::vector<std::byte>& out) override {
    const std::size_t room = LZ4F_compressBound(plain.size(), &preferences_);
    append_up_to(out, room, [&](std::byte* target, std::size_t) {
      return LZ4F_compressUpdate(context_, target, room, plain.data(), plain.size(), nullptr);
    });
  }
  void finish(std::vector<std::byte>& out) override {
    const std::size_t room = LZ4F_compressBound(0, &preferences_);
    append_up_to(out, room, [&](std::byte* target, std::size_t) {
      return LZ4F_compressEnd(context_, target, room, nullptr);
    });
  }
  std::size_t memory_bytes() const override { return std::size_t{512} << 10; }

 private:
  /// Kafka's levels are those of lz4-java: 9, its default, is the fast compressor and every other
  /// the high compressor, up to 17; liblz4's end at 12 and are fast below 3.
  static int library_level(int level) {
    if (level == 0 || level == 9) return 0;
    return std::clamp(level, LZ4HC_CLEVEL_MIN, LZ4HC_CLEVEL_MAX);
  }

  LZ4F_cctx* context_ = nullptr;
  LZ4F_preferences_t preferences_{};
};

class ZstdCompressor final : public Compressor::Stream {
 public:
  ZstdCompressor() : context_(ZSTD_createCCtx()) { assert(context_ != nullptr); }
  ~ZstdCompressor() override { ZSTD_freeCCtx(context_); }

  void start(int level, std::vector<std::byte>&) override {
    ZSTD_CCtx_reset(context_, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel,
                           std::clamp(level, ZSTD_minCLevel(), ZSTD_maxCLevel()));
    // Higher levels would declare a window that readers refuse, this one among them.
    if (level > 19) ZSTD_CCtx_setParameter(context_, ZSTD_c_windowLog, kClientWindowLog);
  }
  void write(Bytes plain, std::vector<std::byte>& out) override {
    run(plain, out, ZSTD_e_continue);
  }
  void finish(std::vector<std::byte>& out) override { run({}, out, ZSTD_e_end); }
  std::size_t memory_bytes() const override { return ZSTD_sizeof_CCtx(context_); }

 private:
  void run(Bytes plain, std::vector<std::byte>& out, ZSTD_EndDirective directive) {
    ZSTD_inBuffer in{plain.data(), plain.size(), 0};
    bool done = false;
    while (!done) {
      append_up_to(out, kRoomBytes, [&](std::byte* target, std::size_t room) {
        ZSTD_outBuffer piece{target, room, 0};
        const std::size_t left = ZSTD_compressStream2(context_, &piece, &in, directive);
        assert(!ZSTD_isError(left));
        done = directive == ZSTD_e_end ? left == 0 : in.pos == in.size;
        return piece.pos;
      });
    }
  }

  ZSTD_CCtx* context_;
};

}  // namespace

std::unique_ptr<Compressor::Stream> make_compressor_stream(Codec codec) {
  switch (codec) {
    case Codec::none: break;
    case Codec::gzip: return std::make_unique<GzipCompressor>();
    case Codec::snappy: return std::make_unique<SnappyCompressor>();
    case Codec::lz4: return std::make_unique<Lz4Compressor>();
    case Codec::zstd: return std::make_unique<ZstdCompressor>();
  }
  std::unreachable();
}

}  // namespace keelson::engine::log
