// Letting old records go, and cutting a diverged end.
//
// Moving the start, in an order that a crash may end anywhere: the manifest is written with the
// new start and the segments below it marked as dropped; readers are told; the segments' files are
// renamed to *.deleted; the next manifest forgets them. Recovery removes what a marked segment
// left. So nobody was told of a start that a crash takes back.
#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/crc32c.h"
#include "engine/log/entry_cursor.h"
#include "engine/log/file_lock.h"
#include "engine/log/file_removal.h"
#include "engine/log/log_impl.h"
#include "engine/log/log_side_files.h"
#include "engine/log/recovery.h"

namespace keelson::engine::log {
namespace {

constexpr std::int64_t kLookForReadersNs = 5'000'000;

}  // namespace

Task<Result<void>> LogImpl::advance_start(Offset offset) {
  if (!gate_.enter()) co_return fail(Errc::closed);
  const io::Gate::Pass pass(gate_);
  const FileLock lock = co_await FileLock::take(retention_lock_);
  if (offset > durable_) co_return fail(Errc::offset_out_of_range);
  if (offset <= start_) co_return Result<void>{};
  std::size_t count = 0;
  while (count + 1 < segments_.size() && segments_[count + 1]->base_offset <= offset) ++count;
  co_return co_await move_start(offset, count);
}

Task<Result<std::size_t>> LogImpl::apply_retention() { return retain(RetentionTime::check); }

/// Kafka's order: time, then size, then start; oldest first, up to the first that stays. At a roll
/// not by time, and never the active segment: who writes records that are too old already has them
/// until the next check, as with Kafka.
Task<Result<std::size_t>> LogImpl::retain(RetentionTime when) {
  if (!gate_.enter()) co_return fail(Errc::closed);
  const io::Gate::Pass pass(gate_);
  const FileLock lock = co_await FileLock::take(retention_lock_);
  if (committer_.failure()) co_return std::size_t{0};
  const std::int64_t now_ms = shard_.clock().wall_ms();
  const bool at_roll = when == RetentionTime::roll;
  std::size_t count = 0;
  std::uint64_t total = size_bytes();
  while (count < segments_.size()) {
    const Segment& segment = *segments_[count];
    const bool last = count + 1 == segments_.size();
    if (last && at_roll) break;
    if (last && (segment.size_bytes == 0 || segment.written_bytes() < segment.size_bytes)) break;
    if (segment.next_offset > durable_) break;
    const std::int64_t largest_ms =
        segment.max_timestamp_ms >= 0 ? segment.max_timestamp_ms : segment.created_ms;
    const bool expired = !at_roll && config_.cleanup_delete && config_.retention_ms >= 0 &&
                         now_ms - largest_ms > config_.retention_ms;
    const bool oversized =
        config_.cleanup_delete && config_.retention_bytes >= 0 &&
        total >= static_cast<std::uint64_t>(config_.retention_bytes) + segment.size_bytes &&
        segment.size_bytes > 0;
    const bool below_start = !last && segments_[count + 1]->base_offset <= start_;
    if (!expired && !oversized && !below_start) break;
    total -= segment.size_bytes;
    ++count;
  }
  if (count == 0) co_return std::size_t{0};
  if (count == segments_.size()) {  // even the active one goes: appends move to a new one first
    roll(end_);
    const Result<void> at_rest = co_await committer_.begin_last();
    if (!at_rest) co_return std::unexpected(at_rest.error());
  }
  const Offset start = std::max(start_, segments_[count]->base_offset);
  const Result<void> moved = co_await move_start(start, count);
  if (!moved) co_return std::unexpected(moved.error());
  co_return count;
}

/// Waits until the files of the first `count` segments are finished: until then they are written to
/// by name. Not for those that roll meanwhile, which may go on for ever. Errors: why the log
/// failed.
Task<Result<void>> LogImpl::wait_sealed(std::size_t count) {
  const auto end = segments_.begin() + static_cast<std::ptrdiff_t>(count);
  const std::vector<SegmentPtr> wanted(segments_.begin(), end);
  const auto is_sealing = [](const SegmentPtr& segment) { return segment->sealing; };
  while (std::ranges::any_of(wanted, is_sealing)) {
    const std::optional<Error> failed = committer_.failure();
    if (failed) co_return std::unexpected(*failed);
    co_await sealed_.wait();
  }
  co_return Result<void>{};
}

/// wait_sealed(), and the names are durable: from the next manifest on the snapshot at the new
/// start is all that tells of the producers in the segments before it.
Task<Result<void>> LogImpl::make_sealed_durable(std::size_t count) {
  const Result<void> sealed = co_await wait_sealed(count);
  if (!sealed) co_return sealed;
  if (count == 0 || !std::exchange(sealed_names_dirty_, false)) co_return Result<void>{};
  const Result<void> synced = co_await io::sync_dir(shard_, dir_);
  if (!synced) sealed_names_dirty_ = true;
  co_return synced;
}

/// Moves the start up to `start` and removes the first `count` segments, all below it: on disk
/// first, and only then for readers. After an error of the manifest's the start is where it was;
/// the next manifest says so, and a crash before that may keep either. Under retention_lock_.
Task<Result<void>> LogImpl::move_start(Offset start, std::size_t count) {
  const Result<void> sealed = co_await make_sealed_durable(count);
  if (!sealed) co_return sealed;
  coming_start_ = start;
  leaving_ = count;
  files_dirty_ = true;
  const Result<void> written = co_await write_manifest(false);
  leaving_ = 0;
  if (!written) {
    coming_start_ = start_;
    co_return written;
  }
  start_ = start;
  const auto first_kept = segments_.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<SegmentPtr> gone(segments_.begin(), first_kept);
  segments_.erase(segments_.begin(), first_kept);
  for (const SegmentPtr& segment : gone) dropped_.push_back(segment->base_offset);
  if (epochs_.truncate_prefix(start_)) epochs_dirty_ = true;
  moved_.notify();
  if (gone.empty()) co_return Result<void>{};
  co_return co_await remove_files(std::move(gone), false);
}

/// Of names that no other file gets while the log is open (the next open removes what is left):
/// what is cut and unlinked later, by name, is what was given it now. A base offset can come back.
std::string LogImpl::next_removal_ending() { return concat(".", ++removals_, ".deleted"); }

/// Renames the files of `gone`, which are complete and which the manifest names as dropped, and
/// sees to it that they are unlinked, or used again; not so those of a diverged end.
Task<Result<void>> LogImpl::remove_files(std::vector<SegmentPtr> gone, bool diverged) {
  const std::string removal_ending = next_removal_ending();
  std::vector<std::string> paths;
  for (const SegmentPtr& segment : gone) {
    segment->deleted = true;
    segment->removal_ending = removal_ending;
    segment->streams.clear();  // their cursors hold the segment
    for (const std::string_view ending : kSegmentEndings) {
      std::string path = segment->path(ending);
      if (ending == ".snapshot" && segment->base_offset >= start_) continue;
      const Result<void> renamed = co_await io::rename(shard_, path, path + removal_ending);
      if (!renamed && renamed.error().code == Errc::not_found) continue;
      if (!renamed) co_return renamed;
      paths.push_back(path + removal_ending);
    }
  }
  const Result<void> synced = co_await io::sync_dir(shard_, dir_);
  if (!synced) co_return synced;
  for (const SegmentPtr& segment : gone) std::erase(dropped_, segment->base_offset);
  if (!diverged) keep_spare(gone, paths);
  if (background_.enter()) {
    shard_.spawn(unlink_later(std::move(gone), std::move(paths), config_.file_delete_delay_ms));
  }
  co_return Result<void>{};
}

/// Unlinks after the delay, or at close; what a crash leaves goes at the next open. Reads under way
/// end first, for a file loses its end before its name.
Task<void> LogImpl::unlink_later(std::vector<SegmentPtr> gone, std::vector<std::string> paths,
                                 std::int64_t delay_ms) {
  const io::Gate::Pass pass(background_);
  co_await closing_.wait_until(shard_.clock().now_ns() + delay_ms * 1'000'000);
  const auto is_read = [](const SegmentPtr& segment) { return segment.use_count() > 1; };
  while (std::ranges::any_of(gone, is_read) && !closing_.is_set()) {
    co_await closing_.wait_until(shard_.clock().now_ns() + kLookForReadersNs);
  }
  gone.clear();
  for (const std::string& path : paths) {
    const Result<void> unlinked =
        co_await remove_file(shard_, path, closing_, context_.limits().removal_step_bytes);
    if (!unlinked && unlinked.error().code != Errc::not_found) {
      warn(concat("could not remove ", path, ": ", to_string(unlinked.error().code)));
    }
  }
}

/// Drops everything from `offset` on. Appends are refused by the caller meanwhile: a follower has
/// one writer.
Task<Result<void>> LogImpl::truncate_suffix(Offset offset) {
  if (!gate_.enter()) co_return fail(Errc::closed);
  const io::Gate::Pass pass(gate_);
  if (offset >= end_) co_return Result<void>{};
  if (offset < start_) co_return fail(Errc::offset_out_of_range);
  const FileLock lock = co_await FileLock::take(retention_lock_);
  const Result<void> flushed = co_await committer_.flush();
  if (!flushed) co_return flushed;
  co_await committer_.drain();
  const Result<void> sealed = co_await wait_sealed(segments_.size());
  if (!sealed) co_return sealed;

  std::size_t kept = segments_.size();
  while (kept > 1 && segments_[kept - 1]->base_offset >= offset) --kept;
  const SegmentPtr last = segments_[kept - 1];
  const Result<void> loaded = co_await load_index(last);
  if (!loaded) co_return loaded;
  Result<SegmentPtr> shorter = co_await cut_copy(last, offset);
  if (!shorter && shorter.error().code == Errc::corrupt) {
    const Result<void> rebuilt = co_await rebuild_entries(last);
    if (!rebuilt) co_return rebuilt;
    shorter = co_await cut_copy(last, offset);
  }
  if (!shorter) co_return std::unexpected(shorter.error());

  std::vector<SegmentPtr> gone(segments_.begin() + static_cast<std::ptrdiff_t>(kept),
                               segments_.end());
  for (const SegmentPtr& segment : gone) dropped_.push_back(segment->base_offset);
  segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(kept - 1), segments_.end());
  segments_.push_back(*shorter);
  committer_.forget();
  committer_.follow(*shorter);
  end_ = durable_ = (*shorter)->next_offset;
  if (first_dirty_) first_dirty_ = std::min(*first_dirty_, end_);
  if (epochs_.truncate_suffix(end_)) epochs_dirty_ = true;
  snapshots_at_roll_.clear();
  last->close_writer();
  last->close_reader();
  last->forget_memory();
  const Result<void> done = co_await cut_files(last, *shorter, std::move(gone));
  // What is on disk is not what is in memory: appends would go where it is not known to be safe.
  if (!done) committer_.poison(done.error());
  moved_.notify();
  co_return done;
}

