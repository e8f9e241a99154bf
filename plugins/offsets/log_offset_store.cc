#include "plugins/offsets/log_offset_store.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "plugins/offsets/group_partition.h"
#include "plugins/offsets/log_offset_store_hops.h"
#include "plugins/registry/settings/effective.h"

namespace keelson::offsets {

using engine::Task;
using engine::io::call_on;
using engine::io::Shard;

LogOffsetStore::LogOffsetStore(LogOffsetStoreParts parts)
    : parts_(std::move(parts)), coordinators_(parts_.shards.size()) {
  parts_.controller.add_listener(*this);
}

LogOffsetStore::~LogOffsetStore() {
  for (const Coordinators& of_shard : coordinators_) assert(of_shard.empty());  // stop() was called
}

// Life: which partitions are served here ----------------------------------------------------------

Task<ApiResult<void>> LogOffsetStore::start() {
  started_ = true;
  co_await adopt(parts_.controller.view());
  co_return ApiResult<void>{};
}

Task<ApiResult<void>> LogOffsetStore::apply(std::shared_ptr<const ClusterView> before,
                                            std::shared_ptr<const ClusterView> after) {
  if (!started_ || stopped_) co_return ApiResult<void>{};
  co_await adopt(after);
  auto gone = std::make_shared<GoneTopics>();
  if (before) {
    for (const auto& [id, topic] : before->topics_by_id) {
      if (!after->topics_by_id.contains(id)) gone->push_back({topic->name, id});
    }
  }
  if (gone->empty()) co_return ApiResult<void>{};
  // The topic's deletion does not wait for this: an offset of an earlier topic counts as none.
  Shard& home = parts_.shards.at(0);
  for (std::uint32_t shard = 0; shard < parts_.shards.size(); ++shard) {
    const auto spawn = [this, shard, gone] { return spawn_forget(shard, gone); };
    co_await call_on(home, parts_.shards.at(shard), spawn);
  }
  co_return ApiResult<void>{};
}

Task<void> LogOffsetStore::spawn_forget(std::uint32_t shard,
                                        std::shared_ptr<const GoneTopics> gone) {
  // Each task holds its coordinator's gate from its first step on.
  for (const auto& [key, served] : coordinators_[shard]) served.coordinator->forget_topics(gone);
  co_return;
}

std::map<PartitionKey, engine::LeaderEpoch> LogOffsetStore::led_partitions(
    const ClusterView& view, std::uint32_t shard) const {
  std::map<PartitionKey, engine::LeaderEpoch> led;
  const TopicView* const topic = view.find(kOffsetsTopic);
  if (topic == nullptr) return led;
  for (std::size_t i = 0; i < topic->partitions.size(); ++i) {
    const PartitionKey key{topic->id, static_cast<std::int32_t>(i)};
    if (topic->partitions[i].leader != parts_.self || parts_.owner(key) != shard) continue;
    led.emplace(key, topic->partitions[i].leader_epoch);
  }
  return led;
}

Task<void> LogOffsetStore::adopt(std::shared_ptr<const ClusterView> view) {
  for (std::uint32_t shard = 0; shard < parts_.shards.size() && !stopped_; ++shard) {
    const auto work = [this, shard, view] { return adopt_on(shard, view); };
    co_await call_on(parts_.shards.at(0), parts_.shards.at(shard), work);
  }
}

Task<void> LogOffsetStore::adopt_on(std::uint32_t shard, std::shared_ptr<const ClusterView> view) {
  Coordinators& here = coordinators_[shard];
  const std::map<PartitionKey, engine::LeaderEpoch> led = led_partitions(*view, shard);
  std::vector<std::unique_ptr<PartitionCoordinator>> leaving;
  for (auto entry = here.begin(); entry != here.end();) {
    const auto still = led.find(entry->first);
    if (still != led.end() && still->second == entry->second.epoch) {
      ++entry;
      continue;
    }
    leaving.push_back(std::move(entry->second.coordinator));
    entry = here.erase(entry);
  }
  // The new ones are there at once, and say that they are loading; they read the log when no write
  // of those before them can come to it any more.
  std::vector<PartitionKey> fresh;
  for (const auto& [key, epoch] : led) {
    if (here.contains(key)) continue;
    here.emplace(key, Served{epoch, make_coordinator(shard, key)});
    fresh.push_back(key);
  }
  for (const auto& coordinator : leaving) co_await coordinator->stop();
  for (const PartitionKey& key : fresh) {
    PartitionCoordinator* const coordinator = at({key, shard});
    if (coordinator != nullptr) coordinator->start();  // else the store was stopped meanwhile
  }
}

std::unique_ptr<PartitionCoordinator> LogOffsetStore::make_coordinator(std::uint32_t shard,
                                                                       PartitionKey key) {
  return std::make_unique<PartitionCoordinator>(PartitionCoordinatorParts{
      .shard = parts_.shards.at(shard),
      .replicator = parts_.replicator,
      .key = key,
      .settings = parts_.settings,
      .view = [this] { return parts_.controller.view(); },
      .consumer_times = [this](const std::string& group_id) { return consumer_times(group_id); }});
}

ConsumerGroupTimes LogOffsetStore::consumer_times(const std::string& group_id) const {
  const std::shared_ptr<const ClusterView> view = parts_.controller.view();
  const SettingLayers layers = group_setting_layers(*view, parts_.self, parts_.fixed, group_id);
  const auto value = [&](std::string_view name) {
    return static_cast<std::int32_t>(effective_group_integer(name, layers));
  };
  return {.session_timeout_ms = value("consumer.session.timeout.ms"),
          .heartbeat_interval_ms = value("consumer.heartbeat.interval.ms"),
          .assignment_interval_ms = value("consumer.assignment.interval.ms")};
}

Task<void> LogOffsetStore::drain(std::int64_t deadline_ns) {
  const auto work = [deadline_ns](PartitionCoordinator& coordinator) {
    return coordinator.drain(deadline_ns);
  };
  co_await on_all(parts_.shards.at(0), work);
}

Task<void> LogOffsetStore::stop() {
  stopped_ = true;
  for (std::uint32_t shard = 0; shard < parts_.shards.size(); ++shard) {
    const auto work = [this, shard] { return stop_on(shard); };
    co_await call_on(parts_.shards.at(0), parts_.shards.at(shard), work);
  }
}

Task<void> LogOffsetStore::stop_on(std::uint32_t shard) {
  // Out of the map first: whoever comes meanwhile finds nothing.
  const Coordinators leaving = std::exchange(coordinators_[shard], {});
  for (const auto& [key, served] : leaving) co_await served.coordinator->stop();
}

// Hops --------------------------------------------------------------------------------------------

std::optional<LogOffsetStore::Place> LogOffsetStore::locate(std::string_view group_id) const {
  const std::shared_ptr<const ClusterView> view = parts_.controller.view();
  const TopicView* const topic = view->find(kOffsetsTopic);
  if (topic == nullptr || topic->partitions.empty()) return std::nullopt;
  const auto count = static_cast<std::int32_t>(topic->partitions.size());
  const PartitionKey key{topic->id, group_partition(group_id, count)};
  if (topic->partitions[static_cast<std::size_t>(key.partition)].leader != parts_.self) {
    return std::nullopt;
  }
  return Place{key, parts_.owner(key)};
}

PartitionCoordinator* LogOffsetStore::at(const Place& place) {
  const Coordinators& here = coordinators_[place.shard];
  const auto found = here.find(place.key);
  return found == here.end() ? nullptr : found->second.coordinator.get();
}

// The internal topic ------------------------------------------------------------------------------

namespace {

Task<ApiErrc> loaded(PartitionCoordinator& coordinator, std::int64_t deadline_ns) {
  co_await coordinator.wait_loaded(deadline_ns);
  co_return ApiErrc::none;
}

}  // namespace

Task<ApiResult<void>> LogOffsetStore::create_topic(Shard& home) {
  const std::size_t brokers = parts_.controller.view()->brokers.size();
  NewTopic topic;
  topic.name = kOffsetsTopic;
  topic.partition_count = parts_.settings.topic_partitions;
  topic.replication_factor = parts_.settings.topic_replication_factor;
  if (!parts_.settings.topic_replication_exact) {
    const std::size_t most = std::max<std::size_t>(brokers, 1);
    topic.replication_factor = static_cast<std::int16_t>(
        std::min<std::size_t>(most, static_cast<std::size_t>(topic.replication_factor)));
  }
  topic.settings = {{"cleanup.policy", "compact"},
                    {"compression.type", "producer"},
                    {"segment.bytes", std::to_string(parts_.settings.topic_segment_bytes)}};
  topic.internal = true;
  const ApiResult<std::shared_ptr<const TopicView>> created =
      co_await parts_.controller.create_topic(home, std::move(topic), false);
  // Somebody else was faster: as good.
  if (created || created.error().code == ApiErrc::topic_already_exists) co_return ApiResult<void>{};
  if (!told_of_creation_.exchange(true)) {
    home.logger().write(
        engine::LogLevel::error, "offsets",
        engine::concat("cannot create ", kOffsetsTopic,
                       ", and without it no group "
                       "works: ",
                       created.error().message, "; look at the settings offsets.topic.*"));
  }
  co_return refuse(ApiErrc::coordinator_not_available, created.error().message);
}

Task<ApiResult<GroupHome>> LogOffsetStore::find(Shard& home, std::string group_id) {
  constexpr std::int64_t kFirstLoadNs = 2'000'000'000;
  std::shared_ptr<const ClusterView> view = parts_.controller.view();
  if (view->find(kOffsetsTopic) == nullptr) {
    const ApiResult<void> created = co_await create_topic(home);
    if (!created) co_return std::unexpected(created.error());
    // Spares the client a round of coordinator_load_in_progress: there is nothing to load.
    const std::int64_t deadline_ns = home.clock().now_ns() + kFirstLoadNs;
    const auto work = [deadline_ns](PartitionCoordinator& coordinator) {
      return loaded(coordinator, deadline_ns);
    };
    (void)co_await on_group(home, group_id, ApiErrc::none, work);
    view = parts_.controller.view();
  }
  const TopicView* const topic = view->find(kOffsetsTopic);
  if (topic == nullptr || topic->partitions.empty()) {
    co_return refuse(ApiErrc::coordinator_not_available);
  }
  GroupHome found;
  found.partition = group_partition(group_id, static_cast<std::int32_t>(topic->partitions.size()));
  found.coordinator = topic->partitions[static_cast<std::size_t>(found.partition)].leader;
  if (found.coordinator == kNoBroker) co_return refuse(ApiErrc::coordinator_not_available);
  co_return found;
}

}  // namespace keelson::offsets
