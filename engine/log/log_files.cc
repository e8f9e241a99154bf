// What a log writes beside its records, and when files are made, sealed and closed.
#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "engine/crc32c.h"
#include "engine/log/file_lock.h"
#include "engine/log/log_impl.h"
#include "engine/log/log_side_files.h"
#include "engine/log/partition_metadata.h"

namespace keelson::engine::log {
namespace {

constexpr std::uint64_t kFirstStepBytes = std::uint64_t{64} << 10;

}  // namespace

Task<Result<void>> LogImpl::begin_segment(SegmentPtr segment) {
  const bool reopened =
      segment->written_bytes() > 0 || segment->prepared_bytes > 0 || segment->uncut_bytes > 0;
  Result<bool> reused = false;
  if (!reopened) reused = co_await reuse_spare(segment);
  if (!reused) co_return std::unexpected(reused.error());
  if (!*reused) {
    Result<io::File> file = co_await open_direct(context_, segment->path(".log"),
                                                 io::OpenFlags{.write = true, .create = !reopened});
    if (!file) co_return std::unexpected(file.error());
    segment->writer = std::move(*file);
  }
  // Not to nothing: an empty file would tell that records are gone (ManifestSegment::prepared).
  const std::uint64_t kept_bytes =
      std::max<std::uint64_t>(io::round_up_to_block(segment->written_bytes()), io::kBlockBytes);
  const Result<void> cut = co_await cut_behind(segment, segment->writer, kept_bytes);
  if (!cut) co_return cut;
  if (segment->prepared_bytes == 0) {
    const Result<void> prepared = co_await prepare_first(segment);
    if (!prepared) co_return prepared;
  }
  if (!reopened && !*reused) {  // a manifest that names a file which is not there tells of a loss
    const Result<void> synced = co_await io::sync_dir(shard_, dir_);
    if (!synced) co_return synced;
  }
  if (segment->entries_uncut) {
    const FileLock lock = co_await FileLock::take(file_lock_);
    const Result<void> entries = co_await write_entries(segment, true);
    if (!entries) co_return entries;
  }
  if (manifest_clean_ && reopened) {
    const Result<void> dropped = co_await drop_indexes(segment);
    if (!dropped) co_return dropped;
  }
  // Retention may have named it already, but not as what it is now.
  if (manifest_clean_ || manifest_last_base_ < segment->base_offset || *reused) {
    const Result<void> named = co_await write_manifest(false);
    if (!named) co_return named;
  }
  files_dirty_ = true;
  segment->begun = true;
  committer_.prepare_ahead(segment);
  co_return Result<void>{};
}

/// The first step of prepared space. A reopened file ends inside a block: that is written whole,
/// with the bytes it has, for direct writes must not grow the file later.
Task<Result<void>> LogImpl::prepare_first(SegmentPtr segment) {
  const std::uint64_t size_bytes = segment->written_bytes();
  const std::uint64_t start = io::round_down_to_block(size_bytes);
  std::uint64_t at = start;
  if (size_bytes > start) {
    io::AlignedBuffer block(io::kBlockBytes);
    std::memset(block.data(), 0, block.size_bytes());
    const Result<std::size_t> read =
        co_await read_within(segment->writer, start, block.bytes(), size_bytes);
    if (!read) co_return std::unexpected(read.error());
    const std::size_t used = size_bytes - start;
    if (*read < used || crc32c(Bytes(block.data(), used)) != segment->tail_crc) {
      co_return fail(Errc::corrupt);
    }
    std::memset(block.data() + used, 0, block.size_bytes() - used);
    const Result<void> written = co_await segment->writer.write_at(start, block.bytes());
    if (!written) co_return written;
    at += io::kBlockBytes;
  }
  const Bytes zeros = context_.zeros().first(kFirstStepBytes);
  const Result<void> written = co_await segment->writer.write_at(at, zeros);
  if (!written) co_return written;
  const Result<void> synced = co_await segment->writer.sync_data();
  if (!synced) co_return synced;
  segment->prepared_bytes = segment->zeroed_bytes = at + zeros.size();
  co_return Result<void>{};
}

/// The rolled segment is complete on the drive. The next one's begin_segment() names its final
/// size in the manifest; cutting it and writing its side files can wait.
Task<Result<void>> LogImpl::finish_segment(SegmentPtr segment) {
  if (segment->synced_bytes < segment->size_bytes) {
    const Result<void> synced = co_await segment->writer.sync_data();
    if (!synced) co_return synced;
    segment->synced_bytes = segment->size_bytes;
  }
  const bool entered = background_.enter();
  assert(entered);  // closed only after the committer came to rest
  shard_.spawn(seal(std::move(segment)));
  co_return Result<void>{};
}

Task<void> LogImpl::seal(SegmentPtr segment) {
  const io::Gate::Pass pass(background_);
  const Result<void> sealed = co_await seal_files(segment);
  segment->close_writer();
  segment->begun = false;
  sealed_names_dirty_ = true;
  segment->sealing = false;
  sealed_.notify();
  if (!sealed) {
    seal_failure_ = sealed.error();
    warn(concat("could not finish the files of segment ", segment->base_offset.value(), ": ",
                to_string(sealed.error().code), "; recovery will"));
  }
  if (!context_.limits().retain_at_roll) co_return;
  const Result<std::size_t> dropped = co_await retain(RetentionTime::roll);
  if (dropped || dropped.error().code == Errc::closed) co_return;
  warn(concat("retention failed: ", to_string(dropped.error().code), "; the next look goes on"));
}

Task<Result<void>> LogImpl::seal_files(SegmentPtr segment) {
  if (segment->prepared_bytes > 0 || segment->uncut_bytes > 0) {
    const Result<void> cut = co_await cut_prepared(segment);
    if (!cut) co_return cut;
  }
  const FileLock lock = co_await FileLock::take(file_lock_);
  const Result<void> entries = co_await write_entries(segment, true);
  if (!entries) co_return entries;
  const Result<void> indexes = co_await write_index_files(segment);
  if (!indexes) co_return indexes;
  const Result<void> aborted = co_await write_aborted(segment, true);
  if (!aborted) co_return aborted;
  const auto snapshot = snapshots_at_roll_.find(segment->next_offset);
  if (snapshot == snapshots_at_roll_.end()) co_return Result<void>{};
  const std::string content = std::move(snapshot->second);
  snapshots_at_roll_.erase(snapshot);
  co_return co_await write_snapshot(segment->next_offset, content);
}

/// The file ends where its records do.
Task<Result<void>> LogImpl::cut_prepared(SegmentPtr segment) {
  if (!segment->writer.is_open()) {  // given back while idle
    Result<io::File> file =
        co_await open_direct(context_, segment->path(".log"), io::OpenFlags{.write = true});
    if (!file) co_return std::unexpected(file.error());
    segment->writer = std::move(*file);
  }
  const Result<void> told = co_await cut_behind(segment, segment->writer, segment->size_bytes);
  if (!told) co_return told;
  const Result<void> cut = co_await segment->writer.truncate(segment->size_bytes);
  if (!cut) co_return cut;
  segment->prepared_bytes = segment->zeroed_bytes = segment->old_bytes = 0;
  co_return co_await segment->writer.sync_data();
}

ManifestSegment LogImpl::describe_sealed(const Segment& segment) {
  return {.base_offset = segment.base_offset,
          .next_offset = segment.next_offset,
          .size_bytes = segment.size_bytes,
          .batch_count = segment.batch_count,
          .max_timestamp_ms = segment.max_timestamp_ms,
          .max_timestamp_offset = segment.max_timestamp_offset,
          .first_timestamp_ms = segment.first_timestamp_ms,
          .created_ms = segment.created_ms,
          .last_chain = segment.chain,
          .aborted_count = static_cast<std::uint32_t>(segment.aborted.count()),
          .aborted_crc = segment.aborted.whole_crc(),
          .sealed = segment.sealed};
}

Manifest LogImpl::describe(bool clean) const {
  Manifest manifest;
  manifest.identity = identity_;
  manifest.clean = clean;
  manifest.log_start_offset = std::max(start_, coming_start_);
  manifest.recovery_point = recovery_point_from(leaving_);
  manifest.epochs = epochs_.entries();
  manifest.first_dirty = first_dirty_;
  for (const Offset base : dropped_) {
    manifest.segments.push_back({.base_offset = base, .next_offset = base, .dropped = true});
  }
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    const SegmentPtr& segment = segments_[i];
    const Offset base = segment->base_offset;
    if (i < leaving_) {
      manifest.segments.push_back({.base_offset = base, .next_offset = base, .dropped = true});
      continue;
    }
    if (describe_swap(segment, manifest)) continue;
    // One that has no file yet is not named where another stays: begin_segment() will.
    const bool prepared = segment->prepared_bytes > 0 || segment->uncut_bytes > 0;
    const bool has_file = prepared || segment->written_bytes() > 0 || segment->is_empty_file;
    if (!has_file && !clean && i > leaving_) break;
    // A rolled segment whose bytes are not all written is still the last one for recovery.
    const bool complete = segment->sealed && segment->synced_bytes == segment->size_bytes;
    if (!complete && !clean) {
      manifest.segments.push_back({.base_offset = base,
                                   .created_ms = segment->created_ms,
                                   .prepared = prepared && !segment->emptied,
                                   .recycled = segment->old_bytes > 0 || segment->uncut_recycled});
      break;
    }
    manifest.segments.push_back(describe_sealed(*segment));
  }
  std::ranges::sort(manifest.segments, {}, &ManifestSegment::base_offset);
  return manifest;
}

