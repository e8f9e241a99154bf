#include "tests/sim/support/sim_producer.h"

#include <utility>

#include "engine/log/batch_builder.h"
#include "engine/logger.h"
#include "plugins/kafka/messages/init_producer_id.h"
#include "plugins/kafka/messages/produce.h"

namespace keelson::test {

using engine::concat;
using engine::Task;
using kafka::messages::InitProducerIdRequest;
using kafka::messages::InitProducerIdResponse;
using kafka::messages::ProduceRequest;
using kafka::messages::ProduceResponse;

namespace {

constexpr std::int16_t kProduceVersion = 13;
constexpr std::int16_t kInitVersion = 5;
constexpr std::int64_t kRequestTimeoutMs = 6'000;

}  // namespace

SimProducer::SimProducer(Workload& load, std::uint32_t id, Topic topic, std::int32_t partition,
                         ProducerOptions options)
    : load_(load),
      id_(id),
      topic_(std::move(topic)),
      partition_(partition),
      options_(options),
      name_(topic_->partition(partition)),
      client_(load.shard, load.broker, concat("producer-", id)) {}

void SimProducer::make_batch() {
  Batch batch;
  batch.first = next_number_;
  batch.timestamp_ms = load_.timestamp_ms();
  const std::int64_t count = load_.rng.between(1, options_.batch_records_max);
  for (std::int64_t i = 0; i < count; ++i) {
    batch.paddings.push_back(load_.rng.below(options_.padding_bytes_max + 1));
    const RecordId id{id_, next_number_++};
    const bool once = options_.idempotent && options_.acks != 0;
    load_.history.sending(name_, id, make_value(id, batch.paddings.back()),
                          once ? History::Promise::idempotent : History::Promise::plain);
  }
  if (options_.idempotent) {
    batch.base_sequence = next_sequence_;
    next_sequence_ += static_cast<std::int32_t>(count);
  }
  unacked_.push_back(std::move(batch));
}

SimClient::Slot SimProducer::send(const Batch& batch) {
  engine::log::BatchBuilder builder(options_.codec);
  if (options_.idempotent) {
    builder.producer(engine::ProducerId{producer_id_}, engine::ProducerEpoch{producer_epoch_},
                     batch.base_sequence);
  }
  for (std::size_t i = 0; i < batch.paddings.size(); ++i) {
    const std::string value = make_value({id_, batch.first + i}, batch.paddings[i]);
    builder.add(batch.timestamp_ms, std::nullopt, std::as_bytes(std::span(value)));
  }
  std::vector<std::byte> records = builder.build();
  ProduceRequest request;
  request.acks = options_.acks;
  request.timeout_ms = static_cast<std::int32_t>(kRequestTimeoutMs);
  auto& topic = request.topic_data.emplace_back();
  topic.topic_id = topic_->id;
  auto& partition = topic.partition_data.emplace_back();
  partition.index = partition_;
  partition.records = engine::MutableBytes(records);
  return client_.begin(request, kProduceVersion, /*answered=*/options_.acks != 0);
}

Task<bool> SimProducer::get_producer_id() {
  InitProducerIdRequest request;
  request.transactional_id.reset();
  request.transaction_timeout_ms = 60'000;
  const auto answer =
      co_await client_.call<InitProducerIdResponse>(request, kInitVersion, kRequestTimeoutMs);
  if (!answer || answer->error_code != 0) {
    if (answer && !is_transient(answer->error_code)) {
      load_.history.violation(concat("InitProducerId answers ", answer->error_code));
    }
    co_return false;
  }
  producer_id_ = answer->producer_id;
  producer_epoch_ = answer->producer_epoch;
  co_return true;
}

/// The broker does not know where this producer was: a new identity sends what is left.
void SimProducer::number_anew() {
  load_.history.forget_idempotence(name_, id_);
  producer_id_ = -1;
  next_sequence_ = 0;
  for (Batch& batch : unacked_) {
    batch.base_sequence = next_sequence_;
    next_sequence_ += static_cast<std::int32_t>(batch.paddings.size());
  }
}

SimProducer::Verdict SimProducer::judge(const Batch& batch, std::int16_t error,
                                        std::int64_t base_offset) {
  const bool duplicate = error == code(ApiErrc::duplicate_sequence_number);
  if (error == 0 || duplicate) {
    if (topic_->relaxed && batch.losses != load_.losses) return Verdict::done;
    for (std::size_t i = 0; i < batch.paddings.size(); ++i) {
      const bool told = !duplicate && base_offset >= 0;
      load_.history.acknowledged(name_, {id_, batch.first + i},
                                 told ? base_offset + static_cast<std::int64_t>(i) : -1);
      ++acknowledged_;
    }
    return Verdict::done;
  }
  if (is_transient(error)) return Verdict::again;
  if (error == code(ApiErrc::out_of_order_sequence_number)) return Verdict::refused;
  if (error == code(ApiErrc::unknown_topic_id) ||
      error == code(ApiErrc::unknown_topic_or_partition)) {
    if (topic_->deleting) return Verdict::gone;
    return Verdict::again;  // the broker starts, or lies: then it is found out at the end
  }
  load_.history.violation(concat("Produce to ", topic_->name, " answers ", error));
  return Verdict::gone;
}

/// Waits for what is under way, oldest first, and drops what is done.
Task<void> SimProducer::settle() {
  bool again = false;
  bool refused_first = false;
  for (std::size_t i = 0; i < unacked_.size();) {
    if (unacked_[i].slot == nullptr) break;
    SimClient::Slot slot = std::exchange(unacked_[i].slot, nullptr);
    const auto answer =
        co_await client_.finish<ProduceResponse>(std::move(slot), kRequestTimeoutMs);
    Verdict verdict = Verdict::again;
    if (answer) {
      const auto& partition = answer->responses.at(0).partition_responses.at(0);
      verdict = judge(unacked_[i], partition.error_code, partition.base_offset);
    }
    if (verdict == Verdict::gone) {
      over_ = true;
      break;
    }
    if (verdict == Verdict::done) {
      unacked_.erase(unacked_.begin() + static_cast<std::ptrdiff_t>(i));
      if (!again) co_return;  // the window has room
      continue;
    }
    // Behind one that failed, out of sequence is what must come.
    if (verdict == Verdict::refused && !again) refused_first = true;
    again = true;
    ++i;
  }
  if (!again) co_return;
  for (Batch& batch : unacked_) batch.slot = nullptr;
  if (refused_first) {
    if (!topic_->relaxed) load_.history.sequence_refused(name_, id_);
    number_anew();
  }
  co_await load_.pause(20, 100);
}

Task<void> SimProducer::run() {
  while (!over_) {
    if (unacked_.empty() && load_.stopping) break;
    const bool connected = co_await client_.connect();
    if (!connected) {
      if (topic_->deleting) break;
      co_await load_.pause(20, 100);
      continue;
    }
    if (options_.idempotent && producer_id_ < 0) {
      const bool known = co_await get_producer_id();
      if (!known) {
        co_await load_.pause(20, 100);
        continue;
      }
    }
    while (!load_.stopping && unacked_.size() < options_.window &&
           static_cast<std::int64_t>(next_number_) < options_.records_max) {
      make_batch();
      if (load_.rng.coin()) break;
    }
    for (Batch& batch : unacked_) {
      if (batch.slot != nullptr) continue;
      batch.losses = load_.losses;
      batch.slot = send(batch);
    }
    if (options_.acks == 0) {
      unacked_.clear();
    } else {
      co_await settle();
    }
    co_await load_.pause(1, options_.pause_ms_max);
    if (static_cast<std::int64_t>(next_number_) >= options_.records_max && unacked_.empty()) break;
  }
  unacked_.clear();
  client_.disconnect();
}

}  // namespace keelson::test
