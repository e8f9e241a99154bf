// engine/log/log_context.h: what the logs of one shard share.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/io/shard.h"
#include "engine/log/cache_gate.h"
#include "engine/log/chunk_cache.h"
#include "engine/log/file_removal.h"
#include "engine/log/read_stream.h"

namespace keelson::engine::log {

class Log;

/// Told by logs that compaction may have work (engine/log/cleaner.h). On the shard's thread.
class CompactionListener {
 public:
  virtual void may_be_due(Log& log) = 0;
  /// The log is being closed; not told of it again.
  virtual void gone(Log& log) = 0;

 protected:
  ~CompactionListener() = default;
};

/// Bounds for all logs of a shard together. Bytes unless the name says otherwise.
struct LogLimits {
  std::uint64_t cache_bytes = std::uint64_t{64} << 20;     // recent chunks kept for reading
  std::uint64_t pending_bytes = std::uint64_t{64} << 20;   // appended and not yet on the drive
  std::uint64_t unsynced_bytes = std::uint64_t{32} << 20;  // of relaxed logs, in the page cache
  std::uint32_t open_files = 2000;                         // sealed segments' descriptors kept open
  std::uint32_t commits_in_flight = 4;                     // per log (calibration: io_uring.md, K)
  std::uint64_t disk_reserve_bytes = std::uint64_t{256} << 20;  // appends refused below this
  bool direct_io = true;  // false where the file system refuses O_DIRECT
  std::uint64_t producer_draft_bytes = std::uint64_t{1} << 20;  // appended between two snapshots
  std::uint64_t removal_step_bytes = kRemovalStepBytes;         // of a file that goes
  std::int64_t sidecar_delay_ms = 250;  // integrity entries reach their file this late at most
  std::int64_t idle_after_ms = 5'000;   // a log without appends gives its buffers and files back
  // Keeps retention.bytes at each roll, too: a log that fills segments faster than somebody calls
  // apply_retention() does not outgrow it, and the file that is dropped is the next segment's.
  bool retain_at_roll = false;
};

using LentBytes = std::atomic<std::uint64_t>;

/// Memory for a read, counted until the last reader gives it back, on whatever thread.
struct LentBuffer {
  LentBuffer(std::size_t size_bytes, std::shared_ptr<LentBytes> counter)
      : memory(size_bytes), lent(std::move(counter)) {
    lent->fetch_add(memory.size_bytes(), std::memory_order_relaxed);
  }
  LentBuffer(const LentBuffer&) = delete;  // counted once
  ~LentBuffer() { lent->fetch_sub(memory.size_bytes(), std::memory_order_relaxed); }

  io::AlignedBuffer memory;
  std::shared_ptr<LentBytes> lent;  // may outlive the context
};

/// Owned by the shard; outlives its logs. One thread.
class LogContext {
 public:
  LogContext(io::Shard& shard, LogLimits limits)
      : shard_(shard),
        limits_(limits),
        chunks_(limits.cache_bytes),
        cache_gate_(limits.unsynced_bytes),
        read_ahead_(shard.clock(), limits.cache_bytes) {}
  LogContext(const LogContext&) = delete;  // logs hold its address

  io::Shard& shard() { return shard_; }
  const LogLimits& limits() const { return limits_; }
  ChunkCache& chunks() { return chunks_; }
  CacheGate& cache_gate() { return cache_gate_; }
  ReadAheadBudget& read_ahead() { return read_ahead_; }
  /// Bytes read from disk that readers still hold.
  const std::shared_ptr<LentBytes>& lent_bytes() const { return lent_bytes_; }
  /// Slow readers hold much of what was read for them: the others get less.
  bool memory_short() const { return lent_bytes_->load() > 2 * limits_.cache_bytes; }

  /// Bytes appended to any log of the shard and not yet written.
  std::uint64_t pending_bytes = 0;
  /// A log writes zeros that nobody waits for.
  bool zeroing_unhurried = false;
  /// Sealed segments' files that are open now, all logs together.
  std::uint32_t open_files = 0;

  /// Null where nothing compacts. Outlives the logs.
  CompactionListener* compaction = nullptr;
  /// Closing a log leaves its files as a crash would: nothing was written, and time is short.
  bool leave_files = false;

  /// False once a file system refused O_DIRECT; files are then opened without.
  bool direct_io() const { return limits_.direct_io && !direct_refused_; }
  void refuse_direct_io() { direct_refused_ = true; }

  /// kChunkBytesMax zeros, for preparing space.
  Bytes zeros() {
    if (zeros_.size_bytes() == 0) {
      zeros_ = io::AlignedBuffer(kChunkBytesMax);
      std::ranges::fill(zeros_.bytes(), std::byte{0});
    }
    return zeros_.bytes();
  }

  /// A block for the partial end of a commit; given back when the write is done.
  io::AlignedBuffer take_block() {
    if (blocks_.empty()) return io::AlignedBuffer(io::kBlockBytes);
    io::AlignedBuffer block = std::move(blocks_.back());
    blocks_.pop_back();
    return block;
  }
  void give_block(io::AlignedBuffer block) {
    if (blocks_.size() < kSpareBlocksMax) blocks_.push_back(std::move(block));
  }

 private:
  static constexpr std::size_t kSpareBlocksMax = 64;

  io::Shard& shard_;
  LogLimits limits_;
  ChunkCache chunks_;
  CacheGate cache_gate_;
  const std::shared_ptr<LentBytes> lent_bytes_ = std::make_shared<LentBytes>(0);
  ReadAheadBudget read_ahead_;  // as much again as the cache
  bool direct_refused_ = false;
  io::AlignedBuffer zeros_;
  std::vector<io::AlignedBuffer> blocks_;
};

}  // namespace keelson::engine::log
