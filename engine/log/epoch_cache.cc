#include "engine/log/epoch_cache.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace keelson::engine::log {

bool EpochCache::assign(std::vector<EpochStart> entries) {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].epoch.value() < 0 || entries[i].start_offset.value() < 0) return false;
    if (i == 0) continue;
    if (entries[i].epoch <= entries[i - 1].epoch) return false;
    if (entries[i].start_offset < entries[i - 1].start_offset) return false;
  }
  entries_ = std::move(entries);
  return true;
}

bool EpochCache::note(LeaderEpoch epoch, Offset start_offset) {
  if (epoch == kNoLeaderEpoch || epoch == latest()) return false;
  assert(epoch > latest());
  // An epoch that wrote nothing leaves no trace: its successor begins where it began.
  while (!entries_.empty() && entries_.back().start_offset >= start_offset) entries_.pop_back();
  entries_.push_back({epoch, start_offset});
  return true;
}

LeaderEpoch EpochCache::epoch_of(Offset offset) const {
  const auto after = std::ranges::upper_bound(entries_, offset, {}, &EpochStart::start_offset);
  return after == entries_.begin() ? kNoLeaderEpoch : std::prev(after)->epoch;
}

std::optional<EpochEnd> EpochCache::end_of(LeaderEpoch epoch, Offset log_end_offset) const {
  const auto after = std::ranges::upper_bound(entries_, epoch, {}, &EpochStart::epoch);
  if (after == entries_.begin()) return std::nullopt;
  const Offset end = after == entries_.end() ? log_end_offset : after->start_offset;
  return EpochEnd{std::prev(after)->epoch, end};
}

bool EpochCache::truncate_suffix(Offset end_offset) {
  const std::size_t before = entries_.size();
  std::erase_if(entries_,
                [&](const EpochStart& entry) { return entry.start_offset >= end_offset; });
  return entries_.size() != before;
}

bool EpochCache::truncate_prefix(Offset start_offset) {
  const auto after =
      std::ranges::upper_bound(entries_, start_offset, {}, &EpochStart::start_offset);
  if (after == entries_.begin()) return false;
  const auto holding = std::prev(after);
  const bool changed = holding != entries_.begin() || holding->start_offset != start_offset;
  holding->start_offset = start_offset;
  entries_.erase(entries_.begin(), holding);
  return changed;
}

}  // namespace keelson::engine::log