/// Segments first, the file's end after: a crash between leaves a longer log, not a torn one.
Task<Result<void>> LogImpl::cut_files(SegmentPtr longer, SegmentPtr shorter,
                                      std::vector<SegmentPtr> gone) {
  files_dirty_ = true;
  const Result<void> dropped = co_await drop_indexes(shorter);
  if (!dropped) co_return dropped;
  const Result<void> marked = co_await write_manifest(false);
  if (!marked) co_return marked;
  const Result<void> deleted = co_await remove_files(std::move(gone), true);
  if (!deleted) co_return deleted;
  const Result<void> cut = co_await cut_file(shorter);
  if (!cut) co_return cut;
  if (epochs_dirty_) {  // a file with those that are gone hides the ones that come
    const Result<void> epochs = co_await write_epochs();
    if (!epochs) co_return epochs;
  }
  Recovery recovery(*this, {});
  const Result<void> producers = co_await recovery.reload_producers();
  if (!producers) co_return producers;
  transactions_.assign(producers_, end_);
  if (longer->aborted.count() == 0) co_return Result<void>{};
  co_return co_await rebuild_aborted(shorter);
}

/// What `segment` is once everything from `offset` on is gone. Its files are not touched.
Task<Result<LogImpl::SegmentPtr>> LogImpl::cut_copy(SegmentPtr segment, Offset offset) {
  SegmentPtr shorter = make_segment(segment->base_offset);
  shorter->created_ms = segment->created_ms;
  {
    const FileLock lock = co_await FileLock::take(file_lock_);
    const Result<void> entries = co_await write_entries(segment, false);
    if (!entries) co_return std::unexpected(entries.error());
  }
  EntryCursor cursor(segment);
  cursor.start(0, segment->seed);
  while (true) {
    const Result<std::optional<IntegrityEntry>> entry = co_await cursor.next();
    if (!entry) co_return std::unexpected(entry.error());
    if (!*entry) break;
    if (segment->base_offset + (*entry)->relative_last_offset >= offset) break;
    shorter->trust(**entry);
  }
  for (const DamagedRange& range : segment->damaged) {
    if (range.to <= offset) shorter->damaged.push_back(range);
  }
  shorter->submitted_bytes = shorter->synced_bytes = shorter->recent.written_bytes =
      shorter->size_bytes;
  co_return std::move(shorter);
}

/// Entries first: those of bytes that are gone would tell of a loss.
Task<Result<void>> LogImpl::cut_file(SegmentPtr segment) {
  {
    const FileLock lock = co_await FileLock::take(file_lock_);
    const Result<void> entries = co_await write_entries(segment, true);
    if (!entries) co_return entries;
  }
  Result<io::File> file =
      co_await open_direct(context_, segment->path(".log"), io::OpenFlags{.write = true});
  if (!file) co_return std::unexpected(file.error());
  const Result<void> cut = co_await file->truncate(segment->size_bytes);
  if (!cut) co_return cut;
  const Result<void> synced = co_await file->sync_data();
  if (!synced) co_return synced;
  const std::uint64_t start = io::round_down_to_block(segment->size_bytes);
  const std::size_t used = segment->size_bytes - start;
  io::AlignedBuffer block(io::kBlockBytes);
  const Result<std::size_t> read =
      co_await read_within(*file, start, block.bytes(), segment->size_bytes);
  if (!read) co_return std::unexpected(read.error());
  if (*read < used) co_return fail(Errc::corrupt);
  segment->tail_crc = crc32c(Bytes(block.data(), used));
  co_return Result<void>{};
}

}  // namespace keelson::engine::log