Offset LogImpl::recovery_point() const { return recovery_point_from(0); }

/// Without the segments before the one at `first`.
Offset LogImpl::recovery_point_from(std::size_t first) const {
  for (std::size_t i = first; i < segments_.size(); ++i) {
    const SegmentPtr& segment = segments_[i];
    if (segment->synced_bytes < segment->written_bytes()) return segment->base_offset;
    if (segment->synced_bytes < segment->size_bytes) break;
  }
  return durable_;
}

Task<Result<void>> LogImpl::write_manifest(bool clean) {
  const FileLock lock = co_await FileLock::take(manifest_lock_);
  const Manifest manifest = describe(clean);
  const bool swapping = swapping_ != nullptr;
  swap_in_manifest_ |= swapping;  // until another one is known to be there
  std::string path = dir_ + "/" + std::string(kManifestName);
  const Result<void> written =
      co_await io::replace_file(shard_, std::move(path), encode_manifest(manifest));
  if (!written) co_return written;
  swap_in_manifest_ = swapping;
  manifest_clean_ = clean;
  // Not one that is dropped: after a cut the next segment may have its base again.
  for (const ManifestSegment& segment : manifest.segments) {
    if (!segment.dropped) manifest_last_base_ = segment.base_offset;
  }
  co_return Result<void>{};
}

