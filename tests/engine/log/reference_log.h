// tests/engine/log/reference_log.h: a small model of one log. It knows what was sent, what was
// promised and what compaction may leave out; nothing of segments, indexes or files.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/log/batch_builder.h"
#include "tests/engine/log/log_observation.h"

namespace keelson::test {

using engine::Bytes;
using engine::Offset;
using engine::ProducerId;

/// A batch as it was sent, with its offsets.
struct SentBatch {
  std::shared_ptr<const std::vector<std::byte>> bytes;  // as the log stores it
  std::int64_t next_offset = 0;
  int producer = -1;  // of the model; -1: none
  std::int32_t first_sequence = -1;
  int transaction = -1;
  bool is_marker = false;
  bool aborts = false;
};

/// A value: outlives simulated processes, and a copy is the log as it was.
struct ReferenceLog {
  enum class Outcome : std::uint8_t { open, committed, aborted };
  struct Producer {
    std::int64_t id = 0;
    std::int32_t next_sequence = 0;
    int transaction = -1;  // open
  };

  std::map<std::int64_t, SentBatch> batches;  // by base offset
  std::map<std::int64_t, ModelRecord> records;
  std::vector<Outcome> outcomes;                           // of transactions
  std::map<std::int64_t, std::int64_t> tombstone_seen_ms;  // when compaction first could see it
  std::int64_t end = 0;                                    // below, everything was acknowledged
  std::int64_t safe_end = 0;         // and below this it was promised to survive a power cut
  std::int64_t told_start = 0;       // that a reader could be told of
  std::int64_t coming_start = 0;     // that was asked for, or is allowed
  std::optional<std::int64_t> cut;   // everything from here on is being cut off, or was
  std::int64_t attempted_below = 0;  // no compaction has looked at what is at or above
  std::int64_t replicated = 0;       // the high watermark as far as it matters: no end is cut below
  engine::LeaderEpoch epoch{0};      // that batches get: it never goes back, whatever a log lost
  std::vector<Producer> producers = {{100}, {200}, {300}, {400}};  // the first two transactional

  bool is_shown(const ModelRecord& record) const {
    return record.transaction < 0 ||
           outcomes[static_cast<std::size_t>(record.transaction)] == Outcome::committed;
  }

  // What happens.

  void send(std::int64_t base, SentBatch batch, std::vector<ModelRecord> sent) {
    for (std::size_t i = 0; i < sent.size(); ++i) {
      records[base + static_cast<std::int64_t>(i)] = std::move(sent[i]);
    }
    batches[base] = std::move(batch);
    replay(batches.at(base));
  }
  void acknowledge(std::int64_t below, bool safe) {
    end = std::max(end, below);
    if (safe) safe_end = std::max(safe_end, below);
  }
  /// Compaction of what lies below `below` is attempted at `now_ms`.
  void note_attempt(std::int64_t below, std::int64_t now_ms) {
    attempted_below = std::max(attempted_below, below);
    for (const auto& [offset, record] : records) {
      if (offset >= below) break;
      if (!record.value) tombstone_seen_ms.try_emplace(offset, now_ms);
    }
  }
  /// Whole batches go: where the log ends once everything from `offset` on is cut off.
  std::int64_t end_when_cut(std::int64_t offset) const {
    const auto behind = batches.upper_bound(offset);
    if (behind == batches.begin()) return offset;
    const auto& [base, batch] = *std::prev(behind);
    return batch.next_offset > offset ? base : std::min(offset, batch.next_offset);
  }
  void begin_cut(std::int64_t offset) { cut = end_when_cut(offset); }
  /// The log ends at `new_end`; what was sent behind it is gone for good.
  void settle(std::int64_t new_end) {
    end = safe_end = new_end;
    cut.reset();
    forget_from(new_end);
  }
  /// As if nothing had been sent from `new_end` on. A batch that reaches beyond it is gone as a
  /// whole: the start was moved into it before it was synced, and the log begins anew there.
  void forget_from(std::int64_t new_end) {
    while (!batches.empty() && batches.rbegin()->second.next_offset > new_end) {
      batches.erase(std::prev(batches.end()));
    }
    records.erase(records.lower_bound(new_end), records.end());
    tombstone_seen_ms.erase(tombstone_seen_ms.lower_bound(new_end), tombstone_seen_ms.end());
    attempted_below = std::min(attempted_below, new_end);
    std::ranges::fill(outcomes, Outcome::open);
    for (Producer& producer : producers) producer = {producer.id};
    for (const auto& [base, batch] : batches) replay(batch);
  }
  /// The log starts at `start`.
  void settle_start(std::int64_t start) { told_start = coming_start = start; }

  // What may be found.

  /// What has to be there still: after a power cut, or after a kill.
  std::int64_t required_end(bool power_cut) const {
    const std::int64_t promised = power_cut ? safe_end : end;
    return cut ? std::min(promised, *cut) : promised;
  }

  /// Batches are whole, in order, those that were sent; without gaps where nothing was compacted.
  void check_batches(const Seen& seen) const {
    std::int64_t at = seen.start;
    for (const SeenBatch& found : seen.batches) {
      const std::int64_t base = found.header.base_offset.value();
      const auto known = batches.find(base);
      ASSERT_NE(known, batches.end()) << "made up: batch at offset " << base;
      ASSERT_EQ(found.header.next_offset().value(), known->second.next_offset);
      const bool follows = at >= attempted_below ? base <= at && (at == seen.start || base == at)
                                                 : base >= at || at == seen.start;
      ASSERT_TRUE(follows) << "batch at offset " << base << " instead of " << at;
      if (base >= attempted_below) {
        ASSERT_TRUE(found.bytes == *known->second.bytes) << "changed: batch at offset " << base;
      }
      at = found.header.next_offset().value();
    }
    if (seen.end > attempted_below) ASSERT_EQ(at, seen.end) << "nothing at offset " << at;
  }

  /// `clean_end`: below, every key has one record. What lies below `seen.start` or at or above
  /// `required` may be gone.
  void check(const Seen& seen, std::int64_t required, std::int64_t clean_end, std::int64_t now_ms,
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
      if (offset < seen.start || offset >= required) continue;
      const bool there = seen.records.contains(offset);
      if (offset >= clean_end) {
        // Aborted ones and superseded ones may go early, where a run was interrupted.
        const bool needed =
            offset >= attempted_below || (is_shown(record) && last_looked_at[record.key] == offset);
        if (needed) {
          ASSERT_TRUE(there || may_be_gone(offset, record, now_ms, retention_ms))
              << "lost: offset " << offset;
        }
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
  /// What a batch means for its producer and its transaction.
  void replay(const SentBatch& batch) {
    if (batch.producer < 0) return;
    Producer& producer = producers[static_cast<std::size_t>(batch.producer)];
    if (batch.is_marker) {
      outcomes[static_cast<std::size_t>(batch.transaction)] =
          batch.aborts ? Outcome::aborted : Outcome::committed;
      producer.transaction = -1;
      return;
    }
    const auto header = engine::log::read_batch_header(*batch.bytes);
    producer.next_sequence = batch.first_sequence + header->last_offset_delta + 1;
    producer.transaction = batch.transaction;
  }

  bool may_be_gone(std::int64_t offset, const ModelRecord& record, std::int64_t now_ms,
                   std::int64_t retention_ms) const {
    const auto seen = tombstone_seen_ms.find(offset);
    return !record.value && seen != tombstone_seen_ms.end() &&
           now_ms >= seen->second + retention_ms;
  }
};

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

}  // namespace keelson::test
