// plugins/offsets/offset_settings.h: what can be set about groups and their offsets.
#pragma once

#include <cstdint>

#include "plugins/offsets/classic_group.h"
#include "plugins/offsets/consumer_group.h"

namespace keelson::offsets {

/// Defaults are Kafka's.
struct OffsetSettings {
  ClassicGroupLimits classic;
  ConsumerGroupSettings consumer;
  bool consumer_protocol = true;                       // group.coordinator.rebalance.protocols
  bool consumer_upgrade = true;                        // group.consumer.migration.policy
  bool consumer_downgrade = true;                      // likewise
  std::int32_t topic_partitions = 50;                  // offsets.topic.num.partitions
  std::int16_t topic_replication_factor = 3;           // offsets.topic.replication.factor
  bool topic_replication_exact = false;                // else no more than there are brokers
  std::int32_t topic_segment_bytes = 104'857'600;      // offsets.topic.segment.bytes
  std::int32_t metadata_units_max = 4'096;             // offset.metadata.max.bytes
  std::int32_t commit_timeout_ms = 5'000;              // offsets.commit.timeout.ms
  std::int32_t load_bytes = 5 * 1024 * 1024;           // offsets.load.buffer.size
  std::int64_t retention_ms = 10'080LL * 60 * 1'000;   // offsets.retention.minutes
  std::int64_t retention_check_interval_ms = 600'000;  // offsets.retention.check.interval.ms
};

}  // namespace keelson::offsets
