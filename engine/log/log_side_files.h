// engine/log/log_side_files.h: Kafka's side files of one log, as text and bytes.
//
//   partition.metadata       "version: 0\ntopic_id: <22 characters>"
//   leader-epoch-checkpoint  "0\n<count>\n", then "<epoch> <start offset>\n" for each
//   %020d.snapshot           producers as of that offset:
//       0 2 version 1 · 2 4 CRC-32C of all behind it · 6 4 count · then 46 bytes each:
//       0 8 producer id · 8 2 epoch · 10 4 last sequence · 14 8 last offset · 22 4 offset delta ·
//       26 8 timestamp · 34 4 coordinator epoch · 38 8 first offset of the open transaction, -1
// All are derived or kept twice: a damaged one is made again.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/log/epoch_cache.h"
#include "engine/log/producer_state.h"
#include "engine/uuid.h"

namespace keelson::engine::log {

inline constexpr std::string_view kPartitionMetadataName = "partition.metadata";
inline constexpr std::string_view kEpochFileName = "leader-epoch-checkpoint";
inline constexpr std::size_t kPartitionMetadataBytesMax = 4096;
inline constexpr std::size_t kEpochFileBytesMax = std::size_t{4} << 20;
inline constexpr std::size_t kSnapshotBytesMax = std::size_t{256} << 20;

/// What the files of one segment end in.
inline constexpr std::array<std::string_view, 6> kSegmentEndings = {
    ".log", ".index", ".timeindex", ".integrity", ".txnindex", ".snapshot"};

std::string encode_partition_metadata(const Uuid& topic_id);
std::optional<Uuid> parse_partition_metadata_id(std::string_view content);

std::string encode_epochs(const std::vector<EpochStart>& entries);
std::optional<std::vector<EpochStart>> parse_epochs(std::string_view content);

std::string encode_snapshot(const ProducerStates& producers);
/// Errors: corrupt.
[[nodiscard]] Result<ProducerStates> parse_snapshot(std::string_view content);

}  // namespace keelson::engine::log
