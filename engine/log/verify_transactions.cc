// Indexes of aborted transactions: compared with what the batches say, and with the manifest.
#include <utility>

#include "engine/crc32c.h"
#include "engine/log/log_side_files.h"
#include "engine/log/segment.h"
#include "engine/log/verify_segment.h"

namespace keelson::engine::log {

/// What was open where the log begins.
Task<void> LogVerify::begin_transactions() {
  if (segments_.empty()) co_return;
  walk_.first_there = segments_.begin()->first;
  const std::string name = segment_stem(walk_.first_there) + ".snapshot";
  if (!walk_.files.contains(name)) co_return;
  const std::optional<std::string> content = co_await walk_.read(name, kSnapshotBytesMax);
  if (!content) co_return;
  const Result<ProducerStates> producers =
      parse_snapshot(*content, walk_.identity.value_or(LogIdentity{}), walk_.first_there);
  if (producers) walk_.transactions.assign(*producers, walk_.first_there);
}

void SegmentVerify::note_transaction(const ScannedBatch& batch) {
  const auto aborted = walk_.transactions.note(batch.header, batch.bytes);
  if (aborted) aborted_.push_back(*aborted);
}

Task<void> SegmentVerify::check_aborted() {
  constexpr FindingKind kKind = FindingKind::transaction_index;
  const std::string name = stem_ + ".txnindex";
  if (damaged_) walk_.transactions_known = false;
  const bool there = walk_.files.contains(name);
  std::string content;
  if (there) {
    std::optional<std::string> read = co_await walk_.read(name, kIndexBytesMax);
    if (!read) co_return;
    content = std::move(*read);
  }
  const auto told = parse_transaction_index(std::as_bytes(std::span(content)));
  if (!told) co_return walk_.find(kKind, name, "is garbled");
  const bool listed = listed_ != nullptr && (listed_->sealed || walk_.clean);
  if (listed && (listed_->aborted_count != told->size() ||
                 listed_->aborted_crc != crc32c(std::as_bytes(std::span(content))))) {
    co_return walk_.find_if_clean(kKind, name,
                                  there ? "is not the one that the manifest names" : "is missing");
  }
  if (!walk_.transactions_known) co_return;
  if (is_index_of(*told, aborted_, walk_.first_there, walk_.facts.compacted)) co_return;
  if (there) {
    walk_.find_if_clean(kKind, name, "does not say what the batches do");
  } else {
    walk_.find_if_clean(
        kKind, name,
        concat("is missing: ", aborted_.size(), " transactions were aborted in this segment"));
  }
}

}  // namespace keelson::engine::log
