#include "engine/log/compaction_output.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>
#include <utility>

#include "engine/crc32c.h"
#include "engine/log/file_removal.h"
#include "engine/log/transactions.h"

namespace keelson::engine::log {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{512} << 10;  // of one write
constexpr std::size_t kSpareBlocksMax = 4;
constexpr std::size_t kEntryBytesHeld = std::size_t{64} << 10;
constexpr std::uint64_t kFileBytesMax = std::numeric_limits<std::int32_t>::max();
// How often it is looked whether the drive still has room for what must not fail.
constexpr std::uint64_t kSpaceLookBytes = std::uint64_t{16} << 20;

}  // namespace

CompactionOutput::CompactionOutput(std::shared_ptr<Segment> segment, Pace& pace)
    : segment_(std::move(segment)), pace_(pace), block_(kBlockBytes) {}

std::string CompactionOutput::path(std::string_view ending) const {
  return segment_->path(ending) + std::string(kCleanedEnding);
}

Task<Result<void>> CompactionOutput::open() {
  const io::OpenFlags flags{.write = true, .create = true, .truncate = true};
  endings_ = {".log"};
  Result<io::File> log = co_await open_direct(segment_->context, path(".log"), flags);
  if (!log) co_return std::unexpected(log.error());
  log_ = std::move(*log);
  endings_.push_back(".integrity");
  Result<io::File> entries =
      co_await io::File::open(segment_->context.shard(), path(".integrity"), flags);
  if (!entries) co_return std::unexpected(entries.error());
  entries_ = std::move(*entries);
  co_return Result<void>{};
}

bool CompactionOutput::has_room(std::size_t bytes) const {
  // Less than all: a block that gets full is replaced.
  const std::size_t free = block_.size_bytes() - block_bytes_ + spare_.size() * kBlockBytes;
  return full_.empty() && bytes < free;
}

Result<void> CompactionOutput::add(Bytes batch, const BatchHeader& header) {
  Segment& segment = *segment_;
  if (segment.size_bytes + batch.size() > kFileBytesMax) {
    return fail(Errc::record_list_too_large);
  }
  const bool begins_epoch = header.leader_epoch > epoch_;
  if (begins_epoch) epoch_ = header.leader_epoch;
  IntegrityEntry entry =
      make_integrity_entry(batch, header, segment.base_offset, segment.size_bytes, begins_epoch);
  if (entry.transactional) ++segment.transactional_batches;
  // By the time that anybody believes the entry, the file was synced.
  segment.chain = chain_integrity_entry(entry, entry.end_bytes(), segment.chain);
  append_integrity_entry(entry_bytes_, entry);
  ++segment.entries_in_file;
  segment.note(header);
  while (!batch.empty()) {
    const std::size_t piece = std::min(batch.size(), block_.size_bytes() - block_bytes_);
    std::memcpy(block_.data() + block_bytes_, batch.data(), piece);
    block_bytes_ += piece;
    batch = batch.subspan(piece);
    if (block_bytes_ < block_.size_bytes()) break;
    full_.push_back(std::move(block_));
    block_bytes_ = 0;
    assert(!spare_.empty());  // has_room()
    block_ = std::move(spare_.back());
    spare_.pop_back();
  }
  return {};
}

Task<Result<void>> CompactionOutput::flush(std::size_t next_bytes) {
  for (const io::AlignedBuffer& block : full_) {
    const Result<void> written = co_await write_block(Bytes(block.data(), block.size_bytes()));
    if (!written) co_return written;
  }
  for (io::AlignedBuffer& block : full_) {
    if (spare_.size() < kSpareBlocksMax) spare_.push_back(std::move(block));
  }
  full_.clear();
  while (!has_room(next_bytes)) spare_.emplace_back(kBlockBytes);
  if (entry_bytes_.size() < kEntryBytesHeld) co_return Result<void>{};
  co_return co_await write_entries();
}

