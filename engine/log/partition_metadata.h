// engine/log/partition_metadata.h: `partition.metadata`, the topic id of a partition's directory.
//
// "version: 0", newline, "topic_id: " and 22 characters; no newline at the end.
#pragma once

#include <string>
#include <string_view>

#include "engine/error.h"
#include "engine/uuid.h"

namespace keelson::engine::log {

std::string encode_partition_metadata(const Uuid& topic_id);

/// The topic id. One newline at the end is accepted: people edit this file. Errors: corrupt,
/// also for the id of zeros, which no topic has.
[[nodiscard]] Result<Uuid> parse_partition_metadata(std::string_view text);

}  // namespace keelson::engine::log
