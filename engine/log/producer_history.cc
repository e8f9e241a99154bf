#include "engine/log/producer_history.h"

#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/byte_order.h"
#include "engine/crc32c.h"
#include "engine/log/producer_snapshot.h"

namespace keelson::engine::log {
namespace {

constexpr std::int16_t kVersion = 1;
constexpr std::size_t kHeadBytes = 14;
constexpr std::size_t kCrcAt = 10;
constexpr std::size_t kProducerBytes = 5;
constexpr std::size_t kBatchBytes = 24;

std::uint32_t history_seed(const LogIdentity& identity, Offset at) {
  constexpr std::string_view kLabel = "keelson producers 1";
  std::byte numbers[12];
  store_big_endian(numbers, identity.partition);
  store_big_endian(numbers + 4, at.value());
  std::uint32_t seed = crc32c(std::as_bytes(std::span(kLabel)));
  seed = crc32c(identity.id.bytes, seed);
  return crc32c(numbers, seed);
}

/// Of the history at `start` of the file.
std::uint32_t history_crc(Bytes snapshot, std::size_t start, std::uint32_t seed) {
  const Bytes entries = snapshot.first(start).subspan(producer_snapshot_bytes(0));
  return crc32c(snapshot.subspan(start + kHeadBytes), crc32c(entries, seed));
}

std::size_t older_batches(const ProducerEntry& entry) {
  return entry.batch_count > 0 ? entry.batch_count - 1 : 0;
}

std::int64_t last_sequences(const ProducerEntry& entry) {
  const ProducerBatch* const last = entry.last();
  return last ? last->last_offset - last->first_offset + 1 : 0;
}

/// The bytes of one producer, taken off the front of a history.
class HistoryReader {
 public:
  explicit HistoryReader(Bytes bytes) : rest_(bytes) {}

  bool is_at_end() const { return rest_.empty(); }

  /// `entry`, which has its last batch at most, with those before; nothing where this contradicts
  /// itself.
  std::optional<ProducerEntry> complete(const ProducerEntry& entry) {
    if (rest_.size() < kProducerBytes) return std::nullopt;
    const auto contiguous = load_big_endian<std::int32_t>(rest_.data());
    const auto count = static_cast<std::size_t>(rest_[4]);
    rest_ = rest_.subspan(kProducerBytes);
    if (count >= ProducerEntry::kBatchesMax || count * kBatchBytes > rest_.size()) {
      return std::nullopt;
    }
    ProducerEntry whole = entry;
    whole.contiguous = contiguous;
    const ProducerBatch* const last = entry.last();
    if (last == nullptr) {
      if (contiguous != 0 || count != 0) return std::nullopt;
      return whole;
    }
    if (contiguous < last_sequences(entry) || contiguous > ProducerEntry::kContiguousMax) {
      return std::nullopt;
    }
    whole.batch_count = 0;
    Offset next{0};
    for (std::size_t i = 0; i < count; ++i) {
      const std::optional<ProducerBatch> batch = take_batch(next);
      if (!batch) return std::nullopt;
      whole.batches[whole.batch_count++] = *batch;
      next = batch->last_offset + 1;
    }
    if (last->first_offset < next) return std::nullopt;
    whole.batches[whole.batch_count++] = *last;
    return whole;
  }

 private:
  std::optional<ProducerBatch> take_batch(Offset from) {
    const std::byte* const at = rest_.data();
    const Offset first{load_big_endian<std::int64_t>(at)};
    const auto delta = load_big_endian<std::int32_t>(at + 8);
    const auto sequence = load_big_endian<std::int32_t>(at + 12);
    const auto timestamp_ms = load_big_endian<std::int64_t>(at + 16);
    rest_ = rest_.subspan(kBatchBytes);
    if (first < from || delta < 0 || sequence < 0) return std::nullopt;
    if (first.value() >= std::numeric_limits<std::int64_t>::max() - delta) return std::nullopt;
    const auto last_sequence =
        static_cast<std::int32_t>((std::int64_t{sequence} + delta) & 0x7fffffff);
    return ProducerBatch{sequence, last_sequence, first, first + delta, timestamp_ms};
  }

  Bytes rest_;
};

std::byte* store_producer(std::byte* out, const ProducerEntry& entry) {
  const std::size_t older = older_batches(entry);
  store_big_endian(out, static_cast<std::int32_t>(entry.contiguous));
  out[4] = static_cast<std::byte>(older);
  out += kProducerBytes;
  for (std::size_t i = 0; i < older; ++i) {
    const ProducerBatch& batch = entry.batches[i];
    store_big_endian(out, batch.first_offset.value());
    store_big_endian(out + 8, static_cast<std::int32_t>(batch.last_offset - batch.first_offset));
    store_big_endian(out + 12, batch.first_sequence);
    store_big_endian(out + 16, batch.timestamp_ms);
    out += kBatchBytes;
  }
  return out;
}

}  // namespace

void append_producer_history(std::string& snapshot, const ProducerStates& producers,
                             const LogIdentity& identity, Offset at) {
  std::size_t size_bytes = kHeadBytes;
  bool says_more = false;
  for (const auto& [id, entry] : producers.entries()) {
    size_bytes += kProducerBytes + older_batches(entry) * kBatchBytes;
    if (entry.batch_count > 1 || entry.contiguous != last_sequences(entry)) says_more = true;
  }
  if (!says_more) return;
  const std::size_t start = snapshot.size();
  snapshot.resize(start + size_bytes);
  const MutableBytes file = std::as_writable_bytes(std::span(snapshot));
  std::byte* const head = file.data() + start;
  std::memcpy(head, kProducerHistoryMagic.data(), kProducerHistoryMagic.size());
  store_big_endian(head + 8, kVersion);
  std::byte* out = head + kHeadBytes;
  for (const auto& [id, entry] : producers.entries()) out = store_producer(out, entry);
  store_big_endian(head + kCrcAt, history_crc(file, start, history_seed(identity, at)));
  stamp_producer_snapshot(file);
}

bool read_producer_history(Bytes snapshot, const LogIdentity& identity, Offset at,
                           ProducerStates& producers) {
  const std::size_t start = producer_snapshot_bytes(producers.entries().size());
  if (snapshot.size() < start + kHeadBytes) return false;
  const std::byte* const head = snapshot.data() + start;
  if (std::memcmp(head, kProducerHistoryMagic.data(), kProducerHistoryMagic.size()) != 0 ||
      load_big_endian<std::int16_t>(head + 8) != kVersion ||
      load_big_endian<std::uint32_t>(head + kCrcAt) !=
          history_crc(snapshot, start, history_seed(identity, at))) {
    return false;
  }
  HistoryReader reader(snapshot.subspan(start + kHeadBytes));
  std::vector<ProducerEntry> whole;
  whole.reserve(producers.entries().size());
  for (const auto& [id, entry] : producers.entries()) {
    const std::optional<ProducerEntry> completed = reader.complete(entry);
    if (!completed) return false;
    whole.push_back(*completed);
  }
  if (!reader.is_at_end()) return false;
  auto next = whole.begin();
  for (auto& [id, entry] : producers.entries()) entry = *next++;
  return true;
}

}  // namespace keelson::engine::log
