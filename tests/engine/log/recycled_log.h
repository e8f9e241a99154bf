// tests/engine/log/recycled_log.h: a log at its retention limit on a simulated machine, whose
// batches look alike, so that those of a dropped segment lie where the new ones begin.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/byte_order.h"
#include "engine/crc32c.h"
#include "engine/io/sim/sim_world.h"
#include "engine/log/log.h"
#include "engine/log/manifest.h"
#include "engine/log/segment.h"
#include "tests/engine/log/log_fixture.h"

namespace keelson::test {

inline const std::string kRecycledDir = "orders-3";
inline constexpr engine::LeaderEpoch kRecycledEpoch{0};

struct RecycledLoad {
  std::string name;
  std::vector<std::size_t> value_bytes;  // a batch has one of these
  int writers = 4;
  std::uint64_t segment_bytes = 200'000;
  std::int64_t round_ns_max = 150'000'000;
  std::int64_t pause_ms = 0;     // of a writer, now and then, up to this
  bool retains_at_roll = false;  // by itself, and nobody else calls apply_retention()
};

/// Batches end inside blocks, on blocks, and near them; one after the other and many at once.
inline std::vector<RecycledLoad> recycled_loads() {
  return {
      {.name = "small", .value_bytes = {900}, .writers = 8, .pause_ms = 2},
      {.name = "small_at_roll",
       .value_bytes = {900, 9'000},
       .writers = 8,
       .pause_ms = 2,
       .retains_at_roll = true},
      {.name = "blocks", .value_bytes = {4096 - 70, 8192 - 70}, .pause_ms = 2},
      {.name = "mixed", .value_bytes = {50, 4000, 4050, 20'000}, .pause_ms = 2},
      {.name = "bulk",
       .value_bytes = {100'000},
       .writers = 10,
       .segment_bytes = 3'000'000,
       .round_ns_max = 25'000'000},
      {.name = "bulk_blocks",
       .value_bytes = {65'536 - 72},
       .writers = 16,
       .segment_bytes = 3'000'000,
       .round_ns_max = 25'000'000},
      {.name = "bulk_mixed",
       .value_bytes = {1'000, 60'000, 400'000},
       .writers = 12,
       .segment_bytes = 4'000'000,
       .round_ns_max = 25'000'000},
  };
}

/// What was sent and acknowledged; outlives the simulated process.
struct RecycledHistory {
  std::map<std::int64_t, std::size_t> sent;  // base offset: bytes of the value
  std::int64_t acknowledged_end = 0;
  std::int64_t told_start = 0;
  std::uint64_t reads = 0;
  std::uint64_t bad_reads = 0;
  bool may_fail = false;  // an operation was made to
};

/// The value is of zeros: an old batch, and prepared space, have the same bytes in most places.
inline std::vector<std::byte> alike_batch(std::size_t value_bytes) {
  return make_batch(std::string(value_bytes, '\0'));
}

inline engine::log::LogConfig recycled_config(const RecycledLoad& load) {
  engine::log::LogConfig config;
  config.segment_bytes = load.segment_bytes;
  config.retention_bytes = static_cast<std::int64_t>(load.segment_bytes);
  config.file_delete_delay_ms = 5;
  return config;
}

inline engine::log::LogLimits recycled_limits() {
  engine::log::LogLimits limits = quick_limits();
  limits.cache_bytes = 128 << 10;                              // most reads come from the disk
  limits.removal_step_bytes = engine::log::kRemovalStepBytes;  // they are gone at once
  return limits;
}

struct RecycledLog {
  std::unique_ptr<engine::log::LogContext> context;
  std::unique_ptr<engine::log::Log> log;
};

inline engine::Task<engine::Result<RecycledLog>> open_recycled(engine::io::Shard& shard,
                                                               engine::log::LogConfig config,
                                                               bool retains_at_roll = false) {
  engine::log::LogLimits limits = recycled_limits();
  limits.retain_at_roll = retains_at_roll;
  RecycledLog opened{std::make_unique<engine::log::LogContext>(shard, limits), nullptr};
  engine::Result<std::unique_ptr<engine::log::Log>> log =
      co_await engine::log::Log::open(*opened.context, kRecycledDir, kIdentity, config, {});
  if (!log) co_return std::unexpected(log.error());
  opened.log = std::move(*log);
  co_return std::move(opened);
}

/// Whether `bytes` are whole batches as they were sent, from `from` on; where they end.
inline bool as_sent(const RecycledHistory& history, engine::Bytes bytes, std::int64_t& at) {
  for (std::size_t position = 0; position < bytes.size();) {
    const auto header = engine::log::read_batch_header(bytes.subspan(position));
    if (!header || header->size_bytes() > bytes.size() - position) return false;
    const auto known = history.sent.find(header->base_offset.value());
    if (known == history.sent.end() || header->next_offset().value() <= at) return false;
    const std::vector<std::byte> expected =
        stamped(alike_batch(known->second), known->first, kRecycledEpoch.value());
    if (!std::ranges::equal(bytes.subspan(position, header->size_bytes()), expected)) return false;
    at = header->next_offset().value();
    position += header->size_bytes();
  }
  return true;
}

struct RecycledServe {
  engine::io::Shard& shard;
  engine::log::Log& log;
  const RecycledLoad& load;
  RecycledHistory& history;
  std::size_t live = 0;
};

inline engine::Task<void> write_alike(RecycledServe& serve) {
  for (int i = 0;; ++i) {
    const std::size_t size =
        serve.load.value_bytes[serve.shard.rng().next() % serve.load.value_bytes.size()];
    std::vector<std::byte> batch = alike_batch(size);
    if (serve.log.failure()) break;
    serve.history.sent[serve.log.log_end_offset().value()] = size;
    const engine::Result<engine::log::AppendResult> appended =
        co_await serve.log.append(batch, kRecycledEpoch);
    if (!appended) break;
    serve.history.acknowledged_end =
        std::max(serve.history.acknowledged_end, appended->last_offset.value() + 1);
    if (serve.load.pause_ms > 0 && i % 5 == 0) {
      const auto bound = static_cast<std::uint64_t>(serve.load.pause_ms);
      co_await serve.shard.sleep_for_ms(
          static_cast<std::int64_t>(serve.shard.rng().next() % bound));
    }
  }
  --serve.live;
}

/// Reads here and there, also from segments that are on their way out.
inline engine::Task<void> read_alike(RecycledServe& serve) {
  while (serve.live > 2) {  // this and the other reader do not count
    const std::int64_t start = serve.log.log_start_offset().value();
    const std::int64_t end = serve.log.durable_offset().value();
    const auto ahead = static_cast<std::int64_t>(serve.shard.rng().next() % 8);
    const std::int64_t from = std::min(end, start + ahead);
    co_await serve.shard.sleep_until(serve.shard.clock().now_ns() + 50'000);
    if (from == end) continue;
    const engine::Result<engine::log::ReadResult> read =
        co_await serve.log.read(engine::Offset{from}, engine::Offset{end}, {.bytes_max = 200'000});
    if (!read) {
      const bool gone = read.error().code == engine::Errc::offset_out_of_range;
      if (!gone && !serve.log.failure() && !serve.history.may_fail) ++serve.history.bad_reads;
      continue;
    }
    std::int64_t at = from;
    if (!as_sent(serve.history, flat(read->batches), at)) ++serve.history.bad_reads;
    ++serve.history.reads;
  }
  --serve.live;
}

/// Serves for ever: writers, two readers, and the start moved as soon as it may be.
inline engine::Task<void> serve_recycled(engine::io::Shard& shard, const RecycledLoad& load,
                                         RecycledHistory& history) {
  engine::Result<RecycledLog> opened =
      co_await open_recycled(shard, recycled_config(load), load.retains_at_roll);
  EXPECT_TRUE(opened.has_value() || history.may_fail);
  if (!opened) co_return;
  RecycledServe serve{shard, *opened->log, load, history};
  serve.live = static_cast<std::size_t>(load.writers) + 2;
  for (int i = 0; i < load.writers; ++i) shard.spawn(write_alike(serve));
  shard.spawn(read_alike(serve));
  shard.spawn(read_alike(serve));
  while (!serve.log.failure()) {
    if (!load.retains_at_roll) {
      const engine::Result<std::size_t> dropped = co_await serve.log.apply_retention();
      EXPECT_TRUE(dropped.has_value() || serve.log.failure() || history.may_fail);
    }
    if (shard.rng().next() % 4 == 0) {
      const engine::Offset start = serve.log.log_start_offset();
      if (start + 3 <= serve.log.durable_offset()) {
        const engine::Result<void> moved = co_await serve.log.advance_start(start + 3);
        EXPECT_TRUE(moved.has_value() || serve.log.failure() || history.may_fail);
      }
    }
    history.told_start = std::max(history.told_start, serve.log.log_start_offset().value());
    co_await shard.sleep_for_ms(static_cast<std::int64_t>(shard.rng().next() % 3));
  }
  while (serve.live > 0) co_await shard.sleep_for_ms(1);
  const engine::Result<void> closed = co_await opened->log->close();
  EXPECT_FALSE(closed.has_value());
}

/// Where Kafka's recovery of a segment ends: at the first bytes that are no batch. A whole batch
/// with an offset that the segment cannot have makes it split the segment instead.
struct KafkaWalk {
  std::int64_t next_offset = 0;
  std::uint64_t size_bytes = 0;
  bool overflows = false;
};

inline KafkaWalk walk_as_kafka(const std::string& content, std::int64_t base) {
  constexpr std::int32_t kOldestHeaderBytes = 14;
  KafkaWalk walk{base, 0, false};
  const engine::Bytes all = as_bytes(content);
  while (all.size() - walk.size_bytes >= engine::log::kBatchHeaderBytes) {
    const engine::Bytes rest = all.subspan(walk.size_bytes);
    const auto size = engine::load_big_endian<std::int32_t>(rest.data() + 8);
    if (size < kOldestHeaderBytes) break;
    const auto header = engine::log::read_batch_header(rest);
    if (!header || header->size_bytes() > rest.size()) break;
    const engine::Bytes covered =
        rest.subspan(engine::log::kCrcStart, header->size_bytes() - engine::log::kCrcStart);
    if (engine::crc32c(covered) != header->crc) break;
    if (header->last_offset().value() < base) {
      walk.overflows = true;
      break;
    }
    walk.next_offset = header->next_offset().value();
    walk.size_bytes += header->size_bytes();
  }
  return walk;
}

/// The segment files there are, by base offset; those on their way out are not among them.
inline std::map<std::int64_t, std::string> segment_files(const engine::io::SimDisk& disk) {
  std::map<std::int64_t, std::string> found;
  const std::string prefix = "/" + kRecycledDir + "/";
  for (const std::string& path : disk.files()) {
    if (!path.starts_with(prefix) || !path.ends_with(".log")) continue;
    const auto base = engine::log::parse_segment_stem(
        std::string_view(path).substr(prefix.size(), path.size() - prefix.size() - 4));
    if (base) found[base->value()] = path;
  }
  return found;
}

inline bool last_is_recycled(const engine::io::SimDisk& disk) {
  const auto content =
      disk.content("/" + kRecycledDir + "/" + std::string(engine::log::kManifestName));
  if (!content) return false;
  const auto manifest = engine::log::decode_manifest(*content);
  return manifest && !manifest->segments.empty() && manifest->segments.back().recycled;
}

/// What Kafka would make of the files a crash left: every acknowledged record, and none of the
/// past.
inline void expect_kafka_finds_the_end(const engine::io::SimDisk& disk,
                                       const RecycledHistory& history) {
  std::int64_t end = 0;
  const auto files = segment_files(disk);
  // A log that failed before its new segment had a file, and then let all others go.
  if (files.empty() && history.may_fail) return;
  for (auto file = files.begin(); file != files.end(); ++file) {
    const KafkaWalk walk = walk_as_kafka(*disk.content(file->second), file->first);
    EXPECT_FALSE(walk.overflows) << file->second << ": an old batch follows offset "
                                 << walk.next_offset - 1 << " at byte " << walk.size_bytes;
    const auto next = std::next(file);
    // A dropped file whose renaming failed stays until the next open.
    if (next != files.end() && !history.may_fail) {
      EXPECT_EQ(walk.next_offset, next->first) << file->second;
    }
    end = walk.next_offset;
  }
  if (history.acknowledged_end > 0) EXPECT_GE(end, history.acknowledged_end);
}

}  // namespace keelson::test
