// Any bytes as a stored batch that compaction looks at, as Kafka may have left it: what stays is a
// batch that can be read, of records that were there, in their order and unchanged.
// Run with -malloc_limit_mb=160, as record_reader_fuzzer.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "engine/byte_order.h"
#include "engine/log/compaction_filter.h"

namespace keelson::engine::log {
namespace {

constexpr std::int64_t kNowMs = 1'000'000;

struct Plain {
  std::int64_t offset;
  std::int64_t timestamp_ms;
  std::string key;
  std::string value;
  std::string headers;
  friend bool operator==(const Plain&, const Plain&) = default;
};

std::string text_of(const std::optional<Bytes>& bytes) {
  if (!bytes) return "null";
  return "=" + std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size());
}

/// The records of `batch`, as far as they are some.
std::optional<std::vector<Plain>> read_all(Bytes batch) {
  std::vector<Plain> all;
  RecordReader reader(batch, std::size_t{1} << 20);
  while (all.size() < 10'000) {
    const auto record = reader.next();
    if (!record) return std::nullopt;
    if (!*record) return all;
    all.push_back({(*record)->offset.value(), (*record)->timestamp_ms, text_of((*record)->key),
                   text_of((*record)->value), text_of((*record)->headers)});
  }
  return std::nullopt;
}

void expect(bool truth) {
  if (!truth) std::abort();
}

void check(Bytes batch, const BatchHeader& header, std::uint8_t choice,
           const std::vector<Plain>& before) {
  // Of every second key there is a later record.
  KeyMap keys(KeyHasher(1, 2), std::uint64_t{1} << 20);
  RecordReader reader(batch, std::size_t{1} << 20);
  for (bool later = choice & 1;; later = !later) {
    const auto record = reader.next();
    if (!record || !*record) break;
    const Offset at = later ? Offset{std::numeric_limits<std::int64_t>::max()} : (*record)->offset;
    if ((*record)->key && at >= Offset{0}) (void)keys.put(*(*record)->key, at);
  }
  const ProducerStates producers;
  const KnownProducers known(producers);
  CompactionTransactions transactions;
  const std::atomic<bool> halt{false};
  const Offset below = choice & 2 ? Offset{std::numeric_limits<std::int64_t>::max()}
                                  : header.base_offset + header.last_offset_delta + 1;
  BatchFilter filter({&keys, below, kNowMs, 1'000}, known, transactions, halt);
  const Result<Bytes> kept = filter.apply(batch, header);
  if (!kept || kept->empty()) return;
  const Result<BatchHeader> after = read_batch_header(*kept);
  expect(after && after->size_bytes() == kept->size());
  expect(after->base_offset == header.base_offset &&
         after->last_offset_delta == header.last_offset_delta &&
         after->producer_id == header.producer_id && after->base_sequence == header.base_sequence &&
         after->leader_epoch == header.leader_epoch);
  if (kept->data() != batch.data()) expect(crc_matches(*kept));
  const auto left = read_all(*kept);
  expect(left.has_value());
  auto from = before.begin();
  for (const Plain& record : *left) {
    from = std::find(from, before.end(), record);
    expect(from != before.end());
    ++from;
  }
}

void run(Bytes input) {
  if (input.size() < 1 + kBatchHeaderBytes) return;
  std::vector<std::byte> batch(input.begin() + 1, input.end());
  const auto choice = static_cast<std::uint8_t>(input[0]);
  batch[16] = std::byte{2};
  batch[22] = (batch[22] & std::byte{0xf8}) | static_cast<std::byte>(choice >> 5);
  store_big_endian(batch.data() + 8, static_cast<std::int32_t>(batch.size() - kBatchPrefixBytes));
  const Result<BatchHeader> header = read_batch_header(batch);
  // As CompactionSource lets through.
  if (!header || header->record_count < 0 || header->last_offset_delta < 0 ||
      header->base_offset < Offset{0}) {
    return;
  }
  auto records = read_all(batch);
  if (!records) return;
  check(batch, *header, choice, *records);
}

}  // namespace
}  // namespace keelson::engine::log

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, unsigned long size) {
  keelson::engine::log::run(std::as_bytes(std::span(data, size)));
  return 0;
}
