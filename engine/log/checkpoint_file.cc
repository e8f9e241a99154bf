#include "engine/log/checkpoint_file.h"

#include <algorithm>
#include <set>
#include <utility>

#include "engine/log/strict_text.h"
#include "engine/logger.h"

namespace keelson::engine::log {
namespace {

bool is_topic_name(std::string_view name) {
  constexpr std::size_t kNameBytesMax = 249;
  const auto is_legal = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= kNameBytesMax && name != "." && name != ".." &&
         std::ranges::all_of(name, is_legal);
}

std::optional<CheckpointEntry> parse_entry(std::string_view line) {
  const std::string_view topic = take_until(line, ' ').value_or("");
  const auto partition = parse_decimal<std::int32_t>(take_until(line, ' ').value_or(""));
  const auto offset = parse_decimal<std::int64_t>(line);
  if (!is_topic_name(topic) || !partition || !offset || *partition < 0 || *offset < 0) {
    return std::nullopt;
  }
  return CheckpointEntry{std::string(topic), *partition, Offset{*offset}};
}

}  // namespace

std::string encode_checkpoints(std::span<const CheckpointEntry> entries) {
  std::string out = concat("0\n", entries.size(), '\n');
  for (const CheckpointEntry& entry : entries) {
    out += concat(entry.topic, ' ', entry.partition, ' ', entry.offset.value(), '\n');
  }
  return out;
}

Result<std::vector<CheckpointEntry>> parse_checkpoints(std::string_view text) {
  std::vector<CheckpointEntry> entries;
  if (text.empty()) return entries;
  if (take_line(text) != "0") return fail(Errc::corrupt);
  const auto count = parse_decimal<std::int64_t>(take_line(text).value_or(""));
  if (!count) return fail(Errc::corrupt);
  std::set<std::pair<std::string, std::int32_t>> seen;
  while (!text.empty()) {
    std::optional<CheckpointEntry> entry = parse_entry(take_line(text).value_or(""));
    if (!entry || !seen.emplace(entry->topic, entry->partition).second) {
      return fail(Errc::corrupt);
    }
    entries.push_back(std::move(*entry));
  }
  if (*count != static_cast<std::int64_t>(entries.size())) return fail(Errc::corrupt);
  return entries;
}

}  // namespace keelson::engine::log
