#include "plugins/storage/segment_store.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/io/cross_shard.h"
#include "plugins/storage/adoption.h"

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
using engine::log::DirectoryOrigin;
using engine::log::Log;

namespace {
constexpr std::size_t kClosesAtOnce = 32;  // logs of a shard: the drive's queue, with room to spare
// A log whose tail is walked comes to a buffer of 512 KiB, which the next one takes over.
constexpr std::uint64_t kOpensAtOnce = 32;
constexpr std::size_t kIdentifiesAtOnce = 64;
}  // namespace

struct SegmentStore::ShardLogs {
  ShardLogs(Shard& shard, const SegmentStoreConfig& config)
      : context(shard, config.limits),
        cleaner(shard, config.cleaner),
        opening(shard, kOpensAtOnce),
        stopping(shard),
        housekeeping(shard) {
    if (config.compact) context.compaction = &cleaner;
  }

  struct Held {
    std::string name;  // of its directory
    std::unique_ptr<Log> log;
  };
  engine::log::LogContext context;
  engine::log::Cleaner cleaner;  // idle where logs do not know it
  std::unordered_map<PartitionKey, Held> logs;
  engine::io::Semaphore opening;
  engine::io::Event stopping;
  Gate housekeeping;     // retention and checkpoints at work on this shard's logs
  bool unclean = false;  // a log was lost sight of: no clean-stop marker
};

SegmentStore::SegmentStore(engine::io::ShardGroup& shards, SegmentStoreConfig config)
    : shards_(shards), config_(std::move(config)), checkpoint_lock_(shards.at(0), 1) {
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    by_shard_.push_back(std::make_unique<ShardLogs>(shards_.at(i), config_));
  }
}

SegmentStore::~SegmentStore() = default;

std::uint32_t SegmentStore::owner(const PartitionKey& key) const {
  // Neighbouring partitions of a topic land on different shards.
  const std::size_t start = std::hash<engine::Uuid>{}(key.topic_id) >> 32;
  return static_cast<std::uint32_t>((start + static_cast<std::uint32_t>(key.partition)) %
                                    shards_.size());
}

// --- the directory ------------------------------------------------------------------------------

namespace {

std::string describe_refusal(DirectoryOrigin origin, const std::string& path) {
  switch (origin) {
    case DirectoryOrigin::kafka:
      return concat("Apache Kafka wrote ", path,
                    ": start with --adopt to serve it from Keelson from now on");
    case DirectoryOrigin::foreign:
      return concat(path, " holds files that are not a broker's: choose an empty directory");
    case DirectoryOrigin::empty:
    case DirectoryOrigin::keelson: break;
  }
  return {};
}

constexpr std::string_view kStrayEnding = "-stray";

engine::Uuid random_uuid(Shard& shard) {
  const std::uint64_t high = shard.rng().next();
  return engine::make_uuid(high, shard.rng().next());
}

}  // namespace

Task<ApiResult<void>> SegmentStore::take_directory() {
  Shard& shard = first_shard();
  Result<std::unique_ptr<DataDirectory>> opened =
      co_await DataDirectory::open(shard, config_.data_dir);
  if (!opened) {
    if (opened.error().code == Errc::locked) {
      co_return refuse(ApiErrc::kafka_storage_error,
                       concat("another process serves ", config_.data_dir,
                              ": stop it, or choose another directory"));
    }
    co_return refuse(ApiErrc::kafka_storage_error, concat("cannot open ", config_.data_dir, ": ",
                                                          engine::to_string(opened.error().code),
                                                          ", errno ", opened.error().sys_errno));
  }
  directory_ = std::move(*opened);
  const engine::log::DirectoryScan& scan = directory_->scan();
  const bool may_serve = scan.origin == DirectoryOrigin::empty ||
                         scan.origin == DirectoryOrigin::keelson ||
                         (scan.origin == DirectoryOrigin::kafka && config_.adopt);
  if (!may_serve) {
    (void)co_await directory_->leave();  // a lock file that stays is no reason for another answer
    co_return refuse(ApiErrc::kafka_storage_error, describe_refusal(scan.origin, config_.data_dir));
  }
  for (const std::string& name : scan.unknown_names) {
    if (name.ends_with(kStrayEnding)) continue;  // see take_strays_back()
    shard.logger().write(LogLevel::warning, "storage", concat("not a log, left alone: ", name));
  }
  if (scan.identity) {
    identity_ = *scan.identity;
  } else {
    identity_.cluster_id = engine::to_string(random_uuid(shard));
    identity_.node_id = config_.node_id;
    identity_.directory_id = engine::to_string(random_uuid(shard));
  }
  if (identity_.node_id != config_.node_id) {
    (void)co_await directory_->leave();
    co_return refuse(ApiErrc::kafka_storage_error,
                     concat(config_.data_dir, " belongs to broker ", identity_.node_id,
                            ", this one is ", config_.node_id, ": set node.id=", identity_.node_id,
                            ", or choose another directory"));
  }
  const Result<void> claimed = co_await directory_->claim(identity_);
  if (!claimed) {
    co_return refuse(ApiErrc::kafka_storage_error, concat("cannot write to ", config_.data_dir,
                                                          ": errno ", claimed.error().sys_errno));
  }
  co_return ApiResult<void>{};
}

