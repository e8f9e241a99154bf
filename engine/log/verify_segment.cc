#include "engine/log/verify_segment.h"

#include <algorithm>
#include <utility>

#include "engine/log/record_reader.h"
#include "engine/log/segment.h"

namespace keelson::engine::log {
namespace {

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
  co_await check_aborted();
}

// --- the walk ------------------------------------------------------------

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
  if (header.records_timestamp_max() > max_timestamp_ms_ || batches_ == 1) {
    max_timestamp_ms_ = header.records_timestamp_max();
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
    walk_.epochs.push_back({header.leader_epoch, header.base_offset, header.base_offset});
  }
  if (!walk_.epochs.empty() && walk_.epochs.back().epoch == header.leader_epoch) {
    walk_.epochs.back().end_offset = walk_.next_offset;
  }
  note_producer(header);
  note_transaction(batch);
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

// --- damage ------------------------------------------------------------

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

/// Where the next sound batch that is not of the past begins behind `from`.
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
    if (!header || header->base_offset < walk_.next_offset || header->last_offset_delta < 0 ||
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

// --- the end ------------------------------------------------------------

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
