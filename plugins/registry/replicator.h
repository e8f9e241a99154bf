// plugins/registry/replicator.h: kind `replicator`: partitions as their leader serves them.
//
// A request comes whole: the replicator splits it by owner shard, hops once to each, and answers
// once. Every method may be called on any shard; `home` is the caller's, where it resumes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/shard.h"
#include "engine/log/batch_validation.h"
#include "engine/log/log.h"
#include "engine/slice.h"
#include "engine/task.h"
#include "plugins/registry/cluster.h"
#include "plugins/registry/plugin.h"

namespace keelson {

inline constexpr std::int64_t kNoOffset = -1;

struct ProducePartition {
  PartitionKey key;
  engine::MutableBytes records;  // as sent; stamped in place. Live until the appends have ended
  engine::LeaderEpoch current_leader_epoch = engine::kNoLeaderEpoch;  // none: not checked
};

enum class Acks : std::int8_t { all = -1, none = 0, leader = 1 };

struct ProduceCall {
  Acks acks = Acks::all;
  /// With Acks::all: how long the answer may take. 0 and less: as long as it takes; Kafka does not
  /// count the leader's own write either, so a limit of 0 is one that a sole replica never misses.
  std::int32_t timeout_ms = 0;
  /// What `records` lie in, where there is a limit: appends may outlive the answer. Let go on
  /// `home`, when the last has ended.
  std::shared_ptr<const void> memory;
  bool zstd_allowed = true;  // Produce v7 and later
  engine::log::BatchOrigin origin = engine::log::BatchOrigin::client;
  std::vector<ProducePartition> partitions;
};

struct ProduceAnswer {
  ApiErrc error = ApiErrc::none;
  std::string message;
  std::vector<engine::log::RecordFault> record_faults;
  std::int64_t base_offset = kNoOffset;
  std::int64_t log_append_time_ms = engine::kNoTimestamp;
  std::int64_t log_start_offset = kNoOffset;
};

struct FetchPartition {
  PartitionKey key;
  engine::Offset offset;
  engine::LeaderEpoch current_leader_epoch = engine::kNoLeaderEpoch;  // none: not checked
  engine::LeaderEpoch last_fetched_epoch = engine::kNoLeaderEpoch;
  std::int32_t bytes_max = 1'048'576;
};

struct FetchCall {
  std::int32_t max_wait_ms = 500;
  std::int32_t min_bytes = 1;
  std::int32_t bytes_max = 0x7fffffff;
  bool read_committed = false;
  bool zstd_allowed = true;  // Fetch v10 and later
  std::vector<FetchPartition> partitions;
};

struct FetchAnswer {
  ApiErrc error = ApiErrc::none;
  std::int64_t high_watermark = kNoOffset;
  std::int64_t last_stable_offset = kNoOffset;
  std::int64_t log_start_offset = kNoOffset;
  std::optional<engine::log::EpochEnd> diverging;
  engine::SliceList records;
  /// Those that `records` may hold records of, in the order of their markers. Nothing for a reader
  /// of uncommitted records and beside an error.
  std::optional<std::vector<engine::log::AbortedTransaction>> aborted_transactions;
};

/// Special times of ListOffsets (source: Kafka 4.3.1, ListOffsetsRequest).
inline constexpr std::int64_t kLatestTime = -1;
inline constexpr std::int64_t kEarliestTime = -2;
inline constexpr std::int64_t kMaxTime = -3;
inline constexpr std::int64_t kEarliestLocalTime = -4;
inline constexpr std::int64_t kLatestTieredTime = -5;
inline constexpr std::int64_t kEarliestPendingUploadTime = -6;

struct OffsetAnswer {
  std::int64_t timestamp_ms = engine::kNoTimestamp;
  std::int64_t offset = kNoOffset;
  engine::LeaderEpoch leader_epoch = engine::kNoLeaderEpoch;
};

struct PartitionSize {
  PartitionKey key;
  std::uint64_t size_bytes = 0;
};

class Replicator : public Plugin {
 public:
  static constexpr const char* kKind = "replicator";

  /// One answer for each partition, in the order of the call. Partitions are independent: an error
  /// of one changes nothing for the others. With Acks::none the answers come when the records were
  /// taken in. Errors per partition: unknown_topic_or_partition, not_leader_or_follower,
  /// not_enough_replicas, kafka_storage_error, request_timed_out (the record may appear later,
  /// once), fenced_leader_epoch and unknown_leader_epoch (nothing was written), and the refusals of
  /// validate_batch() and Log::append().
  [[nodiscard]] virtual engine::Task<std::vector<ProduceAnswer>> produce(engine::io::Shard& home,
                                                                         ProduceCall call) = 0;

  /// One answer for each partition, in the order of the call; `records` are shared with the log's
  /// cache and immutable, and with `read_committed` lie below the last stable offset. Waits up to
  /// max_wait_ms for min_bytes, woken by the append that brings them; an error of any partition
  /// ends the wait at once. The first partition with records gets at least one batch, whatever the
  /// limits (KIP-74). `cancelled` may be set by the caller, on `home`, to end the wait early.
  [[nodiscard]] virtual engine::Task<std::vector<FetchAnswer>> fetch(
      engine::io::Shard& home, FetchCall call, engine::io::Event& cancelled) = 0;

  /// `timestamp_ms` may be one of the special times. Errors: unknown_topic_or_partition,
  /// fenced_leader_epoch, unknown_leader_epoch, kafka_storage_error, unsupported_version.
  [[nodiscard]] virtual engine::Task<ApiResult<OffsetAnswer>> list_offset(
      engine::io::Shard& home, PartitionKey key, std::int64_t timestamp_ms, bool read_committed,
      engine::LeaderEpoch current_leader_epoch) = 0;

  [[nodiscard]] virtual engine::Task<ApiResult<engine::log::EpochEnd>> epoch_end(
      engine::io::Shard& home, PartitionKey key, engine::LeaderEpoch epoch,
      engine::LeaderEpoch current_leader_epoch) = 0;

  /// Moves the log start to `offset`, kNoOffset for the high watermark; the new log start.
  /// Errors: offset_out_of_range, policy_violation (compacted only), unknown_topic_or_partition.
  [[nodiscard]] virtual engine::Task<ApiResult<std::int64_t>> delete_records(
      engine::io::Shard& home, PartitionKey key, std::int64_t offset) = 0;

  [[nodiscard]] virtual engine::Task<ApiResult<std::vector<engine::log::Log::ProducerInfo>>>
  producers(engine::io::Shard& home, PartitionKey key) = 0;

  /// Sizes of the partitions that are here, of those asked for; all where `keys` is nothing.
  [[nodiscard]] virtual engine::Task<std::vector<PartitionSize>> sizes(
      engine::io::Shard& home, std::optional<std::vector<PartitionKey>> keys) = 0;

  /// Raw batches of one partition for a plugin that keeps its state in a log (groups): below the
  /// high watermark, from `offset` on, at most `bytes_max`, no waiting.
  [[nodiscard]] virtual engine::Task<ApiResult<FetchAnswer>> read(engine::io::Shard& home,
                                                                  PartitionKey key,
                                                                  engine::Offset offset,
                                                                  std::int32_t bytes_max) = 0;
};

}  // namespace keelson
