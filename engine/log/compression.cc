#include "engine/log/compression.h"

#include <utility>

namespace keelson::engine::log {

class Decompressor::Stream {};

Decompressor::Decompressor(Codec codec, Bytes compressed, int /*zstd_window_log_max*/)
    : codec_(codec), plain_(compressed) {}

Decompressor::~Decompressor() = default;

Result<Bytes> Decompressor::next() {
  if (codec_ != Codec::none) return fail(Errc::corrupt);
  return std::exchange(plain_, Bytes{});
}

Result<void> compress(Codec codec, int /*level*/, Bytes plain, std::vector<std::byte>& out,
                      std::size_t out_bytes_max) {
  if (codec != Codec::none) return fail(Errc::unsupported);
  out.insert(out.end(), plain.begin(), plain.end());
  if (out.size() > out_bytes_max) return fail(Errc::message_too_large);
  return {};
}

}  // namespace keelson::engine::log
