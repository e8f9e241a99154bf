// Finding records by their time. The integrity entries name each batch's largest timestamp, so only
// the batch that holds the answer is read.
#include <algorithm>
#include <utility>

#include "engine/log/entry_cursor.h"
#include "engine/log/log_impl.h"
#include "engine/log/record_reader.h"

namespace keelson::engine::log {
namespace {

/// The first record of `batch` at or above `from` for which `timestamp_ms` is reached.
Result<std::optional<TimestampOffset>> first_record(Bytes batch, const BatchHeader& header,
                                                    std::int64_t timestamp_ms, Offset from) {
  RecordReader records(batch);
  while (true) {
    const Result<std::optional<Record>> record = records.next();
    if (!record) return std::unexpected(record.error());
    if (!*record) return std::nullopt;
    if ((*record)->timestamp_ms < timestamp_ms || (*record)->offset < from) continue;
    return TimestampOffset{(*record)->timestamp_ms, (*record)->offset, header.leader_epoch};
  }
}

/// The first of the largest at or above `from`.
Result<std::optional<TimestampOffset>> largest_record(Bytes batch, const BatchHeader& header,
                                                      Offset from) {
  RecordReader records(batch);
  std::optional<TimestampOffset> largest;
  while (true) {
    const Result<std::optional<Record>> record = records.next();
    if (!record) return std::unexpected(record.error());
    if (!*record) return largest;
    const bool is_larger = !largest || (*record)->timestamp_ms > largest->timestamp_ms;
    if ((*record)->offset < from || !is_larger) continue;
    largest = TimestampOffset{(*record)->timestamp_ms, (*record)->offset, header.leader_epoch};
  }
}

std::vector<std::byte> joined(const SliceList& slices) {
  std::vector<std::byte> bytes;
  bytes.reserve(total_bytes(slices));
  for (const Slice& slice : slices) {
    bytes.insert(bytes.end(), slice.bytes.begin(), slice.bytes.end());
  }
  return bytes;
}

}  // namespace

/// The one batch that ends at `last_offset`.
Task<Result<std::vector<std::byte>>> LogImpl::read_batch(SegmentPtr segment, Offset last_offset) {
  SliceList slices;
  const ReadLimits one{.bytes_max = 0, .at_least_one_batch = true};
  if (!read_memory(segment, last_offset, last_offset + 1, one, slices)) {
    Result<DiskRead> read = co_await read_disk(segment, last_offset, last_offset + 1, one);
    if (!read) co_return std::unexpected(read.error());
    slices = std::move(read->batches);
  }
  co_return joined(slices);
}

/// Finds the record in the batch that ends at `last_offset`.
Task<Result<std::optional<TimestampOffset>>> LogImpl::record_in_batch(SegmentPtr segment,
                                                                      Offset last_offset,
                                                                      std::int64_t timestamp_ms) {
  const Offset from = std::max(start_, segment->base_offset);
  const Result<std::vector<std::byte>> batch = co_await read_batch(segment, last_offset);
  if (!batch) co_return std::unexpected(batch.error());
  const Result<BatchHeader> header = read_batch_header(*batch);
  if (!header) co_return std::nullopt;
  co_return first_record(*batch, *header, timestamp_ms, from);
}

/// The first record of `segment` at or above `timestamp_ms`, below `below`.
Task<Result<std::optional<TimestampOffset>>> LogImpl::find_time_in(SegmentPtr segment,
                                                                   std::int64_t timestamp_ms,
                                                                   Offset below) {
  const Result<void> loaded = co_await load_index(segment);
  if (!loaded) co_return std::unexpected(loaded.error());
  EntryCursor cursor(segment);
  const SegmentIndex::Entry floor = segment->index->floor_time(timestamp_ms);
  cursor.start(floor.batch_number, segment->seed);
  while (true) {
    const Result<std::optional<IntegrityEntry>> entry = co_await cursor.next();
    if (!entry) co_return std::unexpected(entry.error());
    if (!*entry) co_return std::nullopt;
    const Offset last = segment->base_offset + (*entry)->relative_last_offset;
    if (last >= below) co_return std::nullopt;
    if (last < start_ || (*entry)->damaged || (*entry)->max_timestamp_ms < timestamp_ms) continue;
    const Result<std::optional<TimestampOffset>> found =
        co_await record_in_batch(segment, last, timestamp_ms);
    if (!found && found.error().code == Errc::quarantined) continue;
    if (!found) co_return std::unexpected(found.error());
    // A batch whose header says more than its records hold gives nothing: look on.
    if (*found) co_return *found;
  }
}

Task<Result<std::optional<TimestampOffset>>> LogImpl::find_time(std::int64_t timestamp_ms,
                                                                Offset below) {
  if (!gate_.enter()) co_return fail(Errc::closed);
  const io::Gate::Pass pass(gate_);
  if (!names_.try_share()) co_await names_.share();
  const NameLock::Share share(names_);
  const std::vector<SegmentPtr> segments(segments_.begin(), segments_.end());
  for (const SegmentPtr& segment : segments) {
    if (segment->base_offset >= below) break;
    if (segment->batch_count == 0 || segment->max_timestamp_ms < timestamp_ms) continue;
    if (segment->next_offset <= start_) continue;
    Result<std::optional<TimestampOffset>> found =
        co_await find_time_in(segment, timestamp_ms, below);
    if (!found && found.error().code == Errc::corrupt) {
      const Result<void> rebuilt = co_await rebuild_entries(segment);
      if (!rebuilt) co_return std::unexpected(rebuilt.error());
      found = co_await find_time_in(segment, timestamp_ms, below);
    }
    if (!found && segment->deleted) continue;  // dropped meanwhile: the log begins behind it
    if (!found) co_return std::unexpected(found.error());
    if (*found) co_return *found;
  }
  co_return std::nullopt;
}

/// The batch of `segment` with the largest timestamp above `above_ms`, that ends at or above `from`
/// and below `below`.
Task<Result<LogImpl::LargestBatch>> LogImpl::find_max_batch_in(SegmentPtr segment,
                                                               std::int64_t above_ms, Offset from,
                                                               Offset below) {
  const Result<void> loaded = co_await load_index(segment);
  if (!loaded) co_return std::unexpected(loaded.error());
  EntryCursor cursor(segment);
  cursor.start(0, segment->seed);
  LargestBatch best;
  while (true) {
    const Result<std::optional<IntegrityEntry>> entry = co_await cursor.next();
    if (!entry) co_return std::unexpected(entry.error());
    if (!*entry) co_return best;
    const Offset last = segment->base_offset + (*entry)->relative_last_offset;
    if (last >= below) co_return best;
    if (last < from || (*entry)->damaged || (*entry)->max_timestamp_ms <= above_ms) continue;
    above_ms = (*entry)->max_timestamp_ms;
    best = {segment, last, above_ms};
  }
}

/// The same in all segments; the first of equals.
Task<Result<LogImpl::LargestBatch>> LogImpl::find_max_batch(Offset from, Offset below) {
  const std::vector<SegmentPtr> segments(segments_.begin(), segments_.end());
  LargestBatch best;
  for (const SegmentPtr& segment : segments) {
    if (segment->base_offset >= below) break;
    if (segment->next_offset <= from || segment->max_timestamp_ms <= best.timestamp_ms) continue;
    if (segment->max_timestamp_offset < below && segment->max_timestamp_offset >= from) {
      best = {segment, segment->max_timestamp_offset, segment->max_timestamp_ms};
      continue;
    }
    // Its largest is out of bounds: the entries tell which batch is the largest within.
    Result<LargestBatch> found =
        co_await find_max_batch_in(segment, best.timestamp_ms, from, below);
    if (!found && found.error().code == Errc::corrupt) {
      const Result<void> rebuilt = co_await rebuild_entries(segment);
      if (!rebuilt) co_return std::unexpected(rebuilt.error());
      found = co_await find_max_batch_in(segment, best.timestamp_ms, from, below);
    }
    if (!found && segment->deleted) continue;
    if (!found) co_return std::unexpected(found.error());
    if (found->segment) best = std::move(*found);
  }
  co_return best;
}

Task<Result<std::optional<TimestampOffset>>> LogImpl::find_max_time(Offset below) {
  if (!gate_.enter()) co_return fail(Errc::closed);
  const io::Gate::Pass pass(gate_);
  if (!names_.try_share()) co_await names_.share();
  const NameLock::Share share(names_);
  constexpr int kTriesMax = 16;
  for (int tries = 1;; ++tries) {
    Result<std::optional<TimestampOffset>> found = co_await find_largest(below);
    // The segment that held it was dropped meanwhile: another has the largest now.
    const bool dropped = !found && found.error().code == Errc::not_found;
    if (!dropped || tries == kTriesMax) co_return found;
  }
}

Task<Result<std::optional<TimestampOffset>>> LogImpl::find_largest(Offset below) {
  const Result<LargestBatch> best = co_await find_max_batch(start_, below);
  if (!best) co_return std::unexpected(best.error());
  if (!best->segment) co_return std::nullopt;
  const auto found = co_await record_in_batch(best->segment, best->last_offset, best->timestamp_ms);
  if (!found || *found) co_return found;
  // The log starts inside that batch, behind its largest: what is left of it, or a later one.
  const Result<std::vector<std::byte>> first =
      co_await read_batch(best->segment, best->last_offset);
  if (!first) co_return std::unexpected(first.error());
  const Result<BatchHeader> header = read_batch_header(*first);
  if (!header) co_return std::nullopt;
  const auto left = largest_record(*first, *header, start_);
  if (!left) co_return std::unexpected(left.error());
  const Result<LargestBatch> later = co_await find_max_batch(best->last_offset + 1, below);
  if (!later) co_return std::unexpected(later.error());
  if (!later->segment || (*left && (*left)->timestamp_ms >= later->timestamp_ms)) co_return *left;
  co_return co_await record_in_batch(later->segment, later->last_offset, later->timestamp_ms);
}

}  // namespace keelson::engine::log
