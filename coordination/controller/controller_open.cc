// coordination/controller/controller_open.cc: taking the lead and loading what is there.
#include <algorithm>
#include <set>
#include <unordered_set>
#include <utility>

#include "coordination/controller/controller_standard.h"
#include "coordination/controller/values.h"
#include "engine/io/random_uuid.h"

namespace keelson::coordination {

using engine::Errc;
using engine::Result;
using engine::Task;

namespace {
constexpr int kLeadAttemptsMax = 16;
constexpr std::size_t kNamedInLogMax = 20;
}  // namespace

Task<ApiResult<void>> ControllerStandard::open() {
  incarnation_ = engine::io::random_uuid(parts_.shard.rng());
  keys_ = Keys{options_.root, parts_.log_store.cluster_id()};
  (void)co_await turn_.take(1);
  const ApiResult<void> opened = co_await open_here();
  turn_.give(1);
  co_return opened;
}

Task<ApiResult<void>> ControllerStandard::open_here() {
  const ApiResult<void> leading = co_await take_leadership();
  if (!leading) co_return leading;
  const std::map<engine::Uuid, std::string> deleted = state_.deleted;
  const ApiResult<void> finished = co_await finish_deletions(deleted);
  if (!finished) co_return finished;
  const ApiResult<void> adopted = co_await take_over_adopted();
  if (!adopted) co_return adopted;
  compare_with_disk(deleted);
  const ApiResult<void> applied = co_await apply_and_show(whole_view());
  if (!applied) co_return applied;
  for (const auto& [id, first] : state_.creating) created_.push_back(id);
  stale_ = false;
  log(engine::LogLevel::info, engine::concat("loaded ", state_.topics.size(), " topics with ",
                                             state_.partitions_total, " partitions"));
  co_return ApiResult<void>{};
}

Task<ApiResult<void>> ControllerStandard::take_leadership() {
  for (int attempt = 0; attempt < kLeadAttemptsMax; ++attempt) {
    const ApiResult<void> read = co_await read_all();
    if (!read) co_return read;
    if (state_.leader_version != 0) {
      const std::optional<LeaderValue> leader = decode_leader(state_.leader);
      if (leader && leader->incarnation == incarnation_) co_return ApiResult<void>{};
      co_return refuse(ApiErrc::not_controller, "another process leads this cluster");
    }
    if (state_.meta.version != 0 && state_.meta.value != 1) {
      co_return refuse(ApiErrc::unsupported_version,
                       "the cluster's metadata was written by a later version; use that one");
    }
    std::vector<Compare> compares{{keys_.leader(), 0},
                                  {keys_.epoch(), state_.epoch.version},
                                  {keys_.meta(), state_.meta.version}};
    std::vector<KeyWrite> writes{
        {.key = keys_.leader(),
         .value = encode(LeaderValue{options_.broker_id, incarnation_}),
         .leased = true},
        {.key = keys_.epoch(), .value = encode_number(state_.epoch.value + 1)}};
    if (state_.meta.version == 0) {
      writes.push_back(KeyWrite{.key = keys_.meta(), .value = encode_number(1)});
      // Logs of a cluster that knows nothing: another broker's, or the cluster's file was lost.
      const std::int64_t done = parts_.log_store.stored().empty() ? 1 : 0;
      writes.push_back(KeyWrite{.key = keys_.adopted(), .value = encode_number(done)});
    }
    const Result<KeyVersion> written =
        co_await parts_.coordinator.commit(std::move(compares), std::move(writes));
    const bool decide_again = !written && (written.error().code == Errc::conflict ||
                                           written.error().code == Errc::outcome_unknown);
    if (!written && !decide_again) {
      co_return refuse(
          ApiErrc::kafka_storage_error,
          engine::concat("cannot become controller: ", engine::to_string(written.error().code)));
    }
  }
  co_return refuse(ApiErrc::kafka_storage_error, "cannot become controller: too many conflicts");
}

/// Removes the logs of topics whose deletion a crash interrupted, then what the keys still say of
/// them; and partitions of topics that never came to be.
Task<ApiResult<void>> ControllerStandard::finish_deletions(
    std::map<engine::Uuid, std::string> deleted) {
  std::vector<KeyWrite> removals;
  for (const std::string& orphan : state_.orphans) {
    removals.push_back(KeyWrite{.key = orphan, .value = std::nullopt});
  }
  for (const auto& [id, name] : deleted) {
    bool gone = !state_.topics.contains(id);  // a topic that is there is not to be removed
    for (const StoredLog& stored : parts_.log_store.stored()) {
      if (!gone) break;
      if (stored.key.topic_id != id) continue;
      const Result<void> removed = co_await remove_stored(stored.key);
      gone = removed.has_value() || removed.error().code == Errc::not_found;
      log(gone ? engine::LogLevel::info : engine::LogLevel::warning,
          engine::concat(name, "-", stored.key.partition, " of a deleted topic ",
                         gone ? "removed" : "cannot be removed; tried again at the next start"));
    }
    if (gone) removals.push_back(KeyWrite{.key = keys_.deleted(id), .value = std::nullopt});
  }
  for (std::size_t first = 0; first < removals.size(); first += kWritesPerCommitMax) {
    const std::size_t last = std::min(removals.size(), first + kWritesPerCommitMax);
    std::vector<KeyWrite> some(removals.begin() + static_cast<std::ptrdiff_t>(first),
                               removals.begin() + static_cast<std::ptrdiff_t>(last));
    std::vector<Compare> guard{{keys_.leader(), state_.leader_version}};
    const Result<KeyVersion> written =
        co_await parts_.coordinator.commit(std::move(guard), std::move(some));
    // Housekeeping: what stays is found again at the next start.
    if (!written) {
      log(engine::LogLevel::warning, engine::concat("remains of deleted topics stay: ",
                                                    engine::to_string(written.error().code)));
      break;
    }
  }
  co_return co_await read_all();
}

Task<Result<void>> ControllerStandard::remove_stored(PartitionKey key) {
  engine::io::Shard& owner = parts_.group.at(parts_.log_store.owner(key));
  LogStore& store = parts_.log_store;
  co_return co_await engine::io::call_on(
      parts_.shard, owner, [&store, &owner, key] { return store.remove_log(owner, key); });
}

/// Fault model D20: metadata never decides that data is to be deleted. And the other way round:
/// a log that was there and is not gets no empty one in its place.
void ControllerStandard::compare_with_disk(const std::map<engine::Uuid, std::string>& deleted) {
  unclaimed_logs_.clear();
  lost_logs_.clear();
  std::unordered_set<PartitionKey> stored_keys;
  for (const StoredLog& stored : parts_.log_store.stored()) {
    const auto topic = state_.topics.find(stored.key.topic_id);
    const bool claimed =
        topic != state_.topics.end() && topic->second.view->name == stored.topic &&
        stored.key.partition >= 0 &&
        static_cast<std::size_t>(stored.key.partition) < topic->second.view->partitions.size();
    if (claimed) {
      stored_keys.insert(stored.key);
    } else if (!deleted.contains(stored.key.topic_id)) {
      unclaimed_logs_.push_back(stored);
    }
  }
  for (std::size_t i = 0; i < std::min(unclaimed_logs_.size(), kNamedInLogMax); ++i) {
    const StoredLog& stored = unclaimed_logs_[i];
    log(engine::LogLevel::warning,
        engine::concat(
            stored.topic, "-", stored.key.partition, " (topic id ",
            engine::to_string(stored.key.topic_id),
            ") is on disk, but the cluster knows no such topic: left alone, not served"));
  }
  for (const auto& [id, entry] : state_.topics) {
    const auto creating = state_.creating.find(id);
    for (std::size_t p = 0; p < entry.view->partitions.size(); ++p) {
      const auto number = static_cast<std::int32_t>(p);
      if (creating != state_.creating.end() && number >= creating->second) break;
      if (entry.view->partitions[p].leader != options_.broker_id) continue;
      if (!stored_keys.contains(PartitionKey{id, number})) lost_logs_.push_back({id, number});
    }
  }
  std::sort(lost_logs_.begin(), lost_logs_.end());
  for (std::size_t i = 0; i < std::min(lost_logs_.size(), kNamedInLogMax); ++i) {
    log(engine::LogLevel::error,
        engine::concat(state_.topics[lost_logs_[i].topic_id].view->name, "-",
                       lost_logs_[i].partition,
                       " is not on disk any more: offline. Bring its folder back and start again, "
                       "or delete the topic"));
  }
  const std::size_t named = std::max(unclaimed_logs_.size(), lost_logs_.size());
  if (named > kNamedInLogMax) {
    log(engine::LogLevel::warning,
        engine::concat("in all ", unclaimed_logs_.size(), " unclaimed logs on disk and ",
                       lost_logs_.size(), " partitions without their log"));
  }
}

}  // namespace keelson::coordination
