#include "engine/log/compactor.h"

#include <algorithm>
#include <utility>

#include "engine/io/awaitables.h"
#include "engine/io/give_way.h"
#include "engine/io/sync.h"
#include "engine/log/file_lock.h"
#include "engine/log/record_reader.h"

namespace keelson::engine::log {
namespace {

KeyHasher random_hasher(io::Shard& shard) {
  const std::uint64_t low = shard.rng().next();
  return {low, shard.rng().next()};
}

}  // namespace

Compactor::Compactor(LogImpl& log, Pace& pace, CompactionOptions options)
    : log_(log),
      shard_(log.shard_),
      pace_(pace),
      options_(options),
      keys_(random_hasher(log.shard_), options.map_bytes_max, options.map_load_factor),
      over_(log.shard_) {}

Task<Result<CompactionReport>> Compactor::run() {
  io::TaskGroup watching(shard_);
  watching.start(watch_for_stop());
  Result<CompactionReport> report = co_await compact();
  over_.set();
  co_await watching.wait();
  co_return report;
}

/// A computation does not ask the pace, which is the shard's; and one batch can hold a gigabyte.
Task<void> Compactor::watch_for_stop() {
  constexpr std::int64_t kLookNs = 20'000'000;
  while (!co_await over_.wait_until(shard_.clock().now_ns() + kLookNs)) {
    if (pace_.stopped()) halt_.store(true, std::memory_order_relaxed);
  }
}

Task<Result<CompactionReport>> Compactor::compact() {
  const CompactionState state = log_.compaction_state(options_.below);
  round_.keys = &keys_;
  round_.now_ms = shard_.clock().wall_ms();
  round_.delete_retention_ms = log_.config_.delete_retention_ms;
  report_.first_dirty = state.first_dirty;
  if (state.first_uncleanable <= state.first_dirty) co_return report_;
  if (!co_await log_.wait_sealed(log_.segments_.size())) co_return fail(Errc::cancelled);

  const Result<void> mapped = co_await map_keys(state.first_dirty, state.first_uncleanable);
  if (!mapped) co_return std::unexpected(mapped.error());
  report_.keys = keys_.size();
  report_.map_bytes = keys_.memory_bytes();
  if (mapped_to_ <= state.first_dirty) co_return fail(Errc::overloaded);
  round_.below = mapped_to_;

  if (!log_.first_dirty_) log_.first_dirty_ = state.first_dirty;  // says that it is compacted
  const std::vector<SegmentPtr> segments(log_.segments_.begin(), log_.segments_.end());
  const std::vector<std::size_t> groups =
      group_segments(log_.segment_facts(), log_.config_, round_.below, state.first_uncleanable);
  std::size_t first = 0;
  for (const std::size_t count : groups) {
    const auto begin = segments.begin() + static_cast<std::ptrdiff_t>(first);
    std::vector<SegmentPtr> sources(begin, begin + static_cast<std::ptrdiff_t>(count));
    first += count;
    const Result<void> compacted = co_await compact_group(std::move(sources));
    if (!compacted) co_return std::unexpected(compacted.error());
  }
  // Only now: what is below was compacted as a whole.
  log_.first_dirty_ = std::min(round_.below, log_.end_);
  report_.first_dirty = *log_.first_dirty_;
  log_.files_dirty_ = true;
  const Result<void> written = co_await log_.write_manifest(false);
  if (!written) co_return std::unexpected(written.error());
  co_return report_;
}

/// The last offset of each key in [from, below), or as far as the map has room: up to mapped_to_.
Task<Result<void>> Compactor::map_keys(Offset from, Offset below) {
  mapped_to_ = from;
  CompactionTransactions transactions;
  const std::vector<SegmentPtr> segments(log_.segments_.begin(), log_.segments_.end());
  for (std::size_t i = 0; i + 1 < segments.size() && segments[i]->base_offset < below; ++i) {
    if (segments[i]->next_offset <= from) continue;
    const Result<bool> whole = co_await map_segment(segments[i], from, below, transactions);
    if (!whole) co_return std::unexpected(whole.error());
    if (!*whole) break;
    // Offsets that are in no segment are done with, too.
    mapped_to_ = std::min(segments[i + 1]->base_offset, below);
  }
  co_return Result<void>{};
}

/// False where the end is reached, or the map is full.
Task<Result<bool>> Compactor::map_segment(SegmentPtr segment, Offset from, Offset below,
                                          CompactionTransactions& transactions) {
  auto aborted = co_await log_.collect_aborted(segment->base_offset, segment->next_offset);
  if (!aborted) co_return std::unexpected(aborted.error());
  transactions.add_aborted(*aborted);
  CompactionSource source(segment, pace_);
  const Result<void> opened = co_await source.open();
  if (!opened) co_return std::unexpected(opened.error());
  bool goes_on = true;
  while (goes_on) {
    const Result<bool> more = co_await load(source, segment);
    if (!more) co_return more;
    if (!*more) break;
    Result<bool> mapped = false;
    auto computation = [&] { mapped = map_loaded(source, from, below, transactions); };
    co_await compute(source, computation);
    if (!mapped) co_return give_up(source, segment, mapped.error());
    goes_on = *mapped;
  }
  report_.bytes_read += source.bytes_read();
  co_return goes_on;
}

/// False as map_segment().
Result<bool> Compactor::map_loaded(CompactionSource& source, Offset from, Offset below,
                                   CompactionTransactions& transactions) {
  while (true) {
    const Result<bool> more = source.next();
    if (!more) return more;
    if (!*more) return true;
    const BatchHeader& header = source.header();
    if (header.last_offset() >= below) {
      mapped_to_ = std::max(mapped_to_, std::min(header.base_offset, below));
      return false;
    }
    if (header.is_control()) {
      (void)transactions.note_control(header, source.batch());
    } else if (!transactions.note_data(header) && header.last_offset() >= from) {
      const Result<bool> whole = map_records(source.batch(), from);
      if (!whole || !*whole) return whole;
    }
    mapped_to_ = std::max(mapped_to_, header.next_offset());
  }
}

Result<bool> Compactor::map_records(Bytes batch, Offset from) {
  RecordReader records(batch);
  while (true) {
    const Result<std::optional<Record>> next = records.next();
    if (!next) return std::unexpected(next.error());
    if (!*next) return true;
    if (halt_.load(std::memory_order_relaxed)) return fail(Errc::cancelled);
    const Record& record = **next;
    io::give_way(record.cost_bytes());
    if (record.key && record.offset >= from && !keys_.put(*record.key, record.offset)) {
      return false;
    }
  }
}

/// Runs it aside; what is needed next comes from the disk meanwhile.
template <class Computation>
Task<void> Compactor::compute(CompactionSource& source, Computation& computation) {
  io::TaskGroup reading(shard_);
  reading.start(source.read_ahead());
  co_await io::compute_aside(shard_, computation);
  co_await reading.wait();
}

Task<Result<bool>> Compactor::load(CompactionSource& source, SegmentPtr segment) {
  if (pace_.stopped()) co_return fail(Errc::cancelled);
  const Result<bool> more = co_await source.load();
  if (more) co_return more;
  if (more.error().code == Errc::corrupt && still_there({segment})) {
    const Result<void> rebuilt = co_await log_.rebuild_entries(segment);
    if (!rebuilt) co_return std::unexpected(rebuilt.error());
    co_return fail(Errc::cancelled);  // the next run finds them
  }
  co_return give_up(source, segment, more.error());
}

/// What is damaged is withheld from readers, and the log is not compacted.
std::unexpected<Error> Compactor::give_up(const CompactionSource& source, const SegmentPtr& segment,
                                          Error error) {
  if (!still_there({segment})) return fail(Errc::cancelled);  // cut or dropped meanwhile
  if (error.code == Errc::quarantined) {
    log_.quarantine(segment, source.damaged(), "its bytes are not those that were written");
  }
  return std::unexpected(error);
}

Task<Result<void>> Compactor::compact_group(std::vector<SegmentPtr> sources) {
  for (const SegmentPtr& source : sources) {
    if (!source->damaged.empty()) co_return fail(Errc::quarantined);
    if (source->deleted) co_return fail(Errc::cancelled);
  }
  const SegmentPtr& front = sources.front();
  auto result = std::make_shared<Segment>(log_.context_, log_.dir_, front->base_offset,
                                          log_.config_.index_interval_bytes);
  result->created_ms = sources.back()->created_ms;
  result->seed = result->chain = integrity_seed(log_.identity_, front->base_offset);
  result->index.emplace(front->base_offset, log_.config_.index_interval_bytes);

  std::optional<KnownProducers> producers;
  {
    // Cutting a diverged end fills in the producers anew, under this lock.
    const FileLock lock = co_await FileLock::take(log_.retention_lock_);
    producers.emplace(log_.producers_);
  }
  CompactionOutput output(result, pace_);
  BatchFilter filter(round_, *producers, transactions_, halt_);
  Result<void> done = co_await output.open();
  for (const SegmentPtr& source : sources) {
    if (done) done = co_await copy(source, filter, output);
  }
  const FilterCounts& counts = filter.counts();
  const std::vector<TransactionIndexEntry> aborted = transactions_.take_index();
  const bool changed =
      sources.size() > 1 || counts.batches_rewritten > 0 || counts.batches_out < counts.batches_in;
  if (done && changed) done = co_await output.finish(aborted);
  if (done && changed) done = co_await swap(sources, output);
  if (!done || !changed) co_await output.discard();
  report_.bytes_written += output.bytes_written();
  if (!done) co_return done;
  report_.records_in += counts.records_in;
  report_.records_out += counts.records_out;
  report_.records_without_key += counts.records_without_key;
  report_.segments_in += sources.size();
  ++report_.segments_out;
  for (const SegmentPtr& source : sources) report_.size_before_bytes += source->size_bytes;
  report_.size_after_bytes += result->size_bytes;
  co_return Result<void>{};
}

Task<Result<void>> Compactor::copy(SegmentPtr segment, BatchFilter& filter,
                                   CompactionOutput& output) {
  auto aborted = co_await log_.collect_aborted(segment->base_offset, segment->next_offset);
  if (!aborted) co_return std::unexpected(aborted.error());
  transactions_.add_aborted(*aborted);
  CompactionSource source(segment, pace_);
  const Result<void> opened = co_await source.open();
  if (!opened) co_return opened;
  while (true) {
    const Result<bool> more = co_await load(source, segment);
    if (!more) co_return std::unexpected(more.error());
    if (!*more) break;
    Bytes held;
    Result<bool> used_up = false;
    auto computation = [&] { used_up = copy_loaded(source, filter, output, held); };
    while (used_up && !*used_up) {
      co_await compute(source, computation);
      if (!used_up) co_return give_up(source, segment, used_up.error());
      const Result<void> flushed = co_await output.flush(held.size());
      if (!flushed) co_return flushed;
    }
  }
  report_.bytes_read += source.bytes_read();
  co_return Result<void>{};
}

/// False where the output has no room for what stays of a batch, `held` until the next call.
Result<bool> Compactor::copy_loaded(CompactionSource& source, BatchFilter& filter,
                                    CompactionOutput& output, Bytes& held) {
  while (true) {
    if (!held.empty()) {
      if (!output.has_room(held.size())) return false;
      const Result<BatchHeader> header = read_batch_header(held);
      if (!header) return std::unexpected(header.error());
      const Result<void> added = output.add(std::exchange(held, {}), *header);
      if (!added) return std::unexpected(added.error());
    }
    const Result<bool> more = source.next();
    if (!more) return more;
    if (!*more) return true;
    const Result<Bytes> kept = filter.apply(source.batch(), source.header());
    if (!kept) return std::unexpected(kept.error());
    held = *kept;
  }
}

}  // namespace keelson::engine::log
