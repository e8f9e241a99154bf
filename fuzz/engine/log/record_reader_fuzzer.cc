// Any bytes as a stored batch of each codec: records or `corrupt`, and nothing read out of bounds.
// Run with -malloc_limit_mb=160: stored zstd frames may declare a window of 128 MiB, and the
// library asks for that at once.
#include <cstdlib>
#include <vector>

#include "engine/byte_order.h"
#include "engine/log/record_reader.h"

namespace keelson::engine::log {
namespace {

/// Reads every byte, for the sanitizer to see.
unsigned sum_of(const std::optional<Bytes>& bytes) {
  unsigned sum = 0;
  if (bytes) {
    for (const std::byte each : *bytes) sum += static_cast<unsigned>(each);
  }
  return sum;
}

void run(Bytes input) {
  if (input.size() < 1 + kBatchHeaderBytes) return;
  std::vector<std::byte> batch(input.begin() + 1, input.end());
  batch[16] = std::byte{2};
  batch[22] = (batch[22] & std::byte{0xf8}) | (input[0] & std::byte{7});
  store_big_endian(batch.data() + 8, static_cast<std::int32_t>(batch.size() - kBatchPrefixBytes));
  static volatile unsigned sink;
  RecordReader reader(batch, std::size_t{1} << 20);
  for (int count = 0; count < 1'000'000; ++count) {
    const auto record = reader.next();
    if (!record || !*record) {
      if (reader.next().has_value() != record.has_value()) std::abort();  // the end is the end
      return;
    }
    sink = sink + sum_of((*record)->key) + sum_of((*record)->value) + sum_of((*record)->headers);
  }
}

}  // namespace
}  // namespace keelson::engine::log

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, unsigned long size) {
  keelson::engine::log::run(std::as_bytes(std::span(data, size)));
  return 0;
}
