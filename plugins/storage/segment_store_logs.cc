// The logs of SegmentStore: opening, removing, and what is told of them.
#include <cassert>
#include <utility>

#include "engine/io/random_uuid.h"
#include "engine/log/file_removal.h"
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
using engine::log::Log;

Task<Result<Log*>> SegmentStore::open_log(Shard& owner, std::string topic, PartitionKey key,
                                          engine::log::LogConfig config) {
  ShardLogs& mine = *by_shard_[owner.index()];
  const auto open_already = mine.logs.find(key);
  if (open_already != mine.logs.end()) co_return open_already->second.log.get();

  const std::string name = engine::log::format_log_name(topic, key.partition);
  if (ends_early()) {
    mine.unclean = mine.context.leave_files = true;
    co_return engine::fail(Errc::closed);
  }
  engine::log::OpenHints hints;
  const auto known_id = ids_.find(name);
  if (known_id != ids_.end() && known_id->second == key.topic_id) {
    hints = hints_.at(name);
  } else {
    const auto work = [&] { return make_way(name, key.topic_id); };
    const Result<void> free = co_await call_on(owner, first_shard(), work);
    if (!free) co_return std::unexpected(free.error());
  }
  const bool turn = co_await mine.opening.take(1);
  assert(turn);
  if (ends_early()) {
    mine.opening.give(1);
    mine.unclean = mine.context.leave_files = true;
    co_return engine::fail(Errc::closed);
  }
  Result<std::unique_ptr<Log>> log = co_await Log::open(
      mine.context, directory_->path_of(name), {key.topic_id, key.partition}, config, hints);
  mine.opening.give(1);
  if (!log) {
    owner.logger().write(
        LogLevel::error, "storage",
        concat(name, " cannot be opened: ", engine::to_string(log.error().code), ", errno ",
               log.error().sys_errno, "; its files are left as they are"));
    mine.unclean = true;
    co_return std::unexpected(log.error());
  }
  Log* const opened = log->get();
  mine.logs.emplace(key, ShardLogs::Held{name, std::move(*log)});
  co_return opened;
}

/// A new log takes `name`. What an earlier topic left under it is put aside, not deleted; and no
/// checkpoint may speak of that one, or a restart would take it for what this log should hold.
Task<Result<void>> SegmentStore::make_way(std::string name, engine::Uuid id) {
  Shard& shard = first_shard();
  const std::string path = directory_->path_of(name);
  const Result<engine::io::FileStat> there = co_await engine::io::stat(shard, path);
  if (!there && there.error().code != Errc::not_found) co_return std::unexpected(there.error());
  if (there) {
    const Result<engine::Uuid> other = co_await directory_->read_topic_id(name);
    if (other && *other == id) co_return Result<void>{};  // this one, begun and not finished
    const std::string aside =
        concat(path, ".", engine::to_string(engine::io::random_uuid(shard.rng())), kStrayEnding);
    shard.logger().write(LogLevel::warning, "storage",
                         concat(path, " is of no topic that is served: put aside as ", aside));
    const Result<void> renamed = co_await engine::io::rename(shard, path, aside);
    if (!renamed) co_return renamed;
    const Result<void> synced = co_await engine::io::sync_dir(shard, config_.data_dir);
    if (!synced) co_return synced;
  }
  const bool free = co_await checkpoint_lock_.take(1);
  assert(free);
  replaced_.insert(name);
  Result<void> written;
  const bool may_name = !checkpoints_are_ours_ || checkpointed_.contains(name);
  if (may_name) written = co_await write_checkpoints(true);
  checkpoint_lock_.give(1);
  co_return written;
}

Task<Result<void>> SegmentStore::remove_log(Shard& owner, PartitionKey key) {
  ShardLogs& mine = *by_shard_[owner.index()];
  const auto found = mine.logs.find(key);
  if (found == mine.logs.end()) co_return co_await remove_unopened(owner, key);
  const ShardLogs::Held held = std::move(found->second);
  mine.logs.erase(found);
  co_return co_await remove_files(owner, *held.log);
}

/// Gone once its directory has another name; the files follow in their own time, or at the next
/// start.
Task<Result<void>> SegmentStore::remove_files(Shard& owner, Log& log) {
  struct Work {
    static Task<void> remove(Shard& owner, ShardLogs& mine, std::string path) {
      const Gate::Pass pass(mine.housekeeping);
      const Result<void> removed =
          co_await engine::log::remove_directory(owner, path, mine.stopping);
      if (removed) co_return;
      owner.logger().write(LogLevel::warning, "storage",
                           concat("could not remove ", path, ", errno ", removed.error().sys_errno,
                                  ": tried again at the next start"));
    }
  };
  ShardLogs& mine = *by_shard_[owner.index()];
  Result<std::string> path = co_await log.remove();
  if (!path) co_return std::unexpected(path.error());
  if (mine.housekeeping.enter()) owner.spawn(Work::remove(owner, mine, std::move(*path)));
  co_return Result<void>{};
}

/// A deletion that a crash interrupted is finished before anything is opened.
Task<Result<void>> SegmentStore::remove_unopened(Shard& owner, PartitionKey key) {
  for (const StoredLog& log : stored_) {
    if (log.key != key) continue;
    const std::string name = engine::log::format_log_name(log.topic, key.partition);
    engine::log::LogConfig config;
    Result<std::unique_ptr<Log>> opened =
        co_await Log::open(by_shard_[owner.index()]->context, directory_->path_of(name),
                           {key.topic_id, key.partition}, config, hints_.at(name));
    if (!opened) co_return std::unexpected(opened.error());
    co_return co_await remove_files(owner, **opened);
  }
  co_return engine::fail(Errc::not_found);
}

Task<Result<LogDirInfo>> SegmentStore::dir_info() {
  const Result<engine::io::DiskSpace> space =
      co_await engine::io::disk_space(first_shard(), config_.data_dir);
  if (!space) co_return std::unexpected(space.error());
  co_return LogDirInfo{config_.data_dir, space->total_bytes, space->free_bytes};
}

Task<void> SegmentStore::tune_compaction(engine::log::CleanerConfig config) {
  struct Work {
    static Task<void> tune(ShardLogs& mine, const engine::log::CleanerConfig& config) {
      mine.cleaner.set_config(config);
      co_return;
    }
  };
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const auto work = [&, i] { return Work::tune(*by_shard_[i], config); };
    co_await call_on(first_shard(), shards_.at(i), work);
  }
}

Task<std::vector<engine::log::CleanerStats>> SegmentStore::compaction_stats() {
  struct Work {
    static Task<engine::log::CleanerStats> ask(const ShardLogs& mine) {
      co_return mine.cleaner.stats();
    }
  };
  std::vector<engine::log::CleanerStats> all;
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const auto work = [&, i] { return Work::ask(*by_shard_[i]); };
    const engine::log::CleanerStats stats = co_await call_on(first_shard(), shards_.at(i), work);
    all.push_back(stats);
  }
  co_return all;
}

}  // namespace keelson::storage
