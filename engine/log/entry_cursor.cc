#include "engine/log/entry_cursor.h"

#include <algorithm>
#include <utility>

#include "engine/byte_order.h"

namespace keelson::engine::log {

Task<Result<void>> EntryFile::start(std::uint64_t number, std::uint32_t seed) {
  if (!started()) {
    Result<io::File> file = co_await io::File::open(shard_, path_, io::OpenFlags{});
    if (!file) co_return std::unexpected(file.error());
    file_ = std::move(*file);
  }
  number_ = number;
  chain_ = seed;
  broken_ = false;
  if (number == 0) co_return Result<void>{};
  const Result<Bytes> before = co_await bytes_at((number - 1) * kIntegrityEntryBytes);
  if (!before) co_return std::unexpected(before.error());
  if (before->size() < kIntegrityEntryBytes) {
    broken_ = true;
  } else {
    chain_ = load_big_endian<std::uint32_t>(before->data() + kIntegrityEntryBytes - 4);
  }
  co_return Result<void>{};
}

Task<Result<Bytes>> EntryFile::bytes_at(std::uint64_t position_bytes) {
  const std::uint64_t end = buffer_start_ + buffer_bytes_;
  if (preloaded_) co_return Bytes(buffer_).subspan(std::min<std::uint64_t>(position_bytes, end));
  if (position_bytes < buffer_start_ || position_bytes + kIntegrityEntryBytes > end) {
    buffer_.resize(piece_bytes_);
    piece_bytes_ = std::min(piece_bytes_ * 2, piece_bytes_max_);
    buffer_start_ = position_bytes;
    buffer_bytes_ = 0;
    const Result<std::size_t> read = co_await file_.read_at(position_bytes, buffer_);
    if (!read) co_return std::unexpected(read.error());
    buffer_bytes_ = *read;
  }
  co_return Bytes(buffer_)
      .subspan(position_bytes - buffer_start_)
      .first(buffer_start_ + buffer_bytes_ - position_bytes);
}

Task<Result<std::optional<IntegrityEntry>>> EntryFile::next() {
  if (broken_) co_return std::nullopt;
  const Result<Bytes> bytes = co_await bytes_at(number_ * kIntegrityEntryBytes);
  if (!bytes) co_return std::unexpected(bytes.error());
  if (bytes->size() < kIntegrityEntryBytes) {
    broken_ = !bytes->empty();
    co_return std::nullopt;
  }
  const std::optional<IntegrityEntry> entry = read_integrity_entry(*bytes, chain_);
  if (!entry) {
    broken_ = true;
    co_return std::nullopt;
  }
  ++number_;
  chain_ = entry->chain;
  co_return entry;
}

EntryCursor::EntryCursor(std::shared_ptr<Segment> segment, std::size_t piece_bytes_max)
    : segment_(std::move(segment)),
      file_(segment_->context.shard(), segment_->path(".integrity"), piece_bytes_max) {}

void EntryCursor::start(std::uint64_t number, std::uint32_t seed) {
  number_ = number;
  seed_ = seed;
  peeked_.reset();
}

Task<Result<std::optional<IntegrityEntry>>> EntryCursor::peek() {
  if (!peeked_) {
    const Result<std::optional<IntegrityEntry>> entry = co_await next();
    if (!entry || !*entry) co_return entry;
    peeked_ = **entry;
  }
  co_return peeked_;
}

Task<Result<std::optional<IntegrityEntry>>> EntryCursor::next() {
  if (peeked_) co_return std::exchange(peeked_, std::nullopt);
  // Entries move from memory to the file while we wait, so this is asked each time.
  if (number_ >= segment_->entries_in_file) {
    const std::uint64_t index = number_ - segment_->entries_in_file;
    if (index >= segment_->entries.size()) co_return std::nullopt;
    ++number_;
    co_return segment_->entries[index];
  }
  if (!file_.started() || file_.number() != number_) {
    const Result<void> started = co_await file_.start(number_, seed_);
    const bool erased = !started && started.error().code == Errc::not_found;
    if (erased && !segment_->deleted) co_return fail(Errc::corrupt);
    if (!started) co_return std::unexpected(started.error());
  }
  const Result<std::optional<IntegrityEntry>> entry = co_await file_.next();
  if (!entry) co_return std::unexpected(entry.error());
  if (!*entry) co_return fail(Errc::corrupt);
  ++number_;
  co_return *entry;
}

}  // namespace keelson::engine::log
