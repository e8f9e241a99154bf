// replication/partition.h: one partition as its leader serves it, on the shard that owns it.
#pragma once

#include <cstdint>
#include <string>

#include "engine/io/sync.h"
#include "engine/log/log.h"
#include "plugins/registry/replicator.h"

namespace keelson::replication {

/// What the partitions of one shard share. Outlives them.
struct PartitionShard {
  explicit PartitionShard(engine::io::Shard& home) : shard(home), long_validations(home, 2) {}
  engine::io::Shard& shard;
  /// Batches that take longer to check than a turn should, each with a decompressor in hand.
  engine::io::Semaphore long_validations;
};

/// A led partition: a log, its epoch, and what is visible of it. Owner shard's thread only.
/// Lives until close() was awaited.
class Partition {
 public:
  Partition(PartitionShard& shared, std::string topic, PartitionKey key, engine::log::Log& log,
            engine::LeaderEpoch epoch)
      : shared_(shared),
        topic_(std::move(topic)),
        key_(key),
        log_(log),
        epoch_(epoch),
        gate_(shared.shard),
        append_turn_(shared.shard, 1) {}

  const std::string& topic() const { return topic_; }
  const PartitionKey& key() const { return key_; }
  engine::log::Log& log() { return log_; }
  engine::LeaderEpoch epoch() const { return epoch_; }
  /// Work on the log enters here, so that close() can wait for it.
  engine::io::Gate& gate() { return gate_; }
  /// Held from before a batch is validated until it is placed: batches append in the order of their
  /// requests, however long the check of one takes.
  engine::io::Semaphore& append_turn() { return append_turn_; }
  PartitionShard& shared() { return shared_; }

  /// Everything below is on every in-sync replica; with one replica: is durable.
  engine::Offset high_watermark() const { return log_.durable_offset(); }
  /// The high watermark, or the first offset of a transaction that is not decided below it.
  engine::Offset last_stable_offset() const { return log_.last_stable_offset(high_watermark()); }
  engine::Offset readable_below(bool read_committed) const {
    return read_committed ? last_stable_offset() : high_watermark();
  }

  /// none, fenced_leader_epoch or unknown_leader_epoch for what a client believes.
  ApiErrc check_epoch(engine::LeaderEpoch believed) const;

 private:
  PartitionShard& shared_;
  const std::string topic_;
  const PartitionKey key_;
  engine::log::Log& log_;
  const engine::LeaderEpoch epoch_;
  engine::io::Gate gate_;
  engine::io::Semaphore append_turn_;
};

/// Validates and appends one produced batch; answers when it is durable. `partition` is held by
/// its gate. Calls made in order append in order; most place their bytes before they first suspend.
[[nodiscard]] engine::Task<ProduceAnswer> append_produced(Partition& partition,
                                                          ProducePartition produced,
                                                          const ProduceCall& call,
                                                          std::int64_t now_ms);

/// What a fetch of this partition sees now, at most `bytes_max` of records, or one batch at least
/// where `at_least_one_batch`.
[[nodiscard]] engine::Task<FetchAnswer> read_fetched(Partition& partition, FetchPartition wanted,
                                                     bool read_committed, bool zstd_allowed,
                                                     engine::log::ReadLimits limits);

/// Says that read_fetched() like this comes soon: see Log::expect().
bool expect_fetched(Partition& partition, const FetchPartition& wanted, bool read_committed,
                    engine::log::ReadLimits limits);

[[nodiscard]] engine::Task<ApiResult<OffsetAnswer>> find_offset(Partition& partition,
                                                                std::int64_t timestamp_ms,
                                                                bool read_committed);

[[nodiscard]] engine::Task<ApiResult<std::int64_t>> delete_records_before(Partition& partition,
                                                                          std::int64_t offset);

/// Where `epoch` ends for a client that asks; {kNoLeaderEpoch, -1} where it is not known.
engine::log::EpochEnd find_epoch_end(Partition& partition, engine::LeaderEpoch epoch);

}  // namespace keelson::replication
