// tests/sim/support/sim_producer.h: a producer of one partition, as Kafka's client behaves.
#pragma once

#include <deque>
#include <vector>

#include "engine/log/record_batch.h"
#include "tests/sim/support/workload.h"

namespace keelson::test {

struct ProducerOptions {
  bool idempotent = true;
  std::int16_t acks = -1;
  engine::log::Codec codec = engine::log::Codec::none;
  std::size_t window = 5;  // batches under way; 1 for one that is not idempotent
  std::int64_t records_max = 1'000'000;
  std::int64_t batch_records_max = 5;
  std::size_t padding_bytes_max = 200;
  std::int64_t pause_ms_max = 20;
};

/// Sends until Workload::stopping, tries again with the same sequences until all is answered or
/// the topic is gone. Lives until run() has returned.
class SimProducer {
 public:
  SimProducer(Workload& load, std::uint32_t id, Topic topic, std::int32_t partition,
              ProducerOptions options);

  engine::Task<void> run();
  /// Nothing is un-answered.
  bool settled() const { return unacked_.empty(); }
  std::size_t acknowledged() const { return acknowledged_; }

 private:
  struct Batch {
    std::uint64_t first = 0;
    std::vector<std::size_t> paddings;
    std::int64_t timestamp_ms = 0;
    std::int32_t base_sequence = -1;
    std::uint64_t losses = 0;  // Workload::losses when it was sent
    SimClient::Slot slot;
  };
  enum class Verdict : std::uint8_t { done, again, refused, gone };

  void make_batch();
  SimClient::Slot send(const Batch& batch);
  void number_anew();
  engine::Task<bool> get_producer_id();
  engine::Task<void> settle();
  Verdict judge(const Batch& batch, std::int16_t error, std::int64_t base_offset);

  Workload& load_;
  const std::uint32_t id_;
  const Topic topic_;
  const std::int32_t partition_;
  const ProducerOptions options_;
  const PartitionName name_;
  SimClient client_;
  std::int64_t producer_id_ = -1;
  std::int16_t producer_epoch_ = -1;
  std::int32_t next_sequence_ = 0;
  std::uint64_t next_number_ = 0;
  std::deque<Batch> unacked_;
  std::size_t acknowledged_ = 0;
  bool over_ = false;
};

}  // namespace keelson::test
