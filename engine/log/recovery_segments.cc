#include <algorithm>
#include <limits>
#include <utility>

#include "engine/log/entry_cursor.h"
#include "engine/log/file_lock.h"
#include "engine/log/log_side_files.h"
#include "engine/log/recovery.h"
#include "engine/log/segment_scan.h"

namespace keelson::engine::log {
namespace {

std::string range_text(const DamagedRange& range) {
  return concat("offsets ", range.from.value(), " to ", range.to.value() - 1);
}

}  // namespace

Recovery::SegmentPtr Recovery::add_segment(Offset base_offset) {
  log_.segments_.push_back(log_.make_segment(base_offset));
  return log_.segments_.back();
}

/// A new, empty last segment. Its file is made when the first batch comes.
void Recovery::start_fresh(Offset base_offset) {
  if (!log_.segments_.empty()) log_.segments_.back()->sealed = true;
  add_segment(base_offset);
  changed_ = true;
}

Task<Result<void>> Recovery::load_listed() {
  for (std::size_t i = 0; i < manifest_->segments.size(); ++i) {
    const ManifestSegment& listed = manifest_->segments[i];
    const bool last = i + 1 == manifest_->segments.size();
    const Result<void> loaded =
        co_await (last && !listed.sealed ? load_last(listed) : load_sealed(listed));
    if (!loaded) co_return loaded;
  }
  if (log_.segments_.back()->sealed) start_fresh(log_.segments_.back()->next_offset);
  co_return Result<void>{};
}

Task<Result<void>> Recovery::load_sealed(const ManifestSegment& listed) {
  const SegmentPtr segment = add_segment(listed.base_offset);
  segment->index.reset();
  segment->sealed = true;
  segment->next_offset = listed.next_offset;
  segment->size_bytes = listed.size_bytes;
  segment->batch_count = listed.batch_count;
  segment->max_timestamp_ms = listed.max_timestamp_ms;
  segment->max_timestamp_offset = listed.max_timestamp_offset;
  segment->first_timestamp_ms = listed.first_timestamp_ms;
  segment->created_ms = listed.created_ms;
  segment->chain = listed.last_chain;
  segment->aborted.in_file = listed.aborted_count;
  segment->aborted.crc = listed.aborted_crc;
  segment->aborted.checked = listed.aborted_count == 0;
  segment->entries_in_file = listed.batch_count;
  segment->submitted_bytes = segment->synced_bytes = segment->recent.written_bytes =
      listed.size_bytes;
  if (!logs_.contains(listed.base_offset)) {
    segment->damaged.push_back({listed.base_offset, listed.next_offset, 0, listed.size_bytes});
    log_.find(concat("segment ", listed.base_offset.value(),
                     " is missing: ", range_text(segment->damaged.back()), " are withheld"));
    co_return Result<void>{};
  }
  segment->is_empty_file = listed.size_bytes == 0;
  const std::uint64_t file_bytes = size_of(segment, ".log");
  if (file_bytes < listed.size_bytes) {
    log_.find(concat("segment ", listed.base_offset.value(), " is cut short: ", file_bytes, " of ",
                     listed.size_bytes, " bytes; what is missing is withheld"));
  } else if (file_bytes > listed.size_bytes) {  // prepared space, not cut before a crash
    Result<io::File> file =
        co_await open_direct(log_.context_, segment->path(".log"), io::OpenFlags{.write = true});
    if (!file) co_return std::unexpected(file.error());
    const Result<std::uint64_t> more =
        co_await count_behind(*file, listed.size_bytes, file_bytes, file_bytes);
    if (!more) co_return std::unexpected(more.error());
    if (*more > 0) {  // not ours to cut
      log_.find(concat("segment ", listed.base_offset.value(), " has ", *more,
                       " bytes behind its records that Keelson did not write; they are kept"));
      co_return Result<void>{};
    }
    const Result<void> cut = co_await file->truncate(listed.size_bytes);
    if (!cut) co_return cut;
  }
  co_return Result<void>{};
}

Task<Result<void>> Recovery::load_last(const ManifestSegment& listed) {
  Offset frontier = manifest_->recovery_point;
  if (manifest_->clean) frontier = std::max(frontier, listed.next_offset);
  if (hints_.recovery_point) frontier = std::max(frontier, *hints_.recovery_point);
  if (!logs_.contains(listed.base_offset)) {
    const Offset lost_to = std::max(frontier, listed.base_offset);
    log_.find(concat("the last segment, ", listed.base_offset.value(), ", is missing"));
    if (lost_to > listed.base_offset) {
      const SegmentPtr segment = add_segment(listed.base_offset);
      segment->sealed = true;
      segment->next_offset = lost_to;
      segment->damaged.push_back({listed.base_offset, lost_to, 0, 0});
      log_.find(concat(range_text(segment->damaged.back()), " are withheld"));
    }
    start_fresh(lost_to);
    co_return Result<void>{};
  }
  const SegmentPtr segment = add_segment(listed.base_offset);
  if (listed.prepared && size_of(segment, ".log") == 0) {
    log_.find(concat("the last segment, ", listed.base_offset.value(),
                     ", is empty although it was written to: what it held is gone"));
  }
  segment->created_ms = listed.created_ms;
  if (hints_.clean_stop && manifest_->clean) {
    const Result<bool> trusted = co_await trust_last(segment, listed);
    if (!trusted) co_return std::unexpected(trusted.error());
    trusted_ = *trusted;
    if (trusted_) co_return Result<void>{};
    changed_ = true;  // the manifest's numbers are not so
    log_.segments_.pop_back();
    const SegmentPtr again = add_segment(listed.base_offset);
    again->created_ms = listed.created_ms;
    co_return co_await recover_last(again, {.frontier = frontier});
  }
  co_return co_await recover_last(segment, {.frontier = frontier});
}

/// After a clean stop: size, entries and the last batch as the manifest says, and no more is read.
Task<Result<bool>> Recovery::trust_last(SegmentPtr segment, const ManifestSegment& listed) {
  if (size_of(segment, ".log") != listed.size_bytes) co_return false;
  if (listed.size_bytes == 0) co_return true;
  const Result<std::uint64_t> trusted = co_await trust_entries(segment, listed.size_bytes);
  if (!trusted) co_return std::unexpected(trusted.error());
  if (*trusted != listed.size_bytes || segment->chain != listed.last_chain ||
      segment->next_offset != listed.next_offset) {
    co_return false;
  }
  Result<io::File> file = co_await open_direct(log_.context_, segment->path(".log"), {});
  if (!file) co_return std::unexpected(file.error());
  LogScanner scanner(*file, listed.size_bytes);
  const Result<BatchHeader> header = co_await scanner.header_at(last_batch_);
  bool sound = header && header->size_bytes() == listed.size_bytes - last_batch_;
  if (sound && !last_damaged_) {
    const Result<bool> crc = co_await scanner.check_crc(last_batch_, *header);
    if (!crc) co_return std::unexpected(crc.error());
    sound = *crc && header->next_offset() == listed.next_offset;
  }
  if (!sound && !last_damaged_) co_return false;
  segment->max_timestamp_ms = listed.max_timestamp_ms;
  segment->max_timestamp_offset = listed.max_timestamp_offset;
  segment->first_timestamp_ms = listed.first_timestamp_ms;
  segment->aborted.in_file = listed.aborted_count;
  segment->aborted.crc = listed.aborted_crc;
  segment->aborted.checked = listed.aborted_count == 0;
  const Result<void> tail = co_await note_tail(segment, scanner);
  if (!tail) co_return std::unexpected(tail.error());
  log_.report_.bytes_read += scanner.bytes_read();
  co_return true;
}

/// Of a file beside `segment`; 0 where there is none.
std::uint64_t Recovery::size_of(const SegmentPtr& segment, std::string_view ending) const {
  const auto found = names_.find(segment_stem(segment->base_offset) + std::string(ending));
  return found == names_.end() ? 0 : found->second;
}

/// A small file is read at once, as most are.
Task<Result<void>> Recovery::load_entries(EntryFile& entries, std::string name) {
  constexpr std::uint64_t kReadAtOnceBytesMax = std::uint64_t{256} << 10;
  if (names_.at(name) > kReadAtOnceBytesMax) co_return Result<void>{};
  const Result<std::string> content =
      co_await io::read_file(shard_, concat(log_.dir_, "/", name), kReadAtOnceBytesMax);
  if (!content) co_return std::unexpected(content.error());
  const Bytes bytes = std::as_bytes(std::span(*content));
  entries.preload({bytes.begin(), bytes.end()});
  co_return Result<void>{};
}

/// Fills the segment from the entries of batches that were durable when they were written, without
/// reading these. Where those end, in bytes; last_batch_ is the last one's position.
Task<Result<std::uint64_t>> Recovery::trust_entries(SegmentPtr segment, std::uint64_t file_bytes) {
  frontier_in_entries_ = segment->base_offset;
  last_with_producer_ = Offset{-1};
  last_batch_ = 0;
  last_damaged_ = false;
  std::string name = segment_stem(segment->base_offset) + ".integrity";
  if (!names_.contains(name)) co_return 0;
  EntryFile entries(shard_, segment->path(".integrity"));
  const Result<void> loaded = co_await load_entries(entries, std::move(name));
  if (!loaded) co_return std::unexpected(loaded.error());
  std::uint64_t durable_bytes = 0;
  std::uint64_t position = 0;
  Offset next = segment->base_offset;
  for (int pass = 0; pass < 2; ++pass) {
    const Result<void> started = co_await entries.start(0, segment->seed);
    if (!started) co_return std::unexpected(started.error());
    position = 0;
    next = segment->base_offset;
    while (true) {
      const Result<std::optional<IntegrityEntry>> entry = co_await entries.next();
      if (!entry) co_return std::unexpected(entry.error());
      if (!*entry || (*entry)->position_bytes != position) break;
      const Offset last = segment->base_offset + (*entry)->relative_last_offset;
      if (last < next) break;
      if (pass == 0) {
        durable_bytes = std::max<std::uint64_t>(durable_bytes, (*entry)->durable_upto_bytes);
      } else if ((*entry)->end_bytes() > durable_bytes) {
        break;
      } else if ((*entry)->end_bytes() > file_bytes) {  // durable once, and gone
        frontier_in_entries_ = last + 1;
      } else {
        trust_entry(segment, **entry, next);
      }
      position = (*entry)->end_bytes();
      next = last + 1;
    }
  }
  segment->submitted_bytes = segment->synced_bytes = segment->recent.written_bytes =
      segment->size_bytes;
  co_return segment->size_bytes;
}

/// `first` is where the batch begins if no offset is missing before it.
void Recovery::trust_entry(SegmentPtr segment, const IntegrityEntry& entry, Offset first) {
  const Offset last = segment->base_offset + entry.relative_last_offset;
  segment->trust(entry);
  if (entry.begins_epoch) epoch_batches_.push_back({segment, entry.position_bytes, first});
  if (entry.has_producer) last_with_producer_ = last;
  last_batch_ = entry.position_bytes;
  last_damaged_ = entry.damaged;
  if (!last_damaged_) return;
  segment->damaged.push_back({first, last + 1, entry.position_bytes, entry.end_bytes()});
}

/// A directory without a manifest: Kafka wrote it, or ours is lost. What the files hold is verified
/// batch by batch, once.
Task<Result<void>> Recovery::adopt() {
  changed_ = true;
  adopted_ = true;
  const Offset frontier = hints_.recovery_point.value_or(Offset{0});
  if (logs_.empty()) {
    log_.find("no segment file is there");
    if (frontier > Offset{0}) co_return fail(Errc::corrupt);
    start_fresh(hints_.log_start_offset.value_or(Offset{0}));
    co_return Result<void>{};
  }
  // Ours left integrity files, and offsets that are in no segment are a loss. What Kafka left never
  // had them, and it may have compacted the topic before its policy was changed.
  const bool ours = std::ranges::any_of(
      names_, [](const auto& file) { return file.first.ends_with(".integrity"); });
  co_await begin_transactions();
  log_.find(concat("no manifest: ", logs_.size(), " segments adopted as they are"));
  for (auto at = logs_.begin(); at != logs_.end(); ++at) {
    const Offset base = at->first;
    const auto following = std::next(at);
    if (!log_.segments_.empty()) {
      const SegmentPtr before = log_.segments_.back();
      if (base < before->next_offset) {
        const Result<void> aside = co_await set_aside(at->second, "it overlaps the segment before");
        if (!aside) co_return aside;
        continue;
      }
      if (base > before->next_offset && !log_.config_.cleanup_compact && !ours) {
        log_.find(concat("offsets ", before->next_offset.value(), " to ", base.value() - 1,
                         " are in no segment that Kafka left: compacted away, or lost there"));
      } else if (base > before->next_offset && !log_.config_.cleanup_compact) {
        before->damaged.push_back(
            {before->next_offset, base, before->size_bytes, before->size_bytes});
        log_.find(concat(range_text(before->damaged.back()), " are missing"));
        before->next_offset = base;
      }
      before->sealed = true;
    }
    const SegmentPtr segment = add_segment(base);
    names_.erase(segment_stem(base) + ".integrity");  // says nothing without the manifest
    const bool last = following == logs_.end();
    // Where a sealed segment ends no number tells: the next one's base shows what is missing.
    const Result<void> scanned =
        co_await recover_last(segment, {.gaps = true,
                                        .frontier = last ? frontier : Offset{0},
                                        .keep_all = !last || hints_.clean_stop,
                                        .transactions = &transactions_});
    if (!scanned) co_return scanned;
    const FileLock lock = co_await FileLock::take(log_.file_lock_);
    segment->index->finish_times();
    const Result<void> entries = co_await log_.write_entries(segment, true);
    if (!entries) co_return entries;
    last_with_producer_.reset();  // its entries are in the file now
    if (last) continue;
    if (log_.segments_.back() != segment) log_.segments_.pop_back();  // a fresh one at a lost end
    const Result<void> indexes = co_await log_.write_index_files(segment);
    if (!indexes) co_return indexes;
    segment->index.reset();
    segment->sealed = true;
    segment->is_empty_file = segment->size_bytes == 0;
  }
  co_return Result<void>{};
}

/// Makes the integrity entries and the index of what is written of a segment again, from its
/// batches. Under file_lock_.
Task<Result<void>> LogImpl::scan_segment(SegmentPtr segment, io::File& file) {
  const std::uint64_t end_bytes =
      segment->entries.empty() ? segment->written_bytes() : segment->entries[0].position_bytes;
  Segment fresh(context_, dir_, segment->base_offset, segment->index_interval_bytes);
  fresh.seed = fresh.chain = segment->seed;
  fresh.index.emplace(segment->base_offset, segment->index_interval_bytes);
  // Entries are dropped from memory under the lock only, so end_bytes holds while we read.
  SegmentScan scan(fresh, file, end_bytes, {.gaps = true, .frontier = Offset{0}, .keep_all = true});
  const Result<void> walked = co_await scan.run(0, kNoLeaderEpoch);
  if (!walked) co_return walked;
  for (const DamagedRange& range : scan.damaged()) {
    quarantine(segment, range, "no batch is there");
  }
  segment->entries.insert(segment->entries.begin(), fresh.entries.begin(), fresh.entries.end());
  segment->entries_in_file = 0;
  segment->chained = 0;
  segment->chain = segment->seed;
  segment->chain_entries();
  SegmentIndex index(segment->base_offset, segment->index_interval_bytes);
  Offset next = segment->base_offset;
  for (const IntegrityEntry& entry : segment->entries) {
    const Offset last = segment->base_offset + entry.relative_last_offset;
    index.add({next, last, entry.position_bytes, entry.size_bytes, entry.max_timestamp_ms});
    next = last + 1;
  }
  if (segment->sealed) index.finish_times();
  segment->batch_count = segment->entries.size();
  segment->index = std::move(index);
  co_return Result<void>{};
}

}  // namespace keelson::engine::log
