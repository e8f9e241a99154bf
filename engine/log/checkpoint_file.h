// engine/log/checkpoint_file.h: the files of a data directory that name an offset per partition:
// recovery-point-offset-, log-start-offset-, replication-offset- and cleaner-offset-checkpoint.
//
// Text, each line ended by a newline: "0" (version), the count, then "topic partition offset".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/types.h"

namespace keelson::engine::log {

struct CheckpointEntry {
  std::string topic;  // 1..249 characters of a-z A-Z 0-9 . _ -
  std::int32_t partition = 0;
  Offset offset;
  friend bool operator==(const CheckpointEntry&, const CheckpointEntry&) = default;
};

/// In the order given: Kafka's own order is that of a hash map, and means nothing.
std::string encode_checkpoints(std::span<const CheckpointEntry> entries);

/// A file of no bytes has no entries: Kafka makes it before it first writes it.
/// Errors: corrupt: another version, a false count, cut, a partition twice, or no such topic.
[[nodiscard]] Result<std::vector<CheckpointEntry>> parse_checkpoints(std::string_view text);

}  // namespace keelson::engine::log
