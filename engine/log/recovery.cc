#include "engine/log/recovery.h"

#include <algorithm>
#include <utility>

#include "engine/log/log_side_files.h"
#include "engine/log/partition_metadata.h"
#include "engine/log/spare_head.h"

namespace keelson::engine::log {
namespace {

constexpr std::string_view kLogEnding = ".log";
constexpr std::string_view kAsideEnding = ".set-aside";
constexpr std::uint64_t kPreparedBytesMax = std::uint64_t{32} << 20;

}  // namespace

Task<Result<std::unique_ptr<Log>>> Log::open(LogContext& context, std::string dir,
                                             LogIdentity identity, LogConfig config,
                                             OpenHints hints) {
  auto log = std::make_unique<LogImpl>(context, std::move(dir), identity, config);
  Recovery recovery(*log, hints);
  const Result<void> recovered = co_await recovery.run();
  if (!recovered) co_return std::unexpected(recovered.error());
  co_return std::unique_ptr<Log>(std::move(log));
}

Recovery::Recovery(LogImpl& log, OpenHints hints) : log_(log), shard_(log.shard_), hints_(hints) {}

Task<Result<void>> Recovery::run() {
  const Result<bool> there = co_await list();
  if (!there) co_return std::unexpected(there.error());
  if (!*there || names_.empty()) co_return co_await make_new();
  const Result<void> manifest = co_await read_manifest();
  if (!manifest) co_return manifest;
  if (!manifest_ && logs_.empty() && !names_.contains(std::string(kPartitionMetadataName))) {
    co_return co_await make_new();
  }
  const Result<void> identity = co_await check_identity();
  if (!identity) co_return identity;
  if (!manifest_) {
    const Result<void> replaced = co_await finish_replacement();
    if (!replaced) co_return replaced;
  }
  const Result<void> held = co_await hold_names();
  if (!held) co_return held;
  const Result<void> settled = co_await settle_swaps();
  if (!settled) co_return settled;
  const Result<void> tidied = co_await remove_leftovers();
  if (!tidied) co_return tidied;
  const Result<void> loaded = co_await (manifest_ ? load_listed() : adopt());
  if (!loaded) co_return loaded;

  log_.start_ = log_.segments_.front()->base_offset;
  if (manifest_) log_.start_ = std::max(log_.start_, manifest_->log_start_offset);
  if (hints_.log_start_offset) log_.start_ = std::max(log_.start_, *hints_.log_start_offset);
  log_.end_ = log_.segments_.back()->next_offset;
  if (log_.start_ > log_.end_) {
    const SegmentPtr last = log_.segments_.back();
    if (last->uncut_bytes > 0) {
      const Result<void> cut = co_await log_.cut_prepared(last);
      if (!cut) co_return cut;
      last->close_writer();
    }
    start_fresh(log_.start_);
  }
  log_.end_ = log_.durable_ = log_.segments_.back()->next_offset;

  log_.first_dirty_ = manifest_ ? manifest_->first_dirty : hints_.first_dirty;
  // As it was, though the start may have passed it: transactions below it were decided, and those
  // below the start need not have been. A checkpoint's may be the start.
  const bool is_known =
      log_.first_dirty_ <= log_.end_ && (manifest_.has_value() || log_.first_dirty_ > log_.start_);
  if (log_.first_dirty_ && !is_known) log_.first_dirty_ = Offset{0};

  const Result<void> epochs = co_await load_epochs();
  if (!epochs) co_return epochs;
  const Result<void> producers = co_await load_producers();
  if (!producers) co_return producers;
  const Result<void> transactions = co_await load_transactions();
  if (!transactions) co_return transactions;
  const Result<void> side_files = co_await rebuild_side_files();
  if (!side_files) co_return side_files;
  log_.manifest_clean_ = manifest_ && manifest_->clean;
  // After an unclean stop it is written again before the first commit: the rename of the one that
  // was read, and so the last segment's file, may be known to memory only.
  if (manifest_ && trusted_) log_.manifest_last_base_ = manifest_->segments.back().base_offset;
  if (changed_) {
    // What the manifest names is there: the file of a last segment that was begun just now, too.
    if (log_.segments_.back()->size_bytes == 0) {
      Result<io::File> file = co_await io::File::open(shard_, log_.segments_.back()->path(".log"),
                                                      io::OpenFlags{.write = true, .create = true});
      if (!file) co_return std::unexpected(file.error());
    }
    const Result<void> written = co_await log_.write_manifest(false);
    if (!written) co_return written;
  }
  log_.opened_unclean_ = !trusted_;
  log_.files_dirty_ = log_.files_dirty_ || !trusted_ || changed_;
  log_.committer_.follow(log_.segments_.back());
  log_.tell_cleaner();
  co_return Result<void>{};
}

/// False where there is no directory.
Task<Result<bool>> Recovery::list() {
  const Result<std::vector<io::DirEntry>> entries = co_await io::list_dir(shard_, log_.dir_);
  if (!entries && entries.error().code == Errc::not_found) co_return false;
  if (!entries) co_return std::unexpected(entries.error());
  for (const io::DirEntry& entry : *entries) {
    if (entry.is_dir) continue;
    names_[entry.name] = entry.size_bytes;
    if (!entry.name.ends_with(kLogEnding)) continue;
    const std::string_view stem =
        std::string_view(entry.name).substr(0, entry.name.size() - kLogEnding.size());
    const std::optional<Offset> base = parse_segment_stem(stem);
    if (base) logs_[*base] = entry.name;
  }
  co_return true;
}

Task<Result<void>> Recovery::make_new() {
  if (hints_.recovery_point &&
      *hints_.recovery_point > hints_.log_start_offset.value_or(Offset{0})) {
    // An empty mount, or somebody removed the files: never an empty log in place of a full one.
    log_.find(concat("nothing is there, but records up to offset ",
                     hints_.recovery_point->value() - 1, " were synced here once"));
    co_return fail(Errc::corrupt);
  }
  const Result<void> made = co_await io::make_dir(shard_, log_.dir_);
  if (!made && made.error().code != Errc::already_exists) co_return made;
  const Result<void> parent = co_await io::sync_dir(shard_, io::parent_of(log_.dir_));
  if (!parent) co_return parent;
  const Offset base = hints_.log_start_offset.value_or(Offset{0});
  log_.start_ = log_.end_ = log_.durable_ = base;
  start_fresh(base);
  Result<io::File> file = co_await io::File::open(shard_, log_.segments_.back()->path(".log"),
                                                  io::OpenFlags{.write = true, .create = true});
  if (!file) co_return std::unexpected(file.error());
  file->close();
  const Result<void> named = co_await log_.write_partition_metadata();
  if (!named) co_return named;
  // The manifest last: without it and without records, the next open() begins again.
  const Result<void> written = co_await log_.write_manifest(true);
  if (!written) co_return written;
  log_.files_dirty_ = true;
  log_.committer_.follow(log_.segments_.back());
  co_return Result<void>{};
}

Task<Result<void>> Recovery::read_manifest() {
  if (!names_.contains(std::string(kManifestName))) {
    changed_ = true;
    co_return Result<void>{};
  }
  const Result<std::string> content = co_await io::read_file(
      shard_, log_.dir_ + "/" + std::string(kManifestName), kManifestBytesMax);
  if (!content && content.error().code != Errc::invalid_argument) {
    co_return std::unexpected(content.error());
  }
  Result<Manifest> manifest = content ? decode_manifest(*content) : fail(Errc::corrupt);
  if (!manifest && manifest.error().code == Errc::unsupported) {
    log_.find("a later version wrote the manifest; the directory is left as it is");
    co_return std::unexpected(manifest.error());
  }
  if (!manifest || manifest->segments.empty()) {
    changed_ = true;
    log_.find("the manifest is damaged; made again from what is there");
    co_return Result<void>{};
  }
  if (hints_.other_writer) {  // it tells of a time before; only the start and the identity hold
    changed_ = true;
    hints_.log_start_offset =
        std::max(hints_.log_start_offset.value_or(Offset{0}), manifest->log_start_offset);
    if (manifest->identity != log_.identity_) co_return fail(Errc::corrupt);
    co_return Result<void>{};
  }
  manifest_ = std::move(*manifest);
  co_return Result<void>{};
}

/// Identity is kept twice. One copy that is gone is made again; one that contradicts is refused.
Task<Result<void>> Recovery::check_identity() {
  if (manifest_ && manifest_->identity != log_.identity_) {
    log_.find(concat("the manifest is of another log (topic id ", to_string(manifest_->identity.id),
                     ", partition ", manifest_->identity.partition,
                     "); the directory is left as it is"));
    co_return fail(Errc::corrupt);
  }
  const Result<std::string> content = co_await io::read_file(
      shard_, log_.dir_ + "/" + std::string(kPartitionMetadataName), kPartitionMetadataBytesMax);
  std::optional<Uuid> id;
  if (content) {
    const Result<Uuid> parsed = parse_partition_metadata(*content);
    if (parsed) id = *parsed;
  }
  if (id && *id != log_.identity_.id) {
    log_.find(concat("partition.metadata names topic id ", to_string(*id), ", not ",
                     to_string(log_.identity_.id), "; the directory is left as it is"));
    co_return fail(Errc::corrupt);
  }
  if (id) co_return Result<void>{};
  log_.find("partition.metadata is missing or garbled; written again");
  co_return co_await log_.write_partition_metadata();
}

/// After a kill the manifest's name may be known to memory only. What is removed, put in place or
/// told because of it must not outlive it: nobody is told of a start that is taken back.
Task<Result<void>> Recovery::hold_names() {
  if (!manifest_ || hints_.clean_stop) co_return Result<void>{};
  const Offset first = manifest_->segments.front().base_offset;
  bool depends =
      manifest_->log_start_offset > first && hints_.log_start_offset != manifest_->log_start_offset;
  for (const ManifestSegment& segment : manifest_->segments) {
    depends = depends || segment.dropped || segment.swapping;
  }
  for (const auto& [name, size_bytes] : names_) {
    depends = depends || name.ends_with(".deleted") || name.ends_with(".swap");
  }
  if (!depends) co_return Result<void>{};
  co_return co_await io::sync_dir(shard_, log_.dir_);
}

/// Kafka's compaction writes *.cleaned, renames them to *.swap from the last to the first, takes
/// the segments that they replace away, and gives them their names. So: with a *.cleaned, the
/// *.swap at or above the first of those are not all of it, and what they would replace is whole.
/// Without one, each *.swap is the truth; what it replaces may be gone already.
Task<Result<void>> Recovery::finish_replacement() {
  constexpr std::string_view kSwap = ".log.swap";
  constexpr std::string_view kCleaned = ".log.cleaned";
  std::map<Offset, std::string> swaps;
  std::optional<Offset> first_cleaned;
  for (const auto& [name, size_bytes] : names_) {
    for (const std::string_view ending : {kSwap, kCleaned}) {
      if (!name.ends_with(ending)) continue;
      const std::optional<Offset> base =
          parse_segment_stem(std::string_view(name).substr(0, name.size() - ending.size()));
      if (!base) continue;
      if (ending == kSwap) {
        swaps[*base] = name;
      } else if (!first_cleaned || *base < *first_cleaned) {
        first_cleaned = *base;
      }
    }
  }
  for (const auto& [base, name] : swaps) {
    const std::string path = log_.dir_ + "/" + name;
    if (first_cleaned && base >= *first_cleaned) {
      const Result<void> gone = co_await io::unlink(shard_, path);
      if (!gone) co_return gone;
      continue;
    }
    const std::string final_name = segment_stem(base) + std::string(kLogEnding);
    if (logs_.contains(base)) {
      const Result<void> aside = co_await set_aside(final_name, "a compaction replaced it");
      if (!aside) co_return aside;
    }
    log_.find(concat(name, " takes its place: a compaction was interrupted"));
    const Result<void> renamed =
        co_await io::rename(shard_, path, concat(log_.dir_, "/", final_name));
    if (!renamed) co_return renamed;
    names_[final_name] = names_.at(name);
    logs_[base] = final_name;
  }
  if (swaps.empty()) co_return Result<void>{};
  co_return co_await io::sync_dir(shard_, log_.dir_);
}

/// Files that an interrupted deletion, replacement or compaction left. None holds records that
/// anything else needs.
Task<Result<void>> Recovery::remove_leftovers() {
  for (const auto& [name, size_bytes] : names_) {
    const bool leftover =
        name.ends_with(".deleted") || name.ends_with(".tmp") || name.ends_with(".cleaned");
    if (!leftover) continue;
    const Result<void> gone = co_await io::unlink(shard_, log_.dir_ + "/" + name);
    if (!gone && gone.error().code != Errc::not_found) co_return gone;
  }
  if (manifest_) {
    std::vector<ManifestSegment> kept;
    for (const ManifestSegment& segment : manifest_->segments) {
      if (!segment.dropped) {
        kept.push_back(segment);
        continue;
      }
      changed_ = true;
      logs_.erase(segment.base_offset);
      for (const std::string_view ending : kSegmentEndings) {
        const std::string name = segment_stem(segment.base_offset) + std::string(ending);
        if (!names_.contains(name)) continue;
        const Result<void> gone = co_await io::unlink(shard_, log_.dir_ + "/" + name);
        if (!gone && gone.error().code != Errc::not_found) co_return gone;
        names_.erase(name);
      }
    }
    if (kept.empty()) {
      log_.find("the manifest names no segment that stays");
      co_return fail(Errc::corrupt);
    }
    manifest_->segments = std::move(kept);
    co_return co_await set_aside_unknown();
  }
  co_return Result<void>{};
}

/// Segment files that the manifest does not name: not loaded, not deleted. Save one of zeros, or
/// one that begins as a dropped file for a new segment: what a crash between making a segment and
/// naming it leaves.
Task<Result<void>> Recovery::set_aside_unknown() {
  std::set<Offset> known;
  for (const ManifestSegment& segment : manifest_->segments) known.insert(segment.base_offset);
  std::map<Offset, std::string> unknown;
  for (const auto& [base, name] : logs_) {
    if (!known.contains(base)) unknown[base] = name;
  }
  for (const auto& [base, name] : unknown) {
    const std::string path = log_.dir_ + "/" + name;
    Result<bool> empty = co_await is_unused_spare(path, base);
    if (empty && !*empty) empty = co_await is_all_zero(path, names_.at(name));
    if (!empty) co_return std::unexpected(empty.error());
    if (*empty) {
      const Result<void> gone = co_await io::unlink(shard_, path);
      if (!gone) co_return gone;
    } else {
      const Result<void> moved = co_await set_aside(name, "the manifest does not name it");
      if (!moved) co_return moved;
    }
    names_.erase(name);
  }
  std::erase_if(logs_, [&](const auto& item) { return !known.contains(item.first); });
  co_return Result<void>{};
}

Task<Result<void>> Recovery::set_aside(std::string name, std::string_view why) {
  const std::string path = log_.dir_ + "/" + name;
  log_.find(concat(name, " is set aside as ", name, kAsideEnding, ": ", why));
  const Result<void> moved = co_await io::rename(shard_, path, path + std::string(kAsideEnding));
  if (!moved) co_return moved;
  co_return co_await io::sync_dir(shard_, log_.dir_);
}

Task<Result<bool>> Recovery::is_unused_spare(std::string path, Offset base_offset) {
  Result<io::File> file = co_await io::File::open(shard_, std::move(path), {});
  if (!file) co_return std::unexpected(file.error());
  io::AlignedBuffer block(io::kBlockBytes);
  const Result<std::size_t> read = co_await file->read_at(0, block.bytes());
  if (!read) co_return std::unexpected(read.error());
  co_return is_spare_head(Bytes(block.data(), *read), log_.identity_, base_offset);
}

Task<Result<bool>> Recovery::is_all_zero(std::string path, std::uint64_t size_bytes) {
  if (size_bytes > kPreparedBytesMax) co_return false;
  Result<io::File> file = co_await io::File::open(shard_, std::move(path), {});
  if (!file) co_return std::unexpected(file.error());
  const Result<std::uint64_t> there = co_await count_behind(*file, 0, size_bytes, size_bytes);
  if (!there) co_return std::unexpected(there.error());
  co_return *there == 0;
}

}  // namespace keelson::engine::log
