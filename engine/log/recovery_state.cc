// Epochs, producers and index files, after the segments are known.
#include <algorithm>
#include <utility>

#include "engine/log/entry_cursor.h"
#include "engine/log/file_lock.h"
#include "engine/log/log_side_files.h"
#include "engine/log/recovery.h"

namespace keelson::engine::log {
namespace {

constexpr std::string_view kSnapshotEnding = ".snapshot";

}  // namespace

/// From the file or, where that is gone, from the manifest's copy; then what the batches say that
/// were written since. An adopted log's batches were all read and decide alone.
Task<Result<void>> Recovery::load_epochs() {
  std::vector<EpochStart> entries;
  if (!adopted_) {
    const std::string path = log_.dir_ + "/" + std::string(kEpochFileName);
    const Result<std::string> content = co_await io::read_file(shard_, path, kEpochFileBytesMax);
    std::optional<std::vector<EpochStart>> parsed;
    if (content) parsed = parse_epochs(*content);
    EpochCache check;
    const bool sound = parsed && check.assign(*parsed);
    if (sound) {
      entries = std::move(*parsed);
      // A stale file may miss what the manifest knew, never the other way round for long.
      const auto& known = manifest_->epochs;
      if (!known.empty() && (entries.empty() || entries.back().epoch < known.back().epoch)) {
        entries = known;
      }
    } else {
      entries = manifest_->epochs;
      const bool expected = content || !manifest_->epochs.empty();
      if (expected) log_.find("the leader epoch file is missing or garbled; made again");
      log_.epochs_dirty_ = true;
    }
    if (!log_.epochs_.assign(std::move(entries))) log_.find("the leader epochs are garbled");
  }
  for (const BatchPlace& place : epoch_batches_) {
    if (log_.epochs_.begins_at(place.first)) continue;
    const Result<std::shared_ptr<io::File>> file = co_await log_.open_reader(place.segment);
    if (!file) co_return std::unexpected(file.error());
    const std::shared_ptr<io::File> reader = *file;
    LogScanner scanner(*reader, place.segment->size_bytes);
    const Result<BatchHeader> header = co_await scanner.header_at(place.position_bytes);
    log_.report_.bytes_read += scanner.bytes_read();
    if (header && header->leader_epoch > log_.epochs_.latest()) {
      log_.epochs_.note(header->leader_epoch, header->base_offset);
      log_.epochs_dirty_ = true;
    }
  }
  for (const EpochStart& found : epochs_found_) {
    if (found.epoch <= log_.epochs_.latest()) continue;
    log_.epochs_.note(found.epoch, found.start_offset);
    log_.epochs_dirty_ = true;
  }
  if (log_.epochs_.truncate_suffix(log_.end_)) log_.epochs_dirty_ = true;
  if (log_.epochs_.truncate_prefix(log_.start_)) log_.epochs_dirty_ = true;
  co_return Result<void>{};
}

Task<Result<void>> Recovery::reload_producers() {
  const Result<bool> listed = co_await list();
  if (!listed) co_return std::unexpected(listed.error());
  log_.producers_.clear();
  co_return co_await load_producers();
}

/// Snapshots behind the end are of a past that did not last. They go for good before the log gets
/// there again: one that a power cut brings back would be taken for this log's.
Task<Result<std::vector<Offset>>> Recovery::drop_later_snapshots() {
  std::vector<Offset> kept;
  bool dropped = false;
  for (const auto& [name, size_bytes] : names_) {
    if (!name.ends_with(kSnapshotEnding)) continue;
    const std::optional<Offset> offset =
        parse_segment_stem(std::string_view(name).substr(0, name.size() - kSnapshotEnding.size()));
    if (!offset) continue;
    if (*offset <= log_.end_) {
      kept.push_back(*offset);
      continue;
    }
    const Result<void> gone = co_await io::unlink(shard_, log_.dir_ + "/" + name);
    if (!gone && gone.error().code != Errc::not_found) co_return std::unexpected(gone.error());
    dropped = true;
  }
  if (dropped) {
    const Result<void> synced = co_await io::sync_dir(shard_, log_.dir_);
    if (!synced) co_return std::unexpected(synced.error());
  }
  co_return std::move(kept);  // in order, as the names are
}

/// Of those before `newest`, the snapshots of rolls are of use later, and go with their segments;
/// those of stops and checkpoints are not.
Task<Result<void>> Recovery::prune_snapshots(std::vector<Offset> older, Offset newest) {
  std::set<Offset> bases;
  for (const SegmentPtr& segment : log_.segments_) bases.insert(segment->base_offset);
  if (!bases.contains(newest)) log_.snapshot_offset_ = newest;
  for (const Offset offset : older) {
    if (bases.contains(offset)) continue;
    const Result<void> gone = co_await io::unlink(shard_, snapshot_path(offset));
    if (!gone && gone.error().code != Errc::not_found) co_return gone;
  }
  co_return Result<void>{};
}

std::string Recovery::snapshot_path(Offset offset) const {
  return concat(log_.dir_, "/", segment_stem(offset), kSnapshotEnding);
}

Task<Result<ProducerStates>> Recovery::read_snapshot(Offset offset) const {
  const Result<std::string> content =
      co_await io::read_file(shard_, snapshot_path(offset), kSnapshotBytesMax);
  if (!content) co_return std::unexpected(content.error());
  co_return parse_snapshot(*content, log_.identity_, offset);
}

/// A roll leaves a snapshot at the base of the new segment, but not at once, and a crash may come
/// before. It is needed once the segments below are dropped, and by then can't be made any more.
/// Made are those of the last segments; added to `snapshots`, which are in order.
Task<Result<void>> Recovery::complete_snapshots(std::vector<Offset>& snapshots) {
  const auto& segments = log_.segments_;
  std::size_t first = segments.size();
  while (first > 1 && !std::ranges::binary_search(snapshots, segments[first - 1]->base_offset)) {
    --first;
  }
  if (first == segments.size()) co_return Result<void>{};
  ProducerStates producers;
  Offset from = segments.front()->base_offset;
  auto older = std::ranges::lower_bound(snapshots, segments[first]->base_offset);
  while (older != snapshots.begin() && *--older >= from) {
    Result<ProducerStates> known = co_await read_snapshot(*older);
    if (!known) continue;
    producers = std::move(*known);
    from = *older;
    break;
  }
  std::vector<Offset> made;
  for (std::size_t i = 0; i + 1 < segments.size(); ++i) {
    const Result<void> replayed = co_await replay_soundly(segments[i], from, producers);
    if (!replayed) co_return replayed;
    if (i + 1 < first) continue;
    const Offset base = segments[i + 1]->base_offset;
    const Result<void> written =
        co_await log_.write_snapshot(base, encode_snapshot(producers, log_.identity_, base));
    if (!written) co_return written;
    made.push_back(base);
  }
  snapshots.insert(snapshots.end(), made.begin(), made.end());
  std::ranges::sort(snapshots);
  co_return Result<void>{};
}

/// The newest sound snapshot at or below the end, then the headers of the batches behind it.
Task<Result<void>> Recovery::load_producers() {
  Result<std::vector<Offset>> snapshots = co_await drop_later_snapshots();
  if (!snapshots) co_return std::unexpected(snapshots.error());
  if (!trusted_) {
    const Result<void> completed = co_await complete_snapshots(*snapshots);
    if (!completed) co_return completed;
  }
  // From the first batch that is there, below the log start too: a snapshot knows nothing of what
  // came behind it, and a producer whose newest batch nobody knows would be refused for ever.
  const Offset first_there = log_.segments_.front()->base_offset;
  Offset from = first_there;
  while (!snapshots->empty()) {
    const Offset offset = snapshots->back();
    snapshots->pop_back();
    Result<ProducerStates> parsed = co_await read_snapshot(offset);
    if (parsed && offset < first_there) {  // what came behind it is gone: better none
      snapshots->push_back(offset);
    } else if (parsed) {
      log_.producers_ = std::move(*parsed);
      from = offset;
    }
    if (parsed) {
      const Result<void> pruned = co_await prune_snapshots(std::move(*snapshots), from);
      if (!pruned) co_return pruned;
      break;
    }
    log_.find(concat(segment_stem(offset), kSnapshotEnding,
                     " is garbled; producers taken from an older one and the log"));
    if (parsed.error().code != Errc::corrupt) continue;
    const Result<void> gone = co_await io::unlink(shard_, snapshot_path(offset));
    if (!gone && gone.error().code != Errc::not_found) co_return gone;
  }
  for (const SegmentPtr& segment : log_.segments_) {
    const Result<void> replayed = co_await replay_soundly(segment, from, log_.producers_);
    if (!replayed) co_return replayed;
  }
  if (log_.first_dirty_) log_.producers_.forget_decided(*log_.first_dirty_);
  co_return Result<void>{};
}

/// replay(), where there is anything to note, by entries that are made again where they end early.
Task<Result<void>> Recovery::replay_soundly(SegmentPtr segment, Offset& from,
                                            ProducerStates& producers) {
  if (segment->next_offset <= from || segment->size_bytes == 0) co_return Result<void>{};
  if (!may_have_producers(segment, from)) co_return Result<void>{};
  const Result<void> replayed = co_await replay(segment, from, producers);
  if (replayed || replayed.error().code != Errc::corrupt) co_return replayed;
  const Result<void> rebuilt = co_await log_.rebuild_entries(segment);
  if (!rebuilt) co_return rebuilt;
  co_return co_await replay(segment, from, producers);
}

/// The last segment's entries were looked at, those of others only where they are asked for.
bool Recovery::may_have_producers(const SegmentPtr& segment, Offset from) const {
  if (!last_with_producer_ || segment != log_.segments_.back()) return true;
  return *last_with_producer_ >= from ||
         std::ranges::any_of(segment->entries, &IntegrityEntry::has_producer);
}

/// Notes in `producers` those of batches that end at or behind `from`, and moves that along; the
/// caller keeps both. Errors: corrupt where the integrity entries end before the segment does: a
/// failed sync may have left them in memory only, and gone from there since.
Task<Result<void>> Recovery::replay(SegmentPtr segment, Offset& from, ProducerStates& producers) {
  if (segment->damaged.size() == 1 && segment->damaged[0].position_bytes == 0 &&
      segment->damaged[0].to == segment->next_offset) {
    co_return Result<void>{};  // the whole segment is missing
  }
  const Result<void> loaded = co_await log_.load_index(segment);
  if (!loaded) co_return loaded;
  EntryCursor cursor(segment);
  cursor.start(segment->index->floor(from).batch_number, segment->seed);
  std::shared_ptr<io::File> reader;
  std::unique_ptr<LogScanner> scanner;
  while (true) {
    const Result<std::optional<IntegrityEntry>> entry = co_await cursor.next();
    if (!entry) co_return std::unexpected(entry.error());
    if (!*entry) break;
    if (!(*entry)->has_producer || (*entry)->damaged) continue;
    if (segment->base_offset + (*entry)->relative_last_offset < from) continue;
    if (!scanner) {
      const Result<std::shared_ptr<io::File>> file = co_await log_.open_reader(segment);
      if (!file) co_return std::unexpected(file.error());
      reader = *file;
      scanner = std::make_unique<LogScanner>(*reader, segment->size_bytes);
    }
    const Result<BatchHeader> header = co_await scanner->header_at((*entry)->position_bytes);
    if (!header && header.error().code == Errc::io) co_return std::unexpected(header.error());
    if (!header) continue;  // damaged: found when it is read
    ++log_.report_.batches_replayed;
    from = header->next_offset();
    if (header->is_control() && header->is_transactional()) {
      producers.note_marker(*header, -1);
    } else {
      producers.note(*header);
    }
  }
  if (scanner) log_.report_.bytes_read += scanner->bytes_read();
  co_return Result<void>{};
}

/// Kafka's index files of sealed segments, where they are missing, and the last segment's entries.
Task<Result<void>> Recovery::rebuild_side_files() {
  for (const SegmentPtr& segment : log_.segments_) {
    const bool can_wait = segment == log_.segments_.back() && !changed_;
    if (!can_wait && (!segment->entries.empty() || segment->entries_uncut)) {
      const FileLock lock = co_await FileLock::take(log_.file_lock_);
      const Result<void> entries = co_await log_.write_entries(segment, true);
      if (!entries) co_return entries;
    }
    const std::string stem = segment_stem(segment->base_offset);
    if (!segment->sealed || adopted_ || !logs_.contains(segment->base_offset)) continue;
    if (names_.contains(stem + ".index") && names_.contains(stem + ".timeindex")) continue;
    log_.find(
        concat("an index of segment ", segment->base_offset.value(), " is missing; made again"));
    log_.report_.indexes_rebuilt = true;
    const Result<void> loaded = co_await log_.load_index(segment);
    if (!loaded) co_return loaded;
    const Result<void> indexes = co_await log_.write_index_files(segment);
    if (!indexes) co_return indexes;
    if (segment != log_.segments_.back()) segment->index.reset();
  }
  if (!log_.epochs_dirty_) co_return Result<void>{};
  co_return co_await log_.write_epochs();
}

}  // namespace keelson::engine::log
