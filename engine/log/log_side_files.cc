#include "engine/log/log_side_files.h"

#include "engine/log/leader_epoch_file.h"
#include "engine/log/producer_history.h"
#include "engine/log/producer_snapshot.h"

namespace keelson::engine::log {

std::string encode_epochs(const std::vector<EpochStart>& entries) {
  std::vector<LeaderEpochEntry> list;
  for (const EpochStart& entry : entries) list.push_back({entry.epoch, entry.start_offset});
  return encode_leader_epochs(list);
}

std::optional<std::vector<EpochStart>> parse_epochs(std::string_view content) {
  const Result<std::vector<LeaderEpochEntry>> list = parse_leader_epochs(content);
  if (!list) return std::nullopt;
  std::vector<EpochStart> entries;
  for (const LeaderEpochEntry& entry : *list) entries.push_back({entry.epoch, entry.start_offset});
  return entries;
}

std::string encode_snapshot(const ProducerStates& producers, const LogIdentity& identity,
                            Offset at) {
  std::vector<ProducerSnapshotEntry> list;
  list.reserve(producers.entries().size());
  for (const auto& [id, entry] : producers.entries()) {
    ProducerSnapshotEntry& out = list.emplace_back();
    out.producer_id = id;
    out.producer_epoch = entry.epoch;
    if (const ProducerBatch* const last = entry.last()) {
      out.last_sequence = last->last_sequence;
      out.last_offset = last->last_offset;
      out.offset_delta = static_cast<std::int32_t>(last->last_offset - last->first_offset);
    }
    out.timestamp_ms = entry.last_timestamp_ms;
    out.coordinator_epoch = entry.coordinator_epoch;
    if (entry.transaction_start) out.transaction_start = *entry.transaction_start;
  }
  std::string content = encode_producer_snapshot(list);
  append_producer_history(content, producers, identity, at);
  return content;
}

Result<ProducerStates> parse_snapshot(std::string_view content, const LogIdentity& identity,
                                      Offset at) {
  const Bytes file = std::as_bytes(std::span(content));
  const Result<std::vector<ProducerSnapshotEntry>> list = parse_producer_snapshot(file);
  if (!list) return std::unexpected(list.error());
  ProducerStates producers;
  for (const ProducerSnapshotEntry& in : *list) {
    if (in.last_offset >= at) return fail(Errc::corrupt);
    ProducerEntry& entry = producers.entries()[in.producer_id];
    entry.epoch = in.producer_epoch;
    entry.last_timestamp_ms = in.timestamp_ms;
    entry.coordinator_epoch = in.coordinator_epoch;
    if (in.transaction_start.value() >= 0) entry.transaction_start = in.transaction_start;
    if (in.last_sequence < 0 || in.offset_delta < 0) continue;
    const auto first_sequence =
        static_cast<std::int32_t>((std::int64_t{in.last_sequence} - in.offset_delta) & 0x7fffffff);
    entry.batches[0] = {first_sequence, in.last_sequence,
                        in.last_offset + -std::int64_t{in.offset_delta}, in.last_offset,
                        in.timestamp_ms};
    entry.batch_count = 1;
    entry.contiguous = std::int64_t{in.offset_delta} + 1;
  }
  read_producer_history(file, identity, at, producers);
  return producers;
}

}  // namespace keelson::engine::log