/// Kafka, given this directory, puts aside what was made here and it does not know.
Task<void> SegmentStore::take_strays_back() {
  Shard& shard = first_shard();
  const std::vector<std::string> unknown = directory_->scan().unknown_names;  // changes meanwhile
  for (const std::string& stray : unknown) {
    if (!stray.ends_with(kStrayEnding)) continue;
    const Result<std::string> name = co_await directory_->take_back(stray);
    if (name) {
      shard.logger().write(
          LogLevel::info, "storage",
          concat("Apache Kafka had put ", *name, " aside as ", stray, ": taken back"));
      continue;
    }
    const std::string_view why =
        name.error().code == Errc::already_exists     ? "its name is taken"
        : name.error().code == Errc::corrupt          ? "its files do not agree on whose it is"
        : name.error().code == Errc::invalid_argument ? "its name does not say of which partition"
                                                      : "it cannot be renamed";
    shard.logger().write(
        LogLevel::warning, "storage",
        concat(stray, " holds a partition that was put aside and is not served: ", why,
               "; to bring it back, stop the broker and rename it to <topic>-<partition>; look "
               "into it with `keelson log dump`"));
  }
}

Task<ApiResult<void>> SegmentStore::identify_logs() {
  struct Work {
    static Task<void> read_some(const SegmentStore& self, std::vector<Result<engine::Uuid>>& ids,
                                std::size_t& next) {
      const std::vector<std::string>& names = self.directory_->scan().log_names;
      while (next < names.size() && !self.ends_early()) {
        const std::size_t i = next++;
        ids[i] = co_await self.directory_->read_topic_id(names[i]);
      }
    }
  };
  Shard& shard = first_shard();
  co_await take_strays_back();
  const std::vector<std::string>& names = directory_->scan().log_names;
  std::vector<Result<engine::Uuid>> ids(names.size(), engine::fail(Errc::closed));
  std::size_t next = 0;
  TaskGroup reading(shard);
  for (std::size_t i = 0; i < kIdentifiesAtOnce; ++i) {
    reading.start(Work::read_some(*this, ids, next));
  }
  co_await reading.wait();
  if (ends_early()) co_return refuse(ApiErrc::not_leader_or_follower, "told to stop");
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string& name = names[i];
    if (name == kKafkaMetadataName) continue;  // Kafka's own: read, never served nor written
    const std::optional<engine::log::LogName> parsed = engine::log::parse_log_name(name);
    if (!parsed) continue;
    const Result<engine::Uuid>& id = ids[i];
    if (!id) {
      shard.logger().write(
          LogLevel::error, "storage",
          concat("the topic id of ", name, " cannot be told (", engine::to_string(id.error().code),
                 "): the directory is left as it is and not served; restore its "
                 "partition.metadata to bring it back"));
      continue;
    }
    hints_.emplace(name, directory_->hints_for(name));
    checkpointed_.insert(name);
    ids_.emplace(name, *id);
    stored_.push_back({parsed->topic, {*id, parsed->partition}});
  }
  co_return ApiResult<void>{};
}

Task<Result<std::optional<AdoptedMetadata>>> SegmentStore::read_adopted(
    std::int64_t known_position) {
  co_return co_await read_adoption(first_shard(), config_.data_dir, stored_, known_position);
}

Task<ApiResult<void>> SegmentStore::open() {
  opened_ns_ = first_shard().clock().now_ns();
  ApiResult<void> taken = co_await take_directory();
  if (!taken) co_return taken;
  ApiResult<void> identified = co_await identify_logs();
  if (!identified) co_return identified;
  // From here on a crash is an unclean stop.
  const Result<void> begun = co_await directory_->begin_serving();
  if (!begun) {
    co_return refuse(ApiErrc::kafka_storage_error,
                     concat("cannot remove the clean-stop marker of ", config_.data_dir, ": errno ",
                            begun.error().sys_errno));
  }
  serving_ = true;
  co_return ApiResult<void>{};
}

