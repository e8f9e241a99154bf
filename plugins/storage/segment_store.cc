#include "plugins/storage/segment_store.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/io/random_uuid.h"
#include "plugins/storage/adoption.h"
#include "plugins/storage/shard_logs.h"

namespace keelson::storage {

using engine::concat;
using engine::Errc;
using engine::LogLevel;
using engine::Result;
using engine::Task;
using engine::io::call_on;
using engine::io::Shard;
using engine::io::TaskGroup;
using engine::log::DataDirectory;
using engine::log::DirectoryOrigin;

namespace {
constexpr std::size_t kIdentifiesAtOnce = 64;
}  // namespace

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
    identity_.cluster_id = engine::to_string(engine::io::random_uuid(shard.rng()));
    identity_.node_id = config_.node_id;
    identity_.directory_id = engine::to_string(engine::io::random_uuid(shard.rng()));
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
