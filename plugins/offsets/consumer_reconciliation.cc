#include "plugins/offsets/consumer_reconciliation.h"

#include <utility>

namespace keelson::offsets {
namespace {

bool contains(const PartitionSet& set, const engine::Uuid& topic, std::int32_t partition) {
  const auto found = set.find(topic);
  return found != set.end() && found->second.contains(partition);
}

bool contains(const PartitionEpochs& set, const engine::Uuid& topic, std::int32_t partition) {
  const auto found = set.find(topic);
  return found != set.end() && found->second.contains(partition);
}

/// Whether the client still has some of `asked_back`, as far as is known.
bool still_owns(const std::vector<TopicPartitions>* owned, const PartitionEpochs& asked_back) {
  if (owned == nullptr) return true;
  for (const TopicPartitions& topic : *owned) {
    for (const std::int32_t partition : topic.partitions) {
      if (contains(asked_back, topic.topic_id, partition)) return true;
    }
  }
  return false;
}

}  // namespace

ConsumerMemberAssignment reconcile(const ReconciliationInput& input) {
  const ConsumerMemberAssignment& current = input.current;
  if (current.state == MemberState::unrevoked_partitions &&
      still_owns(input.owned, current.revoking)) {
    return current;
  }

  ConsumerMemberAssignment next;
  for (const auto& [topic, partitions] : current.assigned) {
    for (const auto& [partition, since] : partitions) {
      const bool kept = contains(input.target, topic, partition);
      (kept ? next.assigned : next.revoking)[topic][partition] = since;
    }
  }
  if (!next.revoking.empty() && still_owns(input.owned, next.revoking)) {
    next.state = MemberState::unrevoked_partitions;
    next.epoch = current.epoch;
  } else {
    next.revoking.clear();
    next.epoch = input.target_epoch;
    for (const auto& [topic, partitions] : input.target) {
      for (const std::int32_t partition : partitions) {
        if (contains(next.assigned, topic, partition)) continue;
        // What it has itself just given up is as good as free.
        const bool own = contains(current.revoking, topic, partition);
        if (own || input.is_free(topic, partition)) {
          next.assigned[topic][partition] = input.target_epoch;
        } else {
          next.state = MemberState::unreleased_partitions;
        }
      }
    }
  }
  next.previous_epoch = next.epoch == current.epoch ? current.previous_epoch : current.epoch;
  return next;
}

}  // namespace keelson::offsets
