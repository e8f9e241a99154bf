// plugins/storage/adoption.h: what is known of a data directory that another broker wrote.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/shard.h"
#include "engine/task.h"
#include "plugins/registry/log_store.h"

namespace keelson::storage {

/// Kafka's own metadata log: read, never served, never written to.
inline constexpr std::string_view kKafkaMetadataName = "__cluster_metadata-0";

/// Kafka's metadata, and what the `stored` logs say beside it: leader epochs and producer ids may
/// be ahead of it; and where it is not complete, a folder is enough for a topic to be. Such a topic
/// keeps its records for ever until somebody says otherwise.
/// Nothing where the metadata ends at or before `known_position`. Errors: io.
[[nodiscard]] engine::Task<engine::Result<std::optional<AdoptedMetadata>>> read_adoption(
    engine::io::Shard& shard, std::string data_dir, const std::vector<StoredLog>& stored,
    std::int64_t known_position);

}  // namespace keelson::storage
