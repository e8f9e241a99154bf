#include "engine/log/compaction_filter.h"

#include <algorithm>
#include <limits>

#include "engine/io/give_way.h"
#include "engine/log/compression.h"
#include "engine/log/record_encoding.h"
#include "engine/log/record_reader.h"

namespace keelson::engine::log {
namespace {

/// Foreign numbers: the difference wraps, as the sum does that it is read with.
std::int64_t wrapping_difference(std::int64_t left, std::int64_t right) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(left) -
                                   static_cast<std::uint64_t>(right));
}

std::int64_t horizon_after(std::int64_t now_ms, std::int64_t retention_ms) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  return now_ms > kMost - retention_ms ? kMost : now_ms + retention_ms;
}

}  // namespace

KnownProducers::KnownProducers(const ProducerStates& producers) {
  last_.reserve(producers.entries().size());
  for (const auto& [id, entry] : producers.entries()) {
    const ProducerBatch* const last = entry.last();
    last_.push_back({id, last ? last->last_offset : Offset{-1}, entry.epoch});
  }
}

bool KnownProducers::is_last(const BatchHeader& header) const {
  if (!header.has_producer()) return false;
  const auto found = std::ranges::lower_bound(last_, header.producer_id, {}, &Last::id);
  if (found == last_.end() || found->id != header.producer_id) return false;
  if (found->offset >= Offset{0}) return header.last_offset() == found->offset;
  return header.is_control() && header.producer_epoch == found->epoch;
}

BatchFilter::Verdict BatchFilter::judge(const BatchHeader& header, Bytes batch) {
  Verdict verdict;
  const bool can_go = header.is_control() ? transactions_.note_control(header, batch)
                                          : transactions_.note_data(header);
  verdict.ends_nothing = can_go && header.is_control();
  verdict.discard_records = can_go;
  if (header.is_control()) {
    verdict.discard_records =
        can_go && has_delete_horizon(header) && header.base_timestamp <= round_.now_ms;
  }
  verdict.keep_when_empty = producers_.is_last(header) || header.next_offset() == round_.below;
  return verdict;
}

bool BatchFilter::keeps(const BatchHeader& header, const Verdict& verdict,
                        const Record& record) const {
  if (verdict.discard_records) return false;
  if (header.is_control()) return true;
  if (!record.key || record.offset < round_.keys->last_offset(*record.key)) return false;
  return record.value || !has_delete_horizon(header) || round_.now_ms < header.base_timestamp;
}

Result<Bytes> BatchFilter::apply(Bytes batch, const BatchHeader& header) {
  ++counts_.batches_in;
  if (header.last_offset() >= round_.below) {  // not of this round
    if (header.is_control()) {
      (void)transactions_.note_control(header, batch);
      transactions_.keep_marker();
    } else {
      (void)transactions_.note_data(header);
    }
    counts_.records_in += static_cast<std::uint64_t>(header.record_count);
    counts_.records_out += static_cast<std::uint64_t>(header.record_count);
    ++counts_.batches_out;
    return batch;
  }
  const Verdict verdict = judge(header, batch);
  const Result<Kept> kept = look(batch, header, verdict);
  if (!kept) return std::unexpected(kept.error());
  counts_.records_in += static_cast<std::uint64_t>(header.record_count);
  counts_.records_out += static_cast<std::uint64_t>(kept->records);
  if (kept->records == 0) {
    if (!verdict.keep_when_empty) return Bytes{};
    ++counts_.batches_out;
    if (header.record_count == 0) return batch;
    ++counts_.batches_rewritten;
    return emptied(header);
  }
  ++counts_.batches_out;
  if (header.is_control()) transactions_.keep_marker();
  const bool set_horizon =
      (kept->tombstones || verdict.ends_nothing) && !has_delete_horizon(header);
  if (kept->all && !set_horizon) return batch;
  ++counts_.batches_rewritten;
  return rewrite(batch, header, verdict, *kept, set_horizon);
}

