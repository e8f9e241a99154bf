// coordination/controller/controller_topics.cc: making, growing and deleting topics.
#include <algorithm>
#include <set>
#include <utility>

#include "coordination/controller/controller_standard.h"
#include "coordination/controller/setting_rules.h"
#include "coordination/controller/topic_names.h"
#include "coordination/controller/values.h"

namespace keelson::coordination {

using engine::concat;
using engine::Task;

namespace {

constexpr int kAttemptsMax = 16;
/// Of one transaction: leaves room for the topic's own keys and for marks.
constexpr std::size_t kPartitionsPerCommit = kWritesPerCommitMax - 20;

}  // namespace

ApiResult<std::vector<PartitionView>> ControllerStandard::place(
    const std::vector<std::vector<BrokerId>>& assignment, std::int32_t count,
    std::size_t replication_factor) const {
  const auto invalid = [](std::string message) {
    return refuse(ApiErrc::invalid_replica_assignment, std::move(message));
  };
  std::vector<PartitionView> partitions(static_cast<std::size_t>(count));
  if (!assignment.empty() && assignment.size() != partitions.size()) {
    return invalid("an assignment names the replicas of every new partition");
  }
  for (std::size_t p = 0; p < partitions.size(); ++p) {
    PartitionView& partition = partitions[p];
    partition.leader_epoch = engine::LeaderEpoch{0};
    if (assignment.empty()) {
      partition.replicas = {options_.broker_id};
    } else {
      partition.replicas = assignment[p];
    }
    const std::set<BrokerId> distinct(partition.replicas.begin(), partition.replicas.end());
    if (partition.replicas.empty()) return invalid(concat("partition ", p, " has no replica"));
    if (distinct.size() != partition.replicas.size()) {
      return invalid(concat("partition ", p, " names a broker twice"));
    }
    if (partition.replicas.size() != replication_factor) {
      return invalid("every partition of a topic has the same number of replicas");
    }
    for (const BrokerId broker : partition.replicas) {
      if (!knows_broker(broker)) return invalid(concat("there is no broker ", broker));
    }
    partition.leader = partition.replicas.front();
    partition.in_sync_replicas = partition.replicas;
  }
  return partitions;
}

ApiResult<std::shared_ptr<TopicView>> ControllerStandard::plan_topic(const NewTopic& topic,
                                                                     const engine::Uuid& id) const {
  const ApiResult<void> named = check_topic_name(topic.name);
  if (!named) return std::unexpected(named.error());
  if (!topic.internal && is_reserved_topic_name(topic.name)) {
    return refuse(topic.name == "__cluster_metadata" ? ApiErrc::invalid_request
                                                     : ApiErrc::invalid_topic_exception,
                  concat(topic.name, " is a name of the broker's own"));
  }
  const auto same = state_.names.find(collision_key(topic.name));
  if (same != state_.names.end()) {
    const std::string& other = state_.topics.at(same->second).view->name;
    if (other == topic.name) {
      return refuse(ApiErrc::topic_already_exists, concat("Topic '", other, "' already exists."));
    }
    return refuse(ApiErrc::invalid_topic_exception,
                  concat("topic ", topic.name, " collides with ", other,
                         ": '.' and '_' do not tell names apart"));
  }
  std::int32_t count = topic.partition_count;
  std::int32_t factor = topic.replication_factor;
  if (!topic.assignment.empty()) {
    if (count != -1 || factor != -1) {
      return refuse(ApiErrc::invalid_request,
                    "an assignment excludes a number of partitions and a replication factor");
    }
    count = static_cast<std::int32_t>(
        std::min<std::size_t>(topic.assignment.size(), kPartitionsPerTopicMax));
    factor = static_cast<std::int32_t>(
        std::min<std::size_t>(topic.assignment.front().size(), kReplicasMax));
  } else {
    if (count == -1) count = options_.default_partition_count;
    if (factor == -1) factor = options_.default_replication_factor;
    if (count < 1) {
      return refuse(ApiErrc::invalid_partitions, "a topic has at least one partition");
    }
    const std::size_t brokers = std::max<std::size_t>(state_.brokers.size(), 1);
    if (factor < 1 || static_cast<std::size_t>(factor) > brokers) {
      return refuse(ApiErrc::invalid_replication_factor,
                    concat("the replication factor is at least 1 and at most ", brokers,
                           ", the number of brokers"));
    }
  }
  if (count > options_.partitions_per_request_max || count > kPartitionsPerTopicMax) {
    return refuse(ApiErrc::policy_violation, concat("at most ", options_.partitions_per_request_max,
                                                    " partitions are made at a time"));
  }
  if (state_.partitions_total + count > options_.partitions_total_max) {
    return refuse(ApiErrc::policy_violation,
                  concat("a cluster has at most ", options_.partitions_total_max, " partitions"));
  }
  const ApiResult<void> settings = check_topic_settings(topic.settings);
  if (!settings) return std::unexpected(settings.error());
  ApiResult<std::vector<PartitionView>> partitions =
      place(topic.assignment, count, static_cast<std::size_t>(std::max(factor, 0)));
  if (!partitions) return std::unexpected(partitions.error());

  auto view = std::make_shared<TopicView>();
  view->name = topic.name;
  view->id = id;
  view->internal = topic.internal;
  view->settings = topic.settings;
  view->partitions = std::move(*partitions);
  return view;
}

Task<ApiResult<ControllerStandard::TopicPointer>> ControllerStandard::create_here(
    NewTopic topic, bool validate_only) {
  if (topic.id && (topic.id->is_zero() || state_.topics.contains(*topic.id))) {
    co_return refuse(ApiErrc::invalid_request, "another topic has this id");
  }
  const engine::Uuid id = topic.id ? *topic.id : new_id();
  bool maybe_written = false;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const ApiResult<void> usable = co_await ready();
    if (!usable) co_return std::unexpected(usable.error());
    const auto found = state_.topics.find(id);
    if (maybe_written && found != state_.topics.end()) {
      TopicPointer existing = found->second.view;
      co_return co_await bring_up(std::move(existing));
    }
    const ApiResult<std::shared_ptr<TopicView>> planned = plan_topic(topic, id);
    if (!planned) co_return std::unexpected(planned.error());
    TopicPointer view = *planned;
    if (validate_only) co_return view;

    const StepResult written = co_await write_topic(view, 0);
    if (!written) co_return std::unexpected(written.error());
    if (written->step != Step::done) {
      maybe_written = maybe_written || written->step == Step::unknown;
      continue;
    }
    state_.add_topic(TopicEntry{view, written->version, written->version});
    co_return co_await bring_up(std::move(view));
  }
  co_return refuse(ApiErrc::request_timed_out, "the coordinator refuses again and again");
}

