// coordination/controller/controller_adopt.cc: takes over what another broker left in the data
// directory: topics with their ids, settings, leader epochs, producer ids.
//
// Everything is decided from what the log store reads and what the keys say, and written in
// transactions of which the one with `adopted` comes last: after a crash it is decided once more,
// and what was written is found done.
#include <algorithm>
#include <iterator>
#include <utility>

#include "coordination/controller/controller_standard.h"
#include "coordination/controller/setting_rules.h"
#include "coordination/controller/topic_names.h"
#include "coordination/controller/values.h"

namespace keelson::coordination {

using engine::concat;
using engine::Result;
using engine::Task;

namespace {

/// Kafka goes on from its own last producer id when it is given the directory back, and would take
/// a new producer with an id of ours for the one that its snapshots know. So ours begin far above
/// all that it will ever give, and still where every language has whole numbers.
constexpr std::int64_t kProducerIdsApart = std::int64_t{1} << 52;

PartitionView led_by(BrokerId self, engine::LeaderEpoch epoch) {
  PartitionView partition;
  partition.leader = self;
  partition.leader_epoch = epoch;
  partition.replicas = {self};
  partition.in_sync_replicas = {self};
  return partition;
}

bool is_internal(std::string_view topic) {
  return topic == "__consumer_offsets" || topic == "__transaction_state" ||
         topic == "__share_group_state";
}

}  // namespace

/// Writes in the order in which they go to the coordinator, cut into transactions. After each one
/// the keys must make sense, for a crash may follow: partitions without their topic do, a topic
/// without its partitions or its name does not.
class ControllerStandard::AdoptionPlan {
 public:
  /// Writes that go together; at most kWritesPerCommitMax.
  void add(std::vector<KeyWrite> together) {
    if (commits_.empty() || commits_.back().size() + together.size() > kWritesPerCommitMax) {
      commits_.emplace_back();
    }
    std::move(together.begin(), together.end(), std::back_inserter(commits_.back()));
  }
  /// The next writes come in a later transaction than those before.
  void end_commit() {
    if (!commits_.empty() && !commits_.back().empty()) commits_.emplace_back();
  }
  std::vector<std::vector<KeyWrite>> take() { return std::move(commits_); }

