// plugins/offsets/consumer_reconciliation.h: one step of a member towards its target.
//
// The rule that all of it serves: a partition has at most one owner. A member owns what it is
// assigned and what it was asked back and has not given up. So a member first gives up, in its old
// epoch; then it takes the target's epoch and of the target what is free.
#pragma once

#include <functional>

#include "plugins/offsets/consumer_member.h"

namespace keelson::offsets {

struct ReconciliationInput {
  const ConsumerMemberAssignment& current;
  std::int32_t target_epoch = 0;
  const PartitionSet& target;
  /// Partitions that the client says it owns; null: it did not say.
  const std::vector<TopicPartitions>* owned = nullptr;
  /// Whether a partition, which is not this member's, has no owner.
  const std::function<bool(const engine::Uuid& topic, std::int32_t partition)>& is_free;
};

/// What the member has next; the same as before where it cannot move.
/// Source of behaviour: Kafka 4.3.1, CurrentAssignmentBuilder.
ConsumerMemberAssignment reconcile(const ReconciliationInput& input);

}  // namespace keelson::offsets
