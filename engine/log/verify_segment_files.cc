// The files beside a segment: loading them, and comparing them with each batch.
#include <algorithm>
#include <utility>

#include "engine/log/integrity_sidecar.h"
#include "engine/log/log_side_files.h"
#include "engine/log/segment.h"
#include "engine/log/verify_segment.h"

namespace keelson::engine::log {
namespace {

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
                    entry.max_timestamp_ms == header.records_timestamp_max();
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
    walk_.find(FindingKind::offset_index, name,
               concat("entry ", index_next_, " names offset ", named.value(),
                      "; the batch there holds ", "offsets ", batch.header.base_offset.value(),
                      " to ", batch.header.last_offset().value()),
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

/// Passes the entries of places in [from, to), and those before; how many, without the damaged.
Task<std::uint64_t> SegmentVerify::skip_entries(std::uint64_t from, std::uint64_t to) {
  std::uint64_t skipped = 0;
  while (entries_ && entry_ && entry_->position_bytes < to) {
    if (entry_->position_bytes >= from && !entry_->damaged) ++skipped;
    co_await next_entry();
  }
  co_return skipped;
}

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

}  // namespace keelson::engine::log
