#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

#include "engine/byte_order.h"
#include "engine/log/log_impl.h"
#include "engine/log/record_reader.h"

namespace keelson::engine::log {
namespace {

constexpr std::int64_t kRelativeOffsetMax = std::numeric_limits<std::int32_t>::max();
constexpr std::uint64_t kSegmentBytesMax = std::numeric_limits<std::int32_t>::max();

bool is_transaction_marker(const BatchHeader& header) {
  return header.is_control() && header.is_transactional() && header.has_producer();
}

/// The coordinator epoch in a marker's value. Markers are never compressed; -1 where it has none.
std::int32_t marker_coordinator_epoch(Bytes batch) {
  RecordReader records(batch);
  const Result<std::optional<Record>> marker = records.next();
  constexpr std::size_t kValueBytes = 6;  // version i16, coordinator epoch i32
  if (!marker || !*marker || !(*marker)->value || (*marker)->value->size() < kValueBytes) return -1;
  return load_big_endian<std::int32_t>((*marker)->value->data() + 2);
}

}  // namespace

LogImpl::LogImpl(LogContext& context, std::string dir, LogIdentity identity, LogConfig config)
    : context_(context),
      shard_(context.shard()),
      dir_(std::move(dir)),
      identity_(identity),
      config_(config),
      committer_(context, *this),
      moved_(context.shard()),
      gate_(context.shard()),
      background_(context.shard()),
      file_lock_(context.shard(), 1),
      manifest_lock_(context.shard(), 1),
      retention_lock_(context.shard(), 1),
      sealed_(context.shard()),
      closing_(context.shard()),
      housekeeper_wake_(context.shard()),
      housekeeper_gone_(context.shard()),
      names_(context.shard()) {}

LogImpl::~LogImpl() {
  assert(first_waiter_ == nullptr);
  assert(!housekeeping_);
}

/// Resumes when everything below `target` is acknowledged, or the log failed.
struct LogImpl::AckAwaiter : AckWaiter {
  AckAwaiter(LogImpl& log, Offset until) : log(log) { target = until; }
  bool await_ready() const { return log.durable_ >= target || log.committer_.failure(); }
  void await_suspend(std::coroutine_handle<> awaiting) {
    handle = awaiting;
    (log.first_waiter_ == nullptr ? log.first_waiter_ : log.last_waiter_->next) = this;
    log.last_waiter_ = this;
  }
  Result<void> await_resume() const {
    if (log.durable_ >= target) return {};
    return std::unexpected(*log.committer_.failure());
  }
  LogImpl& log;
};

void LogImpl::wake_waiters() {
  const bool failed = committer_.failure().has_value();
  while (first_waiter_ != nullptr && (failed || first_waiter_->target <= durable_)) {
    AckWaiter* const waiter = std::exchange(first_waiter_, first_waiter_->next);
    if (first_waiter_ == nullptr) last_waiter_ = nullptr;
    shard_.schedule(waiter->handle);
  }
}

void LogImpl::on_written(Segment& segment, Offset acknowledged) {
  segment.chain_entries();
  durable_ = acknowledged;
  wake_waiters();
  moved_.notify();
}

void LogImpl::on_failure(Error error) {
  if (error.code != Errc::closed) {
    warn(concat("takes no more appends: ", to_string(error.code), ", errno ", error.sys_errno));
  }
  wake_waiters();
  moved_.notify();
  sealed_.notify();
  housekeeper_wake_.notify();
}

Task<Result<AppendResult>> LogImpl::append(MutableBytes batch, LeaderEpoch epoch) {
  if (!gate_.enter()) co_return fail(Errc::closed);
  const io::Gate::Pass pass(gate_);
  const Result<Placed> placed = place(batch, epoch);
  if (!placed) co_return std::unexpected(placed.error());
  AckAwaiter acknowledged{*this, placed->acknowledged_at};
  const Result<void> outcome = co_await acknowledged;
  if (!outcome) co_return std::unexpected(outcome.error());
  co_return placed->result;
}

/// Everything of an append that decides: nothing suspends here, so calls are in order.
Result<LogImpl::Placed> LogImpl::place(MutableBytes batch, LeaderEpoch epoch) {
  if (const std::optional<Error> failed = committer_.failure()) return std::unexpected(*failed);
  Result<BatchHeader> header = read_batch_header(batch);
  if (!header || header->size_bytes() != batch.size() || header->last_offset_delta < 0) {
    return fail(Errc::invalid_record);
  }
  if (batch.size() > std::min(config_.segment_bytes, kSegmentBytesMax)) {
    return fail(Errc::record_list_too_large);
  }
  if (epoch != kNoLeaderEpoch && epoch < epochs_.latest()) return fail(Errc::fenced_leader_epoch);
  if (end_.value() > std::numeric_limits<std::int64_t>::max() - header->last_offset_delta - 1) {
    return fail(Errc::invalid_record);
  }
  const Result<std::optional<ProducerBatch>> repeat = producers_.check(*header);
  if (!repeat) return std::unexpected(repeat.error());
  const std::int64_t append_time =
      header->is_log_append_time() ? header->max_timestamp : kNoTimestamp;
  if (*repeat) {
    return Placed{{(*repeat)->first_offset, (*repeat)->last_offset, append_time, true},
                  (*repeat)->last_offset + 1};
  }
  if (context_.pending_bytes + batch.size() > context_.limits().pending_bytes) {
    return fail(Errc::overloaded);
  }
  if (committer_.space_short()) {
    Segment& active = *segments_.back();
    if (active.size_bytes + batch.size() > active.prepared_bytes) {
      committer_.prepare_ahead(segments_.back());
      return fail(Errc::no_space);
    }
  }
  if (must_roll(*header, batch.size(), shard_.clock().wall_ms())) roll(end_);

  stamp_batch(batch, end_, epoch);
  header->base_offset = end_;
  header->leader_epoch = epoch;
  Segment& active = *segments_.back();
  const bool begins_epoch = epochs_.note(epoch, end_);
  if (begins_epoch) epochs_dirty_ = true;
  active.add_entry(batch, *header, begins_epoch);
  active.place(batch, *header);
  if (is_transaction_marker(*header)) {
    producers_.note_marker(*header, marker_coordinator_epoch(batch));
  } else {
    producers_.note(*header);
  }
  const auto aborted = transactions_.note(*header, batch);
  if (aborted) active.aborted.add(*aborted);
  end_ = header->next_offset();
  last_append_ns_ = shard_.clock().now_ns();
  committer_.enqueue(static_cast<std::uint32_t>(batch.size()), end_);
  committer_.prepare_ahead(segments_.back());
  start_housekeeping();
  return Placed{{header->base_offset, header->last_offset(), append_time, false}, end_};
}

/// Kafka's rules (source: LogSegment.shouldRoll).
bool LogImpl::must_roll(const BatchHeader& header, std::size_t size_bytes,
                        std::int64_t now_ms) const {
  const Segment& active = *segments_.back();
  const std::uint64_t segment_bytes = std::min(config_.segment_bytes, kSegmentBytesMax);
  if (header.last_offset_delta + (end_ - active.base_offset) > kRelativeOffsetMax) return true;
  if (active.size_bytes == 0) return false;
  if (active.size_bytes > segment_bytes - size_bytes) return true;
  const bool has_time = active.first_timestamp_ms >= 0;
  const std::int64_t waited_ms =
      has_time ? header.max_timestamp - active.first_timestamp_ms : now_ms - active.created_ms;
  const std::int64_t most_ms = config_.cleanup_compact
                                   ? std::min(config_.segment_ms, config_.max_compaction_lag_ms)
                                   : config_.segment_ms;
  if (waited_ms > most_ms - roll_jitter_ms_) return true;
  return active.index->entry_count() >= config_.segment_index_bytes / 8 ||
         active.index->time_entry_count() + 1 >= config_.segment_index_bytes / 12;
}

/// Appends go to a fresh segment from here on. The files follow: begin_segment(), finish_segment().
void LogImpl::roll(Offset base_offset) {
  Segment& old = *segments_.back();
  if (old.size_bytes == 0 && old.base_offset == base_offset) return;
  old.sealed = old.sealing = true;
  old.index->finish_times();
  snapshots_at_roll_[base_offset] = encode_producers();
  SegmentPtr fresh = make_segment(base_offset);
  segments_.push_back(fresh);
  committer_.follow(std::move(fresh));
  tell_cleaner();
}

LogImpl::SegmentPtr LogImpl::make_segment(Offset base_offset) {
  auto segment =
      std::make_shared<Segment>(context_, dir_, base_offset, config_.index_interval_bytes);
  segment->created_ms = shard_.clock().wall_ms();
  segment->capacity_bytes = std::min(config_.segment_bytes, kSegmentBytesMax);
  segment->seed = integrity_seed(identity_, base_offset);
  segment->chain = segment->seed;
  segment->index.emplace(base_offset, config_.index_interval_bytes);
  roll_jitter_ms_ = 0;
  if (config_.segment_jitter_ms > 0) {
    const std::int64_t bound = std::min(config_.segment_jitter_ms, config_.segment_ms);
    if (bound > 0) {
      roll_jitter_ms_ =
          static_cast<std::int64_t>(shard_.rng().next() % static_cast<std::uint64_t>(bound));
    }
  }
  return segment;
}

std::uint64_t LogImpl::size_bytes() const {
  std::uint64_t total = 0;
  for (const SegmentPtr& segment : segments_) total += segment->size_bytes;
  return total;
}

std::optional<EpochEnd> LogImpl::epoch_end(LeaderEpoch epoch) const {
  return epochs_.end_of(epoch, end_);
}

LeaderEpoch LogImpl::epoch_of(Offset offset) const { return epochs_.epoch_of(offset); }

std::vector<Log::ProducerInfo> LogImpl::producers() const {
  std::vector<ProducerInfo> list;
  for (const auto& [id, entry] : producers_.entries()) {
    const ProducerBatch* const last = entry.last();
    list.push_back({id, entry.epoch, last ? last->last_sequence : kNoSequence,
                    entry.last_timestamp_ms, entry.coordinator_epoch, entry.transaction_start});
  }
  return list;
}

void LogImpl::warn(std::string line) const {
  shard_.logger().write(LogLevel::warning, "log", dir_ + ": " + line);
}

void LogImpl::find(std::string finding) {
  warn(finding);
  report_.findings.push_back(std::move(finding));
}

}  // namespace keelson::engine::log
