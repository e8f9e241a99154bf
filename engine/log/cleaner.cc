#include "engine/log/cleaner.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace keelson::engine::log {
namespace {

constexpr std::int64_t kMillisecond = 1'000'000;
constexpr Offset kNoBound{std::numeric_limits<std::int64_t>::max()};

}  // namespace

Cleaner::Cleaner(io::Shard& shard, CleanerConfig config)
    : shard_(shard), config_(config), pace_(shard, config.pace), wake_(shard), running_(shard) {
  pace_.set_stop([this] { return stopping_; });
}

void Cleaner::set_config(const CleanerConfig& config) {
  config_ = config;
  pace_.set_limits(config.pace);
  wake_.notify();
}

Cleaner::Candidate* Cleaner::find(const Log& log) {
  const auto found = std::ranges::find(candidates_, &log, &Candidate::log);
  return found == candidates_.end() ? nullptr : &*found;
}

void Cleaner::may_be_due(Log& log) {
  Candidate* const known = find(log);
  if (known == nullptr) {
    candidates_.push_back({.log = &log});
  } else if (known->due_since_ns < 0) {
    known->look_at_ns = 0;
  } else {
    return;  // it waits for its turn already
  }
  wake_.notify();
}

void Cleaner::gone(Log& log) {
  std::erase_if(candidates_, [&](const Candidate& candidate) { return candidate.log == &log; });
}

/// Asks those whose time has come how they stand, and forgets those that only appends can change.
void Cleaner::look_at_logs() {
  const std::int64_t now_ns = shard_.clock().now_ns();
  const std::int64_t now_ms = shard_.clock().wall_ms();
  const std::int64_t later_ns = now_ns + config_.backoff_ms * kMillisecond;
  std::erase_if(candidates_, [&](Candidate& candidate) {
    if (candidate.look_at_ns > now_ns) return false;
    candidate.state = candidate.log->compaction_state(kNoBound);
    if (candidate.state.due) {
      if (candidate.due_since_ns < 0) candidate.due_since_ns = now_ns;
      return false;
    }
    candidate.due_since_ns = -1;
    candidate.look_at_ns = later_ns;
    if (candidate.state.held_back) return false;
    if (!candidate.state.look_again_ms) return true;
    const std::int64_t wait_ms = std::max<std::int64_t>(*candidate.state.look_again_ms - now_ms, 0);
    // Bounded: the wall clock may be set meanwhile.
    constexpr std::int64_t kWaitMsMax = 3'600'000;
    candidate.look_at_ns =
        now_ns + std::clamp(wait_ms, config_.backoff_ms, kWaitMsMax) * kMillisecond;
    return false;
  });
}

Cleaner::Candidate* Cleaner::dirtiest() {
  const std::int64_t now_ns = shard_.clock().now_ns();
  Candidate* best = nullptr;
  for (Candidate& candidate : candidates_) {
    if (!candidate.state.due || candidate.look_at_ns > now_ns) continue;
    if (best == nullptr || candidate.state.dirty_ratio() > best->state.dirty_ratio()) {
      best = &candidate;
    }
  }
  return best;
}

std::int64_t Cleaner::next_look_ns() const {
  std::int64_t next = io::kNoDeadline;
  for (const Candidate& candidate : candidates_) next = std::min(next, candidate.look_at_ns);
  return next;
}

Task<void> Cleaner::run() {
  if (!running_.enter()) co_return;
  const io::Gate::Pass pass(running_);
  while (!stopping_) {
    look_at_logs();
    watch_for_stall();
    const Candidate* const next = dirtiest();
    if (next != nullptr) {
      co_await compact(*next->log);
      co_await pace_.rest();
    } else {
      co_await wake_.wait_until(next_look_ns());  // without a candidate there is no timer
    }
  }
}

Task<void> Cleaner::compact(Log& log) {
  const Offset before = log.first_dirty();
  const std::int64_t began_ns = shard_.clock().now_ns();
  totals_.running = true;
  const Result<CompactionReport> report = co_await log.compact(pace_, config_.options);
  totals_.running = false;
  const std::int64_t now_ns = shard_.clock().now_ns();
  // The log may be gone: then gone() was called, and `log` must not be touched.
  Candidate* const candidate = find(log);
  if (!report) {
    const Errc why = report.error().code;
    const bool again = why == Errc::cancelled || why == Errc::closed || why == Errc::no_space ||
                       why == Errc::not_found;
    ++(again ? totals_.runs_given_up : totals_.failed_logs);
    if (candidate != nullptr) candidate->look_at_ns = now_ns + config_.backoff_ms * kMillisecond;
    co_return;
  }
  ++totals_.runs;
  totals_.last_run_ms = shard_.clock().wall_ms();
  totals_.last_run_took_ms = (now_ns - began_ns) / kMillisecond;
  totals_.bytes_read += report->bytes_read;
  totals_.bytes_written += report->bytes_written;
  totals_.records_dropped += report->records_in - report->records_out;
  stall_told_ = false;
  if (candidate == nullptr) co_return;
  candidate->due_since_ns = -1;
  const bool moved = report->first_dirty > before;
  candidate->look_at_ns = moved ? 0 : now_ns + config_.backoff_ms * kMillisecond;
}

/// Says once that a log has waited for too long; again only after a run has succeeded.
void Cleaner::watch_for_stall() {
  if (stall_told_) return;
  const CleanerStats now = stats();
  if (!now.stalled) return;
  stall_told_ = true;
  shard_.logger().write(
      LogLevel::warning, "log",
      concat("compaction is behind: ", now.due_logs, " logs with ", now.due_bytes,
             " dirty bytes are due, the longest for ", now.longest_wait_ms / 1'000, " s"));
}

CleanerStats Cleaner::stats() const {
  CleanerStats stats = totals_;
  const std::int64_t now_ns = shard_.clock().now_ns();
  for (const Candidate& candidate : candidates_) {
    if (candidate.due_since_ns < 0) continue;
    ++stats.due_logs;
    stats.due_bytes += candidate.state.cleanable_bytes;
    stats.dirtiest_ratio = std::max(stats.dirtiest_ratio, candidate.state.dirty_ratio());
    stats.longest_wait_ms =
        std::max(stats.longest_wait_ms, (now_ns - candidate.due_since_ns) / kMillisecond);
  }
  stats.stalled = stats.longest_wait_ms > config_.stall_after_ms;
  return stats;
}

Task<void> Cleaner::stop() {
  stopping_ = true;
  wake_.notify();
  co_await running_.close();
}

}  // namespace keelson::engine::log
