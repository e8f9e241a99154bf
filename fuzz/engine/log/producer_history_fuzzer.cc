// Any bytes as the history behind a snapshot's entries. The first says how many producers, the rest
// is put in its place under CRCs that are right. What is believed must be written again as it was.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "engine/byte_order.h"
#include "engine/crc32c.h"
#include "engine/log/log_side_files.h"
#include "engine/log/producer_history.h"
#include "engine/log/producer_snapshot.h"

namespace keelson::engine::log {
namespace {

const LogIdentity kIdentity{make_uuid(1, 2), 3};
constexpr Offset kAt{1'000'000};

void check(bool holds) {
  if (!holds) std::abort();
}

/// Every other producer has a last batch.
std::string entries_of(std::size_t producers) {
  std::vector<ProducerSnapshotEntry> entries(producers);
  for (std::size_t i = 0; i < producers; ++i) {
    const auto number = static_cast<std::int32_t>(i);
    entries[i].producer_id = ProducerId{number};
    entries[i].producer_epoch = ProducerEpoch{0};
    if (i % 2 == 1) continue;
    entries[i].last_sequence = number * 7;
    entries[i].last_offset = Offset{10'000 + number * 100};
    entries[i].offset_delta = number;
  }
  return encode_producer_snapshot(entries);
}

/// The history's own CRC, as read_producer_history() wants it.
std::uint32_t history_crc(Bytes file, std::size_t start) {
  std::byte numbers[12];
  store_big_endian(numbers, kIdentity.partition);
  store_big_endian(numbers + 4, kAt.value());
  std::uint32_t crc = crc32c(std::as_bytes(std::span(std::string_view("keelson producers 1"))));
  crc = crc32c(numbers, crc32c(kIdentity.id.bytes, crc));
  crc = crc32c(file.first(start).subspan(producer_snapshot_bytes(0)), crc);
  return crc32c(file.subspan(start + 14), crc);
}

void run(Bytes input) {
  if (input.empty()) return;
  const std::size_t producers = static_cast<std::size_t>(input[0]) % 8;
  std::string content = entries_of(producers);
  const std::size_t start = content.size();
  content += kProducerHistoryMagic;
  content.append(reinterpret_cast<const char*>(input.data()) + 1, input.size() - 1);
  const MutableBytes file = std::as_writable_bytes(std::span(content));
  if (content.size() >= start + 14) {
    store_big_endian(file.data() + start + 8, std::int16_t{1});
    store_big_endian(file.data() + start + 10, history_crc(file, start));
  }
  stamp_producer_snapshot(file);

  Result<ProducerStates> states = parse_snapshot(content, kIdentity, kAt);
  check(states.has_value());
  ProducerStates plain = *parse_snapshot(entries_of(producers), kIdentity, kAt);
  if (!read_producer_history(file, kIdentity, kAt, plain)) return;
  for (const auto& [id, entry] : states->entries()) {
    check(entry.batch_count <= ProducerEntry::kBatchesMax);
    Offset next{0};
    for (std::size_t i = 0; i < entry.batch_count; ++i) {
      check(entry.batches[i].first_offset >= next);
      check(entry.batches[i].last_offset >= entry.batches[i].first_offset);
      next = entry.batches[i].last_offset + 1;
    }
    check(next <= kAt);
  }
  const std::string again = encode_snapshot(*states, kIdentity, kAt);
  check(again == content || again == entries_of(producers));
}

}  // namespace
}  // namespace keelson::engine::log

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  keelson::engine::log::run(std::as_bytes(std::span(data, size)));
  return 0;
}
