#include "engine/log/leader_epoch_file.h"

#include "engine/log/strict_text.h"
#include "engine/logger.h"

namespace keelson::engine::log {

std::string encode_leader_epochs(std::span<const LeaderEpochEntry> entries) {
  std::string out = concat("0\n", entries.size(), '\n');
  for (const LeaderEpochEntry& entry : entries) {
    out += concat(entry.epoch.value(), ' ', entry.start_offset.value(), '\n');
  }
  return out;
}

Result<std::vector<LeaderEpochEntry>> parse_leader_epochs(std::string_view text) {
  std::vector<LeaderEpochEntry> entries;
  if (text.empty()) return entries;
  if (take_line(text) != "0") return fail(Errc::corrupt);
  const auto count = parse_decimal<std::int64_t>(take_line(text).value_or(""));
  if (!count) return fail(Errc::corrupt);
  while (!text.empty()) {
    std::optional<std::string_view> line = take_line(text);
    if (!line) return fail(Errc::corrupt);
    const std::optional<std::string_view> first = take_until(*line, ' ');
    const auto epoch = parse_decimal<std::int32_t>(first.value_or(""));
    const auto offset = parse_decimal<std::int64_t>(*line);
    if (!epoch || !offset || *epoch < 0 || *offset < 0) return fail(Errc::corrupt);
    const LeaderEpochEntry entry{LeaderEpoch{*epoch}, Offset{*offset}};
    if (!entries.empty() &&
        (entry.epoch <= entries.back().epoch || entry.start_offset < entries.back().start_offset)) {
      return fail(Errc::corrupt);
    }
    entries.push_back(entry);
  }
  if (*count != static_cast<std::int64_t>(entries.size())) return fail(Errc::corrupt);
  return entries;
}

}  // namespace keelson::engine::log