Task<ControllerStandard::StepResult> ControllerStandard::write_topic(TopicPointer topic,
                                                                     std::int32_t first) {
  const auto count = static_cast<std::int32_t>(topic->partitions.size());
  const auto found = state_.topics.find(topic->id);
  const TopicEntry entry = found == state_.topics.end() ? TopicEntry{} : found->second;
  std::vector<Compare> guard{{keys_.topic(topic->id), entry.version},
                             {keys_.topic_name(topic->name), entry.name_version}};
  std::vector<KeyWrite> writes;
  for (std::int32_t p = first; p < count; ++p) {
    if (writes.size() == kPartitionsPerCommit) {
      const StepResult part = co_await commit(guard, std::exchange(writes, {}));
      if (!part || part->step != Step::done) co_return part;
    }
    const auto number = static_cast<std::size_t>(p);
    writes.push_back(
        KeyWrite{.key = keys_.partition(topic->id, p), .value = encode(topic->partitions[number])});
  }
  writes.push_back(
      KeyWrite{.key = keys_.topic(topic->id),
               .value = encode(TopicValue{topic->name, topic->internal, count, topic->settings})});
  if (first < count) {
    writes.push_back(KeyWrite{.key = keys_.creating(topic->id), .value = encode_number(first)});
  }
  if (entry.version == 0) {
    writes.push_back(KeyWrite{.key = keys_.topic_name(topic->name), .value = encode(topic->id)});
  }
  co_return co_await commit(std::move(guard), std::move(writes));
}

/// Has the listeners open a topic that is written, and shows it; or takes it back.
Task<ApiResult<ControllerStandard::TopicPointer>> ControllerStandard::bring_up(TopicPointer topic) {
  const std::shared_ptr<const ClusterView> before = view();
  std::shared_ptr<const ClusterView> after = view_with(topic);
  const ApiResult<void> applied = co_await tell_listeners(before, after);
  if (applied) {
    show(std::move(after));
    created_.push_back(topic->id);
    co_return topic;
  }
  log(engine::LogLevel::warning,
      concat("topic ", topic->name, " cannot be made: ", applied.error().message));
  // The way back for those that had begun; what they answer changes nothing.
  const ApiResult<void> undone = co_await tell_listeners(after, before);
  (void)undone;
  co_await withdraw(topic);
  co_return std::unexpected(applied.error());
}

