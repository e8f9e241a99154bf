// Where the last segment ends after an unclean stop.
//
// Most logs were idle when the process died: what their entries prove is all there is, and zeros
// follow. One read of a block or two finds that, and nothing is written: what lies behind the
// records is cut when the log is next written to, or closed (LogImpl::begin_segment()). Else the
// tail is walked, from the drive.
#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/crc32c.h"
#include "engine/log/log_side_files.h"
#include "engine/log/recovery.h"
#include "engine/log/segment_scan.h"

namespace keelson::engine::log {
namespace {

/// Commits under way are LogLimits::commits_in_flight of 256 KiB: behind more zeros than that there
/// is nothing to be counted.
constexpr std::uint64_t kZerosBehindBytesMax = std::uint64_t{2} << 20;

bool all_zero(Bytes bytes) {
  if (bytes.empty()) return true;
  return bytes[0] == std::byte{0} &&
         std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

/// Behind the last byte that is not zero.
std::size_t end_of_data(Bytes bytes) {
  if (all_zero(bytes)) return 0;
  std::size_t end = bytes.size();
  while (bytes[end - 1] == std::byte{0}) --end;
  return end;
}

}  // namespace

Task<Result<std::uint64_t>> count_behind(io::File& file, std::uint64_t from, std::uint64_t to,
                                         std::uint64_t zeros_max) {
  const std::uint64_t start = io::round_down_to_block(from);
  io::AlignedBuffer buffer(std::min<std::uint64_t>(to - start, kScanWindowBytes));
  std::uint64_t last = from;
  for (std::uint64_t at = start; at < to && at - start <= last - start + zeros_max;
       at += buffer.size_bytes()) {
    const Result<std::size_t> read = co_await read_within(file, at, buffer.bytes(), to);
    if (!read) co_return std::unexpected(read.error());
    last = std::max(last, at + end_of_data(Bytes(buffer.data(), *read)));
    if (*read < buffer.size_bytes()) break;
  }
  co_return std::min(last, to) - from;
}

Task<Result<void>> Recovery::recover_last(SegmentPtr segment, ScanRules rules) {
  const std::uint64_t file_bytes = size_of(segment, ".log");
  const Result<std::uint64_t> trusted = co_await trust_entries(segment, file_bytes);
  if (!trusted) co_return std::unexpected(trusted.error());
  segment->entries_uncut =
      size_of(segment, ".integrity") != segment->entries_in_file * kIntegrityEntryBytes;
  rules.frontier = std::max(rules.frontier, frontier_in_entries_);
  segment->uncut_recycled = manifest_ && manifest_->segments.back().recycled;
  const bool adopting = rules.transactions != nullptr;
  const bool proven = !adopting && !last_damaged_ && rules.frontier <= segment->next_offset;
  if (proven && file_bytes == 0) co_return Result<void>{};

  Result<io::File> file =
      co_await open_direct(log_.context_, segment->path(".log"), io::OpenFlags{.write = true});
  if (!file) co_return std::unexpected(file.error());
  if (proven) {
    const Result<bool> ends = co_await ends_here(segment, *file, file_bytes);
    if (!ends) co_return std::unexpected(ends.error());
    if (*ends) co_return Result<void>{};
  }
  co_return co_await walk_tail(segment, *file, file_bytes, rules);
}

/// Whether zeros follow what the entries prove. Nothing that is kept rests on this look: it needs
/// no sync, and another would find the same.
Task<Result<bool>> Recovery::ends_here(SegmentPtr segment, io::File& file,
                                       std::uint64_t file_bytes) {
  LogScanner scanner(file, file_bytes);
  const std::uint64_t start = io::round_down_to_block(segment->size_bytes);
  const std::size_t used = segment->size_bytes - start;
  const Result<Bytes> bytes = co_await scanner.bytes_at(start, used + kBatchHeaderBytes);
  if (!bytes) co_return std::unexpected(bytes.error());
  log_.report_.bytes_read += scanner.bytes_read();
  if (bytes->size() < used) co_return false;
  const Bytes behind = bytes->subspan(used);
  if (!all_zero(behind.first(std::min(behind.size(), kBatchHeaderBytes)))) co_return false;
  segment->tail_crc = crc32c(bytes->first(used));
  if (file_bytes > segment->size_bytes) segment->uncut_bytes = file_bytes;
  co_return true;
}

/// The batches behind those that the entries prove, one by one.
Task<Result<void>> Recovery::walk_tail(SegmentPtr segment, io::File& file, std::uint64_t file_bytes,
                                       ScanRules rules) {
  // What decides must be what the drive holds, not what memory remembers.
  const Result<void> synced = co_await file.sync_data();
  if (!synced) co_return synced;
  SegmentScan scan(*segment, file, file_bytes, rules);
  LeaderEpoch epoch = kNoLeaderEpoch;
  if (segment->size_bytes > 0 && !last_damaged_) {
    const Result<BatchHeader> before = co_await scan.scanner().header_at(last_batch_);
    if (before) epoch = before->leader_epoch;
  }
  const Result<void> walked = co_await scan.run(segment->size_bytes, epoch);
  if (!walked) co_return walked;
  epochs_found_.insert(epochs_found_.end(), scan.epochs().begin(), scan.epochs().end());
  if (rules.transactions != nullptr) {
    const Result<void> settled = co_await settle_aborted(segment, scan.aborted());
    if (!settled) co_return settled;
  }
  for (const DamagedRange& range : scan.damaged()) {
    log_.find(concat("offsets ", range.from.value(), " to ", range.to.value() - 1, " at byte ",
                     range.position_bytes, " of segment ", segment->base_offset.value(),
                     " are damaged and withheld"));
  }
  Result<void> noted;
  if (scan.lost_end()) {
    start_fresh(segment->next_offset);
  } else {
    noted = co_await take_end(segment, file, scan, file_bytes);
  }
  log_.report_.bytes_read += scan.bytes_read();
  co_return noted;
}

/// Records that were kept, and nothing wrong: what is to be written can wait. Else it is written
/// now, the manifest too.
Task<Result<void>> Recovery::take_end(SegmentPtr segment, io::File& file, SegmentScan& scan,
                                      std::uint64_t file_bytes) {
  const ScanStop stop = scan.scanner().stop();
  const bool can_wait = manifest_ && !manifest_->clean && scan.damaged().empty() &&
                        (stop == ScanStop::zeros || stop == ScanStop::end_of_file);
  if (file_bytes > segment->size_bytes) segment->uncut_bytes = file_bytes;
  if (!can_wait && !segment->uncut_recycled && segment->size_bytes == 0) {
    const Result<bool> spare =
        co_await is_unused_spare(segment->path(".log"), segment->base_offset);
    if (!spare) co_return std::unexpected(spare.error());
    segment->uncut_recycled = *spare;
  }
  // Never to nothing: an empty file would tell that records are gone (ManifestSegment::prepared).
  if (can_wait || (manifest_ && segment->size_bytes == 0)) {
    segment->entries_uncut = true;
  } else {
    changed_ = true;
    const Result<void> cut = co_await log_.cut_behind(segment, file, segment->size_bytes);
    if (!cut) co_return cut;
    const Result<void> synced = co_await file.sync_data();
    if (!synced) co_return synced;
  }
  co_return co_await note_tail(segment, scan.scanner());
}

Task<Result<void>> Recovery::note_tail(SegmentPtr segment, LogScanner& scanner) {
  const std::uint64_t start = io::round_down_to_block(segment->size_bytes);
  const std::size_t used = segment->size_bytes - start;
  const Result<Bytes> bytes = co_await scanner.bytes_at(start, used);
  if (!bytes) co_return std::unexpected(bytes.error());
  if (bytes->size() < used) co_return fail(Errc::corrupt);
  segment->tail_crc = crc32c(bytes->first(used));
  co_return Result<void>{};
}

/// Cuts to `kept_bytes` what recovery found in `file` behind the records that were there: prepared
/// zeros, or a tail that was never acknowledged. Reported, not synced. Nothing was written since.
Task<Result<void>> LogImpl::cut_behind(SegmentPtr segment, io::File& file,
                                       std::uint64_t kept_bytes) {
  if (segment->uncut_bytes == 0) co_return Result<void>{};
  Result<std::uint64_t> lost = 0;
  if (!segment->uncut_recycled) {
    lost = co_await count_behind(file, segment->written_bytes(), segment->uncut_bytes,
                                 kZerosBehindBytesMax);
  }
  if (!lost) co_return std::unexpected(lost.error());
  if (*lost > 0) {
    report_.bytes_cut += *lost;
    find(concat("cut ", *lost, " bytes behind byte ", segment->written_bytes(), " of segment ",
                segment->base_offset.value(), " that are not known to have been acknowledged"));
  }
  if (kept_bytes < segment->uncut_bytes) {
    const Result<void> cut = co_await file.truncate(kept_bytes);
    if (!cut) co_return cut;
  }
  segment->uncut_bytes = 0;
  segment->uncut_recycled = false;
  co_return Result<void>{};
}

}  // namespace keelson::engine::log
