#include "engine/log/compaction_source.h"

#include <algorithm>

namespace keelson::engine::log {
namespace {

constexpr std::size_t kWindowBytes = std::size_t{512} << 10;

}  // namespace

CompactionSource::CompactionSource(std::shared_ptr<Segment> segment, Pace& pace)
    : segment_(std::move(segment)),
      pace_(pace),
      cursor_(segment_),
      next_offset_(segment_->base_offset) {}

Task<Result<void>> CompactionSource::open() {
  Result<io::File> file = co_await open_direct(segment_->context, segment_->path(".log"), {});
  if (!file) co_return std::unexpected(file.error());
  file_ = std::move(*file);
  cursor_.start(0, segment_->seed);
  co_return Result<void>{};
}

/// Sees to it that the window holds these bytes; fewer where the file ends too early.
Task<Result<void>> CompactionSource::fetch(std::uint64_t position_bytes, std::uint64_t size_bytes) {
  const std::uint64_t end = position_bytes + size_bytes;
  if (position_bytes >= window_start_ && end <= window_end_) co_return Result<void>{};
  const std::uint64_t start = io::round_down_to_block(position_bytes);
  const std::uint64_t wanted = std::max<std::uint64_t>(kWindowBytes, end - start);
  if (window_.size_bytes() < wanted) window_ = io::AlignedBuffer(wanted);
  const Result<std::size_t> read =
      co_await read_within(file_, start, window_.bytes(), segment_->size_bytes);
  if (!read) co_return std::unexpected(read.error());
  window_start_ = start;
  window_end_ = start + *read;
  bytes_read_ += *read;
  co_await pace_.charge(*read);
  co_return Result<void>{};
}

Task<Result<bool>> CompactionSource::next() {
  const Result<std::optional<IntegrityEntry>> entry = co_await cursor_.next();
  if (!entry) co_return std::unexpected(entry.error());
  if (!*entry) co_return false;
  const Offset next_offset = segment_->base_offset + (*entry)->relative_last_offset + 1;
  damaged_ = {next_offset_, next_offset, (*entry)->position_bytes, (*entry)->end_bytes()};
  next_offset_ = next_offset;
  if ((*entry)->damaged || (*entry)->end_bytes() > segment_->size_bytes) {
    co_return fail(Errc::quarantined);
  }
  const Result<void> fetched = co_await fetch((*entry)->position_bytes, (*entry)->size_bytes);
  if (!fetched) co_return std::unexpected(fetched.error());
  if ((*entry)->end_bytes() > window_end_) co_return fail(Errc::quarantined);
  batch_ = Bytes(window_.data() + ((*entry)->position_bytes - window_start_), (*entry)->size_bytes);
  if (integrity_crc(batch_) != (*entry)->header_crc || !crc_matches(batch_)) {
    co_return fail(Errc::quarantined);
  }
  const Result<BatchHeader> header = read_batch_header(batch_);
  if (!header || header->size_bytes() != batch_.size() || header->record_count < 0 ||
      header->last_offset_delta < 0 || header->next_offset() != next_offset) {
    co_return fail(Errc::quarantined);
  }
  header_ = *header;
  co_return true;
}

}  // namespace keelson::engine::log
