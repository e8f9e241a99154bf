// tests/engine/log/log_writer.h: appends random batches to a log and tells the model.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/shard.h"
#include "engine/log/batch_builder.h"
#include "engine/log/log.h"
#include "engine/task.h"
#include "tests/engine/log/reference_log.h"

namespace keelson::test {

using namespace engine;
using namespace engine::log;

/// What batches look like.
struct Load {
  int keys = 12;
  int records_max = 5;
  std::uint64_t value_bytes_max = 120;
  std::uint64_t large_bytes_max = 0;  // of values of one batch in eight; 0: none is large
  bool any_codec = true;
  bool producers = true;
};

/// Told of each change of the model; see ImageCheck.
class ModelListener {
 public:
  virtual void model_changed() = 0;

 protected:
  ~ModelListener() = default;
};

/// Several tasks may append with one writer; those of one producer take turns.
class Writer {
 public:
  Writer(io::Shard& shard, Log& log, ReferenceLog& model, Load load,
         ModelListener* listener = nullptr)
      : shard_(shard), log_(log), model_(model), load_(load), listener_(listener) {}

  Task<bool> append_some(int count) {
    for (int i = 0; i < count; ++i) {
      const bool appended = co_await append_one();
      if (!appended) co_return false;
    }
    co_return true;
  }

  /// Ends what is open, so that the last stable offset is the end.
  Task<bool> end_transactions() {
    for (std::size_t i = 0; i < model_.producers.size(); ++i) {
      if (model_.producers[i].transaction < 0) continue;
      const bool ended = co_await end(static_cast<int>(i));
      if (!ended) co_return false;
    }
    co_return true;
  }

  Task<bool> append_one() {
    const std::uint64_t choice = random(10);
    const auto producer = static_cast<int>(random(model_.producers.size()));
    if (choice < 4 || !load_.producers) co_return co_await write(-1);
    const bool is_open = model_.producers[static_cast<std::size_t>(producer)].transaction >= 0;
    if (is_open && choice >= 8) co_return co_await end(producer);
    co_return co_await write(producer);
  }

  /// Sends the newest or one of the batches before it of a producer again: the answer is that of
  /// the first time. False where that was not so; true, too, where there was none to send.
  Task<bool> repeat_one() {
    const auto producer = static_cast<int>(random(model_.producers.size()));
    std::vector<std::int64_t> sent;  // newest first
    for (auto at = model_.batches.rbegin(); at != model_.batches.rend() && sent.size() < 5; ++at) {
      if (at->first < log_.log_start_offset().value()) break;
      const SentBatch& batch = at->second;
      if (batch.producer != producer) continue;
      if (batch.next_offset > model_.end) co_return true;  // nobody knows yet how it ends
      if (batch.is_marker) break;                          // sequences are another matter then
      sent.push_back(at->first);
    }
    if (sent.empty()) co_return true;
    const std::int64_t base = sent[random(sent.size())];
    const SentBatch first = model_.batches.at(base);
    std::vector<std::byte> again = *first.bytes;
    const Result<AppendResult> appended = co_await log_.append(again, epoch_);
    if (!appended) co_return log_.failure().has_value();
    co_return appended->duplicate && appended->base_offset.value() == base &&
        appended->last_offset.value() + 1 == first.next_offset;
  }

  /// The next ones are of a later leader epoch.
  void next_epoch() { epoch_ = LeaderEpoch{epoch_.value() + 1}; }
  void set_epoch(LeaderEpoch epoch) { epoch_ = epoch; }

 private:
  std::uint64_t random(std::uint64_t below) { return shard_.rng().next() % below; }

  Codec random_codec() {
    constexpr Codec kCodecs[] = {Codec::none,   Codec::none, Codec::gzip,
                                 Codec::snappy, Codec::lz4,  Codec::zstd};
    const std::uint64_t drawn = random(load_.any_codec ? 6 : 24);
    return drawn < 6 ? kCodecs[drawn] : Codec::none;
  }