Task<Result<void>> CompactionOutput::write_block(Bytes filled) {
  const Result<void> space = co_await look_for_space();
  if (!space) co_return space;
  const Result<void> written = co_await log_.write_at(position_, filled);
  if (!written) co_return written;
  position_ += filled.size();
  bytes_written_ += filled.size();
  co_await pace_.charge(filled.size());
  co_return Result<void>{};
}

Task<Result<void>> CompactionOutput::look_for_space() {
  if (position_ % kSpaceLookBytes != 0) co_return Result<void>{};
  const Result<io::DiskSpace> space =
      co_await io::disk_space(segment_->context.shard(), segment_->dir);
  if (!space) co_return std::unexpected(space.error());
  const std::uint64_t reserve = segment_->context.limits().disk_reserve_bytes;
  if (space->free_bytes < reserve + kSpaceLookBytes) co_return fail(Errc::no_space);
  co_return Result<void>{};
}

Task<Result<void>> CompactionOutput::write_entries() {
  const std::string content = std::exchange(entry_bytes_, {});
  const Result<void> written =
      co_await entries_.write_at(entry_position_, std::as_bytes(std::span(content)));
  entry_position_ += content.size();
  bytes_written_ += content.size();
  co_return written;
}

Task<Result<void>> CompactionOutput::write_whole(std::string_view ending, std::string content) {
  endings_.push_back(ending);
  const io::OpenFlags flags{.write = true, .create = true, .truncate = true};
  Result<io::File> file = co_await io::File::open(segment_->context.shard(), path(ending), flags);
  if (!file) co_return std::unexpected(file.error());
  const Result<void> written = co_await file->write_at(0, std::as_bytes(std::span(content)));
  if (!written) co_return written;
  bytes_written_ += content.size();
  co_return co_await file->sync_data();
}

Task<Result<void>> CompactionOutput::finish(std::span<const TransactionIndexEntry> aborted) {
  Segment& segment = *segment_;
  const Result<void> flushed = co_await flush(0);
  if (!flushed) co_return flushed;
  if (block_bytes_ > 0) {
    // With zeros up to a whole block of the drive; the file is cut below.
    const std::size_t whole = io::round_up_to_block(block_bytes_);
    std::memset(block_.data() + block_bytes_, 0, whole - block_bytes_);
    const Result<void> written = co_await write_block(Bytes(block_.data(), whole));
    if (!written) co_return written;
  }
  const Result<void> cut = co_await log_.truncate(segment.size_bytes);
  if (!cut) co_return cut;
  const Result<void> synced = co_await log_.sync_data();
  if (!synced) co_return synced;
  log_.close();
  const Result<void> entries = co_await write_entries();
  if (!entries) co_return entries;
  const Result<void> entries_synced = co_await entries_.sync_data();
  if (!entries_synced) co_return entries_synced;
  entries_.close();
  segment.index->finish_times();
  const Result<void> offsets = co_await write_whole(".index", segment.index->encode_offsets());
  if (!offsets) co_return offsets;
  const Result<void> times = co_await write_whole(".timeindex", segment.index->encode_times());
  if (!times) co_return times;
  if (!aborted.empty()) {
    const std::string content = encode_transaction_index(aborted);
    for (const TransactionIndexEntry& entry : aborted) segment.aborted.note_bounds(entry);
    segment.aborted.in_file = static_cast<std::uint32_t>(aborted.size());
    segment.aborted.crc = crc32c(std::as_bytes(std::span(content)));
    const Result<void> written = co_await write_whole(".txnindex", content);
    if (!written) co_return written;
  }
  segment.sealed = true;
  segment.is_empty_file = segment.size_bytes == 0;
  segment.submitted_bytes = segment.synced_bytes = segment.recent.written_bytes =
      segment.size_bytes;
  co_return Result<void>{};
}

Task<void> CompactionOutput::discard() {
  log_.close();
  entries_.close();
  io::Shard& shard = segment_->context.shard();
  io::Event hurry(shard);
  if (pace_.stopped()) hurry.set();
  for (const std::string_view ending : endings_) {
    (void)co_await remove_file(shard, path(ending), hurry);
  }
}

}  // namespace keelson::engine::log
