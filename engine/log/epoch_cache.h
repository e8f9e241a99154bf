// engine/log/epoch_cache.h: which leader epoch each offset of a log was written in.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "engine/log/log.h"
#include "engine/types.h"

namespace keelson::engine::log {

/// Where an epoch begins. Both fields grow strictly from one entry to the next.
struct EpochStart {
  LeaderEpoch epoch;
  Offset start_offset;

  friend bool operator==(const EpochStart&, const EpochStart&) = default;
};

/// The log's epochs in order; a few entries, one thread.
class EpochCache {
 public:
  /// Takes entries from disk. False where they are not strictly growing; then nothing changed.
  bool assign(std::vector<EpochStart> entries);

  /// Notes that `epoch` wrote at `start_offset`; no change where it is the latest epoch already,
  /// or none. True where an entry was added. An epoch below the latest is the caller's error.
  bool note(LeaderEpoch epoch, Offset start_offset);

  LeaderEpoch latest() const { return entries_.empty() ? kNoLeaderEpoch : entries_.back().epoch; }
  LeaderEpoch epoch_of(Offset offset) const;
  /// The largest epoch at or below `epoch` and the offset where it ends.
  std::optional<EpochEnd> end_of(LeaderEpoch epoch, Offset log_end_offset) const;

  /// Forgets epochs that start at or above `end_offset`. True where something went.
  bool truncate_suffix(Offset end_offset);
  /// Forgets epochs that end at or below `start_offset`; the one that holds it begins there.
  bool truncate_prefix(Offset start_offset);

  const std::vector<EpochStart>& entries() const { return entries_; }
  bool begins_at(Offset offset) const {
    return std::ranges::find(entries_, offset, &EpochStart::start_offset) != entries_.end();
  }

 private:
  std::vector<EpochStart> entries_;
};

}  // namespace keelson::engine::log
