// engine/log/batch_builder.h: makes a record batch, for internal topics, tools and tests.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "engine/log/record_batch.h"

namespace keelson::engine::log {

struct RecordHeader {
  Bytes key;
  std::optional<Bytes> value;
};

class BatchBuilder {
 public:
  explicit BatchBuilder(Codec codec = Codec::none, int level = 0);

  BatchBuilder& producer(ProducerId id, ProducerEpoch epoch, std::int32_t base_sequence);
  BatchBuilder& transactional(bool on = true);
  BatchBuilder& control(bool on = true);

  /// Adds a record with the next offset delta.
  BatchBuilder& add(std::int64_t timestamp_ms, std::optional<Bytes> key, std::optional<Bytes> value,
                    std::span<const RecordHeader> headers = {});
  std::int32_t record_count() const { return record_count_; }
  std::size_t uncompressed_bytes() const { return records_.size(); }

  /// The whole batch with base offset `base_offset` and a right CRC. At least one record was added.
  std::vector<std::byte> build(Offset base_offset = Offset{0},
                               LeaderEpoch epoch = kNoLeaderEpoch) const;

 private:
  Codec codec_;
  int level_;
  std::int16_t flags_ = 0;
  ProducerId producer_id_ = kNoProducerId;
  ProducerEpoch producer_epoch_ = kNoProducerEpoch;
  std::int32_t base_sequence_ = kNoSequence;
  std::int32_t record_count_ = 0;
  std::int64_t base_timestamp_ = kNoTimestamp;
  std::int64_t max_timestamp_ = kNoTimestamp;
  std::vector<std::byte> records_;
};

}  // namespace keelson::engine::log
