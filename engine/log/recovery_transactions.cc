// Transactions at open: which are open, and whether the indexes of aborted ones are to be believed.
#include <utility>

#include "engine/crc32c.h"
#include "engine/log/log_side_files.h"
#include "engine/log/recovery.h"

namespace keelson::engine::log {
namespace {

constexpr std::size_t kOpenReportedMax = 10;

}  // namespace

/// Before an adopted log is read from its first batch on: what was open there. Kafka keeps the
/// producer snapshot at the base of every segment that is there.
Task<void> Recovery::begin_transactions() {
  const Offset first_there = logs_.begin()->first;
  const std::string name = segment_stem(first_there) + ".snapshot";
  if (!names_.contains(name)) co_return;
  const Result<std::string> content =
      co_await io::read_file(shard_, concat(log_.dir_, "/", name), kSnapshotBytesMax);
  if (!content) co_return;
  const Result<ProducerStates> producers = parse_snapshot(*content, log_.identity_, first_there);
  if (producers) transactions_.assign(*producers, first_there);
}

/// The file beside a segment that was read whole, and whose batches say `found`.
Task<Result<void>> Recovery::settle_aborted(SegmentPtr segment,
                                            std::vector<TransactionIndexEntry> found) {
  const bool there = names_.contains(segment_stem(segment->base_offset) + ".txnindex");
  if (!there && found.empty()) co_return Result<void>{};
  std::optional<std::vector<TransactionIndexEntry>> told;
  std::uint32_t told_crc = 0;
  if (there) {
    const Result<std::string> content =
        co_await io::read_file(shard_, segment->path(".txnindex"), kIndexBytesMax);
    if (!content && content.error().code == Errc::io) co_return std::unexpected(content.error());
    if (content) {
      const Bytes bytes = std::as_bytes(std::span(*content));
      auto parsed = parse_transaction_index(bytes);
      if (parsed) told = std::move(*parsed);
      told_crc = crc32c(bytes);
    }
  }
  const Offset first_there = log_.segments_.front()->base_offset;
  const bool compacted = log_.config_.cleanup_compact || hints_.first_dirty;
  const bool same = told && is_index_of(*told, found, first_there, compacted);
  if (same && !told->empty()) {
    AbortedIndex& index = segment->aborted;
    for (const TransactionIndexEntry& entry : *told) index.note_bounds(entry);
    index.in_file = static_cast<std::uint32_t>(told->size());
    index.crc = told_crc;
    co_return Result<void>{};
  }
  if (!same) {
    log_.find(concat("the index of aborted transactions of segment ", segment->base_offset.value(),
                     !there  ? " is missing"
                     : !told ? " is garbled"
                             : " does not say what the batches do",
                     "; made again from the log"));
  }
  co_return co_await log_.replace_aborted(segment, std::move(found));
}

Task<Result<void>> Recovery::load_transactions() {
  log_.transactions_.assign(log_.producers_, log_.end_);
  const std::vector<SegmentPtr> segments(log_.segments_.begin(), log_.segments_.end());
  for (const SegmentPtr& segment : segments) {
    const Result<void> loaded = co_await load_aborted(segment);
    if (!loaded) co_return loaded;
  }
  report_open();
  co_return Result<void>{};
}

/// A manifest names the index of a sealed segment, and after a clean stop of the last one: only
/// whether it is there is looked at now, its content when it is first needed. The index of a
/// segment whose end was recovered is made again.
Task<Result<void>> Recovery::load_aborted(SegmentPtr segment) {
  if (adopted_) co_return Result<void>{};  // done as it was read
  if (!logs_.contains(segment->base_offset)) {
    segment->aborted = {};
    co_return Result<void>{};
  }
  const bool there = names_.contains(segment_stem(segment->base_offset) + ".txnindex");
  const bool last = segment == log_.segments_.back();
  const bool told_of = last ? trusted_ : segment->transactional_batches == 0;
  if (told_of) {
    if (there == (segment->aborted.in_file > 0)) co_return Result<void>{};
    log_.find(concat("the index of aborted transactions of segment ", segment->base_offset.value(),
                     there ? " is there, and the manifest knows of none" : " is missing",
                     "; made again from the log"));
  } else if (!there && segment->transactional_batches == 0) {
    co_return Result<void>{};
  }
  changed_ = true;
  co_return co_await log_.rebuild_aborted(segment);
}

/// No coordinator of transactions runs here, so nothing will end these.
void Recovery::report_open() {
  const std::vector<OpenTransaction> open = log_.open_transactions();
  for (std::size_t i = 0; i < open.size() && i < kOpenReportedMax; ++i) {
    log_.find(
        concat("the transaction of producer ", open[i].producer_id.value(),
               " that begins at offset ", open[i].first_offset.value(),
               " was left open: read_committed consumers get nothing from there on. To end "
               "it, stop Keelson, let Apache Kafka serve the directory until its coordinator "
               "has aborted it (transaction.timeout.ms, or kafka-transactions.sh abort), stop "
               "Kafka, and start Keelson again"));
  }
  if (open.size() > kOpenReportedMax) {
    log_.find(concat("and ", open.size() - kOpenReportedMax, " more open transactions, the last ",
                     "from offset ", open.back().first_offset.value()));
  }
}

}  // namespace keelson::engine::log
