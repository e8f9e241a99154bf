// The log's side of its compaction: compactor.h does the work.
#include <algorithm>

#include "engine/log/compactor.h"
#include "engine/log/log_impl.h"

namespace keelson::engine::log {

Offset LogImpl::first_dirty() const {
  if (!first_dirty_ || *first_dirty_ < start_ || *first_dirty_ > end_) return start_;
  return *first_dirty_;
}

std::vector<SegmentFacts> LogImpl::segment_facts() const {
  std::vector<SegmentFacts> facts;
  facts.reserve(segments_.size());
  for (const SegmentPtr& segment : segments_) {
    facts.push_back({segment->base_offset, segment->next_offset, segment->size_bytes,
                     segment->batch_count, segment->max_timestamp_ms, segment->first_timestamp_ms});
  }
  return facts;
}

CompactionState LogImpl::compaction_state(Offset below) const {
  const Offset high = std::min(durable_, below);
  const Offset stable = std::min(high, transactions_.first_unstable_at(high).value_or(high));
  CompactionState state =
      survey_log(segment_facts(), config_, first_dirty(), stable, shard_.clock().wall_ms());
  if (!config_.cleanup_compact || committer_.failure() || uncleanable_) state.due = false;
  return state;
}

Task<Result<CompactionReport>> LogImpl::compact(Pace& pace, CompactionOptions options) {
  if (!gate_.enter()) co_return fail(Errc::closed);
  const io::Gate::Pass pass(gate_);
  if (uncleanable_) co_return std::unexpected(*uncleanable_);
  if (const std::optional<Error> failed = committer_.failure()) {
    co_return std::unexpected(*failed);
  }
  if (!config_.cleanup_compact) co_return fail(Errc::cancelled);
  if (compacting_) co_return fail(Errc::overloaded);
  compacting_ = true;
  const std::int64_t began_ns = shard_.clock().now_ns();
  const std::function<bool()> caller_stops = pace.stop();
  pace.set_stop([this, &caller_stops] {
    return gate_.closing() || !config_.cleanup_compact || committer_.failure().has_value() ||
           (caller_stops && caller_stops());
  });
  Result<CompactionReport> report = fail(Errc::cancelled);
  {
    Compactor compactor(*this, pace, options);
    report = co_await compactor.run();
  }
  pace.set_stop(caller_stops);
  compacting_ = false;
  if (report) {
    shard_.logger().write(
        LogLevel::info, "log",
        concat(dir_, ": compacted up to offset ", report->first_dirty.value(), ": ",
               report->records_out, " of ", report->records_in, " records stay, ",
               report->size_before_bytes, " bytes in ", report->segments_in, " segments became ",
               report->size_after_bytes, " in ", report->segments_out, "; ",
               (shard_.clock().now_ns() - began_ns) / 1'000'000, " ms, ", report->bytes_read,
               " bytes read, ", report->bytes_written, " written"));
    co_return report;
  }
  switch (report.error().code) {
    case Errc::cancelled:
    case Errc::closed:
    case Errc::not_found:  // a segment was dropped meanwhile
    case Errc::no_space: break;
    default:
      uncleanable_ = report.error();
      warn(concat("compaction failed and is not tried again until the log is opened anew: ",
                  to_string(report.error().code), ", errno ", report.error().sys_errno));
  }
  co_return report;
}

void LogImpl::tell_cleaner() {
  if (context_.compaction != nullptr && config_.cleanup_compact) {
    context_.compaction->may_be_due(*this);
  }
}

}  // namespace keelson::engine::log
