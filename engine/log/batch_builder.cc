#include "engine/log/batch_builder.h"

#include <algorithm>
#include <cassert>

#include "engine/log/compression.h"
#include "engine/log/record_encoding.h"

namespace keelson::engine::log {
BatchBuilder::BatchBuilder(Codec codec, int level) : codec_(codec), level_(level) {}

BatchBuilder& BatchBuilder::producer(ProducerId id, ProducerEpoch epoch,
                                     std::int32_t base_sequence) {
  producer_id_ = id;
  producer_epoch_ = epoch;
  base_sequence_ = base_sequence;
  return *this;
}

BatchBuilder& BatchBuilder::transactional(bool on) {
  flags_ = static_cast<std::int16_t>(on ? flags_ | kAttributeTransactional
                                        : flags_ & ~kAttributeTransactional);
  return *this;
}

BatchBuilder& BatchBuilder::control(bool on) {
  flags_ = static_cast<std::int16_t>(on ? flags_ | kAttributeControl : flags_ & ~kAttributeControl);
  return *this;
}

BatchBuilder& BatchBuilder::add(std::int64_t timestamp_ms, std::optional<Bytes> key,
                                std::optional<Bytes> value, std::span<const RecordHeader> headers) {
  if (record_count_ == 0) {
    base_timestamp_ = timestamp_ms;
    max_timestamp_ = timestamp_ms;
  }
  max_timestamp_ = std::max(max_timestamp_, timestamp_ms);

  // The length goes in front, so the record is made aside first.
  std::vector<std::byte> record;
  append_record_start(record, {.timestamp_delta_ms = timestamp_ms - base_timestamp_,
                               .offset_delta = record_count_,
                               .key = key,
                               .value = value,
                               .header_count = static_cast<std::int32_t>(headers.size())});
  for (const RecordHeader& header : headers) {
    append_sized(record, header.key);
    append_nullable(record, header.value);
  }
  append_sized(records_, record);
  ++record_count_;
  return *this;
}

std::vector<std::byte> BatchBuilder::build(Offset base_offset, LeaderEpoch epoch) const {
  assert(record_count_ > 0);
  std::vector<std::byte> batch(kBatchHeaderBytes);
  Compressor target(codec_, level_, batch);
  const bool complete = target.write(records_) && target.finish();
  assert(complete);  // The size is not limited here.

  BatchHeader header;
  header.base_offset = base_offset;
  header.length = static_cast<std::int32_t>(batch.size() - kBatchPrefixBytes);
  header.leader_epoch = epoch;
  header.magic = kMagic;
  header.attributes = static_cast<std::int16_t>(flags_ | static_cast<std::int16_t>(codec_));
  header.last_offset_delta = record_count_ - 1;
  header.base_timestamp = base_timestamp_;
  header.max_timestamp = max_timestamp_;
  header.producer_id = producer_id_;
  header.producer_epoch = producer_epoch_;
  header.base_sequence = base_sequence_;
  header.record_count = record_count_;
  write_batch_header(batch, header);
  return batch;
}

}  // namespace keelson::engine::log
