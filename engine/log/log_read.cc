// Reading: from the chunks in memory, else from what was read ahead, else from the drive
// (log_read_disk.cc).
#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/byte_order.h"
#include "engine/counters.h"
#include "engine/log/entry_cursor.h"
#include "engine/log/file_lock.h"
#include "engine/log/log_impl.h"
#include "engine/log/log_scanner.h"

namespace keelson::engine::log {
namespace {

// At least as much is read from disk for a reader who comes again; no more while memory is short.
constexpr std::uint64_t kShortReadBytes = std::uint64_t{64} << 10;

/// What a walk over batches needs of a header.
struct Peek {
  Offset base_offset;
  Offset next_offset;
  std::uint64_t size_bytes = 0;
};

/// Copies out of chunks; a header may lie across two. False where bytes are not in memory.
bool copy_out(const RecentChunks& chunks, std::uint64_t position, MutableBytes into) {
  while (!into.empty()) {
    const std::shared_ptr<Chunk>* const found = chunks.find(position);
    if (found == nullptr) return false;
    const Chunk& chunk = **found;
    const std::size_t piece = std::min<std::uint64_t>(into.size(), chunk.end_bytes() - position);
    tally_copy(piece);
    std::memcpy(into.data(), chunk.memory.data() + (position - chunk.position_bytes), piece);
    position += piece;
    into = into.subspan(piece);
  }
  return true;
}

std::optional<Peek> peek(const RecentChunks& chunks, std::uint64_t position) {
  constexpr std::size_t kPeekBytes = 27;  // up to and with the last offset delta
  std::byte bytes[kPeekBytes];
  if (!copy_out(chunks, position, bytes)) return std::nullopt;
  const Offset base{load_big_endian<std::int64_t>(bytes)};
  const auto length = load_big_endian<std::uint32_t>(bytes + 8);
  const auto delta = load_big_endian<std::int32_t>(bytes + 23);
  return Peek{base, base + delta + 1, kBatchPrefixBytes + std::uint64_t{length}};
}

}  // namespace

LogImpl::SegmentPtr LogImpl::segment_of(Offset offset) const {
  const auto after = std::ranges::upper_bound(
      segments_, offset, {}, [](const SegmentPtr& segment) { return segment->base_offset; });
  return after == segments_.begin() ? segments_.front() : *std::prev(after);
}

LogImpl::SegmentPtr LogImpl::segment_behind(const Segment& segment) const {
  const auto after = std::ranges::upper_bound(
      segments_, segment.base_offset, {}, [](const SegmentPtr& one) { return one->base_offset; });
  return after == segments_.end() ? nullptr : *after;
}

Task<Result<ReadResult>> LogImpl::read(Offset from, Offset below, ReadLimits limits) {
  if (!gate_.enter()) co_return fail(Errc::closed);
  const io::Gate::Pass pass(gate_);
  if (from < start_ || from > end_) co_return fail(Errc::offset_out_of_range);
  const Offset bound = std::min(below, end_);
  Offset at = from;
  while (at < bound) {
    const SegmentPtr segment = segment_of(at);
    ReadResult result{.batches = {}, .log_start_offset = start_};
    for (const DamagedRange& range : segment->damaged) {
      if (range.from <= at && at < range.to) co_return fail(Errc::quarantined);
    }
    if (read_memory(segment, at, bound, limits, result.batches)) co_return std::move(result);
    std::shared_ptr<ReadStream> stream = segment->streams.find(at);
    if (stream && stream->must_wait()) {
      stream->window = std::min(stream->window * 2, ReadStream::kPiecesMax);
      co_await stream->changed.wait();
      if (at < start_) co_return fail(Errc::offset_out_of_range);  // dropped meanwhile
      continue;                                                    // anything may have happened
    }
    if (stream && stream->is_ready()) {
      const bool taken = stream->take(segment->base_offset, bound, limits, result.batches);
      if (taken) read_on(segment, stream, bound, limits);
      co_return std::move(result);
    }
    if (limits.less_will_do) {
      // The last bytes of a response are not worth a read from disk, of many partitions at that.
      const bool is_short = context_.memory_short();
      const bool may_wait = !limits.at_least_one_batch;
      if (may_wait && (is_short || limits.bytes_max < kShortReadBytes)) co_return std::move(result);
      if (is_short) limits.bytes_max = std::min(limits.bytes_max, kShortReadBytes);
    }
    if (!names_.try_share()) co_await names_.share();
    const NameLock::Share share(names_);
    if (segment->deleted && at >= start_) continue;  // compacted meanwhile
    Result<DiskRead> read = co_await read_disk(segment, at, bound, limits);
    if (!read && at < start_) co_return fail(Errc::offset_out_of_range);  // dropped meanwhile
    if (!read && read.error().code == Errc::not_found) co_return fail(Errc::io, ENOENT);
    if (!read) co_return std::unexpected(read.error());
    result.log_start_offset = start_;
    result.batches = std::move(read->batches);
    if (read->end > at) follow_reader(segment, std::move(stream), at, read->end, bound, limits);
    // Nothing may also mean that the limits leave no room for the batch that is there.
    if (!read->is_behind_last || segment == segments_.back()) co_return std::move(result);
    // Nothing from `at` to the end of this segment, as compaction may leave it: go on behind; and
    // from behind it with the next segment, which may begin later.
    const SegmentPtr behind = segment_behind(*segment);
    if (segment->next_offset > at) {
      at = segment->next_offset;
    } else if (behind != nullptr) {
      at = behind->base_offset;
    }
    if (behind == nullptr || at >= bound) co_return std::move(result);
  }
  co_return ReadResult{.batches = {}, .log_start_offset = start_};
}

/// Fills `into` where all that is needed is in memory; false where it is not.
bool LogImpl::read_memory(const SegmentPtr& segment, Offset from, Offset below, ReadLimits limits,
                          SliceList& into) const {
  const RecentChunks& chunks = segment->recent;
  const std::shared_ptr<Chunk>* const held = chunks.find(from);
  if (held == nullptr) return false;
  std::uint64_t position = (*held)->first_batch_bytes;
  std::optional<Peek> batch = peek(chunks, position);
  while (batch && batch->next_offset <= from) {
    position += batch->size_bytes;
    if (position >= segment->size_bytes) return false;
    batch = peek(chunks, position);
  }
  if (!batch) return false;

  const std::uint64_t first = position;
  while (batch && batch->next_offset <= below) {
    const std::uint64_t bytes = position + batch->size_bytes - first;
    const bool fits = bytes <= limits.bytes_max || (position == first && limits.at_least_one_batch);
    if (!fits) break;
    position += batch->size_bytes;
    batch = position < segment->size_bytes ? peek(chunks, position) : std::nullopt;
  }
  for (std::uint64_t at = first; at < position;) {
    const std::shared_ptr<Chunk>* const found = chunks.find(at);
    if (found == nullptr) {  // the cache dropped what follows; serve what is whole, or the disk
      into.clear();
      return false;
    }
    Chunk& chunk = **found;
    const std::uint64_t end = std::min(position, chunk.end_bytes());
    into.push_back({*found, Bytes(chunk.memory.data() + (at - chunk.position_bytes), end - at)});
    chunks.touch(chunk);
    at = end;
  }
  return true;
}

}  // namespace keelson::engine::log
