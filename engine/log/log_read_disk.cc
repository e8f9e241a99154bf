// Reading from the drive, where the integrity entries say what lies where and what it must be; and
// reading ahead of those who go through a segment.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/log/entry_cursor.h"
#include "engine/log/file_lock.h"
#include "engine/log/log_impl.h"
#include "engine/log/log_scanner.h"

namespace keelson::engine::log {
namespace {

// Per operation. Beside 256 KiB it costs less CPU at the same rate; 1 MiB was slower.
constexpr std::size_t kReadBytesMax = std::size_t{512} << 10;
// Per call, the first batch aside. With the blocks it begins and ends in, a buffer of 1 MiB.
constexpr std::uint64_t kDiskReadBytesMax = (std::uint64_t{1} << 20) - 2 * io::kBlockBytes;
// Of a stream's entries at a time: those of 8 MiB in batches of 16 KiB.
constexpr std::size_t kStreamEntryBytes = std::size_t{16} << 10;

}  // namespace

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

/// The batches from `from` on that end at or before `below` and fit, by the integrity entries.
/// `cursor` stands at or before the first, and then at the one behind the last.
Task<Result<EntryRun>> LogImpl::select(SegmentPtr segment, EntryCursor& cursor, Offset from,
                                       Offset below, ReadLimits limits) {
  EntryRun run;
  while (true) {
    const Result<std::optional<IntegrityEntry>> entry = co_await cursor.peek();
    if (!entry) co_return std::unexpected(entry.error());
    if (!*entry) {
      run.is_behind_last = run.entries.empty();
      break;
    }
    const Offset next = segment->base_offset + (*entry)->relative_last_offset + 1;
    if (next > from) {
      if (next > below || (*entry)->end_bytes() > segment->size_bytes) break;
      const bool is_first = run.entries.empty();
      const std::uint64_t first = is_first ? (*entry)->position_bytes : run.start_bytes();
      const bool fits = (*entry)->end_bytes() - first <= limits.bytes_max;
      if (!fits && !(is_first && limits.at_least_one_batch)) break;
      run.entries.push_back(**entry);
    }
    cursor.skip();
  }
  co_return std::move(run);
}

/// Reads the batches of `run`, all of them written, and checks each. Gives those before the first
/// that fails, which is quarantined, from `from` on where it is the first: then it is an error.
Task<Result<Slice>> LogImpl::read_run(SegmentPtr segment, Offset from, const EntryRun& run) {
  const std::uint64_t first = run.start_bytes();
  const std::uint64_t last = run.end_bytes();
  const std::uint64_t start = io::round_down_to_block(first);
  auto buffer =
      std::make_shared<LentBuffer>(io::round_up_to_block(last) - start, context_.lent_bytes());
  const Result<std::shared_ptr<io::File>> file = co_await open_reader(segment);
  if (!file) co_return std::unexpected(file.error());
  const std::shared_ptr<io::File> reader = *file;
  PieceRead pieces{*reader, start, last, buffer->memory.bytes(), {}, {}};
  io::TaskGroup reads(shard_);
  for (std::size_t at = 0; at < buffer->memory.size_bytes(); at += kReadBytesMax) {
    reads.start(read_piece(pieces, at));
  }
  co_await reads.wait();
  if (!pieces.outcome) co_return std::unexpected(pieces.outcome.error());
  // Where the file ends too early, what is missing fails its check.
  const std::uint64_t have = pieces.short_at_bytes.value_or(buffer->memory.size_bytes());

  std::uint64_t sound_end = first;
  for (const IntegrityEntry& entry : run.entries) {
    const bool there = entry.end_bytes() - start <= have;
    const Bytes batch =
        there ? Bytes(buffer->memory.data() + (entry.position_bytes - start), entry.size_bytes)
              : Bytes{};
    if (there && !entry.damaged && integrity_crc(batch) == entry.header_crc && crc_matches(batch)) {
      sound_end = entry.end_bytes();
      continue;
    }
    const bool is_first = &entry == run.entries.data();
    const Offset damaged_from =
        is_first ? from : segment->base_offset + (&entry)[-1].relative_last_offset + 1;
    const Offset to = segment->base_offset + entry.relative_last_offset + 1;
    quarantine(segment, {damaged_from, to, entry.position_bytes, entry.end_bytes()},
               there ? "its bytes are not those that were written" : "the file ends before it");
    if (is_first) co_return fail(Errc::quarantined);
    break;
  }
  co_return Slice{buffer, Bytes(buffer->memory.data() + (first - start), sound_end - first)};
}

/// Finds the batches that answer the read, reads them and checks each.
Task<Result<LogImpl::DiskRead>> LogImpl::read_disk(SegmentPtr segment, Offset from, Offset below,
                                                   ReadLimits limits, bool rebuilt) {
  const Result<void> loaded = co_await load_index(segment);
  if (!loaded) co_return std::unexpected(loaded.error());
  EntryCursor cursor(segment);
  cursor.start(segment->index->floor(from).batch_number, segment->seed);
  ReadLimits bounded = limits;
  bounded.bytes_max = std::min(limits.bytes_max, kDiskReadBytesMax);
  Result<EntryRun> run = co_await select(segment, cursor, from, below, bounded);
  if (!run && run.error().code == Errc::corrupt && !rebuilt) {
    const Result<void> repaired = co_await rebuild_entries(segment);
    if (!repaired) co_return std::unexpected(repaired.error());
    co_return co_await read_disk(segment, from, below, limits, true);
  }
  if (!run) co_return std::unexpected(run.error());
  if (run->entries.empty()) co_return DiskRead{{}, run->is_behind_last};
  // What was placed since the index was asked is in memory at the latest now.
  if (run->end_bytes() > segment->written_bytes()) {
    SliceList recent;
    if (read_memory(segment, from, below, limits, recent)) co_return DiskRead{std::move(recent)};
    std::erase_if(run->entries, [&](const IntegrityEntry& entry) {
      return entry.end_bytes() > segment->written_bytes();
    });
    if (run->entries.empty()) co_return DiskRead{{}, false};
  }
  Result<Slice> batches = co_await read_run(segment, from, *run);
  if (!batches) co_return std::unexpected(batches.error());
  const bool whole = batches->bytes.size() == run->end_bytes() - run->start_bytes();
  const Offset end = segment->base_offset + run->entries.back().relative_last_offset + 1;
  DiskRead read{.batches = {}, .is_behind_last = false, .end = whole ? end : Offset{0}};
  read.batches.push_back(std::move(*batches));
  co_return std::move(read);
}

/// Remembers where the reader that has come from `from` to `to` goes on. `stream` is the one that
/// had nothing for it, or null; whoever was expected at `from` goes through the segment.
void LogImpl::follow_reader(const SegmentPtr& segment, std::shared_ptr<ReadStream> stream,
                            Offset from, Offset to, Offset below, ReadLimits limits) {
  if (segment->deleted) return;  // a stream's cursor would keep it
  if (stream && stream->next == from) {
    stream->restart(to);
    read_on(segment, std::move(stream), below, limits);
    return;
  }
  segment->streams.add(std::make_shared<ReadStream>(shard_, to));
}

/// Reads what follows while the reader is busy with what it got. False where there is no room.
bool LogImpl::read_on(const SegmentPtr& segment, std::shared_ptr<ReadStream> stream, Offset below,
                      ReadLimits limits, ReadAheadUse first) {
  stream->below = below;
  // Not as little as the end of a response had room for.
  stream->piece_bytes =
      std::max(stream->piece_bytes, std::min(limits.bytes_max, kDiskReadBytesMax));
  if (stream->filling || segment->deleted) return true;
  if (!background_.enter()) return false;
  stream->filling = true;
  shard_.spawn(fill(segment, std::move(stream), first));
  return true;
}

bool LogImpl::expect(Offset from, Offset below, ReadLimits limits) {
  const Offset bound = std::min(below, end_);
  if (gate_.closing() || from < start_ || from >= bound) return true;
  const SegmentPtr segment = segment_of(from);
  if (segment->recent.find(from) != nullptr) return true;
  std::shared_ptr<ReadStream> stream = segment->streams.find(from);
  if (stream && (stream->filling || !stream->pieces.empty())) return true;
  const std::uint64_t bytes = std::min(limits.bytes_max, kDiskReadBytesMax);
  if (!context_.read_ahead().has_room(bytes, ReadAheadUse::expected)) return false;
  if (!stream) {
    stream = std::make_shared<ReadStream>(shard_, from);
    segment->streams.add(stream);
  }
  return read_on(segment, std::move(stream), bound, limits, ReadAheadUse::expected);
}

/// In background_: begins pieces until the stream's window is full or there is nothing more.
Task<void> LogImpl::fill(SegmentPtr segment, std::shared_ptr<ReadStream> stream,
                         ReadAheadUse first) {
  const io::Gate::Pass pass(background_);
  if (!names_.try_share()) co_await names_.share();
  const NameLock::Share share(names_);
  while (stream->pieces.size() < stream->window && !segment->deleted) {
    const std::uint64_t generation = stream->generation;
    const Offset from = stream->tail;
    const Offset below = std::min(stream->below, segment->next_offset);
    if (from >= below || segment->recent.find(from) != nullptr) break;  // in memory from here on
    const ReadAheadUse use = stream->pieces.empty() ? first : ReadAheadUse::later;
    std::shared_ptr<ReadPiece> piece = context_.read_ahead().begin(stream->piece_bytes, use);
    if (!piece) break;
    if (!stream->cursor) {
      const Result<void> loaded = co_await load_index(segment);
      if (!loaded) break;
      if (stream->generation != generation) continue;
      // The segment owns the stream, so the stream's cursor does not own the segment.
      const SegmentPtr owner(SegmentPtr{}, segment.get());
      stream->cursor = std::make_unique<EntryCursor>(owner, kStreamEntryBytes);
      stream->cursor->start(segment->index->floor(from).batch_number, segment->seed);
    }
    // Kept while it is used: a restart takes it from the stream.
    std::unique_ptr<EntryCursor> cursor = std::move(stream->cursor);
    const ReadLimits limits{.bytes_max = piece->bytes, .at_least_one_batch = false};
    Result<EntryRun> run = co_await select(segment, *cursor, from, below, limits);
    if (stream->generation != generation) continue;
    // What is not there or not whole is for the one who asks for it.
    if (!run || run->entries.empty() || run->end_bytes() > segment->written_bytes()) break;
    if (!background_.enter()) break;
    stream->cursor = std::move(cursor);
    stream->tail = segment->base_offset + run->entries.back().relative_last_offset + 1;
    piece->run = std::move(*run);
    stream->pieces.push_back(piece);
    shard_.spawn(read_piece_of(segment, stream, std::move(piece), from));
  }
  stream->filling = false;
  stream->changed.notify();
}

/// In background_.
Task<void> LogImpl::read_piece_of(SegmentPtr segment, std::shared_ptr<ReadStream> stream,
                                  std::shared_ptr<ReadPiece> piece, Offset from) {
  const io::Gate::Pass pass(background_);
  if (!names_.try_share()) co_await names_.share();
  const NameLock::Share share(names_);
  Result<Slice> batches = fail(Errc::not_found);
  if (!segment->deleted) batches = co_await read_run(segment, from, piece->run);
  const bool wanted = piece->state == ReadPiece::State::reading && !segment->deleted;
  const std::uint64_t bytes = piece->run.end_bytes() - piece->run.start_bytes();
  if (wanted && batches && batches->bytes.size() == bytes) {
    piece->batches = std::move(*batches);
    piece->state = ReadPiece::State::ready;
  } else {
    piece->drop();
  }
  stream->changed.notify();
}

void LogImpl::quarantine(const SegmentPtr& segment, DamagedRange range, std::string_view why) {
  if (std::ranges::find(segments_, segment) == segments_.end()) return;  // cut or dropped meanwhile
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
    segment->streams.clear();
    const Result<void> written = co_await write_entries(segment, true);
    if (!written) co_return written;
  }
  if (!segment->sealed || segments_.empty()) co_return Result<void>{};
  files_dirty_ = true;  // the manifest names another chain value; close() writes it
  co_return Result<void>{};
}

}  // namespace keelson::engine::log
