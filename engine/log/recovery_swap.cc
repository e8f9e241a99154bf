// What a compaction left that was interrupted in the middle of its swap.
#include <utility>

#include "engine/log/compaction_output.h"
#include "engine/log/log_side_files.h"
#include "engine/log/recovery.h"

namespace keelson::engine::log {

/// With a manifest, that decides: where it says that a segment's files are *.swap, these get their
/// names; any other *.swap is of a swap that never came to be. Without one, finish_replacement()
/// took the segments, and the other files can be made again.
Task<Result<void>> Recovery::settle_swaps() {
  std::set<Offset> swapping;
  if (manifest_) {
    for (const ManifestSegment& segment : manifest_->segments) {
      if (segment.swapping) swapping.insert(segment.base_offset);
    }
  }
  const std::map<std::string, std::uint64_t> names = names_;
  for (const auto& [name, size_bytes] : names) {
    if (!name.ends_with(kSwapEnding)) continue;
    const std::string final_name = name.substr(0, name.size() - kSwapEnding.size());
    const std::optional<Offset> base =
        parse_segment_stem(std::string_view(name).substr(0, name.find('.')));
    if (!base) continue;
    names_.erase(name);
    if (!swapping.contains(*base)) {
      const Result<void> gone = co_await io::unlink(shard_, concat(log_.dir_, "/", name));
      if (!gone && gone.error().code != Errc::not_found) co_return gone;
      continue;
    }
    const Result<void> renamed = co_await io::rename(shard_, concat(log_.dir_, "/", name),
                                                     concat(log_.dir_, "/", final_name));
    if (!renamed) co_return renamed;
    names_[final_name] = size_bytes;
    if (final_name.ends_with(".log")) logs_[*base] = final_name;
  }
  if (swapping.empty()) co_return Result<void>{};
  changed_ = true;
  for (const ManifestSegment& segment : manifest_->segments) {
    if (!segment.swapping || segment.aborted_count > 0) continue;
    const std::string name = segment_stem(segment.base_offset) + ".txnindex";  // of a source
    if (names_.erase(name) == 0) continue;
    const Result<void> gone = co_await io::unlink(shard_, concat(log_.dir_, "/", name));
    if (!gone && gone.error().code != Errc::not_found) co_return gone;
  }
  co_return co_await io::sync_dir(shard_, log_.dir_);
}

}  // namespace keelson::engine::log
