// tests/engine/log/log_observation.h: what consumers find in a log: all records, and committed
// ones.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/byte_order.h"
#include "engine/log/log.h"
#include "engine/log/record_reader.h"
#include "tests/engine/log/log_fixture.h"

namespace keelson::test {

struct ModelRecord {
  std::string key;
  std::optional<std::string> value;  // absent: a tombstone
  std::int64_t timestamp_ms = 0;
  int transaction = -1;  // of the model

  bool same_content(const ModelRecord& other) const {
    return key == other.key && value == other.value && timestamp_ms == other.timestamp_ms;
  }
};

/// Of one batch, as the log stores it.
struct SeenBatch {
  engine::log::BatchHeader header;
  std::vector<std::byte> bytes;
};

struct Seen {
  std::map<std::int64_t, ModelRecord> records;    // by offset, from the log start on
  std::set<std::int64_t> shown;                   // of those, what readers of committed ones see
  std::map<std::int64_t, std::int64_t> times_ms;  // of all records, markers too
  std::int64_t stable = 0;                        // readers of committed records see what is below
  std::int64_t start = 0;
  std::int64_t end = 0;
  std::vector<SeenBatch> batches;
};

inline std::string text_of(engine::Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Takes one batch after the other as a reader of committed records does (source: Kafka
/// CompletedFetch).
class Observer {
 public:
  Observer(Seen& seen, std::vector<engine::log::AbortedTransaction> aborted)
      : seen_(seen), aborted_(std::move(aborted)) {
    std::ranges::sort(aborted_, {}, &engine::log::AbortedTransaction::first_offset);
  }

  engine::Result<void> take(const engine::log::BatchHeader& header, engine::Bytes batch) {
    seen_.batches.push_back({header, {batch.begin(), batch.end()}});
    while (next_aborted_ < aborted_.size() &&
           aborted_[next_aborted_].first_offset <= header.last_offset()) {
      skipped_.insert(aborted_[next_aborted_++].producer_id.value());
    }
    const bool hidden =
        header.last_offset().value() >= seen_.stable ||
        (header.is_transactional() && skipped_.contains(header.producer_id.value()));
    engine::log::RecordReader records(batch);
    while (true) {
      const auto next = records.next();
      if (!next) return std::unexpected(next.error());
      if (!*next) return {};
      const engine::log::Record& record = **next;
      if (header.is_control()) end_transaction(header, record);
      const std::int64_t offset = record.offset.value();
      if (offset < seen_.start) continue;
      seen_.times_ms[offset] = record.timestamp_ms;
      if (header.is_control()) continue;
      ModelRecord found;
      found.key = text_of(record.key.value_or(engine::Bytes{}));
      if (record.value) found.value = text_of(*record.value);
      found.timestamp_ms = record.timestamp_ms;
      seen_.records[offset] = std::move(found);
      if (!hidden) seen_.shown.insert(offset);
    }
  }

 private:
  void end_transaction(const engine::log::BatchHeader& header, const engine::log::Record& marker) {
    if (!marker.key || marker.key->size() < 4) return;
    const bool abort = engine::load_big_endian<std::int16_t>(marker.key->data() + 2) == 0;
    if (abort) skipped_.erase(header.producer_id.value());
  }

  Seen& seen_;
  std::vector<engine::log::AbortedTransaction> aborted_;
  std::size_t next_aborted_ = 0;
  std::set<std::int64_t> skipped_;
};

/// Reads the whole log, in pieces of `piece_bytes`.
inline engine::Task<engine::Result<Seen>> observe(engine::log::Log& log,
                                                  std::uint64_t piece_bytes) {
  using namespace engine;
  using namespace engine::log;
  Seen seen;
  const Offset end = log.durable_offset();
  const Offset stable = log.last_stable_offset(end);
  seen.start = log.log_start_offset().value();
  seen.end = end.value();
  seen.stable = stable.value();
  Result<std::vector<AbortedTransaction>> aborted =
      co_await log.aborted_transactions(log.log_start_offset(), stable);
  if (!aborted) co_return std::unexpected(aborted.error());
  Observer observer(seen, std::move(*aborted));
  Offset at = log.log_start_offset();
  while (at < end) {
    const Result<ReadResult> read = co_await log.read(at, end, {.bytes_max = piece_bytes});
    if (!read) co_return std::unexpected(read.error());
    const std::vector<std::byte> bytes = flat(read->batches);
    if (bytes.empty()) break;  // nothing is left up to the end
    for (std::size_t position = 0; position < bytes.size();) {
      const auto header = read_batch_header(Bytes(bytes).subspan(position));
      if (!header || header->next_offset() <= at) co_return fail(Errc::corrupt);
      const Bytes batch = Bytes(bytes).subspan(position, header->size_bytes());
      if (!crc_matches(batch)) co_return fail(Errc::corrupt);
      const Result<void> taken = observer.take(*header, batch);
      if (!taken) co_return std::unexpected(taken.error());
      position += header->size_bytes();
      at = header->next_offset();
    }
  }
  co_return std::move(seen);
}

}  // namespace keelson::test
