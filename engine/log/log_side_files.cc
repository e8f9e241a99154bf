#include "engine/log/log_side_files.h"

#include <charconv>

#include "engine/byte_order.h"
#include "engine/crc32c.h"
#include "engine/logger.h"

namespace keelson::engine::log {
namespace {

constexpr std::int16_t kSnapshotVersion = 1;
constexpr std::size_t kSnapshotHeadBytes = 10;
constexpr std::size_t kSnapshotEntryBytes = 46;

template <class T>
void put(std::string& out, T value) {
  std::byte bytes[sizeof(T)];
  store_big_endian(bytes, value);
  out.append(reinterpret_cast<const char*>(bytes), sizeof bytes);
}

/// Takes a line off the front of `text`, without its newline.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string encode_partition_metadata(const Uuid& topic_id) {
  return concat("version: 0\ntopic_id: ", to_string(topic_id));
}

std::optional<Uuid> parse_partition_metadata_id(std::string_view content) {
  constexpr std::string_view kIdLabel = "topic_id: ";
  if (take_line(content) != "version: 0") return std::nullopt;
  const std::string_view line = take_line(content);
  if (!line.starts_with(kIdLabel)) return std::nullopt;
  return parse_uuid(line.substr(kIdLabel.size()));
}

std::string encode_epochs(const std::vector<EpochStart>& entries) {
  std::string out = concat("0\n", entries.size(), "\n");
  for (const EpochStart& entry : entries) {
    out += concat(entry.epoch.value(), " ", entry.start_offset.value(), "\n");
  }
  return out;
}

std::optional<std::vector<EpochStart>> parse_epochs(std::string_view content) {
  if (take_line(content) != "0") return std::nullopt;
  const std::optional<std::size_t> count = parse_number<std::size_t>(take_line(content));
  if (!count) return std::nullopt;
  std::vector<EpochStart> entries;
  while (!content.empty()) {
    const std::string_view line = take_line(content);
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    const auto epoch = parse_number<std::int32_t>(line.substr(0, space));
    const auto start = parse_number<std::int64_t>(line.substr(space + 1));
    if (!epoch || !start) return std::nullopt;
    entries.push_back({LeaderEpoch{*epoch}, Offset{*start}});
  }
  if (entries.size() != *count) return std::nullopt;
  return entries;
}

std::string encode_snapshot(const ProducerStates& producers) {
  std::string body;
  put(body, static_cast<std::int32_t>(producers.entries().size()));
  for (const auto& [id, entry] : producers.entries()) {
    const ProducerBatch* const last = entry.last();
    put(body, id.value());
    put(body, entry.epoch.value());
    put(body, last ? last->last_sequence : kNoSequence);
    put(body, last ? last->last_offset.value() : std::int64_t{-1});
    put(body, last ? static_cast<std::int32_t>(last->last_offset - last->first_offset)
                   : std::int32_t{0});
    put(body, entry.last_timestamp_ms);
    put(body, entry.coordinator_epoch);
    put(body, entry.transaction_start ? entry.transaction_start->value() : std::int64_t{-1});
  }
  std::string out;
  put(out, kSnapshotVersion);
  put(out, crc32c(std::as_bytes(std::span(body))));
  return out + body;
}

Result<ProducerStates> parse_snapshot(std::string_view content) {
  if (content.size() < kSnapshotHeadBytes) return fail(Errc::corrupt);
  const auto* at = reinterpret_cast<const std::byte*>(content.data());
  if (load_big_endian<std::int16_t>(at) != kSnapshotVersion) return fail(Errc::corrupt);
  if (load_big_endian<std::uint32_t>(at + 2) !=
      crc32c(std::as_bytes(std::span(content.substr(6))))) {
    return fail(Errc::corrupt);
  }
  const auto count = load_big_endian<std::uint32_t>(at + 6);
  if (content.size() != kSnapshotHeadBytes + std::uint64_t{count} * kSnapshotEntryBytes) {
    return fail(Errc::corrupt);
  }
  ProducerStates producers;
  at += kSnapshotHeadBytes;
  for (std::uint32_t i = 0; i < count; ++i, at += kSnapshotEntryBytes) {
    ProducerEntry entry;
    entry.epoch = ProducerEpoch{load_big_endian<std::int16_t>(at + 8)};
    const auto last_sequence = load_big_endian<std::int32_t>(at + 10);
    const Offset last_offset{load_big_endian<std::int64_t>(at + 14)};
    const auto delta = load_big_endian<std::int32_t>(at + 22);
    entry.last_timestamp_ms = load_big_endian<std::int64_t>(at + 26);
    entry.coordinator_epoch = load_big_endian<std::int32_t>(at + 34);
    const auto transaction_start = load_big_endian<std::int64_t>(at + 38);
    if (transaction_start >= 0) entry.transaction_start = Offset{transaction_start};
    if (last_sequence >= 0 && delta >= 0) {
      const auto first_sequence =
          static_cast<std::int32_t>((std::int64_t{last_sequence} - delta) & 0x7fffffff);
      entry.batches[0] = {first_sequence, last_sequence, last_offset + -std::int64_t{delta},
                          last_offset, entry.last_timestamp_ms};
      entry.batch_count = 1;
      entry.contiguous = std::int64_t{delta} + 1;
    }
    producers.entries()[ProducerId{load_big_endian<std::int64_t>(at)}] = entry;
  }
  return producers;
}

}  // namespace keelson::engine::log
