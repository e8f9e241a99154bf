// plugins/offsets/partition_offsets.cc: group offsets: commit, fetch, deletion, age.
#include <cassert>
#include <utility>

#include "engine/logger.h"
#include "plugins/offsets/consumer_classic.h"
#include "plugins/offsets/group_partition.h"
#include "plugins/offsets/partition_coordinator.h"
#include "plugins/offsets/partition_group.h"

namespace keelson::offsets {

using engine::Task;
using Pass = engine::io::Gate::Pass;

// Commit ------------------------------------------------------------------------------------------

Task<CommitOffsetsAnswer> PartitionCoordinator::commit_offsets(CommitOffsetsCall call) {
  CommitOffsetsAnswer answer;
  answer.error = ApiErrc::not_coordinator;
  if (!gate_.enter()) co_return answer;
  const Pass pass(gate_);
  answer.error = refusal();
  if (answer.error != ApiErrc::none) co_return answer;
  Group* const group = find(call.group_id);
  const ConsumerGroup* const consumer = group == nullptr ? nullptr : group->consumer.get();
  if (group != nullptr && group->becomes_consumer) {
    answer.error = ApiErrc::coordinator_not_available;
  } else if (consumer != nullptr) {
    answer.error = group->classic.state() == ClassicState::dead
                       ? ApiErrc::coordinator_not_available
                       : consumer->check_commit(call.generation, call.member_id,
                                                call.group_id_not_found_known);
  } else if (group != nullptr) {
    answer.error =
        group->classic.check_commit(call.generation, call.member_id, call.group_instance_id);
  } else if (call.generation >= 0) {
    answer.error =
        call.group_id_not_found_known ? ApiErrc::group_id_not_found : ApiErrc::illegal_generation;
  }
  if (answer.error != ApiErrc::none) co_return answer;

  const std::int64_t now_ms = parts_.shard.clock().wall_ms();
  const auto units_max = static_cast<std::size_t>(parts_.settings.metadata_units_max);
  std::vector<GroupRecord> records;
  for (CommitOffsetsCall::Topic& topic : call.topics) {
    std::vector<ApiErrc>& errors = answer.partitions.emplace_back();
    for (CommitOffsetsCall::Partition& partition : topic.partitions) {
      if (utf16_units(partition.metadata) > units_max) {
        errors.push_back(ApiErrc::offset_metadata_too_large);
        continue;
      }
      const ApiErrc stale = consumer == nullptr
                                ? ApiErrc::none
                                : consumer->check_commit_of(call.member_id, call.generation,
                                                            topic.id, partition.partition);
      errors.push_back(stale);
      if (stale != ApiErrc::none) continue;
      StoredOffset value{.offset = partition.offset,
                         .leader_epoch = partition.leader_epoch,
                         .metadata = std::move(partition.metadata),
                         .commit_timestamp_ms = now_ms,
                         .topic_id = topic.id};
      if (call.retention_ms >= 0) value.expire_timestamp_ms = now_ms + call.retention_ms;
      records.push_back(
          OffsetRecord{call.group_id, topic.name, partition.partition, std::move(value)});
    }
  }
  if (records.empty()) co_return answer;
  const std::size_t count = records.size();
  const ApiErrc outcome = co_await write_and_wait(std::move(records));
  answer.error = outcome;
  if (outcome == ApiErrc::none) offset_commits_ += count;
  co_return answer;
}

// Fetch -------------------------------------------------------------------------------------------

/// An offset of an earlier topic of the same name says nothing about this one.
bool PartitionCoordinator::is_of_topic(const StoredOffset& offset,
                                       const engine::Uuid& topic_id) const {
  return offset.topic_id.is_zero() || topic_id.is_zero() || offset.topic_id == topic_id;
}

FetchedOffsets::Partition PartitionCoordinator::fetch_one(const Group* group,
                                                          const FetchOffsetsCall::Topic& topic,
                                                          std::int32_t partition,
                                                          bool require_stable) const {
  FetchedOffsets::Partition answer;
  answer.partition = partition;
  if (group == nullptr) return answer;
  if (require_stable &&
      log_->replay().is_unstable(group->classic.group_id(), topic.name, partition)) {
    answer.error = ApiErrc::unstable_offset_commit;
    return answer;
  }
  const StoredOffset* const stored = group->offsets.find(topic.name, partition);
  if (stored == nullptr || !is_of_topic(*stored, topic.id)) return answer;
  answer.offset = stored->offset;
  answer.leader_epoch = stored->leader_epoch;
  answer.metadata = stored->metadata;
  return answer;
}

void PartitionCoordinator::fetch_all(const Group& group, bool require_stable,
                                     FetchedOffsets& answer) const {
  for (const auto& [name, partitions] : group.offsets.topics()) {
    const FetchOffsetsCall::Topic topic{name, topic_id(name), {}};
    FetchedOffsets::Topic found{name, {}, {}};
    for (const auto& [partition, entry] : partitions) {
      if (!entry.stored || !is_of_topic(*entry.stored, topic.id)) continue;
      found.id = entry.stored->topic_id.is_zero() ? topic.id : entry.stored->topic_id;
      found.partitions.push_back(fetch_one(&group, topic, partition, require_stable));
    }
    if (!found.partitions.empty()) answer.topics.push_back(std::move(found));
  }
}

Task<FetchedOffsets> PartitionCoordinator::fetch_offsets(FetchOffsetsCall::Group call,
                                                         bool require_stable) {
  FetchedOffsets answer;
  answer.group_id = call.group_id;
  answer.error = ApiErrc::not_coordinator;
  if (!gate_.enter()) co_return answer;
  const Pass pass(gate_);
  answer.error = refusal();
  if (answer.error != ApiErrc::none) co_return answer;
  if (require_stable && !log_->idle()) {
    // Whatever was committed before is to be seen. Old consumers retry this error alone.
    const ApiErrc behind = co_await write_and_wait({});
    if (behind != ApiErrc::none) {
      answer.error = ApiErrc::not_coordinator;
      co_return answer;
    }
  }
  const Group* group = find(call.group_id);
  if (group != nullptr && group->classic.state() == ClassicState::dead) group = nullptr;
  if (group != nullptr && group->consumer) {
    answer.error = group->consumer->check_fetch(call.member_id, call.member_epoch);
    if (answer.error != ApiErrc::none) co_return answer;
  }
  if (!call.topics) {
    if (group != nullptr) fetch_all(*group, require_stable, answer);
    co_return answer;
  }
  for (FetchOffsetsCall::Topic& topic : *call.topics) {
    const engine::Uuid asked = topic.id;
    if (topic.id.is_zero()) topic.id = topic_id(topic.name);
    FetchedOffsets::Topic& found =
        answer.topics.emplace_back(FetchedOffsets::Topic{topic.name, asked, {}});
    for (const std::int32_t partition : topic.partitions) {
      found.partitions.push_back(fetch_one(group, topic, partition, require_stable));
    }
  }
  co_return answer;
}

// Deletion ----------------------------------------------------------------------------------------

Task<DeleteOffsetsAnswer> PartitionCoordinator::delete_offsets(DeleteOffsetsCall call) {
  DeleteOffsetsAnswer answer;
  answer.error = ApiErrc::not_coordinator;
  if (!gate_.enter()) co_return answer;
  const Pass pass(gate_);
  answer.error = call.group_id.empty() ? ApiErrc::invalid_group_id : refusal();
  if (answer.error != ApiErrc::none) co_return answer;
  const Group* const group = find(call.group_id);
  answer.error =
      group == nullptr ? ApiErrc::group_id_not_found : group->classic.check_offset_delete();
  if (answer.error != ApiErrc::none) co_return answer;

  std::vector<GroupRecord> records;
  for (const DeleteOffsetsCall::Topic& topic : call.topics) {
    std::vector<ApiErrc>& errors = answer.partitions.emplace_back();
    const bool subscribed = group->consumer ? group->consumer->is_subscribed_to(topic.name)
                                            : group->classic.is_subscribed_to(topic.name);
    for (const std::int32_t partition : topic.partitions) {
      errors.push_back(subscribed ? ApiErrc::group_subscribed_to_topic : ApiErrc::none);
      if (subscribed || group->offsets.find_entry(topic.name, partition) == nullptr) continue;
      records.push_back(OffsetRecord{call.group_id, topic.name, partition, std::nullopt});
    }
  }
  const ApiErrc outcome = co_await write_in_pieces(std::move(records));
  answer.error = outcome;
  if (outcome != ApiErrc::none) answer.partitions.clear();
  co_return answer;
}

/// Of every offset that is there or will be before these are written, and of the group.
std::vector<GroupRecord> PartitionCoordinator::tombstones(const Group& group) const {
  const std::string& id = group.classic.group_id();
  std::vector<GroupRecord> records;
  for (const auto& [topic, partitions] : group.offsets.topics()) {
    for (const auto& [partition, entry] : partitions) {
      records.push_back(OffsetRecord{id, topic, partition, std::nullopt});
    }
  }
  if (group.consumer) {
    for (GroupRecord& record : group.consumer->tombstones()) records.push_back(std::move(record));
  } else {
    records.push_back(ClassicGroupRecord{id, std::nullopt});
  }
  return records;
}

Task<ApiErrc> PartitionCoordinator::delete_group(std::string group_id) {
  if (!gate_.enter()) co_return ApiErrc::not_coordinator;
  const Pass pass(gate_);
  if (const ApiErrc error = refusal(); error != ApiErrc::none) co_return error;
  Group* const group = find(group_id);
  if (group == nullptr) co_return ApiErrc::group_id_not_found;
  Group::Visit visit(*group);
  co_await group->turn.take(1);
  visit.begin();
  if (const ApiErrc error = refusal(); error != ApiErrc::none) co_return error;
  if (!is_visible(*group) && group->offsets.empty()) co_return ApiErrc::group_id_not_found;
  const ApiErrc wrong = group->classic.check_delete();
  if (wrong != ApiErrc::none) co_return wrong;
  if (group->consumer && !group->consumer->members().empty()) co_return ApiErrc::non_empty_group;
  if (const ApiErrc doubt = co_await clear_doubt(*group); doubt != ApiErrc::none) co_return doubt;
  std::vector<GroupRecord> records = tombstones(*group);
  group->classic.mark_dead();
  const ApiErrc outcome = co_await delete_dead(std::move(group_id), std::move(records));
  if (outcome != ApiErrc::none && group->consumer) doubt(*group);
  co_return outcome;
}

/// The group is Dead, so that nothing is written for it behind these; it lives again after.
Task<ApiErrc> PartitionCoordinator::delete_dead(std::string group_id,
                                                std::vector<GroupRecord> records) {
  const ApiErrc outcome = co_await write_in_pieces(std::move(records));
  Group* const group = find(group_id);
  if (group != nullptr && group->classic.state() == ClassicState::dead) {
    group->classic.revive();
    sweep(group_id);
  }
  co_return outcome;
}

void PartitionCoordinator::forget_topics(std::shared_ptr<const GoneTopics> gone) {
  if (gate_.enter()) parts_.shard.spawn(forget(std::move(gone)));
}

Task<void> PartitionCoordinator::forget(std::shared_ptr<const GoneTopics> gone) {
  const Pass pass(gate_);
  co_await loaded_.wait();
  if (phase_ != Phase::active) co_return;
  std::vector<GroupRecord> records;
  for (const auto& [group_id, group] : groups_) {
    if (group->classic.state() == ClassicState::dead) continue;
    for (const GoneTopic& topic : *gone) {
      const auto partitions = group->offsets.topics().find(topic.name);
      if (partitions == group->offsets.topics().end()) continue;
      for (const auto& [partition, entry] : partitions->second) {
        if (!entry.stored || !is_of_topic(*entry.stored, topic.id)) continue;
        records.push_back(OffsetRecord{group_id, topic.name, partition, std::nullopt});
      }
    }
  }
  (void)co_await write_in_pieces(std::move(records));
}

// Age ---------------------------------------------------------------------------------------------

bool PartitionCoordinator::is_expired(const Group& group, const std::string& topic,
                                      const StoredOffset& offset, std::int64_t now_ms) const {
  const ClassicGroup& classic = group.classic;
  const auto aged = [&](std::int64_t base_ms) {
    if (offset.expire_timestamp_ms >= 0) return now_ms >= offset.expire_timestamp_ms;
    return now_ms - base_ms >= parts_.settings.retention_ms;
  };
  if (group.consumer) {
    return !group.consumer->is_subscribed_to(topic) && aged(offset.commit_timestamp_ms);
  }
  if (classic.protocol_type().empty()) return aged(offset.commit_timestamp_ms);
  if (classic.state() == ClassicState::empty) {
    const std::int64_t since_ms = classic.state_timestamp_ms();
    return aged(since_ms < 0 ? offset.commit_timestamp_ms : since_ms);
  }
  const bool subscriptions_known = classic.state() == ClassicState::stable &&
                                   classic.protocol_type() == kConsumerProtocolType &&
                                   classic.topics().has_value();
  return subscriptions_known && !classic.is_subscribed_to(topic) &&
         aged(offset.commit_timestamp_ms);
}

std::vector<GroupRecord> PartitionCoordinator::expired(const Group& group,
                                                       std::int64_t now_ms) const {
  const std::string& id = group.classic.group_id();
  std::vector<GroupRecord> records;
  for (const auto& [topic, partitions] : group.offsets.topics()) {
    for (const auto& [partition, entry] : partitions) {
      if (!entry.stored || entry.writes_under_way > 0) continue;  // a newer one is coming
      if (log_->replay().is_unstable(id, topic, partition)) continue;
      if (!is_expired(group, topic, *entry.stored, now_ms)) continue;
      records.push_back(OffsetRecord{id, topic, partition, std::nullopt});
    }
  }
  return records;
}

Task<void> PartitionCoordinator::expire_offsets() {
  if (!gate_.enter()) co_return;
  const Pass pass(gate_);
  const std::int64_t now_ms = parts_.shard.clock().wall_ms();
  std::vector<std::string> ids;
  for (const auto& [id, group] : groups_) ids.push_back(id);
  for (std::string& id : ids) {
    if (phase_ != Phase::active) co_return;
    Group* const group = find(id);
    if (group == nullptr || group->classic.state() == ClassicState::dead) continue;
    std::vector<GroupRecord> records = expired(*group, now_ms);
    const std::size_t count = records.size();
    std::size_t kept = 0;
    for (const auto& [topic, partitions] : group->offsets.topics()) kept += partitions.size();
    const bool last =
        kept == count && group->classic.state() == ClassicState::empty &&
        group->classic.pending_member_count() == 0 && group->writes_under_way == 0 &&
        group->visitors == 0 &&
        (!group->consumer || (group->consumer->members().empty() && !group->doubtful));
    if (count == 0 && !last) continue;
    ApiErrc outcome = ApiErrc::none;
    if (last) {
      records = tombstones(*group);
      Group::Visit visit(*group);
      const bool free = group->turn.try_take(1);
      assert(free);
      visit.begin();
      group->classic.mark_dead();
      outcome = co_await delete_dead(std::move(id), std::move(records));
      group->doubtful = false;
      if (outcome != ApiErrc::none && group->consumer) doubt(*group);
    } else {
      outcome = co_await write_in_pieces(std::move(records));
    }
    if (outcome == ApiErrc::none) offset_expirations_ += count;
  }
}

Task<void> PartitionCoordinator::expire_periodically() {
  const Pass pass(gate_);
  while (phase_ == Phase::loading || phase_ == Phase::active) {
    const std::int64_t wait_ns = parts_.settings.retention_check_interval_ms * 1'000'000;
    const std::int64_t now_ns = parts_.shard.clock().now_ns();
    const bool stopping = co_await stopping_.wait_until(now_ns + wait_ns);
    if (stopping) co_return;
    co_await expire_offsets();
  }
}

}  // namespace keelson::offsets
