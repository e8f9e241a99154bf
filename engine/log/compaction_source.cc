#include "engine/log/compaction_source.h"

#include <algorithm>
#include <utility>

#include "engine/io/give_way.h"

namespace keelson::engine::log {
namespace {

constexpr std::size_t kWindowBytes = std::size_t{512} << 10;
// Of one read: what others ask of the drive waits behind it (a durable write of 4 KiB beside reads
// of 512 KiB 1.0 to 1.4 ms, beside these 0.2 to 0.3).
constexpr std::size_t kReadBytes = std::size_t{128} << 10;

}  // namespace

CompactionSource::CompactionSource(std::shared_ptr<Segment> segment, Pace& pace)
    : segment_(std::move(segment)),
      pace_(pace),
      clock_(segment_->context.shard().clock()),
      cursor_(segment_),
      next_offset_(segment_->base_offset) {}

Task<Result<void>> CompactionSource::open() {
  Result<io::File> file = co_await open_direct(segment_->context, segment_->path(".log"), {});
  if (!file) co_return std::unexpected(file.error());
  file_ = std::move(*file);
  cursor_.start(0, segment_->seed);
  co_return Result<void>{};
}

/// What is there of the file from the entry's batch on.
Task<Result<void>> CompactionSource::fetch(Window& window, IntegrityEntry entry) {
  const std::uint64_t start = io::round_down_to_block(entry.position_bytes);
  const std::uint64_t wanted = std::max<std::uint64_t>(kWindowBytes, entry.end_bytes() - start);
  if (window.memory.size_bytes() < wanted) window.memory = io::AlignedBuffer(wanted);
  window.start = window.end = start;
  while (window.end < start + window.memory.size_bytes()) {
    const MutableBytes rest = window.memory.bytes().subspan(window.end - start);
    const MutableBytes piece = rest.first(std::min(rest.size(), kReadBytes));
    const Result<std::size_t> read =
        co_await read_within(file_, window.end, piece, segment_->size_bytes);
    if (!read) co_return std::unexpected(read.error());
    window.end += *read;
    bytes_read_ += *read;
    co_await pace_.charge(*read);
    if (*read < piece.size()) break;
  }
  co_return Result<void>{};
}

DamagedRange CompactionSource::range_of(const IntegrityEntry& entry) const {
  const Offset next_offset = segment_->base_offset + entry.relative_last_offset + 1;
  return {next_offset_, next_offset, entry.position_bytes, entry.end_bytes()};
}

Task<Result<bool>> CompactionSource::load() {
  loaded_.clear();
  used_ = 0;
  while (true) {
    const Result<std::optional<IntegrityEntry>> entry = co_await cursor_.peek();
    if (!entry) co_return std::unexpected(entry.error());
    if (!*entry) break;
    const bool bad = (*entry)->damaged || (*entry)->end_bytes() > segment_->size_bytes;
    if (loaded_.empty()) {
      damaged_ = range_of(**entry);
      if (bad) co_return fail(Errc::quarantined);
      if (!window_.holds(**entry)) std::swap(window_, ahead_);
      if (!window_.holds(**entry)) {
        const Result<void> fetched = co_await fetch(window_, **entry);
        if (!fetched) co_return std::unexpected(fetched.error());
      }
      if (!window_.holds(**entry)) co_return fail(Errc::quarantined);  // the file is too short
    } else if (bad || !window_.holds(**entry)) {
      break;
    }
    loaded_.push_back(**entry);
    cursor_.skip();
    if (pace_.spent(sizeof(IntegrityEntry))) co_await pace_.rest();
  }
  co_return !loaded_.empty();
}

Task<void> CompactionSource::read_ahead() {
  const Result<std::optional<IntegrityEntry>> entry = co_await cursor_.peek();
  if (!entry || !*entry || (*entry)->end_bytes() > segment_->size_bytes) co_return;
  if (ahead_.holds(**entry)) co_return;
  // A drive that is slow has others waiting, or a rate that all share: half of it is theirs. While
  // it is fast, the batches that are loaded take longer than both.
  const std::int64_t began_ns = clock_.now_ns();
  (void)co_await fetch(ahead_, **entry);
  co_await pace_.pause(clock_.now_ns() - began_ns);
}

Result<bool> CompactionSource::next() {
  if (used_ == loaded_.size()) return false;
  const IntegrityEntry& entry = loaded_[used_++];
  damaged_ = range_of(entry);
  next_offset_ = damaged_.to;
  batch_ = Bytes(window_.memory.data() + (entry.position_bytes - window_.start), entry.size_bytes);
  io::give_way(batch_.size());
  if (integrity_crc(batch_) != entry.header_crc || !crc_matches(batch_)) {
    return fail(Errc::quarantined);
  }
  const Result<BatchHeader> header = read_batch_header(batch_);
  if (!header || header->size_bytes() != batch_.size() || header->record_count < 0 ||
      header->last_offset_delta < 0 || header->next_offset() != next_offset_) {
    return fail(Errc::quarantined);
  }
  header_ = *header;
  return true;
}

}  // namespace keelson::engine::log