/// Appends the entries of written batches to the segment's integrity file. Under file_lock_.
Task<Result<void>> LogImpl::write_entries(SegmentPtr segment, bool synced) {
  const std::size_t count = segment->chained;
  synced = synced || segment->entries_uncut;
  if (count == 0 && !synced) co_return Result<void>{};
  std::string content;
  content.reserve(count * kIntegrityEntryBytes);
  for (std::size_t i = 0; i < count; ++i) append_integrity_entry(content, segment->entries[i]);
  Result<io::File> file = co_await io::File::open(shard_, segment->path(".integrity"),
                                                  io::OpenFlags{.write = true, .create = true});
  if (!file) co_return std::unexpected(file.error());
  const std::uint64_t position = segment->entries_in_file * kIntegrityEntryBytes;
  const Result<void> written = co_await file->write_at(position, std::as_bytes(std::span(content)));
  if (!written) co_return written;
  // Only now: readers take from memory what is not in the file.
  segment->entries.erase(segment->entries.begin(),
                         segment->entries.begin() + static_cast<std::ptrdiff_t>(count));
  segment->entries_in_file += count;
  segment->chained -= count;
  if (!synced) co_return Result<void>{};
  const Result<void> cut = co_await file->truncate(segment->entries_in_file * kIntegrityEntryBytes);
  if (!cut) co_return cut;
  const Result<void> safe = co_await file->sync_data();
  if (safe) segment->entries_uncut = false;
  co_return safe;
}

Task<Result<void>> LogImpl::write_index_files(SegmentPtr segment) {
  assert(segment->index.has_value());
  const Result<void> offsets =
      co_await write_index(segment->path(".index"), segment->index->encode_offsets());
  if (!offsets) co_return offsets;
  co_return co_await write_index(segment->path(".timeindex"), segment->index->encode_times());
}

