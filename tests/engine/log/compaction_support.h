// tests/engine/log/compaction_support.h: logs to compact, on a simulated machine.
#pragma once

#include <limits>
#include <memory>
#include <utility>

#include "engine/log/compaction.h"
#include "engine/log/log_context.h"
#include "tests/engine/log/compaction_model.h"
#include "tests/engine/log/stderr_logger.h"

namespace keelson::test {

using namespace engine;
using namespace engine::log;

inline const std::string kDir = "table-3";
inline constexpr std::int64_t kRetentionMs = 5'000;
inline constexpr Offset kNoBound{std::numeric_limits<std::int64_t>::max()};

inline LogConfig compacted() {
  LogConfig config;
  config.segment_bytes = 4'000;
  config.file_delete_delay_ms = 10;
  config.cleanup_delete = false;
  config.cleanup_compact = true;
  config.delete_retention_ms = kRetentionMs;
  config.index_interval_bytes = 500;
  return config;
}

inline LogLimits quick_limits() {
  LogLimits limits;
  limits.disk_reserve_bytes = 1 << 20;
  limits.sidecar_delay_ms = 2;
  limits.idle_after_ms = 20;
  return limits;
}

/// One opening of the log; the context outlives it.
struct Opened {
  std::unique_ptr<LogContext> context;
  std::unique_ptr<Log> log;
};

inline Task<Result<Opened>> open_log(io::Shard& shard, LogConfig config, OpenHints hints = {}) {
  Opened opened{std::make_unique<LogContext>(shard, quick_limits()), nullptr};
  Result<std::unique_ptr<Log>> log =
      co_await Log::open(*opened.context, kDir, kIdentity, config, hints);
  if (!log) co_return std::unexpected(log.error());
  opened.log = std::move(*log);
  co_return std::move(opened);
}

/// Appends random batches, and notes in the model what was acknowledged.
class Writer {
 public:
  Writer(io::Shard& shard, Log& log, CompactionModel& model, int keys)
      : shard_(shard), log_(log), model_(model), keys_(keys) {}

  Task<bool> append_some(int count) {
    for (int i = 0; i < count; ++i) {
      const bool appended = co_await append_one();
      if (!appended) co_return false;
    }
    co_return true;
  }

  /// Ends what is open, so that the last stable offset is the end.
  Task<bool> end_transactions() {
    for (CompactionModel::Producer& producer : model_.producers) {
      if (producer.transaction < 0) continue;
      const bool ended = co_await end(producer, random(2) == 0);
      if (!ended) co_return false;
    }
    co_return true;
  }

  Task<bool> append_one() {
    const std::uint64_t choice = random(10);
    if (choice < 4) co_return co_await write(nullptr, false);
    CompactionModel::Producer& producer = model_.producers[random(model_.producers.size())];
    if (producer.transaction >= 0 && choice >= 8) co_return co_await end(producer, random(2) == 0);
    const bool in_transaction = producer.id <= 200;
    co_return co_await write(&producer, in_transaction);
  }

 private:
  std::uint64_t random(std::uint64_t below) { return shard_.rng().next() % below; }

  Task<bool> write(CompactionModel::Producer* producer, bool transactional) {
    constexpr Codec kCodecs[] = {Codec::none,   Codec::none, Codec::gzip,
                                 Codec::snappy, Codec::lz4,  Codec::zstd};
    BatchBuilder builder(kCodecs[random(6)]);
    const int count = 1 + static_cast<int>(random(5));
    if (transactional && producer->transaction < 0) {
      producer->transaction = static_cast<int>(model_.outcomes.size());
      model_.outcomes.push_back(CompactionModel::Outcome::open);
    }
    if (producer != nullptr) {
      builder.producer(ProducerId{producer->id}, ProducerEpoch{0}, producer->next_sequence);
    }
    builder.transactional(transactional);
    std::vector<ModelRecord> records;
    for (int i = 0; i < count; ++i) {
      ModelRecord record;
      record.key = concat("key", random(static_cast<std::uint64_t>(keys_)));
      if (random(5) != 0) record.value = std::string(random(120), static_cast<char>('a' + i));
      record.timestamp_ms = shard_.clock().wall_ms() - static_cast<std::int64_t>(random(100));
      if (transactional) record.transaction = producer->transaction;
      std::optional<Bytes> value;
      if (record.value) value = as_bytes(*record.value);
      const std::string name = "h";
      const RecordHeader header{as_bytes(name), as_bytes(record.key)};
      builder.add(record.timestamp_ms, as_bytes(record.key), value, std::span(&header, random(2)));
      records.push_back(std::move(record));
    }
    std::vector<std::byte> batch = builder.build();
    const Result<AppendResult> appended = co_await log_.append(batch, LeaderEpoch{5});
    if (!appended) co_return false;
    if (producer != nullptr) producer->next_sequence += count;
    for (int i = 0; i < count; ++i) {
      model_.records[appended->base_offset.value() + i] = std::move(records[i]);
    }
    model_.end = appended->last_offset.value() + 1;
    co_return true;
  }

  Task<bool> end(CompactionModel::Producer& producer, bool abort) {
    std::vector<std::byte> marker = make_marker(producer.id, abort, shard_.clock().wall_ms());
    const Result<AppendResult> appended = co_await log_.append(marker, LeaderEpoch{5});
    if (!appended) co_return false;
    model_.outcomes[static_cast<std::size_t>(std::exchange(producer.transaction, -1))] =
        abort ? CompactionModel::Outcome::aborted : CompactionModel::Outcome::committed;
    model_.end = appended->last_offset.value() + 1;
    co_return true;
  }

  io::Shard& shard_;
  Log& log_;
  CompactionModel& model_;
  const int keys_;
};

inline Task<Result<CompactionReport>> compact(io::Shard& shard, Log& log, CompactionModel& model,
                                              std::uint64_t map_bytes = std::uint64_t{1} << 20,
                                              Offset below = kNoBound) {
  Pace pace(shard, {});
  const CompactionState state = log.compaction_state(below);
  model.note_attempt(state.first_uncleanable.value(), shard.clock().wall_ms());
  CompactionOptions options;
  options.map_bytes_max = map_bytes;
  options.below = below;
  co_return co_await log.compact(pace, options);
}

inline Task<void> check_log(io::Shard& shard, Log& log, const CompactionModel& model,
                            bool has_table = true) {
  const Result<Seen> seen = co_await observe(log, 1 + shard.rng().next() % 20'000);
  EXPECT_TRUE(seen.has_value()) << (seen ? "" : to_string(seen.error().code));
  if (!seen) co_return;
  model.check(*seen, log.log_start_offset().value(), log.first_dirty().value(),
              shard.clock().wall_ms(), kRetentionMs);
  if (has_table) EXPECT_EQ(CompactionModel::table(*seen), model.table(seen->stable));
}

}  // namespace keelson::test
