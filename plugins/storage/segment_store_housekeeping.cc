// What SegmentStore does with its logs by itself: retention, checkpoints, closing.
#include <algorithm>
#include <cassert>
#include <utility>
#include <vector>

#include "plugins/storage/shard_logs.h"

namespace keelson::storage {

using engine::concat;
using engine::Errc;
using engine::LogLevel;
using engine::Result;
using engine::Task;
using engine::io::call_on;
using engine::io::Gate;
using engine::io::Shard;
using engine::io::TaskGroup;
using engine::log::DataDirectory;
using engine::log::Log;

namespace {
constexpr std::size_t kClosesAtOnce = 32;  // logs of a shard: the drive's queue, with room to spare
}  // namespace

Task<void> SegmentStore::apply_retention_once(std::uint32_t index) {
  ShardLogs& mine = *by_shard_[index];
  std::vector<PartitionKey> keys;
  keys.reserve(mine.logs.size());
  for (const auto& [key, held] : mine.logs) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  for (const PartitionKey& key : keys) {
    const auto found = mine.logs.find(key);  // it may have gone while another was worked on
    if (found == mine.logs.end() || mine.stopping.is_set()) continue;
    const std::string name = found->second.name;
    const Result<std::size_t> dropped = co_await found->second.log->apply_retention();
    if (!dropped) {
      shards_.at(index).logger().write(
          LogLevel::warning, "storage",
          concat("retention of ", name, " failed: ", engine::to_string(dropped.error().code)));
    } else if (*dropped > 0) {
      shards_.at(index).logger().write(
          LogLevel::info, "storage", concat("retention dropped ", *dropped, " segments of ", name));
    }
  }
}

Task<void> SegmentStore::run_retention(std::uint32_t index) {
  Shard& shard = shards_.at(index);
  ShardLogs& mine = *by_shard_[index];
  std::int64_t wait_ms = config_.first_check_delay_ms;
  while (true) {
    const bool stopping =
        co_await mine.stopping.wait_until(shard.clock().now_ns() + wait_ms * 1'000'000);
    if (stopping || !mine.housekeeping.enter()) co_return;
    const Gate::Pass pass(mine.housekeeping);
    co_await apply_retention_once(index);
    wait_ms = config_.retention_check_ms;
  }
}

Task<SegmentStore::Checkpoints> SegmentStore::checkpoint_logs(bool write_side_files) {
  struct Work {
    static Task<Checkpoints> collect(ShardLogs& mine, bool write_side_files) {
      Checkpoints found;
      std::vector<PartitionKey> keys;
      for (const auto& [key, held] : mine.logs) keys.push_back(key);
      for (const PartitionKey& key : keys) {
        auto entry = mine.logs.find(key);
        if (entry == mine.logs.end()) continue;
        if (write_side_files) {
          // A log that cannot write its side files keeps its older checkpoint.
          const Result<void> written = co_await entry->second.log->checkpoint();
          if (!written) continue;
          entry = mine.logs.find(key);
          if (entry == mine.logs.end()) continue;
        }
        const Log& log = *entry->second.log;
        found.emplace(entry->second.name,
                      DataDirectory::Checkpoint{.recovery_point = log.recovery_point(),
                                                .log_start_offset = log.log_start_offset(),
                                                .high_watermark = log.durable_offset(),
                                                .start_is_segment_base = false,
                                                .first_dirty = log.compacted_to()});
      }
      co_return found;
    }
  };
  Checkpoints all;
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const auto work = [&, i] { return Work::collect(*by_shard_[i], write_side_files); };
    Checkpoints some = co_await call_on(first_shard(), shards_.at(i), work);
    all.merge(some);
  }
  co_return all;
}

Task<void> SegmentStore::run_checkpoints() {
  ShardLogs& mine = *by_shard_[0];
  while (true) {
    const bool stopping = co_await mine.stopping.wait_until(first_shard().clock().now_ns() +
                                                            config_.checkpoint_ms * 1'000'000);
    if (stopping || !mine.housekeeping.enter()) co_return;
    const Gate::Pass pass(mine.housekeeping);
    const bool free = co_await checkpoint_lock_.take(1);
    assert(free);
    const Result<void> written = co_await write_checkpoints(true);
    checkpoint_lock_.give(1);
    if (!written) {
      first_shard().logger().write(
          LogLevel::warning, "storage",
          concat("checkpoints could not be written, errno ", written.error().sys_errno,
                 ": a restart will read more of each log"));
    }
  }
}

/// Each log writes and syncs a few files when it closes, so several do at a time: measured, 1,000
/// logs one after the other took more than half a minute on a busy drive.
Task<bool> SegmentStore::close_logs() {
  struct Work {
    using Iterator = decltype(ShardLogs::logs)::iterator;
    static Task<void> close_some(ShardLogs& mine, Iterator& next, bool& clean,
                                 engine::Logger& logger) {
      while (next != mine.logs.end()) {
        ShardLogs::Held& held = (next++)->second;
        const Result<void> closed = co_await held.log->close();
        if (closed) continue;
        clean = false;
        logger.write(
            LogLevel::error, "storage",
            concat(held.name, " did not close cleanly: ", engine::to_string(closed.error().code),
                   "; it will be recovered at the next start"));
      }
    }
    static Task<bool> close(ShardLogs& mine, Shard& shard) {
      mine.stopping.set();
      co_await mine.cleaner.stop();
      co_await mine.housekeeping.close();
      bool clean = !mine.unclean;
      Iterator next = mine.logs.begin();
      TaskGroup closing(shard);
      for (std::size_t i = 0; i < kClosesAtOnce; ++i) {
        closing.start(close_some(mine, next, clean, shard.logger()));
      }
      co_await closing.wait();
      co_return clean;
    }
    static Task<void> close_on(Shard& home, Shard& shard, ShardLogs& mine, bool& clean) {
      const auto work = [&] { return close(mine, shard); };
      const bool shard_clean = co_await call_on(home, shard, work);
      clean &= shard_clean;
    }
  };
  bool clean = true;
  TaskGroup shards_closing(first_shard());
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    shards_closing.start(Work::close_on(first_shard(), shards_.at(i), *by_shard_[i], clean));
  }
  co_await shards_closing.wait();
  co_return clean;
}

/// A log that is there and not open keeps its checkpoint: it may be opened by the next start.
void SegmentStore::keep_unopened(Checkpoints& checkpoints) const {
  for (const auto& [name, hints] : hints_) {
    if (!hints.recovery_point || replaced_.contains(name)) continue;
    const engine::Offset start = hints.log_start_offset.value_or(engine::Offset{0});
    checkpoints.try_emplace(
        name, DataDirectory::Checkpoint{*hints.recovery_point, start, *hints.recovery_point,
                                        !hints.log_start_offset.has_value(), hints.first_dirty});
  }
}

/// Under checkpoint_lock_.
Task<Result<void>> SegmentStore::write_checkpoints(bool write_side_files) {
  Checkpoints checkpoints = co_await checkpoint_logs(write_side_files);
  keep_unopened(checkpoints);
  for (const auto& [name, checkpoint] : checkpoints) checkpointed_.insert(name);
  const Result<void> written = co_await directory_->write_checkpoints(checkpoints);
  if (!written) co_return written;
  checkpoints_are_ours_ = true;
  std::erase_if(checkpointed_,
                [&](const std::string& name) { return !checkpoints.contains(name); });
  co_return written;
}

}  // namespace keelson::storage
