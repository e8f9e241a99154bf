// What readers must know of transactions: how far they are decided, and which were aborted.
#include <algorithm>
#include <utility>

#include "engine/log/entry_cursor.h"
#include "engine/log/file_lock.h"
#include "engine/log/log_impl.h"
#include "engine/log/log_scanner.h"
#include "engine/log/log_side_files.h"

namespace keelson::engine::log {
namespace {

constexpr std::string_view kAbortedEnding = ".txnindex";
constexpr std::size_t kPieceEntries = 1024;  // of a file that are in memory at a time

/// Reads `count` entries from entry `number` on. Errors: corrupt where these are not there; io.
Task<Result<std::vector<TransactionIndexEntry>>> read_entries(io::File& file, std::size_t number,
                                                              std::vector<std::byte>& buffer,
                                                              std::size_t count) {
  buffer.resize(count * kTransactionIndexEntryBytes);
  const Result<std::size_t> read =
      co_await file.read_at(number * kTransactionIndexEntryBytes, buffer);
  if (!read) co_return std::unexpected(read.error());
  if (*read < buffer.size()) co_return fail(Errc::corrupt);
  co_return parse_transaction_index(buffer);
}

/// The number of an entry at or before the first whose marker is at or above `from`, at most a
/// piece before it.
Task<Result<std::size_t>> seek(io::File& file, std::size_t count, Offset from) {
  std::size_t low = 0;
  std::size_t high = count;
  std::vector<std::byte> buffer;
  while (high - low > kPieceEntries) {
    const std::size_t middle = low + (high - low) / 2;
    const auto entry = co_await read_entries(file, middle, buffer, 1);
    if (!entry) co_return std::unexpected(entry.error());
    (entry->front().last_offset < from ? low : high) = middle;
  }
  co_return low;
}

}  // namespace

Offset LogImpl::last_stable_offset(Offset high_watermark) {
  const std::optional<Offset> unstable = transactions_.first_unstable(high_watermark);
  if (!unstable || *unstable >= high_watermark) return high_watermark;
  return std::max(*unstable, start_);
}

std::vector<OpenTransaction> LogImpl::open_transactions() const {
  std::vector<OpenTransaction> list;
  for (const auto& [id, first_offset] : transactions_.open()) list.push_back({id, first_offset});
  std::ranges::sort(list, {}, &OpenTransaction::first_offset);
  return list;
}

/// Segment after segment from that of `from` on, up to a marker behind which everything below `to`
/// is decided: a transaction ends in a later segment than it begins in.
Task<Result<std::vector<AbortedTransaction>>> LogImpl::aborted_transactions(Offset from,
                                                                            Offset to) {
  if (!gate_.enter()) co_return fail(Errc::closed);
  const io::Gate::Pass pass(gate_);
  std::vector<AbortedTransaction> list;
  if (from >= to) co_return list;
  if (!names_.try_share()) co_await names_.share();
  const NameLock::Share share(names_);
  const auto found = co_await collect_aborted(from, to);
  if (!found) co_return std::unexpected(found.error());
  list.reserve(found->size());
  for (const TransactionIndexEntry& entry : *found) {
    list.push_back({entry.producer_id, entry.first_offset});
  }
  co_return std::move(list);
}

/// Whoever calls sees to it that names stay as they are.
Task<Result<std::vector<TransactionIndexEntry>>> LogImpl::collect_aborted(Offset from, Offset to) {
  std::vector<TransactionIndexEntry> found;
  SegmentPtr segment = segment_of(from);
  while (true) {
    if (segment->aborted.count() > 0) {
      const Result<bool> decided = co_await find_aborted(segment, from, to, found);
      if (!decided) co_return std::unexpected(decided.error());
      if (*decided) break;
    }
    SegmentPtr next = segment_behind(*segment);
    if (next == nullptr) break;
    segment = std::move(next);
  }
  co_return std::move(found);
}

/// Adds those of one segment to `found`; true where no later segment has more.
Task<Result<bool>> LogImpl::find_aborted(SegmentPtr segment, Offset from, Offset to,
                                         std::vector<TransactionIndexEntry>& found) {
  AbortedIndex& index = segment->aborted;
  const std::size_t before = found.size();
  std::vector<std::byte> buffer;
  for (int tries = 0; tries < 2; ++tries) {
    if (!index.checked) {
      const Result<void> checked = co_await check_aborted(segment);
      if (!checked) co_return std::unexpected(checked.error());
    }
    if (index.last_offset < from || index.first_offset >= to) co_return false;
    found.resize(before);
    bool decided = false;
    const auto take = [&](const TransactionIndexEntry& entry) {
      if (entry.last_offset >= from && entry.first_offset < to) found.push_back(entry);
      decided = entry.last_stable_offset >= to;
    };
    std::size_t number = 0;
    io::File file;
    Result<void> sound;
    // What is in the file and what is pending may change wherever this suspends.
    while (sound && !decided && number < index.count()) {
      if (number >= index.in_file) {
        take(index.pending[number++ - index.in_file]);
        continue;
      }
      if (!file.is_open()) {
        Result<io::File> opened =
            co_await io::File::open(shard_, segment->current_path(kAbortedEnding), {});
        if (opened) {
          file = std::move(*opened);
          const Result<std::size_t> start = co_await seek(file, index.in_file, from);
          if (start) number = *start;
          if (!start) sound = std::unexpected(start.error());
        } else {
          sound = std::unexpected(opened.error());
        }
        continue;
      }
      const std::size_t count = std::min<std::size_t>(kPieceEntries, index.in_file - number);
      const auto entries = co_await read_entries(file, number, buffer, count);
      if (!entries) sound = std::unexpected(entries.error());
      for (std::size_t i = 0; entries && !decided && i < entries->size(); ++i) take((*entries)[i]);
      number += count;
    }
    if (sound) co_return decided;
    if (sound.error().code == Errc::io) co_return std::unexpected(sound.error());
    index.checked = false;  // it was sound once: made again, if the segment is still there
  }
  co_return fail(Errc::corrupt);
}

/// Compares the file with what is known of it; makes it again where it differs.
Task<Result<void>> LogImpl::check_aborted(SegmentPtr segment) {
  AbortedIndex& index = segment->aborted;
  {
    const FileLock lock = co_await FileLock::take(file_lock_);
    if (index.checked) co_return Result<void>{};
    Result<io::File> file =
        co_await io::File::open(shard_, segment->current_path(kAbortedEnding), {});
    if (!file && file.error().code == Errc::io) co_return std::unexpected(file.error());
    std::uint32_t crc = 0;
    bool sound = file.has_value();
    std::vector<std::byte> buffer;
    AbortedIndex bounds;
    for (const TransactionIndexEntry& entry : index.pending) bounds.note_bounds(entry);
    for (std::size_t number = 0; sound && number < index.in_file;) {
      const std::size_t count = std::min<std::size_t>(kPieceEntries, index.in_file - number);
      const auto entries = co_await read_entries(*file, number, buffer, count);
      if (!entries && entries.error().code == Errc::io) {
        co_return std::unexpected(entries.error());
      }
      sound = entries.has_value();
      crc = crc32c(buffer, crc);
      for (std::size_t i = 0; sound && i < count; ++i) bounds.note_bounds((*entries)[i]);
      number += count;
    }
    if (sound && crc == index.crc) {
      index.first_offset = bounds.first_offset;
      index.last_offset = bounds.last_offset;
      index.checked = true;
      co_return Result<void>{};
    }
    if (segment->deleted) co_return fail(Errc::corrupt);
  }
  find(concat("the index of aborted transactions of segment ", segment->base_offset.value(),
              " is missing or damaged; made again from the log"));
  co_return co_await rebuild_aborted(segment);
}

/// From the segment's transactional batches, and those before it back to a known state. Where the
/// entries that are flagged as such do not give what the manifest knows, every producer's batches
/// are looked at: the flag is younger than the entries.
Task<Result<void>> LogImpl::rebuild_aborted(SegmentPtr segment) {
  Transactions before;
  const Result<Offset> from = co_await open_before(segment->base_offset, before);
  if (!from) co_return std::unexpected(from.error());
  std::vector<SegmentPtr> needed;
  for (const SegmentPtr& one : segments_) {
    const bool behind = one->base_offset > segment->base_offset;
    if (!behind && one != segment && one->next_offset > *from) needed.push_back(one);
  }
  needed.push_back(segment);
  for (const SegmentPtr& one : needed) {  // mends the entries, under the lock where it must
    const Result<void> loaded = co_await load_index(one);
    if (!loaded && loaded.error().code != Errc::not_found) co_return loaded;
  }
  const FileLock lock = co_await FileLock::take(file_lock_);
  AbortedIndex& index = segment->aborted;
  const Offset below =
      index.pending.empty() ? segment->next_offset : index.pending.front().last_offset;
  std::vector<TransactionIndexEntry> aborted;
  for (const bool flagged_only : {true, false}) {
    Transactions transactions = before;
    for (const SegmentPtr& one : needed) {
      aborted.clear();
      const ReplayRange range{*from, one == segment ? below : one->next_offset, flagged_only};
      const Result<void> replayed = co_await replay_transactions(one, range, transactions, aborted);
      if (!replayed) co_return replayed;
    }
    const std::string content = encode_transaction_index(aborted);
    const bool as_known = index.in_file > 0 ? crc32c(std::as_bytes(std::span(content))) == index.crc
                                            : segment->transactional_batches > 0;
    if (as_known) break;
  }
  files_dirty_ = true;
  co_return co_await replace_aborted(segment, std::move(aborted));
}

/// The newest producer snapshot at or below `offset` tells which transactions were open there:
/// where it stands. Without one, the beginning of the log.
Task<Result<Offset>> LogImpl::open_before(Offset offset, Transactions& transactions) {
  constexpr std::string_view kEnding = ".snapshot";
  const Offset first_there = segments_.front()->base_offset;
  const Result<std::vector<io::DirEntry>> files = co_await io::list_dir(shard_, dir_);
  if (!files) co_return std::unexpected(files.error());
  std::vector<Offset> snapshots;
  for (const io::DirEntry& file : *files) {
    if (!file.name.ends_with(kEnding)) continue;
    const std::optional<Offset> at = parse_segment_stem(
        std::string_view(file.name).substr(0, file.name.size() - kEnding.size()));
    if (at && *at >= first_there && *at <= offset) snapshots.push_back(*at);
  }
  std::ranges::sort(snapshots, std::greater{});
  for (const Offset at : snapshots) {
    const Result<std::string> content = co_await io::read_file(
        shard_, concat(dir_, "/", segment_stem(at), kEnding), kSnapshotBytesMax);
    if (!content) continue;
    const Result<ProducerStates> producers = parse_snapshot(*content, identity_, at);
    if (!producers) continue;
    transactions.assign(*producers, at);
    co_return at;
  }
  co_return std::min(first_there, offset);
}

/// Reads the transactional batches of a segment. What is damaged is passed over.
Task<Result<void>> LogImpl::replay_transactions(SegmentPtr segment, ReplayRange range,
                                                Transactions& transactions,
                                                std::vector<TransactionIndexEntry>& aborted) {
  EntryCursor cursor(segment);
  cursor.start(0, segment->seed);
  std::shared_ptr<io::File> reader;
  std::unique_ptr<LogScanner> scanner;
  while (true) {
    const Result<std::optional<IntegrityEntry>> entry = co_await cursor.next();
    if (!entry && entry.error().code == Errc::not_found) co_return Result<void>{};  // dropped
    if (!entry) co_return std::unexpected(entry.error());
    if (!*entry || (*entry)->end_bytes() > segment->written_bytes()) break;
    const Offset last = segment->base_offset + (*entry)->relative_last_offset;
    if (last >= range.below) break;
    const bool wanted = (*entry)->transactional || (!range.flagged_only && (*entry)->has_producer);
    if (!wanted || (*entry)->damaged || last < range.from) continue;
    if (!scanner) {
      const Result<std::shared_ptr<io::File>> file = co_await open_reader(segment);
      if (!file && file.error().code == Errc::not_found) co_return Result<void>{};
      if (!file) co_return std::unexpected(file.error());
      reader = *file;
      scanner = std::make_unique<LogScanner>(*reader, segment->size_bytes);
    }
    const std::uint64_t position = (*entry)->position_bytes;
    const Result<Bytes> head = co_await scanner->bytes_at(position, kBatchHeaderBytes);
    if (!head) co_return std::unexpected(head.error());
    if (head->size() < kBatchHeaderBytes || integrity_crc(*head) != (*entry)->header_crc) continue;
    const Result<BatchHeader> header = read_batch_header(*head);
    if (!header) continue;
    Bytes batch;
    if (header->is_control()) {
      if (header->size_bytes() > kScanWindowBytes / 2) continue;
      const Result<bool> sound = co_await scanner->check_crc(position, *header);
      if (!sound) co_return std::unexpected(sound.error());
      if (!*sound) continue;
      const Result<Bytes> whole = co_await scanner->bytes_at(position, header->size_bytes());
      if (!whole) co_return std::unexpected(whole.error());
      if (whole->size() < header->size_bytes()) continue;
      batch = whole->first(header->size_bytes());
    }
    const auto found = transactions.note(*header, batch);
    if (found) aborted.push_back(*found);
  }
  co_return Result<void>{};
}

/// `entries` take the place of what is in the file. Under file_lock_, or while nobody knows the
/// log.
Task<Result<void>> LogImpl::replace_aborted(SegmentPtr segment,
                                            std::vector<TransactionIndexEntry> entries) {
  AbortedIndex& index = segment->aborted;
  AbortedIndex fresh;
  entries.insert(entries.end(), index.pending.begin(), index.pending.end());
  for (const TransactionIndexEntry& entry : entries) fresh.add(entry);
  fresh.synced = false;
  index = std::move(fresh);
  if (index.count() > 0) co_return co_await write_aborted(segment, true);
  const Result<void> gone = co_await io::unlink(shard_, segment->path(kAbortedEnding));
  if (!gone && gone.error().code != Errc::not_found) co_return gone;
  index.synced = true;
  co_return Result<void>{};
}

/// Brings the pending entries of written batches to the file. Under file_lock_, as above.
Task<Result<void>> LogImpl::write_aborted(SegmentPtr segment, bool synced) {
  AbortedIndex& index = segment->aborted;
  const bool all = segment->written_bytes() == segment->size_bytes;
  std::size_t count = 0;
  while (count < index.pending.size() && (all || index.pending[count].last_offset < durable_)) {
    ++count;
  }
  if (count == 0 && (index.synced || !synced)) co_return Result<void>{};
  const std::string content = encode_transaction_index(std::span(index.pending).first(count));
  Result<io::File> file = co_await io::File::open(shard_, segment->path(kAbortedEnding),
                                                  io::OpenFlags{.write = true, .create = true});
  if (!file) co_return std::unexpected(file.error());
  const std::uint64_t position = std::uint64_t{index.in_file} * kTransactionIndexEntryBytes;
  const Bytes bytes = std::as_bytes(std::span(content));
  const Result<void> written = co_await file->write_at(position, bytes);
  if (!written) co_return written;
  // Only now: readers take from memory what is not in the file.
  index.pending.erase(index.pending.begin(),
                      index.pending.begin() + static_cast<std::ptrdiff_t>(count));
  index.in_file += static_cast<std::uint32_t>(count);
  index.crc = crc32c(bytes, index.crc);
  index.synced = false;
  if (!synced) co_return Result<void>{};
  const Result<void> cut = co_await file->truncate(position + bytes.size());
  if (!cut) co_return cut;
  const Result<void> safe = co_await file->sync_data();
  if (!safe) co_return safe;
  index.synced = true;
  co_return Result<void>{};
}

}  // namespace keelson::engine::log
