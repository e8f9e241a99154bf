// engine/log/log_config.h: the settings of one log. Names and defaults are Kafka's topic settings
// (source: Kafka 4.3 TopicConfig, LogConfig).
#pragma once

#include <cstdint>
#include <limits>

#include "engine/log/record_batch.h"

namespace keelson::engine::log {

inline constexpr std::int64_t kUnlimited = -1;
inline constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();

/// When an append counts as done.
enum class Durability : std::uint8_t {
  durable,  // on stable storage
  relaxed,  // written, not yet synced; a sync follows on its own
};

struct LogConfig {
  std::uint64_t segment_bytes = std::uint64_t{1} << 30;       // segment.bytes
  std::int64_t segment_ms = 604'800'000;                      // segment.ms, of record time
  std::int64_t segment_jitter_ms = 0;                         // segment.jitter.ms
  std::uint64_t segment_index_bytes = 10'485'760;             // segment.index.bytes
  std::uint32_t index_interval_bytes = 4096;                  // index.interval.bytes
  std::int64_t retention_ms = 604'800'000;                    // retention.ms, kUnlimited
  std::int64_t retention_bytes = kUnlimited;                  // retention.bytes
  std::int64_t file_delete_delay_ms = 60'000;                 // file.delete.delay.ms
  std::uint32_t max_message_bytes = 1'048'588;                // max.message.bytes, whole batch
  bool cleanup_delete = true;                                 // cleanup.policy has delete
  bool cleanup_compact = false;                               // cleanup.policy has compact
  double min_cleanable_dirty_ratio = 0.5;                     // min.cleanable.dirty.ratio
  std::int64_t min_compaction_lag_ms = 0;                     // min.compaction.lag.ms
  std::int64_t max_compaction_lag_ms = kForever;              // max.compaction.lag.ms
  std::int64_t delete_retention_ms = 86'400'000;              // delete.retention.ms
  TimestampType timestamp_type = TimestampType::create_time;  // message.timestamp.type
  std::int64_t timestamp_before_max_ms = kForever;            // message.timestamp.before.max.ms
  std::int64_t timestamp_after_max_ms = 3'600'000;            // message.timestamp.after.max.ms
  bool keep_producer_codec = true;                            // compression.type=producer
  Codec codec = Codec::none;                                  // else: the codec written
  int codec_level = 0;  // compression.{gzip,lz4,zstd}.level; meaningful with `codec` set
  Durability durability = Durability::durable;          // keelson.durability
  std::int64_t producer_id_expiration_ms = 86'400'000;  // producer.id.expiration.ms
};

}  // namespace keelson::engine::log
