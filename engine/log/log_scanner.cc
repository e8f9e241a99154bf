#include "engine/log/log_scanner.h"

#include <algorithm>
#include <bit>
#include <cassert>

#include "engine/crc32c.h"
#include "engine/log/segment.h"

namespace keelson::engine::log {

LogScanner::LogScanner(io::File& file, std::uint64_t file_bytes)
    : file_(file), file_bytes_(file_bytes) {}

void LogScanner::start(std::uint64_t position_bytes, Offset expected, LeaderEpoch epoch,
                       bool gaps) {
  position_ = position_bytes;
  expected_ = expected;
  epoch_ = epoch;
  gaps_ = gaps;
}

/// The window that is to begin at `position_bytes`.
void LogScanner::make_room(std::uint64_t position_bytes, std::size_t bytes_min) {
  constexpr std::size_t kGrowth = 4;
  std::size_t wanted = std::max(buffer_.size_bytes(), kScanWindowBytesMin);
  const bool goes_on = position_bytes >= window_start_ && position_bytes <= window_end_;
  if (goes_on && buffer_.size_bytes() > 0) wanted *= kGrowth;
  wanted = std::min(std::max(wanted, std::bit_ceil(2 * bytes_min)), kScanWindowBytes);
  if (wanted > buffer_.size_bytes()) buffer_ = io::AlignedBuffer(wanted);
}

/// The bytes from `position_bytes` on that are in memory: at least `bytes_min` of them (at most
/// half the window), or up to the end of the file.
Task<Result<Bytes>> LogScanner::window(std::uint64_t position_bytes, std::size_t bytes_min) {
  assert(bytes_min <= kScanWindowBytes / 2);
  const std::uint64_t wanted_end = std::min(position_bytes + bytes_min, file_bytes_);
  if (position_bytes < window_start_ || wanted_end > window_end_) {
    make_room(position_bytes, bytes_min);
    window_start_ = io::round_down_to_block(position_bytes);
    const Result<std::size_t> read =
        co_await read_within(file_, window_start_, buffer_.bytes(), file_bytes_);
    if (!read) {
      window_end_ = window_start_ = 0;
      co_return std::unexpected(read.error());
    }
    bytes_read_ += *read;
    window_end_ = std::min(window_start_ + *read, file_bytes_);
  }
  if (window_end_ <= position_bytes) co_return Bytes{};
  co_return Bytes(buffer_.data() + (position_bytes - window_start_), window_end_ - position_bytes);
}

Task<Result<BatchHeader>> LogScanner::header_at(std::uint64_t position_bytes) {
  const Result<Bytes> bytes = co_await window(position_bytes, kBatchHeaderBytes);
  if (!bytes) co_return std::unexpected(bytes.error());
  co_return read_batch_header(*bytes);
}

Task<Result<bool>> LogScanner::check_crc(std::uint64_t position_bytes, BatchHeader header) {
  std::uint64_t at = position_bytes + kCrcStart;
  const std::uint64_t end = position_bytes + header.size_bytes();
  std::uint32_t crc = 0;
  while (at < end) {
    const Result<Bytes> bytes = co_await window(at, 1);
    if (!bytes) co_return std::unexpected(bytes.error());
    if (bytes->empty()) co_return false;
    const Bytes piece = bytes->first(std::min<std::uint64_t>(bytes->size(), end - at));
    crc = crc32c(piece, crc);
    at += piece.size();
  }
  co_return crc == header.crc;
}

Task<Result<bool>> LogScanner::next() {
  stop_ = ScanStop::end_of_file;
  if (position_ >= file_bytes_) co_return false;
  const Result<Bytes> start = co_await window(position_, kBatchHeaderBytes);
  if (!start) co_return std::unexpected(start.error());
  const Bytes head = start->first(std::min(start->size(), kBatchHeaderBytes));
  stop_ = ScanStop::zeros;
  if (std::ranges::all_of(head, [](std::byte byte) { return byte == std::byte{0}; })) {
    co_return false;
  }
  stop_ = ScanStop::cut;
  if (head.size() < kBatchHeaderBytes) co_return false;
  const Result<BatchHeader> header = read_batch_header(head);
  stop_ = ScanStop::bad_header;
  if (!header || header->last_offset_delta < 0 || header->base_offset.value() < 0) co_return false;
  stop_ = ScanStop::cut;
  if (header->size_bytes() > file_bytes_ - position_) co_return false;
  // Before the check walks over it: what is returned is read once.
  const std::size_t wanted = std::min(header->size_bytes(), kScanWindowBytes / 2);
  const Result<Bytes> whole = co_await window(position_, wanted);
  if (!whole) co_return std::unexpected(whole.error());
  const Result<bool> sound = co_await check_crc(position_, *header);
  if (!sound) co_return std::unexpected(sound.error());
  stop_ = ScanStop::bad_crc;
  if (!*sound) co_return false;
  stop_ = ScanStop::not_next;
  if (gaps_ ? header->base_offset < expected_ : header->base_offset != expected_) co_return false;
  if (header->leader_epoch != kNoLeaderEpoch && header->leader_epoch < epoch_) co_return false;

  const Result<Bytes> bytes = co_await window(position_, wanted);
  if (!bytes) co_return std::unexpected(bytes.error());
  batch_ = {*header, position_,
            bytes->first(std::min<std::size_t>(bytes->size(), header->size_bytes()))};
  position_ += header->size_bytes();
  expected_ = header->next_offset();
  if (header->leader_epoch != kNoLeaderEpoch) epoch_ = header->leader_epoch;
  co_return true;
}

}  // namespace keelson::engine::log
