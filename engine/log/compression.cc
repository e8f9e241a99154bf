#include "engine/log/compression.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/log/compressor_stream.h"
#include "engine/log/decompressor_stream.h"
#include "engine/log/stream_pool.h"

namespace keelson::engine::log {
namespace {

thread_local StreamPool<Decompressor::Stream> idle_decompressors;
thread_local StreamPool<Compressor::Stream> idle_compressors;

}  // namespace

Decompressor::Decompressor(Codec codec, Bytes compressed, int zstd_window_log_max)
    : codec_(codec), plain_(compressed) {
  assert(codec <= Codec::zstd);  // The caller looked at the number before it took it for a codec.
  if (codec == Codec::none) return;
  stream_ = idle_decompressors.take(codec);
  if (!stream_) stream_ = make_decompressor_stream(codec);
  stream_->start(compressed, zstd_window_log_max);
}

Decompressor::~Decompressor() {
  if (stream_) idle_decompressors.give_back(codec_, std::move(stream_));
}

Result<Bytes> Decompressor::next() {
  if (state_ == State::failed) return fail(Errc::corrupt);
  if (state_ == State::ended) return Bytes{};
  Result<Bytes> piece = stream_ ? stream_->next() : std::exchange(plain_, Bytes{});
  if (!piece) {
    state_ = State::failed;
  } else if (piece->empty()) {
    state_ = State::ended;
  }
  return piece;
}

Compressor::Compressor(Codec codec, int level, std::vector<std::byte>& out,
                       std::size_t out_bytes_max)
    : codec_(codec), out_(out), out_bytes_max_(out_bytes_max) {
  assert(codec <= Codec::zstd);
  if (codec == Codec::none) return;
  stream_ = idle_compressors.take(codec);
  if (!stream_) stream_ = make_compressor_stream(codec);
  stream_->start(level, out);
}

Compressor::~Compressor() {
  if (stream_) idle_compressors.give_back(codec_, std::move(stream_));
}

bool Compressor::write(Bytes plain) {
  while (!plain.empty() && out_.size() <= out_bytes_max_) {
    const Bytes step = plain.first(std::min(plain.size(), kStepBytes));
    plain = plain.subspan(step.size());
    if (stream_) {
      stream_->write(step, out_);
    } else {
      out_.insert(out_.end(), step.begin(), step.end());
    }
  }
  return out_.size() <= out_bytes_max_;
}

bool Compressor::finish() {
  if (out_.size() > out_bytes_max_) return false;
  if (stream_) stream_->finish(out_);
  return out_.size() <= out_bytes_max_;
}

}  // namespace keelson::engine::log
