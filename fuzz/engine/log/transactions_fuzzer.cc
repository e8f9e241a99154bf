// Any batches as those of a log, and any bytes as the index beside it. What follows from them must
// hold whatever they are: the file that is written of what was found is an index of it.
#include <algorithm>
#include <cstdlib>
#include <optional>
#include <vector>

#include "engine/log/transactions.h"

namespace keelson::engine::log {
namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

/// 4 bytes make a batch: its kind, its producer, how many records, and a damage to its bytes.
struct Source {
  Bytes input;
  std::size_t at = 0;

  bool has_batch() const { return at + 4 <= input.size(); }
  unsigned take() { return static_cast<unsigned>(input[at++]); }
};

/// A marker of one record without headers, as the reader of records takes it.
std::vector<std::byte> make_marker(const BatchHeader& header, unsigned type, unsigned damage) {
  constexpr unsigned char kRecord[] = {32, 0, 0, 0, 8, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0};
  std::vector<std::byte> batch(kBatchHeaderBytes);
  for (const unsigned char byte : kRecord) batch.push_back(std::byte{byte});
  batch[kBatchHeaderBytes + 8] = static_cast<std::byte>(type);
  BatchHeader whole = header;
  whole.magic = kMagic;
  whole.length = static_cast<std::int32_t>(batch.size() - kBatchPrefixBytes);
  write_batch_header(batch, whole);
  if (damage > 0) batch[damage % batch.size()] ^= std::byte{0x11};
  if (damage > 200) batch.resize(damage % batch.size());
  return batch;
}

void run(Bytes input) {
  Source source{input};
  Transactions transactions;
  std::vector<TransactionIndexEntry> found;
  Offset next{0};
  Offset watermark{0};
  while (source.has_batch()) {
    const unsigned kind = source.take();
    BatchHeader header;
    header.base_offset = next;
    header.producer_id = ProducerId{static_cast<std::int64_t>(source.take() % 5) - 1};
    header.producer_epoch = ProducerEpoch{0};
    header.record_count = 1;
    header.last_offset_delta = static_cast<std::int32_t>(source.take());
    const unsigned damage = source.take();
    if (kind % 4 != 0) header.attributes |= kAttributeTransactional;
    const bool control = kind % 4 >= 2;
    if (control) header.attributes |= kAttributeControl;
    const std::vector<std::byte> batch =
        control ? make_marker(header, kind / 4 % 4, damage) : std::vector<std::byte>{};
    const auto aborted = transactions.note(header, batch);
    next = header.next_offset();
    if (aborted) {
      check(aborted->first_offset < aborted->last_offset);
      check(aborted->last_offset == header.last_offset());
      check(aborted->last_stable_offset <= next);
      found.push_back(*aborted);
    }
    watermark = std::max(watermark, next + -static_cast<std::int64_t>(damage));
    const std::optional<Offset> unstable = transactions.first_unstable(watermark);
    for (const auto& [id, first] : transactions.open()) check(unstable && *unstable <= first);
  }
  const std::string file = encode_transaction_index(found);
  const auto parsed = parse_transaction_index(std::as_bytes(std::span(file)));
  check(parsed && *parsed == found && is_index_of(*parsed, found, Offset{0}, false));
  // The same bytes as an index of somebody else's.
  const std::size_t whole =
      input.size() / kTransactionIndexEntryBytes * kTransactionIndexEntryBytes;
  const auto other = parse_transaction_index(input.first(whole));
  if (other && is_index_of(*other, found, Offset{0}, false)) check(other->size() == found.size());
}

}  // namespace
}  // namespace keelson::engine::log

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, unsigned long size) {
  keelson::engine::log::run(std::as_bytes(std::span(data, size)));
  return 0;
}
