// A dropped segment's file becomes the next segment's: its blocks were written before, so that
// commits there change neither size nor extents and need no zeros first.
//
// Only retention and DeleteRecords leave such files. What lies in one has offsets below the log's
// start, and so below every segment that is made later; the end of a diverged log has not, and is
// never used again. The file is in nobody's hands any more. In an order that a crash may end
// anywhere: it is renamed to *.deleted as every dropped file; its head is overwritten and synced
// (spare_head.h); it gets its new name; the manifest names it. Recovery removes it in each of these
// states.
#include <algorithm>
#include <utility>

#include "engine/log/log_impl.h"
#include "engine/log/spare_head.h"

namespace keelson::engine::log {
namespace {

constexpr std::uint64_t kHeadBytes = std::uint64_t{64} << 10;  // zeros for the first commits

}  // namespace

bool LogImpl::may_reuse(const Segment& segment) const {
  const std::uint64_t capacity_bytes = config_.segment_bytes;
  return !relaxed() && !config_.cleanup_compact && segment.damaged.empty() &&
         segment.size_bytes >= io::kBlockBytes * 2 && segment.size_bytes >= capacity_bytes / 2 &&
         segment.size_bytes <= capacity_bytes;
}

/// Takes one file of `gone` out of `paths`, which are to be unlinked.
void LogImpl::keep_spare(std::vector<SegmentPtr>& gone, std::vector<std::string>& paths) {
  if (spare_ || gate_.closing()) return;
  for (const SegmentPtr& segment : gone) {
    const auto path = std::ranges::find(paths, segment->current_path(".log"));
    if (path == paths.end() || !may_reuse(*segment)) continue;
    paths.erase(path);
    spare_ = segment;
    std::erase(gone, spare_);
    return;
  }
}

void LogImpl::drop_spare() { unlink_spare(std::exchange(spare_, nullptr)); }

void LogImpl::unlink_spare(SegmentPtr spare) {
  if (!spare || !background_.enter()) return;
  std::vector<std::string> paths{spare->current_path(".log")};
  shard_.spawn(unlink_later({std::move(spare)}, std::move(paths), 0));
}

/// Makes the spare the file of `segment`, which is new. False where there is none, or a reader
/// still has it, or it did not work out: then it goes, and the segment gets a file of its own.
Task<Result<bool>> LogImpl::reuse_spare(SegmentPtr segment) {
  SegmentPtr spare = std::exchange(spare_, nullptr);
  if (!spare) co_return false;
  const bool is_held = spare.use_count() > 1 || (spare->reader && spare->reader.use_count() > 1);
  if (is_held || !may_reuse(*spare)) {
    unlink_spare(std::move(spare));
    co_return false;
  }
  spare->close_reader();
  const std::string path = spare->current_path(".log");
  const std::uint64_t usable_bytes = io::round_down_to_block(spare->size_bytes);
  Result<io::File> file = co_await clear_spare(path, usable_bytes, segment->base_offset);
  if (!file) {
    warn(concat("a dropped segment's file is not used again: ", to_string(file.error().code)));
    unlink_spare(std::move(spare));
    co_return false;
  }
  const Result<void> renamed = co_await io::rename(shard_, path, segment->path(".log"));
  if (!renamed) co_return std::unexpected(renamed.error());
  const Result<void> synced = co_await io::sync_dir(shard_, dir_);
  if (!synced) co_return std::unexpected(synced.error());
  segment->writer = std::move(*file);
  segment->prepared_bytes = segment->old_bytes = usable_bytes;
  segment->zeroed_bytes = std::min(kHeadBytes, usable_bytes);
  co_return true;
}

/// Opens the file at `path`, cuts it to `usable_bytes`, and makes the head durable that says what
/// it is to be.
Task<Result<io::File>> LogImpl::clear_spare(std::string path, std::uint64_t usable_bytes,
                                            Offset base_offset) {
  Result<io::File> file = co_await open_direct(context_, path, io::OpenFlags{.write = true});
  if (!file) co_return std::unexpected(file.error());
  const Result<void> cut = co_await file->truncate(usable_bytes);
  if (!cut) co_return std::unexpected(cut.error());
  io::AlignedBuffer head(std::min(kHeadBytes, usable_bytes));
  std::ranges::fill(head.bytes(), std::byte{0});
  write_spare_head(head.bytes(), identity_, base_offset);
  const Result<void> written = co_await file->write_at(0, head.bytes());
  if (!written) co_return std::unexpected(written.error());
  const Result<void> synced = co_await file->sync_data();
  if (!synced) co_return std::unexpected(synced.error());
  co_return std::move(*file);
}

}  // namespace keelson::engine::log
