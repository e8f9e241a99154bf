// engine/log/log_side_files.h: a log's state as the files Kafka keeps beside it, and their names.
// All are derived or kept twice: a damaged one is made again.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "engine/log/epoch_cache.h"
#include "engine/log/log.h"
#include "engine/log/producer_state.h"
#include "engine/uuid.h"

namespace keelson::engine::log {

inline constexpr std::string_view kPartitionMetadataName = "partition.metadata";
inline constexpr std::string_view kEpochFileName = "leader-epoch-checkpoint";
inline constexpr std::size_t kPartitionMetadataBytesMax = 4096;
inline constexpr std::size_t kEpochFileBytesMax = std::size_t{4} << 20;
inline constexpr std::size_t kSnapshotBytesMax = std::size_t{256} << 20;
inline constexpr std::size_t kIndexBytesMax = std::size_t{256} << 20;  // and .txnindex

/// What the files of one segment end in.
inline constexpr std::array<std::string_view, 6> kSegmentEndings = {
    ".log", ".index", ".timeindex", ".integrity", ".txnindex", ".snapshot"};

std::string encode_epochs(const std::vector<EpochStart>& entries);
std::optional<std::vector<EpochStart>> parse_epochs(std::string_view content);

/// `<at>.snapshot`: Kafka's entries and, where these do not say it all, our history behind them.
std::string encode_snapshot(const ProducerStates& producers, const LogIdentity& identity,
                            Offset at);
/// Errors: corrupt; also an entry of an offset that is not below `at`.
[[nodiscard]] Result<ProducerStates> parse_snapshot(std::string_view content,
                                                    const LogIdentity& identity, Offset at);

}  // namespace keelson::engine::log
