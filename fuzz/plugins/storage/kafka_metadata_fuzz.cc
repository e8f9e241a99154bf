// Kafka's metadata log: arbitrary bytes as batches, and arbitrary records in batches that are
// right. Records are cut by a length byte in front of each; a batch holds up to eight.
//   kafka_metadata_fuzz -rss_limit_mb=512 -malloc_limit_mb=64 CORPUS
#include <algorithm>
#include <cstdlib>

#include "engine/log/batch_builder.h"
#include "plugins/storage/kafka_metadata.h"

namespace {

using namespace keelson;

void check(const storage::KafkaMetadata& metadata) {
  const AdoptedMetadata result = metadata.result();
  if (result.end_position < 0 || result.next_producer_id.value() < 0) std::abort();
  for (const AdoptedMetadata::Topic& topic : result.topics) {
    if (topic.id.is_zero() || result.removed_topics.contains(topic.id)) std::abort();
    for (const auto& [number, epoch] : topic.partitions) {
      if (number < 0 || epoch.value() < 0) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  engine::Bytes rest(reinterpret_cast<const std::byte*>(data), size);
  storage::KafkaMetadata raw;
  if (raw.feed(rest) > size) std::abort();
  check(raw);

  storage::KafkaMetadata framed;
  std::int64_t offset = 0;
  while (rest.size() > 1) {
    engine::log::BatchBuilder builder;
    for (int i = 0; i < 8 && rest.size() > 1; ++i) {
      const std::size_t bytes = std::min<std::size_t>(data[size - rest.size()], rest.size() - 1);
      builder.add(0, std::nullopt, rest.subspan(1, bytes));
      rest = rest.subspan(1 + bytes);
    }
    const std::vector<std::byte> batch = builder.build(engine::Offset{offset});
    if (framed.feed(batch) != batch.size()) std::abort();
    offset += builder.record_count();
    if (framed.next_offset() != offset) std::abort();
  }
  check(framed);
  return 0;
}