  Task<bool> write(int producer) {
    const bool transactional = producer >= 0 && producer < 2;
    BatchBuilder builder(random_codec());
    const int count = 1 + static_cast<int>(random(static_cast<std::uint64_t>(load_.records_max)));
    SentBatch sent{.producer = producer};
    if (producer >= 0) {
      const ReferenceLog::Producer& known = model_.producers[static_cast<std::size_t>(producer)];
      sent.first_sequence = known.next_sequence;
      sent.transaction = known.transaction;
      if (transactional && known.transaction < 0) {
        sent.transaction = static_cast<int>(model_.outcomes.size());
        model_.outcomes.push_back(ReferenceLog::Outcome::open);
      }
      builder.producer(ProducerId{known.id}, ProducerEpoch{0}, sent.first_sequence);
    }
    builder.transactional(transactional);
    const bool large = load_.large_bytes_max > 0 && random(8) == 0;
    std::vector<ModelRecord> records;
    for (int i = 0; i < count; ++i) {
      ModelRecord record;
      record.key = concat("key", random(static_cast<std::uint64_t>(load_.keys)));
      const std::uint64_t bytes_max =
          large && i == 0 ? load_.large_bytes_max : load_.value_bytes_max;
      if (random(5) != 0) record.value = std::string(random(bytes_max), static_cast<char>('a' + i));
      record.timestamp_ms = shard_.clock().wall_ms() - static_cast<std::int64_t>(random(100));
      record.transaction = sent.transaction;
      std::optional<Bytes> value;
      if (record.value) value = as_bytes(*record.value);
      const std::string name = "h";
      const RecordHeader header{as_bytes(name), as_bytes(record.key)};
      builder.add(record.timestamp_ms, as_bytes(record.key), value, std::span(&header, random(2)));
      records.push_back(std::move(record));
    }
    co_return co_await append(builder.build(), std::move(sent), std::move(records));
  }

  Task<bool> end(int producer) {
    const ReferenceLog::Producer& known = model_.producers[static_cast<std::size_t>(producer)];
    SentBatch sent{.producer = producer,
                   .transaction = known.transaction,
                   .is_marker = true,
                   .aborts = random(2) == 0};
    std::vector<std::byte> marker = make_marker(known.id, sent.aborts, shard_.clock().wall_ms());
    co_return co_await append(std::move(marker), std::move(sent), {});
  }

  /// The model is told before, for what is under way may be found after a crash.
  Task<bool> append(std::vector<std::byte> batch, SentBatch sent,
                    std::vector<ModelRecord> records) {
    if (log_.failure()) co_return false;
    const Offset base = log_.log_end_offset();
    stamp_batch(batch, base, epoch_);
    sent.bytes = std::make_shared<const std::vector<std::byte>>(batch);
    sent.next_offset = base.value() + read_batch_header(batch)->last_offset_delta + 1;
    const std::int64_t next_offset = sent.next_offset;
    model_.send(base.value(), std::move(sent), std::move(records));
    tell();
    const Result<AppendResult> appended = co_await log_.append(batch, epoch_);
    if (!appended) {
      // Refused, and nothing was written: no one else came between, for it had no place.
      if (!log_.failure() && log_.log_end_offset() == base) model_.forget_from(base.value());
      co_return false;
    }
    EXPECT_EQ(appended->base_offset, base);
    EXPECT_FALSE(appended->duplicate);
    EXPECT_GE(log_.durable_offset().value(), next_offset);
    model_.acknowledge(next_offset, log_.config().durability == Durability::durable);
    tell();
    co_return true;
  }

  void tell() {
    if (listener_ != nullptr) listener_->model_changed();
  }

  io::Shard& shard_;
  Log& log_;
  ReferenceLog& model_;
  const Load load_;
  ModelListener* const listener_;
  LeaderEpoch epoch_{5};
};

}  // namespace keelson::test