/// The compensating change of a creation that failed.
Task<void> ControllerStandard::withdraw(TopicPointer topic) {
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const StepResult written = co_await write_deletion(topic);
    if (!written) break;
    if (written->step == Step::done) state_.remove_topic(topic->id);
    if (!state_.topics.contains(topic->id)) {
      co_await forget(topic);
      co_return;
    }
  }
  log(engine::LogLevel::error,
      concat("topic ", topic->name, " could not be made nor taken back: delete it"));
}

Task<ApiResult<void>> ControllerStandard::delete_here(engine::Uuid id) {
  if (!options_.delete_topic_enable) {
    co_return refuse(ApiErrc::topic_deletion_disabled, "delete.topic.enable is false");
  }
  TopicPointer topic;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const ApiResult<void> usable = co_await ready();
    if (!usable) co_return usable;
    const auto found = state_.topics.find(id);
    if (found == state_.topics.end()) {
      if (topic == nullptr) {
        co_return refuse(ApiErrc::unknown_topic_or_partition, "there is no such topic");
      }
      break;  // the write of unknown outcome was done; ready() has applied it
    }
    topic = found->second.view;
    const StepResult written = co_await write_deletion(topic);
    if (!written) co_return std::unexpected(written.error());
    if (written->step != Step::done) {
      if (written->step == Step::refused) topic = nullptr;
      continue;
    }
    const std::shared_ptr<const ClusterView> before = view();
    state_.remove_topic(id);
    std::erase(created_, id);
    std::erase_if(lost_logs_, [&](const PartitionKey& key) { return key.topic_id == id; });
    const std::shared_ptr<const ClusterView> after = view_without(*topic);
    show(after);
    const ApiResult<void> removed = co_await tell_listeners(before, after);
    if (!removed) {
      log(engine::LogLevel::warning,
          concat("data of deleted topic ", topic->name,
                 " stays until the next start: ", removed.error().message));
      co_return ApiResult<void>{};  // deleted/{id} stays and says so
    }
    co_await forget(topic);
    co_return ApiResult<void>{};
  }
  if (topic != nullptr && !state_.topics.contains(id)) {
    co_await forget(topic);
    co_return ApiResult<void>{};
  }
  co_return refuse(ApiErrc::request_timed_out, "the coordinator refuses again and again");
}

Task<ControllerStandard::StepResult> ControllerStandard::write_deletion(TopicPointer topic) {
  const auto found = state_.topics.find(topic->id);
  if (found == state_.topics.end()) co_return Written{Step::unknown};
  std::vector<Compare> guard{{keys_.topic(topic->id), found->second.version}};
  std::vector<KeyWrite> writes{
      {.key = keys_.topic(topic->id), .value = std::nullopt},
      {.key = keys_.topic_name(topic->name), .value = std::nullopt},
      {.key = keys_.creating(topic->id), .value = std::nullopt},
      {.key = keys_.deleted(topic->id), .value = topic->name},
  };
  co_return co_await commit(std::move(guard), std::move(writes));
}

/// Removes what the keys still say of a deleted topic whose data is gone. Best effort: the next
/// open() does the rest.
Task<void> ControllerStandard::forget(TopicPointer topic) {
  std::vector<KeyWrite> writes;
  for (std::size_t p = 0; p < topic->partitions.size(); ++p) {
    if (writes.size() == kPartitionsPerCommit) {
      const StepResult part = co_await commit({}, std::exchange(writes, {}));
      if (!part || part->step != Step::done) co_return;
    }
    writes.push_back(KeyWrite{.key = keys_.partition(topic->id, static_cast<std::int32_t>(p)),
                              .value = std::nullopt});
  }
  writes.push_back(KeyWrite{.key = keys_.deleted(topic->id), .value = std::nullopt});
  const StepResult last = co_await commit({}, std::move(writes));
  (void)last;
}