Task<ApiResult<void>> SegmentStore::start() {
  struct Work {
    static Task<void> spawn(SegmentStore& self, std::uint32_t index) {
      self.shards_.at(index).spawn(self.run_retention(index));
      self.shards_.at(index).spawn(self.by_shard_[index]->cleaner.run());
      co_return;
    }
  };
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const auto work = [this, i] { return Work::spawn(*this, i); };
    co_await call_on(first_shard(), shards_.at(i), work);
  }
  first_shard().spawn(run_checkpoints());
  started_ = true;
  co_await report_opened();
  if (directory_->scan().clean_stop || stored_.empty()) co_return ApiResult<void>{};
  // What recovery found durable must not be taken for a torn tail by another one. The logs
  // themselves write nothing before they are written to.
  const bool free = co_await checkpoint_lock_.take(1);
  assert(free);
  const Result<void> written = co_await write_checkpoints(false);
  checkpoint_lock_.give(1);
  if (!written) {
    co_return refuse(ApiErrc::kafka_storage_error,
                     concat("cannot write checkpoints to ", config_.data_dir, ": errno ",
                            written.error().sys_errno));
  }
  co_return ApiResult<void>{};
}

Task<void> SegmentStore::report_opened() {
  struct Sum {
    std::size_t logs = 0;
    std::uint64_t bytes_read = 0;
    std::uint64_t bytes_cut = 0;
  };
  struct Work {
    static Task<void> add(const ShardLogs& mine, Sum& sum) {
      sum.logs += mine.logs.size();
      for (const auto& [key, held] : mine.logs) {
        sum.bytes_read += held.log->recovery().bytes_read;
        sum.bytes_cut += held.log->recovery().bytes_cut;
      }
      co_return;
    }
  };
  if (stored_.empty()) co_return;
  Sum sum;
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const auto work = [&, i] { return Work::add(*by_shard_[i], sum); };
    co_await call_on(first_shard(), shards_.at(i), work);
  }
  const std::int64_t took_ms = (first_shard().clock().now_ns() - opened_ns_) / 1'000'000;
  first_shard().logger().write(
      LogLevel::info, "storage",
      concat("opened ", sum.logs, " logs ",
             directory_->scan().clean_stop ? "after a clean stop" : "and recovered their ends",
             " in ", took_ms, " ms: ", sum.bytes_read, " bytes of records read, ", sum.bytes_cut,
             " cut"));
}

// --- logs ---------------------------------------------------------------------------------------

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
        concat(path, ".", engine::to_string(random_uuid(shard)), kStrayEnding);
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

/// A log that is there and not open keeps its checkpoint: it may be opened by the next start.
void SegmentStore::keep_unopened(Checkpoints& checkpoints) const {
  for (const auto& [name, hints] : hints_) {
    if (!hints.recovery_point || replaced_.contains(name)) continue;
    const engine::Offset start = hints.log_start_offset.value_or(engine::Offset{0});
    checkpoints.try_emplace(
        name, DataDirectory::Checkpoint{*hints.recovery_point, start, *hints.recovery_point,
                                        !hints.log_start_offset.has_value()});
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

Task<Result<void>> SegmentStore::remove_log(Shard& owner, PartitionKey key) {
  ShardLogs& mine = *by_shard_[owner.index()];
  const auto found = mine.logs.find(key);
  if (found == mine.logs.end()) co_return co_await remove_unopened(owner, key);
  const ShardLogs::Held held = std::move(found->second);
  mine.logs.erase(found);
  co_return co_await held.log->remove();
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
    co_return co_await (*opened)->remove();
  }
  co_return engine::fail(Errc::not_found);
}

Task<Result<LogDirInfo>> SegmentStore::dir_info() {
  const Result<engine::io::DiskSpace> space =
      co_await engine::io::disk_space(first_shard(), config_.data_dir);
  if (!space) co_return std::unexpected(space.error());
  co_return LogDirInfo{config_.data_dir, space->total_bytes, space->free_bytes};
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

// --- housekeeping -------------------------------------------------------------------------------

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

Task<void> SegmentStore::stop() {
  if (directory_ == nullptr) co_return;
  if (serving_) {
    const bool clean = co_await close_logs();
    Checkpoints checkpoints = co_await checkpoint_logs(false);
    keep_unopened(checkpoints);
    // Without the marker the next start verifies every tail: right where a log failed.
    Task<Result<void>> last_write =
        clean ? directory_->finish(checkpoints) : directory_->write_checkpoints(checkpoints);
    const Result<void> finished = co_await last_write;
    if (!finished) {
      first_shard().logger().write(LogLevel::warning, "storage",
                                   "the clean-stop marker could not be written");
    }
    struct Work {
      static Task<void> drop(ShardLogs& mine) {
        mine.logs.clear();
        co_return;
      }
    };
    for (std::uint32_t i = 0; i < shards_.size(); ++i) {
      const auto work = [&, i] { return Work::drop(*by_shard_[i]); };
      co_await call_on(first_shard(), shards_.at(i), work);
    }
    serving_ = false;
  }
  directory_.reset();
}

}  // namespace keelson::storage
