// engine/log/leader_epoch_file.h: `leader-epoch-checkpoint`, where each leader epoch begins.
//
// Text, each line ended by a newline: "0" (version), the count of entries, then "epoch offset".
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/types.h"

namespace keelson::engine::log {

struct LeaderEpochEntry {
  LeaderEpoch epoch;
  Offset start_offset;
  friend bool operator==(const LeaderEpochEntry&, const LeaderEpochEntry&) = default;
};

std::string encode_leader_epochs(std::span<const LeaderEpochEntry> entries);

/// A file of no bytes has no entries, as for Kafka. Errors: corrupt: another version, a false
/// count, cut, or epochs that do not grow strictly with offsets that never fall.
[[nodiscard]] Result<std::vector<LeaderEpochEntry>> parse_leader_epochs(std::string_view text);

}  // namespace keelson::engine::log
