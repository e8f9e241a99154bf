// tests/engine/log/compaction_model.h: what was appended to a compacted log, and what must be left
// of it: a reference that knows nothing of segments, maps or files.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/byte_order.h"
#include "engine/log/batch_builder.h"
#include "engine/log/log.h"
#include "engine/log/record_reader.h"
#include "tests/engine/log/log_fixture.h"

namespace keelson::test {

using engine::Bytes;
using engine::Offset;
using engine::ProducerId;

struct ModelRecord {
  std::string key;
  std::optional<std::string> value;  // absent: a tombstone
  std::int64_t timestamp_ms = 0;
  std::int64_t producer = -1;  // of a transaction; -1: of none
  int transaction = -1;

  bool same_content(const ModelRecord& other) const {
    return key == other.key && value == other.value && timestamp_ms == other.timestamp_ms;
  }
};

/// What a reader found: records by offset, and those that one of committed records shows.
struct Seen {
  std::map<std::int64_t, ModelRecord> records;
  std::set<std::int64_t> shown;
  std::int64_t stable = 0;  // readers of committed records see what lies below
  std::vector<engine::log::BatchHeader> batches;
};

/// Outlives simulated processes. Only what was acknowledged is noted, in the order of offsets.
struct CompactionModel {
  enum class Outcome : std::uint8_t { open, committed, aborted };
  struct Producer {
    std::int64_t id = 0;
    std::int32_t next_sequence = 0;
    int transaction = -1;  // open
  };

  std::map<std::int64_t, ModelRecord> records;
  std::vector<Outcome> outcomes;                           // of transactions
  std::map<std::int64_t, std::int64_t> tombstone_seen_ms;  // when compaction first could see it
  std::int64_t end = 0;
  std::int64_t attempted_below = 0;  // no compaction has looked at what is at or above
  std::vector<Producer> producers = {{100}, {200}, {300}, {400}};  // the first two transactional

  bool is_shown(const ModelRecord& record) const {
    return record.transaction < 0 ||
           outcomes[static_cast<std::size_t>(record.transaction)] == Outcome::committed;
  }

  /// Compaction of what lies below `below` is attempted at `now_ms`.
  void note_attempt(std::int64_t below, std::int64_t now_ms) {
    attempted_below = std::max(attempted_below, below);
    for (const auto& [offset, record] : records) {
      if (offset >= below) break;
      if (!record.value) tombstone_seen_ms.try_emplace(offset, now_ms);
    }
  }

  /// `clean_end`: below, every key has one record. `start`: what lies below may be gone.
  void check(const Seen& seen, std::int64_t start, std::int64_t clean_end, std::int64_t now_ms,
             std::int64_t retention_ms) const {
    for (const auto& [offset, record] : seen.records) {
      const auto known = records.find(offset);
      ASSERT_NE(known, records.end()) << "made up: offset " << offset;
      ASSERT_TRUE(record.same_content(known->second)) << "changed: offset " << offset;
      if (offset >= seen.stable) continue;
      ASSERT_EQ(seen.shown.contains(offset), is_shown(known->second)) << "offset " << offset;
    }
    std::map<std::string, std::int64_t> last;  // below clean_end, of those that are shown
    std::map<std::string, std::int64_t> last_looked_at;
    for (const auto& [offset, record] : records) {
      if (!is_shown(record)) continue;
      if (offset < attempted_below) last_looked_at[record.key] = offset;
      if (offset < clean_end) last[record.key] = offset;
    }
    for (const auto& [offset, record] : records) {
      if (offset < start) continue;
      const bool there = seen.records.contains(offset);
      if (offset >= clean_end) {
        // Aborted ones and superseded ones may go early, where a run was interrupted.
        const bool needed =
            offset >= attempted_below || (is_shown(record) && last_looked_at[record.key] == offset);
        if (needed) ASSERT_TRUE(there || may_be_gone(offset, record, now_ms, retention_ms));
        continue;
      }
      const bool is_last = is_shown(record) && last[record.key] == offset;
      if (!is_last) {
        ASSERT_FALSE(there) << "superseded or aborted: offset " << offset;
      } else if (!there && last_looked_at[record.key] == offset) {
        ASSERT_TRUE(may_be_gone(offset, record, now_ms, retention_ms))
            << "lost: offset " << offset << " of " << record.key
            << (record.value ? "" : ", a tombstone") << ", transaction " << record.transaction
            << ", clean up to " << clean_end;
      }
    }
  }

