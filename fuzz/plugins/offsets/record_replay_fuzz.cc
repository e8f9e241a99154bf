// fuzz/plugins/offsets/record_replay_fuzz.cc: replay of arbitrary batches, and of arbitrary
// records in a batch that is right. What is decoded must encode again to what decodes the same.
#include <cstdlib>
#include <vector>

#include "engine/log/batch_builder.h"
#include "plugins/offsets/record_replay.h"

namespace {

using namespace keelson;
using namespace keelson::offsets;

void check(const GroupRecord& record) {
  const std::optional<EncodedRecord> encoded = encode(record);
  if (!encoded) return;
  std::optional<engine::Bytes> value;
  if (encoded->value) value = *encoded->value;
  const auto again = decode(encoded->key, value);
  if (!again || !std::holds_alternative<GroupRecord>(*again)) std::abort();
  const auto twice = encode(std::get<GroupRecord>(*again));
  if (!twice || twice->key != encoded->key || twice->value != encoded->value) std::abort();
}

void feed(engine::Bytes bytes) {
  RecordReplay replay(check);
  (void)replay.feed(bytes, engine::Offset{INT64_MAX});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const engine::Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  feed(bytes);
  // The first byte says where the key ends and what kind of batch it is.
  if (size < 2) return 0;
  const std::size_t key_bytes = std::min<std::size_t>(data[0] & 0x3f, size - 1);
  const engine::Bytes key = bytes.subspan(1, key_bytes);
  const engine::Bytes value = bytes.subspan(1 + key_bytes);
  engine::log::BatchBuilder builder;
  if ((data[0] & 0x40) != 0) {
    builder.producer(engine::ProducerId{1}, engine::ProducerEpoch{0}, 0).transactional();
    if ((data[0] & 0x80) != 0) builder.control();
  }
  builder.add(0, key, value).add(0, key, std::nullopt);
  feed(builder.build());
  return 0;
}
