// How the copy takes the place of its sources: see compactor.h for the order and its reasons.
#include <algorithm>
#include <utility>

#include "engine/log/compactor.h"
#include "engine/log/file_lock.h"
#include "engine/log/log_side_files.h"

namespace keelson::engine::log {

/// In the manifest, while a swap is under way. True where `segment` is part of it.
bool LogImpl::describe_swap(const SegmentPtr& segment, Manifest& manifest) const {
  if (swapping_ == nullptr) return false;
  const auto& sources = swapping_->sources;
  const auto found = std::ranges::find(sources, segment);
  if (found == sources.end()) return false;
  if (found == sources.begin()) {
    manifest.segments.push_back(describe_sealed(*swapping_->result));
    manifest.segments.back().swapping = true;
  } else {
    const Offset base = segment->base_offset;
    manifest.segments.push_back({.base_offset = base, .next_offset = base, .dropped = true});
  }
  return true;
}

/// Truncation and retention put other segments, or none, in the place of those they work on.
bool Compactor::still_there(const std::vector<SegmentPtr>& sources) const {
  const auto first = std::ranges::find(log_.segments_, sources.front());
  if (log_.segments_.end() - first <= static_cast<std::ptrdiff_t>(sources.size())) return false;
  return std::equal(sources.begin(), sources.end(), first);
}

Task<Result<void>> Compactor::rename_all(std::vector<std::string> names, std::string_view from,
                                         std::string_view to) {
  for (const std::string& name : names) {
    const Result<void> renamed = co_await io::rename(shard_, concat(name, from), concat(name, to));
    if (!renamed && renamed.error().code != Errc::not_found) co_return renamed;
  }
  co_return Result<void>{};
}

/// What an earlier swap left: its manifest is replaced before its files may mean something else.
Task<Result<void>> Compactor::settle() {
  if (log_.swap_in_manifest_ || !log_.swap_leftover_.empty()) {
    const Result<void> written = co_await log_.write_manifest(false);
    if (!written) co_return written;
  }
  co_return co_await log_.remove_swap_leftover();
}

/// *.swap of a swap that the manifest does not tell of any more.
Task<Result<void>> LogImpl::remove_swap_leftover() {
  const std::vector<std::string> paths = swap_leftover_;
  for (const std::string& path : paths) {
    const Result<void> gone = co_await io::unlink(shard_, path);
    if (!gone && gone.error().code != Errc::not_found) co_return gone;
  }
  if (paths.empty()) co_return Result<void>{};
  const Result<void> synced = co_await io::sync_dir(shard_, dir_);
  if (synced) swap_leftover_.clear();
  co_return synced;
}

Task<Result<void>> Compactor::swap(std::vector<SegmentPtr> sources, CompactionOutput& output) {
  const FileLock lock = co_await FileLock::take(log_.retention_lock_);
  const Result<void> sealed = co_await log_.wait_sealed(log_.segments_.size());
  if (!sealed || pace_.stopped() || log_.committer_.failure() || !still_there(sources)) {
    co_return fail(Errc::cancelled);
  }
  const Result<void> settled = co_await settle();
  if (!settled) co_return settled;
  const SegmentPtr& result = output.segment();
  std::vector<std::string> names;
  for (const std::string_view ending : output.endings()) names.push_back(result->path(ending));
  const auto undo = [&] {
    for (const std::string& name : names) log_.swap_leftover_.push_back(concat(name, kSwapEnding));
  };
  Result<void> done = co_await rename_all(names, kCleanedEnding, kSwapEnding);
  if (done) done = co_await io::sync_dir(shard_, log_.dir_);
  if (!done) {
    undo();
    (void)co_await log_.remove_swap_leftover();
    co_return done;
  }

  LogImpl::Swap swap{sources, result};
  log_.swapping_ = &swap;
  log_.files_dirty_ = true;
  done = co_await log_.write_manifest(false);
  if (!done) {
    // Either manifest may be the one on disk: *.swap stay until one without the swap is.
    log_.swapping_ = nullptr;
    undo();
    const Result<void> settled_again = co_await settle();
    if (!settled_again && settled_again.error().code != Errc::no_space) {
      log_.committer_.poison(settled_again.error());
    }
    co_return done;
  }

  std::vector<std::string> leftover;
  co_await log_.names_.begin_renaming();
  done = co_await put_in_place(sources, result, output.endings(), leftover);
  if (!done) result->damaged.push_back({result->base_offset, sources.back()->next_offset, 0, 0});
  publish(sources, result);
  log_.swapping_ = nullptr;
  log_.names_.end_renaming();
  if (done) done = co_await io::sync_dir(shard_, log_.dir_);
  if (!done) {
    // The manifest tells of files whose names are not known to be what it says: recovery will see.
    log_.warn(concat("compaction could not rename its files, errno ", done.error().sys_errno));
    log_.committer_.poison(done.error());
    co_return done;
  }
  const Result<void> told = co_await log_.write_manifest(false);
  if (!told) log_.warn("the manifest still tells of a swap that is over; written with the next");
  if (log_.background_.enter()) {
    shard_.spawn(log_.unlink_later(sources, std::move(leftover), 0));
  }
  co_return Result<void>{};
}

/// Nobody has a file by name meanwhile. Sources first, for Kafka takes overlapping segments that
/// it finds for its own.
Task<Result<void>> Compactor::put_in_place(const std::vector<SegmentPtr>& sources,
                                           SegmentPtr result,
                                           const std::vector<std::string_view>& endings,
                                           std::vector<std::string>& leftover) {
  std::vector<std::string> replaced = {sources.front()->path(".log")};
  for (std::size_t i = 1; i < sources.size(); ++i) {
    for (const std::string_view ending : kSegmentEndings) {
      replaced.push_back(sources[i]->path(ending));
    }
  }
  const std::string removal_ending = log_.next_removal_ending();
  for (const SegmentPtr& source : sources) source->removal_ending = removal_ending;
  const Result<void> away = co_await rename_all(replaced, "", removal_ending);
  if (!away) co_return away;
  leftover.reserve(replaced.size());
  for (const std::string& name : replaced) leftover.push_back(concat(name, removal_ending));
  const Result<void> synced = co_await io::sync_dir(shard_, log_.dir_);
  if (!synced) co_return synced;
  std::vector<std::string> names;
  for (const std::string_view ending : endings) names.push_back(result->path(ending));
  const Result<void> placed = co_await rename_all(std::move(names), kSwapEnding, "");
  if (!placed) co_return placed;
  if (result->aborted.count() > 0) co_return Result<void>{};
  const Result<void> gone = co_await io::unlink(shard_, result->path(".txnindex"));
  if (!gone && gone.error().code != Errc::not_found) co_return gone;
  co_return Result<void>{};
}

/// From here on readers are given the copy.
void Compactor::publish(const std::vector<SegmentPtr>& sources, const SegmentPtr& result) {
  const auto first = std::ranges::find(log_.segments_, sources.front());
  const auto last = first + static_cast<std::ptrdiff_t>(sources.size());
  result->index.reset();  // made again when somebody reads here
  *first = result;
  log_.segments_.erase(std::next(first), last);
  for (const SegmentPtr& source : sources) {
    source->deleted = true;
    source->close_writer();
    source->close_reader();
    source->forget_memory();
    source->index.reset();
  }
}

}  // namespace keelson::engine::log
