// Reading: from the chunks in memory, else from the drive, where the integrity entries say what
// lies where and what it must be.
#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/byte_order.h"
#include "engine/log/entry_cursor.h"
#include "engine/log/file_lock.h"
#include "engine/log/log_impl.h"
#include "engine/log/log_scanner.h"

namespace keelson::engine::log {
namespace {

constexpr std::size_t kReadBytesMax = std::size_t{256} << 10;  // per operation (io_uring.md, 5.2)
// Per call, the first batch aside. With the blocks it begins and ends in, a buffer of 1 MiB.
constexpr std::uint64_t kDiskReadBytesMax = (std::uint64_t{1} << 20) - 2 * io::kBlockBytes;

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
    if (take_ahead(*segment, at, bound, limits, result.batches)) {
      start_ahead(segment, segment->ahead->end, bound, limits);
      co_return std::move(result);
    }
    if (!names_.try_share()) co_await names_.share();
    const NameLock::Share share(names_);
    if (segment->deleted && at >= start_) continue;  // compacted meanwhile
    const bool goes_on = segment->scan_hint_offset == at;
    Result<DiskRead> read = co_await read_disk(segment, at, bound, limits);
    if (!read && at < start_) co_return fail(Errc::offset_out_of_range);  // dropped meanwhile
    if (!read && read.error().code == Errc::not_found) co_return fail(Errc::io, ENOENT);
    if (!read) co_return std::unexpected(read.error());
    result.log_start_offset = start_;
    result.batches = std::move(read->batches);
    if (goes_on && read->end > at) start_ahead(segment, read->end, bound, limits);
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

/// Fills `into` with what was read ahead, where that is what is asked for.
bool LogImpl::take_ahead(Segment& segment, Offset from, Offset below, ReadLimits limits,
                         SliceList& into) {
  const std::shared_ptr<ReadAhead>& ahead = segment.ahead;
  if (!ahead || !ahead->ready() || ahead->from != from || ahead->end > below) return false;
  if (total_bytes(ahead->batches) > limits.bytes_max) return false;
  into = std::move(ahead->batches);
  ahead->drop();
  return true;
}

/// Reads what follows while the client is busy with what it got.
void LogImpl::start_ahead(const SegmentPtr& segment, Offset from, Offset below, ReadLimits limits) {
  segment->ahead.reset();
  if (from >= std::min(below, segment->next_offset) || segment->deleted) return;
  if (segment->recent.find(from) != nullptr) return;  // in memory from here on
  const std::uint64_t bytes = std::min(limits.bytes_max, kDiskReadBytesMax);
  std::shared_ptr<ReadAhead> ahead = context_.read_ahead().begin(from, bytes);
  if (!ahead || !background_.enter()) return;
  segment->ahead = ahead;
  shard_.spawn(read_ahead(segment, std::move(ahead), below));
}

/// In background_. What comes of it is for the one who reads on, if it is still wanted then.
Task<void> LogImpl::read_ahead(SegmentPtr segment, std::shared_ptr<ReadAhead> ahead, Offset below) {
  const io::Gate::Pass pass(background_);
  if (!names_.try_share()) co_await names_.share();
  const NameLock::Share share(names_);
  if (segment->deleted) {
    ahead->drop();
    co_return;
  }
  const ReadLimits limits{.bytes_max = ahead->bytes, .at_least_one_batch = false};
  Result<DiskRead> read = co_await read_disk(segment, ahead->from, below, limits);
  const bool whole = read && !read->batches.empty() && read->end > ahead->from;
  if (whole && segment->ahead == ahead && !segment->deleted) {
    ahead->end = read->end;
    ahead->batches = std::move(read->batches);
  } else {
    ahead->drop();
  }
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

Task<Result<std::shared_ptr<io::File>>> LogImpl::open_reader(SegmentPtr segment) {
  if (segment->reader) co_return segment->reader;
  Result<io::File> file = co_await open_direct(context_, segment->current_path(".log"), {});
  if (!file) co_return std::unexpected(file.error());
  auto shared = std::make_shared<io::File>(std::move(*file));
  if (segment->reader) co_return segment->reader;
  if (context_.open_files >= context_.limits().open_files) co_return std::move(shared);
  ++context_.open_files;
  segment->reader = shared;
  co_return std::move(shared);
}

namespace {

/// A read of a segment's file in pieces that are under way together.
struct PieceRead {
  io::File& file;
  std::uint64_t start_bytes;
  std::uint64_t last_bytes;  // of the file, where what is wanted ends
  MutableBytes into;
  std::optional<std::size_t> short_at_bytes;  // `into` is filled up to here only
  Result<void> outcome;
};

Task<void> read_piece(PieceRead& pieces, std::size_t at) {
  const MutableBytes piece =
      pieces.into.subspan(at, std::min(kReadBytesMax, pieces.into.size() - at));
  const Result<std::size_t> read =
      co_await read_within(pieces.file, pieces.start_bytes + at, piece, pieces.last_bytes);
  if (!read) {
    pieces.outcome = std::unexpected(read.error());
  } else if (*read < piece.size()) {
    const std::size_t end = at + *read;
    pieces.short_at_bytes = std::min(pieces.short_at_bytes.value_or(end), end);
  }
}

}  // namespace

/// Finds, by the integrity entries, the batches that answer the read, reads them and checks each.
Task<Result<LogImpl::DiskRead>> LogImpl::read_disk(SegmentPtr segment, Offset from, Offset below,
                                                   ReadLimits limits, bool rebuilt) {
  const Result<void> loaded = co_await load_index(segment);
  if (!loaded) co_return std::unexpected(loaded.error());
  const SegmentIndex::Entry floor = segment->index->floor(from);
  std::uint64_t number = floor.batch_number;
  if (segment->scan_hint_offset == from) number = std::max(number, segment->scan_hint_number);
  EntryCursor cursor(segment);
  cursor.start(number, segment->seed);

  const std::uint64_t bytes_max = std::min(limits.bytes_max, kDiskReadBytesMax);
  std::vector<IntegrityEntry> wanted;
  bool is_behind_last = false;
  while (true) {
    const Result<std::optional<IntegrityEntry>> entry = co_await cursor.next();
    if (!entry && entry.error().code == Errc::corrupt && !rebuilt) {
      const Result<void> repaired = co_await rebuild_entries(segment);
      if (!repaired) co_return std::unexpected(repaired.error());
      co_return co_await read_disk(segment, from, below, limits, true);
    }
    if (!entry) co_return std::unexpected(entry.error());
    if (!*entry) {
      is_behind_last = wanted.empty();
      break;
    }
    const Offset next = segment->base_offset + (*entry)->relative_last_offset + 1;
    if (next <= from) continue;
    if (next > below || (*entry)->end_bytes() > segment->size_bytes) break;
    const std::uint64_t first =
        wanted.empty() ? (*entry)->position_bytes : wanted[0].position_bytes;
    const bool fits =
        (*entry)->end_bytes() - first <= bytes_max || (wanted.empty() && limits.at_least_one_batch);
    if (!fits) break;
    wanted.push_back(**entry);
    number = cursor.number();  // of the entry behind the last wanted one
  }
  if (wanted.empty()) co_return DiskRead{{}, is_behind_last};
  // What was placed since the index was asked is in memory at the latest now.
  if (wanted.back().end_bytes() > segment->written_bytes()) {
    SliceList recent;
    if (read_memory(segment, from, below, limits, recent)) co_return DiskRead{std::move(recent)};
    std::erase_if(wanted, [&](const IntegrityEntry& entry) {
      return entry.end_bytes() > segment->written_bytes();
    });
    if (wanted.empty()) co_return DiskRead{{}, is_behind_last};
  }

  const std::uint64_t first = wanted.front().position_bytes;
  const std::uint64_t last = wanted.back().end_bytes();
  const std::uint64_t start = io::round_down_to_block(first);
  auto buffer = std::make_shared<io::AlignedBuffer>(io::round_up_to_block(last) - start);
  const Result<std::shared_ptr<io::File>> file = co_await open_reader(segment);
  if (!file) co_return std::unexpected(file.error());
  const std::shared_ptr<io::File> reader = *file;
  PieceRead pieces{*reader, start, last, buffer->bytes(), {}, {}};
  io::TaskGroup reads(shard_);
  for (std::size_t at = 0; at < buffer->size_bytes(); at += kReadBytesMax) {
    reads.start(read_piece(pieces, at));
  }
  co_await reads.wait();
  if (!pieces.outcome) co_return std::unexpected(pieces.outcome.error());
  // Where the file ends too early, what is missing fails its check.
  const std::uint64_t have = pieces.short_at_bytes.value_or(buffer->size_bytes());

  std::uint64_t sound_end = first;
  for (const IntegrityEntry& entry : wanted) {
    const bool there = entry.end_bytes() - start <= have;
    const Bytes batch =
        there ? Bytes(buffer->data() + (entry.position_bytes - start), entry.size_bytes) : Bytes{};
    if (there && !entry.damaged && integrity_crc(batch) == entry.header_crc && crc_matches(batch)) {
      sound_end = entry.end_bytes();
      continue;
    }
    const Offset to = segment->base_offset + entry.relative_last_offset + 1;
    const Offset damaged_from = &entry == wanted.data()
                                    ? from
                                    : segment->base_offset + (&entry)[-1].relative_last_offset + 1;
    quarantine(segment, {damaged_from, to, entry.position_bytes, entry.end_bytes()},
               there ? "its bytes are not those that were written" : "the file ends before it");
    if (sound_end == first) co_return fail(Errc::quarantined);
    break;
  }
  segment->scan_hint_offset = segment->base_offset + wanted.back().relative_last_offset + 1;
  segment->scan_hint_number = number;
  SliceList slices;
  slices.push_back({buffer, Bytes(buffer->data() + (first - start), sound_end - first)});
  const bool whole = sound_end == last;
  const Offset end = segment->base_offset + wanted.back().relative_last_offset + 1;
  co_return DiskRead{std::move(slices), false, whole ? end : Offset{0}};
}

void LogImpl::quarantine(const SegmentPtr& segment, DamagedRange range, std::string_view why) {
  for (const DamagedRange& known : segment->damaged) {
    if (known.position_bytes == range.position_bytes) return;
  }
  segment->damaged.push_back(range);
  find(concat("offsets ", range.from.value(), " to ", range.to.value() - 1, " at byte ",
              range.position_bytes, " of segment ", segment->base_offset.value(),
              " are withheld: ", why));
}

/// Makes the sparse index of a sealed segment, from its integrity entries; where those are not
/// whole, from the batches themselves.
Task<Result<void>> LogImpl::load_index(SegmentPtr segment) {
  if (segment->index) co_return Result<void>{};
  SegmentIndex index(segment->base_offset, segment->index_interval_bytes);
  EntryFile entries(shard_, segment->path(".integrity"));
  Result<void> started = co_await entries.start(0, segment->seed);
  std::uint64_t position = 0;
  Offset next = segment->base_offset;
  while (started) {
    const Result<std::optional<IntegrityEntry>> entry = co_await entries.next();
    if (!entry) co_return std::unexpected(entry.error());
    if (!*entry || (*entry)->position_bytes != position) break;
    const Offset last = segment->base_offset + (*entry)->relative_last_offset;
    if (last < next) break;
    index.add({next, last, position, (*entry)->size_bytes, (*entry)->max_timestamp_ms});
    position = (*entry)->end_bytes();
    next = last + 1;
  }
  const bool whole = position == segment->size_bytes && next == segment->next_offset &&
                     entries.chain() == segment->chain;
  if (!whole) co_return co_await rebuild_entries(segment);
  index.finish_times();
  if (!segment->index) segment->index = std::move(index);
  co_return Result<void>{};
}

/// The integrity file of a segment is gone or damaged: it is made again from the batches, which
/// then have only their CRC and the order of their offsets to vouch for them.
Task<Result<void>> LogImpl::rebuild_entries(SegmentPtr segment) {
  {
    const FileLock lock = co_await FileLock::take(file_lock_);
    find(concat("the integrity file of segment ", segment->base_offset.value(),
                " is missing or damaged; made again from the log"));
    const Result<std::shared_ptr<io::File>> file = co_await open_reader(segment);
    if (!file) co_return std::unexpected(file.error());
    const std::shared_ptr<io::File> reader = *file;
    const Result<void> rebuilt = co_await scan_segment(segment, *reader);
    if (!rebuilt) co_return rebuilt;
    segment->scan_hint_offset = Offset{-1};
    const Result<void> written = co_await write_entries(segment, true);
    if (!written) co_return written;
  }
  if (!segment->sealed || segments_.empty()) co_return Result<void>{};
  files_dirty_ = true;  // the manifest names another chain value; close() writes it
  co_return Result<void>{};
}

}  // namespace keelson::engine::log