/// Those of a segment that took no appends for a while, and will now: recovery makes what is
/// missing and does not look at what is there. For good with the next manifest.
Task<Result<void>> LogImpl::drop_indexes(SegmentPtr segment) {
  for (const std::string_view ending : {".index", ".timeindex"}) {
    const Result<void> gone = co_await io::unlink(shard_, segment->path(ending));
    if (!gone && gone.error().code != Errc::not_found) co_return gone;
  }
  co_return Result<void>{};
}

/// Whole or not at all, for nobody checks it. The name may be known to memory only: what is missing
/// is made again.
Task<Result<void>> LogImpl::write_index(std::string path, std::string content) {
  const std::string temporary = path + ".tmp";
  const Result<void> written = co_await write_derived(temporary, std::move(content));
  if (!written) co_return written;
  co_return co_await io::rename(shard_, temporary, std::move(path));
}

/// A file that can be made again from others, and tells by a checksum whether it is whole: written
/// in place and synced, without a rename.
Task<Result<void>> LogImpl::write_derived(std::string path, std::string content, bool synced) {
  Result<io::File> file = co_await io::File::open(
      shard_, std::move(path), io::OpenFlags{.write = true, .create = true, .truncate = true});
  if (!file) co_return std::unexpected(file.error());
  const Result<void> written = co_await file->write_at(0, std::as_bytes(std::span(content)));
  if (!written || !synced) co_return written;
  co_return co_await file->sync_data();
}

/// As of end_.
std::string LogImpl::encode_producers() const {
  return encode_snapshot(producers_, identity_, end_);
}

Task<Result<void>> LogImpl::write_snapshot(Offset offset, std::string content, bool synced) {
  co_return co_await write_derived(dir_ + "/" + segment_stem(offset) + ".snapshot",
                                   std::move(content), synced);
}

Task<Result<void>> LogImpl::write_epochs() {
  epochs_dirty_ = false;
  const Result<void> written = co_await io::replace_file(
      shard_, dir_ + "/" + std::string(kEpochFileName), encode_epochs(epochs_.entries()));
  if (!written) epochs_dirty_ = true;
  co_return written;
}

Task<Result<void>> LogImpl::write_partition_metadata() {
  co_return co_await io::replace_file(shard_, dir_ + "/" + std::string(kPartitionMetadataName),
                                      encode_partition_metadata(identity_.id));
}

void LogImpl::start_housekeeping() {
  if (housekeeping_) return;
  housekeeping_ = true;
  shard_.spawn(housekeeping());
}

/// Lives while the log is in use: brings integrity entries to their file soon after the log's
/// bytes, and gives memory and descriptors back when appends have ceased.
Task<void> LogImpl::housekeeping() {
  bool idle = false;
  const std::int64_t delay_ms =
      std::min(context_.limits().sidecar_delay_ms, context_.limits().idle_after_ms);
  while (!idle && !gate_.closing() && !committer_.failure()) {
    const std::int64_t until_ns = shard_.clock().now_ns() + delay_ms * 1'000'000;
    co_await housekeeper_wake_.wait_until(until_ns);
    if (gate_.closing() || committer_.failure()) break;
    Result<void> tidied = co_await write_pending_files();
    if (tidied) tidied = co_await draft_producers();
    if (!tidied) warn(concat("side files: ", to_string(tidied.error().code)));
    const std::int64_t quiet_ns = shard_.clock().now_ns() - last_append_ns_;
    idle = committer_.idle() && gate_.inside() == 0 && background_.inside() == 0 &&
           segments_.back()->entries.empty() &&
           quiet_ns >= context_.limits().idle_after_ms * 1'000'000;
  }
  if (idle) give_back_memory();
  housekeeping_ = false;
  housekeeper_gone_.notify();
}

Task<Result<void>> LogImpl::write_pending_files() {
  const FileLock lock = co_await FileLock::take(file_lock_);
  const SegmentPtr active = segments_.back();
  const Result<void> entries = co_await write_entries(active, false);
  if (!entries) co_return entries;
  const Result<void> aborted = co_await write_aborted(active, false);
  if (!aborted) co_return aborted;
  if (!epochs_dirty_) co_return Result<void>{};
  co_return co_await write_epochs();
}

