#include "engine/log/producer_snapshot.h"

#include <algorithm>

#include "engine/byte_order.h"
#include "engine/crc32c.h"
#include "engine/log/append_big_endian.h"

namespace keelson::engine::log {
namespace {

constexpr std::int16_t kVersion = 1;
constexpr std::size_t kCrcEnd = 6;
constexpr std::size_t kHeaderBytes = producer_snapshot_bytes(0);
constexpr std::size_t kEntryBytes = producer_snapshot_bytes(1) - kHeaderBytes;

ProducerSnapshotEntry read_entry(const std::byte* at) {
  ProducerSnapshotEntry entry;
  entry.producer_id = ProducerId{load_big_endian<std::int64_t>(at)};
  entry.producer_epoch = ProducerEpoch{load_big_endian<std::int16_t>(at + 8)};
  entry.last_sequence = load_big_endian<std::int32_t>(at + 10);
  entry.last_offset = Offset{load_big_endian<std::int64_t>(at + 14)};
  entry.offset_delta = load_big_endian<std::int32_t>(at + 22);
  entry.timestamp_ms = load_big_endian<std::int64_t>(at + 26);
  entry.coordinator_epoch = load_big_endian<std::int32_t>(at + 34);
  entry.transaction_start = Offset{load_big_endian<std::int64_t>(at + 38)};
  return entry;
}

bool is_consistent(const ProducerSnapshotEntry& entry) {
  return entry.producer_id.value() >= 0 && entry.producer_epoch.value() >= -1 &&
         entry.last_sequence >= -1 && entry.last_offset >= Offset{-1} && entry.offset_delta >= 0 &&
         (entry.last_offset.value() < 0 || entry.offset_delta <= entry.last_offset.value()) &&
         entry.coordinator_epoch >= -1 && entry.transaction_start >= Offset{-1};
}

bool begins_history(Bytes bytes) {
  const Bytes magic = std::as_bytes(std::span(kProducerHistoryMagic));
  return bytes.size() >= magic.size() && std::ranges::equal(bytes.first(magic.size()), magic);
}

}  // namespace

std::string encode_producer_snapshot(std::span<const ProducerSnapshotEntry> producers) {
  std::string out;
  out.reserve(kHeaderBytes + producers.size() * kEntryBytes);
  append_big_endian(out, kVersion);
  append_big_endian(out, std::uint32_t{0});  // the CRC's place
  append_big_endian(out, static_cast<std::int32_t>(producers.size()));
  for (const ProducerSnapshotEntry& entry : producers) {
    append_big_endian(out, entry.producer_id.value());
    append_big_endian(out, entry.producer_epoch.value());
    append_big_endian(out, entry.last_sequence);
    append_big_endian(out, entry.last_offset.value());
    append_big_endian(out, entry.offset_delta);
    append_big_endian(out, entry.timestamp_ms);
    append_big_endian(out, entry.coordinator_epoch);
    append_big_endian(out, entry.transaction_start.value());
  }
  stamp_producer_snapshot(std::as_writable_bytes(std::span(out)));
  return out;
}

void stamp_producer_snapshot(MutableBytes file) {
  store_big_endian(file.data() + 2, crc32c(file.subspan(kCrcEnd)));
}

Result<std::vector<ProducerSnapshotEntry>> parse_producer_snapshot(Bytes file) {
  if (file.size() < kHeaderBytes) return fail(Errc::corrupt);
  const std::byte* const at = file.data();
  if (load_big_endian<std::int16_t>(at) != kVersion ||
      load_big_endian<std::uint32_t>(at + 2) != crc32c(file.subspan(kCrcEnd))) {
    return fail(Errc::corrupt);
  }
  const auto count = load_big_endian<std::int32_t>(at + kCrcEnd);
  if (count < 0 || static_cast<std::size_t>(count) > (file.size() - kHeaderBytes) / kEntryBytes) {
    return fail(Errc::corrupt);
  }
  const std::size_t end = producer_snapshot_bytes(static_cast<std::size_t>(count));
  if (file.size() > end && !begins_history(file.subspan(end))) return fail(Errc::corrupt);
  std::vector<ProducerSnapshotEntry> producers;
  producers.reserve(static_cast<std::size_t>(count));
  for (std::size_t position = kHeaderBytes; position < end; position += kEntryBytes) {
    producers.push_back(read_entry(at + position));
    if (!is_consistent(producers.back())) return fail(Errc::corrupt);
  }
  return producers;
}

}  // namespace keelson::engine::log