  /// Keys with a value, as a table that is filled from the log.
  static std::map<std::string, std::string> table(const Seen& seen) {
    std::map<std::string, std::string> result;
    for (const std::int64_t offset : seen.shown) {
      const ModelRecord& record = seen.records.at(offset);
      if (record.value) {
        result[record.key] = *record.value;
      } else {
        result.erase(record.key);
      }
    }
    return result;
  }
  std::map<std::string, std::string> table(std::int64_t below) const {
    Seen all;
    all.records = records;
    for (const auto& [offset, record] : records) {
      if (offset < below && is_shown(record)) all.shown.insert(offset);
    }
    return table(all);
  }

 private:
  bool may_be_gone(std::int64_t offset, const ModelRecord& record, std::int64_t now_ms,
                   std::int64_t retention_ms) const {
    const auto seen = tombstone_seen_ms.find(offset);
    return !record.value && seen != tombstone_seen_ms.end() &&
           now_ms >= seen->second + retention_ms;
  }
};

inline std::string text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::vector<std::byte> make_marker(std::int64_t producer, bool abort,
                                          std::int64_t timestamp_ms = 1'000) {
  std::byte key[4] = {};
  std::byte value[6] = {};
  engine::store_big_endian(key + 2, std::int16_t{abort ? std::int16_t{0} : std::int16_t{1}});
  engine::log::BatchBuilder builder;
  builder.producer(ProducerId{producer}, engine::ProducerEpoch{0}, engine::kNoSequence)
      .transactional()
      .control();
  builder.add(timestamp_ms, Bytes(key), Bytes(value));
  return builder.build();
}

/// Reads the whole log as consumers do, of all records and of committed ones (source: Kafka
/// CompletedFetch).
inline engine::Task<engine::Result<Seen>> observe(engine::log::Log& log,
                                                  std::uint64_t piece_bytes) {
  using namespace engine;
  using namespace engine::log;
  Seen seen;
  const Offset end = log.last_stable_offset(log.durable_offset());
  const Result<std::vector<AbortedTransaction>> told =
      co_await log.aborted_transactions(log.log_start_offset(), end);
  if (!told) co_return std::unexpected(told.error());
  std::vector<AbortedTransaction> aborted = *told;
  std::ranges::sort(aborted, {}, &AbortedTransaction::first_offset);
  std::set<std::int64_t> skipped;
  std::size_t next_aborted = 0;
  seen.stable = end.value();
  Offset at = log.log_start_offset();
  while (at < log.durable_offset()) {
    const Result<ReadResult> read =
        co_await log.read(at, log.durable_offset(), {.bytes_max = piece_bytes});
    if (!read) co_return std::unexpected(read.error());
    const std::vector<std::byte> bytes = flat(read->batches);
    if (bytes.empty()) break;  // nothing is left up to the end
    for (std::size_t position = 0; position < bytes.size();) {
      const auto header = read_batch_header(Bytes(bytes).subspan(position));
      if (!header || header->next_offset() <= at) co_return fail(Errc::corrupt);
      const Bytes batch = Bytes(bytes).subspan(position, header->size_bytes());
      if (!crc_matches(batch)) co_return fail(Errc::corrupt);
      seen.batches.push_back(*header);
      position += header->size_bytes();
      at = header->next_offset();
      while (next_aborted < aborted.size() &&
             aborted[next_aborted].first_offset <= header->last_offset()) {
        skipped.insert(aborted[next_aborted++].producer_id.value());
      }
      if (header->is_control()) {
        std::byte type[2] = {};
        RecordReader markers(batch);
        const auto marker = markers.next();
        if (marker && *marker && (*marker)->key->size() >= 4) {
          std::copy_n((*marker)->key->data() + 2, 2, type);
          const bool abort = load_big_endian<std::int16_t>(type) == 0;
          if (abort) skipped.erase(header->producer_id.value());
        }
        continue;
      }
      const bool hidden =
          header->last_offset() >= end ||
          (header->is_transactional() && skipped.contains(header->producer_id.value()));
      RecordReader records(batch);
      while (true) {
        const auto record = records.next();
        if (!record) co_return std::unexpected(record.error());
        if (!*record) break;
        ModelRecord found;
        found.key = text_of((*record)->key.value_or(Bytes{}));
        if ((*record)->value) found.value = text_of(*(*record)->value);
        found.timestamp_ms = (*record)->timestamp_ms;
        if ((*record)->offset < log.log_start_offset()) continue;
        seen.records[(*record)->offset.value()] = found;
        if (!hidden) seen.shown.insert((*record)->offset.value());
      }
    }
  }
  co_return std::move(seen);
}

}  // namespace keelson::test