 private:
  std::vector<std::vector<KeyWrite>> commits_;
};

bool ControllerStandard::has_stored_log(const engine::Uuid& topic_id) const {
  const std::vector<StoredLog>& stored = parts_.log_store.stored();
  return std::any_of(stored.begin(), stored.end(),
                     [&](const StoredLog& log) { return log.key.topic_id == topic_id; });
}

/// Of state_ and the keys: a topic whose logs are all gone, so that no data goes with it.
void ControllerStandard::drop_unstored(TopicPointer topic, AdoptionPlan& plan) {
  log(engine::LogLevel::warning,
      concat("topic ", topic->name, " was deleted while another broker served the directory"));
  plan.add({{.key = keys_.topic(topic->id), .value = std::nullopt},
            {.key = keys_.topic_name(topic->name), .value = std::nullopt},
            {.key = keys_.creating(topic->id), .value = std::nullopt}});
  plan.end_commit();  // the name may come again
  for (std::size_t p = 0; p < topic->partitions.size(); ++p) {
    plan.add(
        {{.key = keys_.partition(topic->id, static_cast<std::int32_t>(p)), .value = std::nullopt}});
  }
  state_.remove_topic(topic->id);
}

void ControllerStandard::put_topic(TopicPointer topic, AdoptionPlan& plan) {
  const auto count = static_cast<std::int32_t>(topic->partitions.size());
  for (std::int32_t p = 0; p < count; ++p) {
    plan.add({{.key = keys_.partition(topic->id, p),
               .value = encode(topic->partitions[static_cast<std::size_t>(p)])}});
  }
  plan.add({{.key = keys_.topic_name(topic->name), .value = encode(topic->id)},
            {.key = keys_.topic(topic->id),
             .value = encode(TopicValue{topic->name, topic->internal, count, topic->settings})}});
  state_.remove_topic(topic->id);
  state_.add_topic(TopicEntry{std::move(topic), 0, 0});
}

/// The topic as it is to be; null where it is that already.
ControllerStandard::TopicPointer ControllerStandard::merge_adopted(
    const AdoptedMetadata::Topic& topic, std::int64_t known_position) {
  const auto found = state_.topics.find(topic.id);
  auto merged = std::make_shared<TopicView>();
  if (found != state_.topics.end()) *merged = *found->second.view;
  bool changed = found == state_.topics.end();
  merged->name = topic.name;
  merged->id = topic.id;
  merged->internal = is_internal(topic.name);
  const std::int32_t last = topic.partitions.empty() ? -1 : topic.partitions.rbegin()->first;
  while (static_cast<std::int64_t>(merged->partitions.size()) <= last) {
    merged->partitions.push_back(led_by(options_.broker_id, engine::LeaderEpoch{0}));
    changed = true;
  }
  for (const auto& [number, epoch] : topic.partitions) {
    PartitionView& partition = merged->partitions[static_cast<std::size_t>(number)];
    if (epoch <= partition.leader_epoch) continue;
    partition.leader_epoch = epoch;
    changed = true;
  }
  for (const auto& [name, setting] : topic.settings) {
    // What was set here since the last time stays, unless Kafka set it after that.
    if (found != state_.topics.end() && setting.position < known_position) continue;
    const ApiResult<void> known = check_topic_settings({{name, setting.value}});
    if (!known) {
      log(engine::LogLevel::warning, concat("topic ", topic.name, ": setting ", name, "=",
                                            setting.value, " of Kafka's is left out"));
      continue;
    }
    std::string& value = merged->settings[name];
    changed = changed || value != setting.value;
    value = setting.value;
  }
  return changed ? merged : nullptr;
}

void ControllerStandard::plan_adopted_topics(const AdoptedMetadata& found,
                                             std::int64_t known_position, AdoptionPlan& plan) {
  for (const engine::Uuid& id : found.removed_topics) {
    const auto topic = state_.topics.find(id);
    if (topic == state_.topics.end() || has_stored_log(id)) continue;
    drop_unstored(topic->second.view, plan);
  }
  for (const AdoptedMetadata::Topic& topic : found.topics) {
    const bool legal = check_topic_name(topic.name).has_value() && !topic.id.is_zero();
    const bool countable = !topic.partitions.empty() && topic.partitions.begin()->first >= 0 &&
                           topic.partitions.rbegin()->first < kPartitionsPerTopicMax;
    if (!legal || !countable || topic.name == "__cluster_metadata") {
      log(engine::LogLevel::warning,
          concat("a topic of Kafka's with id ", engine::to_string(topic.id), " is passed over"));
      continue;
    }
    const auto named = state_.names.find(collision_key(topic.name));
    if (named != state_.names.end() && named->second != topic.id) {
      const TopicPointer other = state_.topics.at(named->second).view;
      if (has_stored_log(other->id)) {
        log(engine::LogLevel::warning, concat("topic ", topic.name, " of Kafka's collides with ",
                                              other->name, ": left alone, not served"));
        continue;
      }
      drop_unstored(other, plan);
    }
    const TopicPointer merged = merge_adopted(topic, known_position);
    if (merged != nullptr) put_topic(merged, plan);
  }
}

void ControllerStandard::plan_adopted_settings(const AdoptedMetadata& found,
                                               std::int64_t known_position, AdoptionPlan& plan) {
  const SettingLayers layers{.fixed = &parts_.settings};
  const auto take = [&](ConfigResource resource, const std::string& name,
                        const AdoptedMetadata::Settings& theirs, SettingsEntry& entry,
                        std::string key) {
    Settings settings = entry.settings;
    for (const auto& [setting, value] : theirs) {
      if (value.position < known_position) continue;
      const std::vector<SettingChange> change{{setting, SettingOp::set, value.value}};
      const bool all_brokers = resource == ConfigResource::broker && name.empty();
      ApiResult<Settings> changed =
          change_settings(resource, all_brokers, settings, change, false, layers);
      if (changed) {
        settings = std::move(*changed);
      } else {
        log(engine::LogLevel::warning,
            concat("setting ", setting, " of Kafka's is left out: ", changed.error().message));
      }
    }
    if (settings == entry.settings) return;
    entry.settings = settings;
    plan.add({{.key = std::move(key), .value = encode(settings)}});
  };
  take(ConfigResource::broker, "", found.broker_defaults, state_.broker_defaults,
       keys_.broker_settings(""));
  const auto own = found.broker_settings.find(options_.broker_id);
  if (own != found.broker_settings.end()) {
    const std::string name = std::to_string(options_.broker_id);
    take(ConfigResource::broker, name, own->second, state_.broker_settings[options_.broker_id],
         keys_.broker_settings(name));
  }
  for (const auto& [group, settings] : found.group_settings) {
    // A key of the coordinator has its bounds; find_settings() knows them.
    if (!find_settings(ConfigResource::group, group)) continue;
    take(ConfigResource::group, group, settings, state_.group_settings[group],
         keys_.group_settings(group));
  }
}

Task<ApiResult<void>> ControllerStandard::write_adopted(AdoptionPlan plan) {
  for (std::vector<KeyWrite>& writes : plan.take()) {
    std::vector<Compare> guard{{keys_.leader(), state_.leader_version}};
    const Result<KeyVersion> written =
        co_await parts_.coordinator.commit(std::move(guard), std::move(writes));
    if (!written) {
      co_return refuse(ApiErrc::kafka_storage_error,
                       concat("what another broker left cannot be taken over: ",
                              engine::to_string(written.error().code), "; start again"));
    }
  }
  co_return ApiResult<void>{};
}

Task<ApiResult<void>> ControllerStandard::take_over_adopted() {
  const bool due = state_.adopted.version != 0 && state_.adopted.value == 0;
  const std::int64_t known = due ? -1 : std::max<std::int64_t>(state_.adopted.value - 1, 0);
  const Result<std::optional<AdoptedMetadata>> read = co_await parts_.log_store.read_adopted(known);
  if (!read) {
    co_return refuse(
        ApiErrc::kafka_storage_error,
        concat("what another broker left cannot be read, errno ", read.error().sys_errno));
  }
  if (!*read) co_return ApiResult<void>{};
  const AdoptedMetadata& found = **read;
  for (const std::string& finding : found.findings) log(engine::LogLevel::warning, finding);

  AdoptionPlan plan;
  plan_adopted_topics(found, known, plan);
  plan_adopted_settings(found, known, plan);
  plan.end_commit();
  std::int64_t next_id = std::max(found.next_producer_id.value(), options_.first_producer_id);
  if (found.end_position > 0) next_id = std::max(next_id, kProducerIdsApart);
  if (next_id > state_.producer_ids.value) {
    plan.add({{.key = keys_.producer_ids(), .value = encode_number(next_id)}});
  }
  plan.add({{.key = keys_.adopted(), .value = encode_number(found.end_position + 1)}});
  const ApiResult<void> written = co_await write_adopted(std::move(plan));
  if (!written) co_return written;
  log(engine::LogLevel::info, concat("took over ", found.topics.size(),
                                     " topics that another broker left in the data directory"));
  co_return co_await read_all();
}

}  // namespace keelson::coordination