ApiResult<std::shared_ptr<TopicView>> ControllerStandard::plan_growth(
    const TopicView& topic, std::int32_t count,
    const std::optional<std::vector<std::vector<BrokerId>>>& assignment) const {
  const auto now = static_cast<std::int32_t>(topic.partitions.size());
  if (count <= now) {
    return refuse(ApiErrc::invalid_partitions,
                  concat("topic ", topic.name, " has ", now,
                         " partitions; their number can only rise, not become ", count));
  }
  const std::int32_t added = count - now;
  if (added > options_.partitions_per_request_max || count > kPartitionsPerTopicMax) {
    return refuse(ApiErrc::policy_violation, concat("at most ", options_.partitions_per_request_max,
                                                    " partitions are made at a time"));
  }
  if (state_.partitions_total + added > options_.partitions_total_max) {
    return refuse(ApiErrc::policy_violation,
                  concat("a cluster has at most ", options_.partitions_total_max, " partitions"));
  }
  if (assignment && assignment->size() != static_cast<std::size_t>(added)) {
    return refuse(ApiErrc::invalid_replica_assignment,
                  "an assignment names the replicas of every new partition");
  }
  const std::size_t factor = topic.partitions.front().replicas.size();
  ApiResult<std::vector<PartitionView>> placed =
      place(assignment.value_or(std::vector<std::vector<BrokerId>>{}), added, factor);
  if (!placed) return std::unexpected(placed.error());
  auto grown = std::make_shared<TopicView>(topic);
  std::move(placed->begin(), placed->end(), std::back_inserter(grown->partitions));
  return grown;
}

Task<ApiResult<void>> ControllerStandard::grow_here(
    std::string name, std::int32_t count,
    std::optional<std::vector<std::vector<BrokerId>>> assignment, bool validate_only) {
  bool maybe_written = false;
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const ApiResult<void> usable = co_await ready();
    if (!usable) co_return usable;
    const auto named = state_.names.find(collision_key(name));
    const auto found =
        named == state_.names.end() ? state_.topics.end() : state_.topics.find(named->second);
    if (found == state_.topics.end() || found->second.view->name != name) {
      co_return refuse(ApiErrc::unknown_topic_or_partition, "there is no such topic");
    }
    const TopicEntry entry = found->second;
    const auto now = static_cast<std::int32_t>(entry.view->partitions.size());
    if (maybe_written && now == count) {
      // Written after all; ready() has had it applied, or has logged why not.
      if (!view_behind_) co_return ApiResult<void>{};
      co_return refuse(ApiErrc::kafka_storage_error, "the new partitions cannot be opened");
    }
    const ApiResult<std::shared_ptr<TopicView>> planned =
        plan_growth(*entry.view, count, assignment);
    if (!planned) co_return std::unexpected(planned.error());
    if (validate_only) co_return ApiResult<void>{};

    TopicPointer grown = *planned;
    const StepResult written = co_await write_topic(grown, now);
    if (!written) co_return std::unexpected(written.error());
    if (written->step != Step::done) {
      maybe_written = maybe_written || written->step == Step::unknown;
      continue;
    }
    state_.remove_topic(grown->id);
    state_.add_topic(TopicEntry{grown, written->version, entry.name_version});
    const ApiResult<void> applied = co_await apply_and_show(view_with(grown));
    if (applied) {
      created_.push_back(grown->id);
      co_return ApiResult<void>{};
    }
    // The way back: the topic's own key first; partitions above its count are then orphans.
    const StepResult undone = co_await write_topic(entry.view, now);
    if (undone && undone->step == Step::done) {
      state_.remove_topic(grown->id);
      state_.add_topic(TopicEntry{entry.view, undone->version, entry.name_version});
    } else {
      stale_ = true;
    }
    co_return applied;
  }
  co_return refuse(ApiErrc::request_timed_out, "the coordinator refuses again and again");
}

std::shared_ptr<const ClusterView> ControllerStandard::view_with(TopicPointer topic) const {
  std::shared_ptr<ClusterView> next = next_view();
  TopicPointer visible = shown(std::move(topic));
  next->topics[visible->name] = visible;
  next->topics_by_id[visible->id] = visible;
  return next;
}

std::shared_ptr<const ClusterView> ControllerStandard::view_without(const TopicView& topic) const {
  std::shared_ptr<ClusterView> next = next_view();
  next->topics.erase(topic.name);
  next->topics_by_id.erase(topic.id);
  return next;
}

}  // namespace keelson::coordination
