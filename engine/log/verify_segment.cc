#include "engine/log/verify_segment.h"

#include <algorithm>
#include <utility>

#include "engine/log/integrity_sidecar.h"
#include "engine/log/record_reader.h"
#include "engine/log/segment.h"

namespace keelson::engine::log {
namespace {

constexpr std::size_t kIndexBytesMax = std::size_t{256} << 20;
constexpr std::size_t kRecordBatchBytesMax = std::size_t{256} << 20;  // read whole for its records
constexpr std::uint64_t kSearchBytesMax = std::uint64_t{64} << 20;    // behind damage

std::string_view explain(ScanStop stop) {
  switch (stop) {
    case ScanStop::end_of_file: return "the end of the file";
    case ScanStop::zeros: return "zeros";
    case ScanStop::cut: return "a batch that passes the end of the file";
    case ScanStop::bad_header: return "bytes that are no batch";
    case ScanStop::bad_crc: return "a batch whose checksum is wrong";
    case ScanStop::not_next: return "a batch that does not follow";
  }
  std::unreachable();
}

std::string range_text(Offset from, Offset to) {
  if (to - from <= 1) return concat("offset ", from.value());
  return concat("offsets ", from.value(), " to ", to.value() - 1);
}

/// Entries of a file that its writer left open are followed by zeros: nothing where the content is
/// no index even so. `padded` says whether zeros were dropped.
template <class Entry>
std::optional<std::vector<Entry>> parse_padded(std::string_view content, std::size_t entry_bytes,
                                               Result<std::vector<Entry>> (*parse)(Bytes),
                                               bool& padded) {
  Result<std::vector<Entry>> whole = parse(std::as_bytes(std::span(content)));
  padded = false;
  if (whole) return std::move(*whole);
  const std::size_t last = content.find_last_not_of('\0');
  const std::size_t used = last == std::string_view::npos ? 0 : last + 1;
  const std::size_t rounded = (used + entry_bytes - 1) / entry_bytes * entry_bytes;
  if (rounded >= content.size()) return std::nullopt;
  Result<std::vector<Entry>> rest = parse(std::as_bytes(std::span(content.substr(0, rounded))));
  if (!rest) return std::nullopt;
  padded = true;
  return std::move(*rest);
}

}  // namespace

SegmentVerify::SegmentVerify(LogWalk& walk, Offset base_offset, const ManifestSegment* listed,
                             bool last)
    : walk_(walk),
      base_(base_offset),
      listed_(listed),
      last_(last),
      stem_(segment_stem(base_offset)),
      file_(stem_ + ".log") {}

Task<void> SegmentVerify::run() {
  ++walk_.report.summary.segments;
  const Result<io::FileStat> stat = co_await io::stat(walk_.shard, walk_.path(file_));
  if (!stat) co_return walk_.unreadable(file_, stat.error());
  file_bytes_ = stat->size_bytes;
  Result<io::File> file = co_await io::File::open(walk_.shard, walk_.path(file_), {});
  if (!file) co_return walk_.unreadable(file_, file.error());
  co_await load_indexes();
  co_await load_entries();
  walk_.next_offset = std::max(walk_.next_offset, base_);
  co_await walk_batches(*file);
  co_await finish_entries();
  finish_indexes();
  check_listed();
}

// --- side files
// -----------------------------------------------------------------------------------

Task<void> SegmentVerify::load_indexes() {
  // Kafka and Keelson keep both for every segment; while a segment takes appends they may lag.
  const auto absent = [this](FindingKind kind, const std::string& name) {
    if (last_ && !walk_.clean) return;
    if (file_bytes_ > 0) walk_.find_if_clean(kind, name, "is missing");
  };
  bool padded = false;
  const auto report_padding = [&](FindingKind kind, const std::string& name) {
    if (padded) walk_.find_if_clean(kind, name, "was left open: zeros follow its entries");
  };
  const std::string index_name = stem_ + ".index";
  if (!walk_.files.contains(index_name)) {
    absent(FindingKind::offset_index, index_name);
  } else if (const auto content = co_await walk_.read(index_name, kIndexBytesMax)) {
    auto parsed = parse_padded(*content, kOffsetIndexEntryBytes, parse_offset_index, padded);
    if (!parsed) walk_.find(FindingKind::offset_index, index_name, "is garbled");
    report_padding(FindingKind::offset_index, index_name);
    if (parsed) index_ = std::move(*parsed);
  }
  padded = false;
  const std::string time_name = stem_ + ".timeindex";
  if (!walk_.files.contains(time_name)) {
    absent(FindingKind::time_index, time_name);
  } else if (const auto content = co_await walk_.read(time_name, kIndexBytesMax)) {
    auto parsed = parse_padded(*content, kTimeIndexEntryBytes, parse_time_index, padded);
    if (!parsed) walk_.find(FindingKind::time_index, time_name, "is garbled");
    report_padding(FindingKind::time_index, time_name);
    if (parsed) times_ = std::move(*parsed);
  }
  const std::string aborted_name = stem_ + ".txnindex";
  if (!walk_.files.contains(aborted_name)) co_return;
  const auto content = co_await walk_.read(aborted_name, kIndexBytesMax);
  if (content && !parse_transaction_index(std::as_bytes(std::span(*content)))) {
    walk_.find(FindingKind::transaction_index, aborted_name, "is garbled");
  }
}

Task<void> SegmentVerify::load_entries() {
  const std::string name = stem_ + ".integrity";
  if (!walk_.identity || !walk_.manifest) co_return;  // entries say nothing without them
  if (!walk_.files.contains(name)) {
    if (file_bytes_ > 0) walk_.find_if_clean(FindingKind::integrity, name, "is missing");
    co_return;
  }
  entries_ = std::make_unique<EntryFile>(walk_.shard, walk_.path(name));
  const Result<void> started = co_await entries_->start(0, integrity_seed(*walk_.identity, base_));
  if (!started) {
    walk_.unreadable(name, started.error());
    entries_.reset();
    co_return;
  }
  co_await next_entry();
}

Task<void> SegmentVerify::next_entry() {
  const Result<std::optional<IntegrityEntry>> entry = co_await entries_->next();
  entry_.reset();
  if (!entry) {
    walk_.unreadable(stem_ + ".integrity", entry.error());
    entries_.reset();
    co_return;
  }
  entry_ = *entry;
  if (!entry_) co_return;
  durable_bytes_ = std::max<std::uint64_t>(durable_bytes_, entry_->durable_upto_bytes);
}

// --- the walk
// -------------------------------------------------------------------------------------

Task<void> SegmentVerify::walk_batches(io::File& file) {
  LogScanner scanner(file, file_bytes_);
  std::uint64_t position = 0;
  std::uint64_t bytes_told = 0;
  while (true) {
    // Offsets and epochs are judged here, where one wrong header must not condemn all that follow.
    scanner.start(position, Offset{0}, kNoLeaderEpoch, true);
    const Result<bool> more = co_await scanner.next();
    walk_.report.progress(walk_.name, scanner.bytes_read() - bytes_told);
    bytes_told = scanner.bytes_read();
    if (!more) {
      walk_.unreadable(file_, more.error());
      damaged_ = true;
      co_return;
    }
    if (*more) {
      position = scanner.position_bytes();
      size_bytes_ = position;
      const ScannedBatch batch = scanner.batch();
      co_await take(file, batch);
      continue;
    }
    if (scanner.stop() == ScanStop::end_of_file) co_return;
    const bool goes_on = co_await pass_damage(scanner);
    if (!goes_on) co_return;
    position = size_bytes_;
  }
}

Task<void> SegmentVerify::take(io::File& file, ScannedBatch batch) {
  const BatchHeader& header = batch.header;
  VerifySummary& summary = walk_.report.summary;
  ++batches_;
  ++summary.batches;
  summary.records += static_cast<std::uint64_t>(std::max(header.record_count, 0));
  summary.bytes += header.size_bytes();
  const Offset expected = walk_.next_offset;
  const std::optional<IntegrityEntry> entry = co_await take_entry(batch);
  const bool vouched = entry && check_entry(batch, *entry);
  check_offsets(batch, vouched);
  check_index(batch);
  check_times(batch);
  if (header.max_timestamp > max_timestamp_ms_ || batches_ == 1) {
    max_timestamp_ms_ = header.max_timestamp;
    max_timestamp_offset_ = header.last_offset();
  }
  const bool entry_knows = entry && !entry->damaged;
  if (!vouched && entry_knows) {
    // The entry knows better than a header that was changed.
    walk_.next_offset = std::max(expected, base_ + entry->relative_last_offset + 1);
  } else {
    walk_.next_offset = header.next_offset();
  }
  const bool new_epoch = header.leader_epoch > walk_.epoch;
  if (new_epoch && (vouched || !entry_knows)) {
    walk_.epoch = header.leader_epoch;
    walk_.epochs.push_back({header.leader_epoch, header.base_offset});
  }
  note_producer(header);
  if (walk_.options.records) co_await check_records(file, batch);
}

void SegmentVerify::check_offsets(const ScannedBatch& batch, bool vouched) {
  const BatchHeader& header = batch.header;
  const Offset expected = walk_.next_offset;
  if (header.base_offset < expected) {
    walk_.find(FindingKind::offsets, file_,
               concat("offsets go back: the batch begins at ", header.base_offset.value(),
                      ", the one before ends at ", expected.value() - 1),
               batch.position_bytes, header.base_offset);
    damaged_ = true;
  } else if (header.base_offset > expected && !gap_told_) {
    gap_told_ = true;  // once a segment: compaction leaves many
    const std::string text =
        concat(range_text(expected, header.base_offset), " are in no batch here");
    if (vouched || walk_.facts.compacted) {
      walk_.note(FindingKind::offsets, file_, text + "; so they were when this was written",
                 batch.position_bytes, expected);
    } else {
      walk_.find(FindingKind::offsets, file_, text, batch.position_bytes, expected);
    }
  }
  if (header.leader_epoch != kNoLeaderEpoch && header.leader_epoch < walk_.epoch) {
    walk_.find(FindingKind::offsets, file_,
               concat("leader epochs go back, from ", walk_.epoch.value(), " to ",
                      header.leader_epoch.value()),
               batch.position_bytes, header.base_offset);
  }
}

/// The entry of the batch's place, and moves on to the one behind it.
Task<std::optional<IntegrityEntry>> SegmentVerify::take_entry(ScannedBatch batch) {
  if (!entries_) co_return std::nullopt;
  const std::uint64_t skipped = co_await skip_entries(0, batch.position_bytes);
  if (skipped > 0) {
    walk_.find(FindingKind::integrity, stem_ + ".integrity",
               concat(skipped, " entries name places where no batch begins"), batch.position_bytes);
  }
  if (!entry_ || entry_->position_bytes != batch.position_bytes) {
    ++without_entry_;
    co_return std::nullopt;
  }
  const IntegrityEntry entry = *entry_;
  co_await next_entry();
  co_return entry;
}

/// True where the entry says that this is the batch that was written.
bool SegmentVerify::check_entry(const ScannedBatch& batch, const IntegrityEntry& entry) {
  if (entry.damaged) {
    walk_.note(FindingKind::integrity, stem_ + ".integrity",
               "a recovery withheld this place; a batch is there now", batch.position_bytes);
    return false;
  }
  const BatchHeader& header = batch.header;
  const bool same = entry.header_crc == integrity_crc(batch.bytes) &&
                    entry.size_bytes == header.size_bytes() &&
                    base_ + entry.relative_last_offset == header.last_offset() &&
                    entry.max_timestamp_ms == header.max_timestamp;
  if (same) return true;
  damaged_ = true;
  walk_.find(FindingKind::integrity, file_,
             "the batch is not the one that was written: its header differs from its integrity "
             "entry",
             batch.position_bytes, header.base_offset);
  return false;
}

void SegmentVerify::check_index(const ScannedBatch& batch) {
  const std::string name = stem_ + ".index";
  while (index_next_ < index_.size() && index_[index_next_].position_bytes < batch.position_bytes) {
    walk_.find(FindingKind::offset_index, name,
               concat("entry ", index_next_, " names byte ", index_[index_next_].position_bytes,
                      ", where no batch begins"));
    ++index_next_;
  }
  if (index_next_ == index_.size() || index_[index_next_].position_bytes != batch.position_bytes) {
    return;
  }
  // Where several batches were appended as one, Kafka's entry names the last offset of them all.
  const Offset named = base_ + index_[index_next_].relative_offset;
  const bool exact = named == batch.header.last_offset();
  if (walk_.manifest ? !exact : named < batch.header.base_offset) {
    walk_.find(
        FindingKind::offset_index, name,
        concat("entry ", index_next_, " names offset ", named.value(), "; the batch there holds ",
               range_text(batch.header.base_offset, batch.header.next_offset())),
        batch.position_bytes);
  }
  ++index_next_;
}

void SegmentVerify::check_times(const ScannedBatch& batch) {
  const std::string name = stem_ + ".timeindex";
  while (times_next_ < times_.size()) {
    const TimeIndexEntry& entry = times_[times_next_];
    const Offset named = base_ + entry.relative_offset;
    if (named > batch.header.last_offset()) return;
    const bool holds =
        named >= batch.header.base_offset && batch.header.max_timestamp == entry.timestamp_ms;
    if (!holds || (batches_ > 1 && max_timestamp_ms_ > entry.timestamp_ms)) {
      walk_.find(FindingKind::time_index, name,
                 concat("entry ", times_next_, " says that ", entry.timestamp_ms,
                        " is the largest timestamp up to offset ", named.value(),
                        "; the batches say otherwise"),
                 batch.position_bytes, named);
    }
    ++times_next_;
  }
}

void SegmentVerify::note_producer(const BatchHeader& header) {
  if (!header.has_producer() || header.is_control()) return;
  if (walk_.producers.size() >= LogWalk::kProducersMax &&
      !walk_.producers.contains(header.producer_id.value())) {
    walk_.producers_complete = false;
    return;
  }
  walk_.producers[header.producer_id.value()] = {header.last_offset(), header.last_sequence()};
}

Task<void> SegmentVerify::check_records(io::File& file, ScannedBatch batch) {
  const BatchHeader& header = batch.header;
  std::vector<std::byte> whole;
  Bytes bytes = batch.bytes;
  if (bytes.size() < header.size_bytes()) {
    if (header.size_bytes() > kRecordBatchBytesMax) {
      walk_.note(FindingKind::batch, file_, "too large to look at its records",
                 batch.position_bytes, header.base_offset);
      co_return;
    }
    whole.resize(header.size_bytes());  // within the file: the scanner has seen the end
    const Result<std::size_t> read = co_await file.read_at(batch.position_bytes, whole);
    if (!read || *read < whole.size()) co_return;
    bytes = whole;
  }
  RecordReader reader(bytes);
  std::int64_t count = 0;
  Offset last = header.base_offset + -1;
  while (true) {
    const Result<std::optional<Record>> record = reader.next();
    const bool sound =
        record &&
        (!*record || ((*record)->offset > last && (*record)->offset <= header.last_offset()));
    if (!sound) {
      walk_.find(FindingKind::batch, file_,
                 concat("record ", count, " of the batch is garbled, though its checksum holds"),
                 batch.position_bytes, header.base_offset);
      co_return;
    }
    if (!*record) break;
    last = (*record)->offset;
    ++count;
  }
  if (count == header.record_count) co_return;
  walk_.find(FindingKind::batch, file_,
             concat("the batch says ", header.record_count, " records and holds ", count),
             batch.position_bytes, header.base_offset);
}

// --- damage
// ---------------------------------------------------------------------------------------

/// Reports what stands where a batch was expected. True where batches follow; size_bytes_ is then
/// where they begin.
Task<bool> SegmentVerify::pass_damage(LogScanner& scanner) {
  const ScanStop stop = scanner.stop();
  const std::uint64_t from = scanner.position_bytes();
  std::optional<std::uint64_t> to;
  // An entry that names the damaged place also says where the next batch begins.
  if (entries_) {
    co_await skip_entries(0, from);
    if (entry_ && entry_->position_bytes == from && entry_->end_bytes() < file_bytes_) {
      to = entry_->end_bytes();
    }
  }
  const bool known = entry_ && entry_->position_bytes == from;
  const bool withheld = known && entry_->damaged;
  if (!to) {
    const std::optional<std::uint64_t> found = co_await find_next(scanner, from);
    to = found;
  }
  const Offset expected = walk_.next_offset;
  if (known) walk_.next_offset = base_ + entry_->relative_last_offset + 1;
  if (!to && !known) {
    report_end(stop, from, durable_bytes_);
    co_return false;
  }
  damaged_ = true;
  const std::uint64_t end = to.value_or(file_bytes_);
  if (entries_) co_await skip_entries(from, end);
  std::string text =
      concat(explain(stop), " where ", known ? "a batch was written" : "a batch follows",
             ", up to byte ", end);
  if (known) text += concat("; ", range_text(expected, walk_.next_offset), " are lost here");
  if (withheld) text += "; recovery saw it and withholds them";
  walk_.find(FindingKind::batch, file_, std::move(text), from, expected);
  if (!to) co_return false;
  size_bytes_ = *to;
  co_return true;
}

/// Where the next sound batch with higher offsets begins behind `from`.
Task<std::optional<std::uint64_t>> SegmentVerify::find_next(LogScanner& scanner,
                                                            std::uint64_t from) {
  constexpr std::int64_t kOffsetsAheadMax = std::int64_t{1} << 31;
  const std::uint64_t until = std::min(file_bytes_, from + kSearchBytesMax);
  std::uint64_t at = from + 1;
  const Result<BatchHeader> here = co_await scanner.header_at(from);
  const bool length_may_hold = here && here->size_bytes() < file_bytes_ - from;
  for (bool tried = !length_may_hold; at + kBatchHeaderBytes <= until; at += tried ? 1 : 0) {
    const std::uint64_t candidate = tried ? at : from + here->size_bytes();
    tried = true;
    const Result<BatchHeader> header = co_await scanner.header_at(candidate);
    if (!header && header.error().code != Errc::corrupt) co_return std::nullopt;
    if (!header || header->base_offset <= walk_.next_offset || header->last_offset_delta < 0 ||
        header->base_offset - walk_.next_offset > kOffsetsAheadMax ||
        header->size_bytes() > file_bytes_ - candidate) {
      continue;
    }
    const Result<bool> sound = co_await scanner.check_crc(candidate, *header);
    if (sound && *sound) co_return candidate;
  }
  co_return std::nullopt;
}

/// No batch follows: prepared space, a torn tail, or a lost end.
void SegmentVerify::report_end(ScanStop stop, std::uint64_t position_bytes,
                               std::uint64_t durable_bytes) {
  const std::uint64_t rest = file_bytes_ - position_bytes;
  const bool lost =
      durable_bytes > position_bytes ||
      (walk_.facts.recovery_point && last_ && *walk_.facts.recovery_point > walk_.next_offset);
  const bool unfinished = !walk_.clean && (last_ || listed_ != nullptr);
  if (lost) damaged_ = true;
  if (unfinished && !lost && stop == ScanStop::zeros) {
    walk_.note(FindingKind::segment, file_,
               concat(rest, " bytes of prepared space; the next start cuts them"), position_bytes);
  } else if (unfinished && !lost && last_) {
    walk_.note(FindingKind::segment, file_,
               concat("a torn end: ", explain(stop), ", ", rest,
                      " bytes that were never acknowledged; the next start cuts them"),
               position_bytes, walk_.next_offset);
  } else {
    walk_.find(FindingKind::batch, file_,
               concat(explain(stop), " and no batch behind, up to the end of the file, ", rest,
                      " bytes", lost ? "; records that were on stable storage are lost here" : ""),
               position_bytes, walk_.next_offset);
  }
}

/// Passes the entries of places in [from, to), and those before; how many, without the damaged.
Task<std::uint64_t> SegmentVerify::skip_entries(std::uint64_t from, std::uint64_t to) {
  std::uint64_t skipped = 0;
  while (entries_ && entry_ && entry_->position_bytes < to) {
    if (entry_->position_bytes >= from && !entry_->damaged) ++skipped;
    co_await next_entry();
  }
  co_return skipped;
}

// --- the end
// --------------------------------------------------------------------------------------

Task<void> SegmentVerify::finish_entries() {
  if (!entries_) co_return;
  const std::string name = stem_ + ".integrity";
  std::uint64_t beyond = 0;
  std::uint64_t beyond_bytes = 0;
  while (entries_ && entry_) {
    ++beyond;
    beyond_bytes = entry_->end_bytes();
    co_await next_entry();
  }
  if (!entries_) co_return;
  if (beyond > 0) {
    const bool lost = durable_bytes_ > size_bytes_;
    std::string text = concat(
        beyond, " entries name batches behind the end of the log, up to byte ", beyond_bytes);
    if (lost) text += concat("; those below byte ", durable_bytes_, " were on stable storage");
    if (lost || walk_.clean) {
      damaged_ = true;
      walk_.find(FindingKind::integrity, name, std::move(text), size_bytes_);
    } else {
      walk_.note(FindingKind::integrity, name, std::move(text), size_bytes_);
    }
  }
  if (entries_->broken()) {
    walk_.find_if_clean(FindingKind::integrity, name,
                        concat("the chain breaks at entry ", entries_->number()));
  }
  if (without_entry_ > 0) {
    walk_.find_if_clean(FindingKind::integrity, name,
                        concat(without_entry_, " of ", batches_, " batches have no entry"));
  }
  if (listed_ != nullptr && (listed_->sealed || walk_.clean) && !entries_->broken() &&
      entries_->chain() != listed_->last_chain) {
    walk_.find(FindingKind::integrity, name, "does not end as the manifest says");
  }
}

void SegmentVerify::finish_indexes() {
  if (index_next_ < index_.size()) {
    walk_.find(FindingKind::offset_index, stem_ + ".index",
               concat(index_.size() - index_next_, " entries name bytes from ",
                      index_[index_next_].position_bytes, " on, behind the last batch"));
  }
  if (times_next_ < times_.size()) {
    walk_.find(FindingKind::time_index, stem_ + ".timeindex",
               concat(times_.size() - times_next_, " entries name offsets behind the last batch"));
  }
}

void SegmentVerify::check_listed() {
  if (listed_ == nullptr || (!listed_->sealed && !walk_.clean)) return;
  if (file_bytes_ < listed_->size_bytes) {
    walk_.find(FindingKind::segment, file_,
               concat("is cut short: ", file_bytes_, " of ", listed_->size_bytes, " bytes"));
    walk_.next_offset = std::max(walk_.next_offset, listed_->next_offset);
    return;
  }
  if (damaged_) {
    walk_.next_offset = std::max(walk_.next_offset, listed_->next_offset);
    return;
  }
  const bool same = size_bytes_ == listed_->size_bytes && batches_ == listed_->batch_count &&
                    walk_.next_offset == listed_->next_offset &&
                    (batches_ == 0 || (max_timestamp_ms_ == listed_->max_timestamp_ms &&
                                       max_timestamp_offset_ == listed_->max_timestamp_offset));
  if (same) return;
  walk_.find(FindingKind::manifest, kManifestName,
             concat("says that segment ", base_.value(), " has ", listed_->batch_count,
                    " batches in ", listed_->size_bytes, " bytes, up to offset ",
                    listed_->next_offset.value() - 1, "; the file has ", batches_, " in ",
                    size_bytes_, ", up to ", walk_.next_offset.value() - 1));
}

}  // namespace keelson::engine::log
