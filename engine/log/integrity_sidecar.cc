#include "engine/log/integrity_sidecar.h"

#include <cassert>
#include <string_view>

#include "engine/byte_order.h"
#include "engine/crc32c.h"

namespace keelson::engine::log {
namespace {

constexpr std::uint32_t kFlag = std::uint32_t{1} << 31;
constexpr std::size_t kChained = 28;  // bytes of an entry that its chain value covers

void encode(const IntegrityEntry& entry, std::byte* out) {
  store_big_endian(out, entry.position_bytes | (entry.begins_epoch ? kFlag : 0));
  store_big_endian(out + 4, entry.size_bytes | (entry.has_producer ? kFlag : 0));
  store_big_endian(out + 8, entry.relative_last_offset | (entry.damaged ? kFlag : 0));
  store_big_endian(out + 12, entry.max_timestamp_ms);
  store_big_endian(out + 20, entry.durable_upto_bytes | (entry.transactional ? kFlag : 0));
  store_big_endian(out + 24, entry.header_crc);
  store_big_endian(out + kChained, entry.chain);
}

}  // namespace

std::uint32_t integrity_seed(const LogIdentity& identity, Offset base_offset) {
  constexpr std::string_view kLabel = "keelson integrity 1";
  std::byte numbers[12];
  store_big_endian(numbers, identity.partition);
  store_big_endian(numbers + 4, base_offset.value());
  std::uint32_t seed = crc32c(std::as_bytes(std::span(kLabel)));
  seed = crc32c(identity.id.bytes, seed);
  return crc32c(numbers, seed);
}

std::uint32_t integrity_crc(Bytes batch) {
  assert(batch.size() >= kBatchHeaderBytes);
  return crc32c(batch.first(kBatchHeaderBytes));
}

IntegrityEntry make_integrity_entry(Bytes batch, const BatchHeader& header, Offset segment_base,
                                    std::uint64_t position_bytes, bool begins_epoch) {
  IntegrityEntry entry;
  entry.position_bytes = static_cast<std::uint32_t>(position_bytes);
  entry.size_bytes = static_cast<std::uint32_t>(header.size_bytes());
  assert(entry.position_bytes < kFlag && entry.size_bytes < kFlag);
  entry.begins_epoch = begins_epoch;
  entry.has_producer = header.has_producer();
  entry.transactional = header.is_transactional() && header.has_producer();
  entry.relative_last_offset = static_cast<std::uint32_t>(header.last_offset() - segment_base);
  entry.max_timestamp_ms = header.records_timestamp_max();
  entry.header_crc = integrity_crc(batch);
  return entry;
}

std::uint32_t chain_integrity_entry(IntegrityEntry& entry, std::uint64_t durable_upto_bytes,
                                    std::uint32_t previous_chain) {
  entry.durable_upto_bytes = static_cast<std::uint32_t>(durable_upto_bytes);
  std::byte bytes[kIntegrityEntryBytes];
  encode(entry, bytes);
  entry.chain = crc32c(Bytes(bytes, kChained), previous_chain);
  return entry.chain;
}

void append_integrity_entry(std::string& out, const IntegrityEntry& entry) {
  std::byte bytes[kIntegrityEntryBytes];
  encode(entry, bytes);
  out.append(reinterpret_cast<const char*>(bytes), sizeof bytes);
}

std::optional<IntegrityEntry> read_integrity_entry(Bytes bytes, std::uint32_t previous_chain) {
  assert(bytes.size() >= kIntegrityEntryBytes);
  const std::byte* const at = bytes.data();
  IntegrityEntry entry;
  const auto position = load_big_endian<std::uint32_t>(at);
  const auto size = load_big_endian<std::uint32_t>(at + 4);
  entry.position_bytes = position & ~kFlag;
  entry.begins_epoch = position & kFlag;
  entry.size_bytes = size & ~kFlag;
  entry.has_producer = size & kFlag;
  const auto last_offset = load_big_endian<std::uint32_t>(at + 8);
  entry.relative_last_offset = last_offset & ~kFlag;
  entry.damaged = last_offset & kFlag;
  entry.max_timestamp_ms = load_big_endian<std::int64_t>(at + 12);
  const auto durable = load_big_endian<std::uint32_t>(at + 20);
  entry.durable_upto_bytes = durable & ~kFlag;
  entry.transactional = durable & kFlag;
  entry.header_crc = load_big_endian<std::uint32_t>(at + 24);
  entry.chain = load_big_endian<std::uint32_t>(at + kChained);
  if (entry.chain != crc32c(bytes.first(kChained), previous_chain)) return std::nullopt;
  if (entry.size_bytes < kBatchHeaderBytes) return std::nullopt;
  return entry;
}

}  // namespace keelson::engine::log
