// plugins/storage/kafka_metadata_log.h: reads the files of Kafka's own metadata log.
#pragma once

#include <optional>
#include <string>

#include "engine/io/shard.h"
#include "engine/task.h"
#include "plugins/registry/log_store.h"

namespace keelson::storage {

/// The newest sound snapshot in `dir` and the log from there on. Reads only. Nothing where there is
/// no such directory; damage is told in the findings, what stands before it counts.
/// Errors: io.
[[nodiscard]] engine::Task<engine::Result<std::optional<AdoptedMetadata>>> read_kafka_metadata(
    engine::io::Shard& shard, std::string dir);

}  // namespace keelson::storage