/// An idle log holds no buffer, no descriptor and no timer. What comes next reopens the file.
void LogImpl::give_back_memory() {
  drop_spare();
  for (const SegmentPtr& segment : segments_) {
    remember_tail(*segment);
    segment->forget_memory();
    segment->close_reader();
    segment->close_writer();
    segment->begun = false;
    if (segment->sealed) segment->index.reset();
  }
}

/// Keeps a checksum of the tail block's bytes, so that they can be trusted when read back.
void LogImpl::remember_tail(Segment& segment) const {
  const std::uint64_t start = io::round_down_to_block(segment.size_bytes);
  if (segment.sealed || start == segment.size_bytes) return;
  const std::shared_ptr<Chunk>* const tail = segment.recent.find(start);
  if (tail == nullptr) return;  // not in memory since the checksum was taken
  const std::byte* const from = (*tail)->memory.data() + (start - (*tail)->position_bytes);
  segment.tail_crc = crc32c(Bytes(from, segment.size_bytes - start));
}

Task<Result<void>> LogImpl::flush() {
  if (!gate_.enter()) co_return fail(Errc::closed);
  const io::Gate::Pass pass(gate_);
  co_return co_await committer_.flush();
}

Task<Result<void>> LogImpl::checkpoint() {
  if (!gate_.enter()) co_return fail(Errc::closed);
  const io::Gate::Pass pass(gate_);
  producers_.expire(shard_.clock().wall_ms(), config_.producer_id_expiration_ms);
  const Result<void> snapshot = co_await checkpoint_producers();
  if (!snapshot) co_return snapshot;
  co_return co_await write_pending_files();
}

/// A snapshot between two rolls, so that recovery has fewer headers to read. It replaces the last
/// such; should its offset never become durable, recovery drops it and takes that of the roll.
Task<Result<void>> LogImpl::checkpoint_producers() {
  const Offset at = end_;
  if (producers_.entries().empty() || snapshot_offset_ == at) co_return Result<void>{};
  if (at == segments_.back()->base_offset) co_return Result<void>{};  // the roll's own
  const std::string content = encode_producers();  // as of `at`: nothing suspended since
  const FileLock lock = co_await FileLock::take(file_lock_);
  const Result<void> written = co_await write_snapshot(at, content);
  if (!written) co_return written;
  const Offset before = std::exchange(snapshot_offset_, at);
  const Offset draft = std::exchange(draft_offset_, Offset{-1});
  const Result<void> dropped = co_await drop_snapshot(before);
  if (!dropped || draft == at) co_return dropped;
  co_return co_await drop_snapshot(draft);
}

/// Between two checkpoints: after a kill the headers behind a snapshot are read one by one, and
/// that was all a busy log had taken in a minute. Not synced: a power cut leaves it garbled at
/// worst, and the one before it is kept.
Task<Result<void>> LogImpl::draft_producers() {
  constexpr std::uint64_t kBytesPerByteMin = 16;  // of records, for those of the snapshot
  if (producers_.entries().empty()) co_return Result<void>{};
  const FileLock lock = co_await FileLock::take(file_lock_);
  const SegmentPtr active = segments_.back();
  const std::uint64_t between =
      std::max(context_.limits().producer_draft_bytes, kBytesPerByteMin * drafted_bytes_);
  if (active->size_bytes < active->snapshot_bytes + between) co_return Result<void>{};
  const Offset at = end_;
  const std::string content = encode_producers();
  active->snapshot_bytes = active->size_bytes;
  drafted_bytes_ = content.size();
  const Result<void> written = co_await write_snapshot(at, content, false);
  if (!written) co_return written;
  co_return co_await drop_snapshot(std::exchange(draft_offset_, at));
}

Task<Result<void>> LogImpl::drop_snapshot(Offset offset) {
  const bool is_of_roll = std::ranges::find(segments_, offset, [](const SegmentPtr& segment) {
                            return segment->base_offset;
                          }) != segments_.end();
  if (offset < Offset{0} || is_of_roll) co_return Result<void>{};
  const Result<void> gone =
      co_await io::unlink(shard_, dir_ + "/" + segment_stem(offset) + ".snapshot");
  if (!gone && gone.error().code != Errc::not_found) co_return gone;
  co_return Result<void>{};
}