/// Which records stay, without keeping any: a small batch may hold a great many.
Result<BatchFilter::Kept> BatchFilter::look(Bytes batch, const BatchHeader& header,
                                            const Verdict& verdict) {
  Kept kept;
  RecordReader records(batch);
  while (true) {
    const Result<std::optional<Record>> next = records.next();
    if (!next) return std::unexpected(next.error());
    if (!*next) break;
    if (halt_.load(std::memory_order_relaxed)) return fail(Errc::cancelled);
    const Record& record = **next;
    io::give_way(record.cost_bytes());
    if (keeps(header, verdict, record)) {
      if (kept.records++ == 0) kept.first_ms = kept.max_ms = record.timestamp_ms;
      kept.max_ms = std::max(kept.max_ms, record.timestamp_ms);
      kept.tombstones |= !record.value;
    } else {
      kept.all = false;
    }
    const bool without_key = !record.key && !header.is_control() && !verdict.discard_records;
    if (without_key) ++counts_.records_without_key;
  }
  return kept;
}

/// The same records again, the ones that stay into a new batch.
Result<Bytes> BatchFilter::rewrite(Bytes batch, const BatchHeader& header, const Verdict& verdict,
                                   const Kept& kept, bool set_horizon) {
  BatchHeader fresh = header;
  fresh.record_count = static_cast<std::int32_t>(kept.records);
  if (set_horizon) {
    fresh.attributes |= kAttributeDeleteHorizon;
    fresh.base_timestamp = horizon_after(round_.now_ms, round_.delete_retention_ms);
  } else if (!has_delete_horizon(header)) {
    fresh.base_timestamp = kept.first_ms;
  }
  if (!header.is_log_append_time()) fresh.max_timestamp = kept.max_ms;

  out_.assign(kBatchHeaderBytes, std::byte{0});
  {
    Compressor target(header.codec(), 0, out_, std::numeric_limits<std::int32_t>::max());
    RecordReader records(batch);
    bool fits = true;
    while (fits) {
      const Result<std::optional<Record>> next = records.next();
      if (!next) return std::unexpected(next.error());
      if (!*next) break;
      if (halt_.load(std::memory_order_relaxed)) return fail(Errc::cancelled);
      const Record& record = **next;
      io::give_way(record.cost_bytes());
      if (keeps(header, verdict, record)) {
        const std::int64_t offset_delta =
            wrapping_difference(record.offset.value(), header.base_offset.value());
        record_.clear();
        append_record_start(record_, {.timestamp_delta_ms = wrapping_difference(
                                          record.timestamp_ms, fresh.base_timestamp),
                                      .offset_delta = static_cast<std::int32_t>(offset_delta),
                                      .key = record.key,
                                      .value = record.value,
                                      .header_count = record.header_count});
        record_.insert(record_.end(), record.headers.begin(), record.headers.end());
        length_.clear();
        append_varint(length_, static_cast<std::int32_t>(record_.size()));
        fits = target.write(length_) && target.write(record_);
      }
    }
    if (!fits || !target.finish()) return fail(Errc::record_list_too_large);
  }
  fresh.length = static_cast<std::int32_t>(out_.size() - kBatchPrefixBytes);
  write_batch_header(out_, fresh);
  return Bytes(out_);
}

/// Only the header, as Kafka writes it: no codec, no base timestamp, no records.
Bytes BatchFilter::emptied(const BatchHeader& header) {
  BatchHeader fresh = header;
  fresh.length = static_cast<std::int32_t>(kBatchHeaderBytes - kBatchPrefixBytes);
  fresh.attributes &= kAttributeLogAppendTime | kAttributeTransactional | kAttributeControl;
  fresh.base_timestamp = kNoTimestamp;
  fresh.record_count = 0;
  out_.assign(kBatchHeaderBytes, std::byte{0});
  write_batch_header(out_, fresh);
  return out_;
}

}  // namespace keelson::engine::log
