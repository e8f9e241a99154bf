#include "engine/log/segment_scan.h"

#include <algorithm>

namespace keelson::engine::log {

SegmentScan::SegmentScan(Segment& segment, io::File& file, std::uint64_t file_bytes,
                         ScanRules rules)
    : segment_(segment), file_bytes_(file_bytes), rules_(rules), scanner_(file, file_bytes) {}

Task<Result<void>> SegmentScan::run(std::uint64_t position_bytes, LeaderEpoch epoch) {
  scanner_.start(position_bytes, segment_.next_offset, epoch, rules_.gaps);
  while (true) {
    const Result<bool> more = co_await scanner_.next();
    if (!more) co_return std::unexpected(more.error());
    if (*more) {
      take(scanner_.batch());
      continue;
    }
    const bool at_end =
        scanner_.stop() == ScanStop::end_of_file || scanner_.stop() == ScanStop::zeros;
    if (segment_.next_offset >= rules_.frontier && (at_end || !rules_.keep_all)) break;
    const Result<bool> found = co_await find_next();
    if (!found) co_return std::unexpected(found.error());
    if (*found) {
      take_damage(found_position_, found_offset_);
      scanner_.start(found_position_, found_offset_, scanner_.epoch(), rules_.gaps);
      continue;
    }
    take_damage(file_bytes_, std::max(rules_.frontier, segment_.next_offset + 1));
    lost_end_ = true;
    break;
  }
  // All that was read had been synced before: see Recovery.
  segment_.recent.written_bytes = segment_.submitted_bytes = segment_.synced_bytes =
      segment_.size_bytes;
  segment_.chain_entries();
  co_return Result<void>{};
}

void SegmentScan::take(const ScannedBatch& batch) {
  const LeaderEpoch epoch = batch.header.leader_epoch;
  const bool begins_epoch =
      epoch != kNoLeaderEpoch && (epochs_.empty() || epochs_.back().epoch < epoch);
  if (begins_epoch) epochs_.push_back({epoch, batch.header.base_offset});
  segment_.add_entry(batch.bytes, batch.header, begins_epoch);
  segment_.note(batch.header);
  ++batches_;
  if (rules_.transactions == nullptr) return;
  const auto aborted = rules_.transactions->note(batch.header, batch.bytes);
  if (aborted) aborted_.push_back(*aborted);
}

/// A damaged stretch gets an entry like a batch's, whose checksum nothing matches: it stays
/// withheld until the bytes are replaced.
void SegmentScan::take_damage(std::uint64_t end_bytes, Offset to) {
  const std::uint64_t start = segment_.size_bytes;
  damaged_.push_back({segment_.next_offset, to, start, end_bytes});
  segment_.damaged.push_back(damaged_.back());
  if (end_bytes - start >= kBatchHeaderBytes) segment_.add_damage(end_bytes, to);
  segment_.size_bytes = end_bytes;
  segment_.next_offset = to;
}

/// Searches the file behind a damaged place for the next whole batch of this log. Most often it is
/// where the damaged header says; else every byte is tried.
Task<Result<bool>> SegmentScan::find_next() {
  const std::uint64_t damaged = scanner_.position_bytes();
  const Offset expected = scanner_.next_offset();
  constexpr std::int64_t kOffsetsAheadMax = std::int64_t{1} << 31;
  for (std::uint64_t at = damaged + 1; at + kBatchHeaderBytes <= file_bytes_; ++at) {
    const Result<BatchHeader> header = co_await scanner_.header_at(at);
    if (!header && header.error().code != Errc::corrupt) co_return std::unexpected(header.error());
    if (!header || header->base_offset <= expected || header->last_offset_delta < 0 ||
        header->base_offset - expected > kOffsetsAheadMax ||
        header->size_bytes() > file_bytes_ - at) {
      continue;
    }
    const Result<bool> sound = co_await scanner_.check_crc(at, *header);
    if (!sound) co_return std::unexpected(sound.error());
    if (!*sound) continue;
    found_position_ = at;
    found_offset_ = header->base_offset;
    co_return true;
  }
  co_return false;
}

}  // namespace keelson::engine::log