Task<Result<void>> LogImpl::close() {
  if (closed_) co_return Result<void>{};
  if (context_.compaction != nullptr) context_.compaction->gone(*this);
  committer_.stop_waiting_for_space();
  co_await gate_.close();
  housekeeper_wake_.notify();
  while (housekeeping_) co_await housekeeper_gone_.wait();
  const Result<void> flushed = co_await committer_.flush();
  co_await committer_.drain();
  drop_spare();
  closing_.set();
  co_await background_.close();
  Result<void> outcome = flushed;
  if (flushed && files_dirty_ && !context_.leave_files) outcome = co_await close_files();
  for (const SegmentPtr& segment : segments_) {
    segment->close_writer();
    segment->close_reader();
    segment->forget_memory();
  }
  closed_ = true;
  moved_.notify();
  co_return outcome;
}

/// The directory is renamed as Kafka does it: a crash leaves nothing that looks like a log.
Task<Result<std::string>> LogImpl::remove() {
  committer_.stop_waiting_for_space();
  if (!closed_) committer_.poison({Errc::closed});
  const Result<void> closed = co_await close();  // fails with the error above; all is at rest
  if (!closed && closed.error().code != Errc::closed) {
    warn(concat("removed although closing failed: ", to_string(closed.error().code)));
  }
  constexpr std::size_t kNameBytesMax = 255;
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string ending = ".";
  for (int i = 0; i < 2; ++i) {
    std::uint64_t bits = shard_.rng().next();
    for (int digit = 0; digit < 16; ++digit, bits >>= 4) ending += kHex[bits & 15];
  }
  ending += "-delete";
  const std::string parent = io::parent_of(dir_);
  const std::size_t slash = dir_.rfind('/');
  std::string name = slash == std::string::npos ? dir_ : dir_.substr(slash + 1);
  name.resize(std::min(name.size(), kNameBytesMax - ending.size()));
  std::string doomed = concat(parent, "/", name, ending);
  const Result<void> renamed = co_await io::rename(shard_, dir_, doomed);
  if (!renamed) co_return std::unexpected(renamed.error());
  const Result<void> synced = co_await io::sync_dir(shard_, parent);
  if (!synced) co_return std::unexpected(synced.error());
  co_return doomed;
}

/// A crash may have left indexes of aborted transactions that nobody has looked at since: what a
/// clean stop leaves is believed.
Task<Result<void>> LogImpl::check_unproven() {
  if (!opened_unclean_) co_return Result<void>{};
  const std::vector<SegmentPtr> segments(segments_.begin(), segments_.end());
  for (const SegmentPtr& segment : segments) {
    if (segment->aborted.checked || !segment->damaged.empty()) continue;
    const Result<void> checked = co_await check_aborted(segment);
    if (!checked && checked.error().code != Errc::corrupt) co_return checked;
  }
  co_return Result<void>{};
}

/// Everything Kafka's tools and the next open() look at; the manifest last, as it says "clean".
Task<Result<void>> LogImpl::close_files() {
  // What a failed sync left of a segment's files nobody knows: recovery has to look at them.
  if (seal_failure_) co_return std::unexpected(*seal_failure_);
  const Result<void> checked = co_await check_unproven();
  if (!checked) co_return checked;
  const FileLock lock = co_await FileLock::take(file_lock_);
  const SegmentPtr active = segments_.back();
  if (active->prepared_bytes > 0 || active->uncut_bytes > 0) {
    if (active->size_bytes == 0) {  // about to be empty, and nothing is lost
      active->emptied = true;
      const Result<void> told = co_await write_manifest(false);
      if (!told) co_return told;
    }
    const Result<void> cut = co_await cut_prepared(active);
    if (!cut) co_return cut;
  }
  active->index->finish_times();
  const Result<void> entries = co_await write_entries(active, true);
  if (!entries) co_return entries;
  const Result<void> indexes = co_await write_index_files(active);
  if (!indexes) co_return indexes;
  const Result<void> aborted = co_await write_aborted(active, true);
  if (!aborted) co_return aborted;
  const Result<void> snapshot = co_await write_snapshot(end_, encode_producers());
  if (!snapshot) co_return snapshot;
  const Result<void> epochs = co_await write_epochs();
  if (!epochs) co_return epochs;
  const Result<void> manifest = co_await write_manifest(true);
  if (!manifest) co_return manifest;
  co_return co_await remove_swap_leftover();
}

}  // namespace keelson::engine::log
