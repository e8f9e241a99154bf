// What a heartbeat, a leave and the end of a session come to.
#include <algorithm>
#include <utility>

#include "engine/logger.h"
#include "plugins/offsets/consumer_group_draft.h"
#include "plugins/offsets/consumer_reconciliation.h"

namespace keelson::offsets {

using engine::concat;

std::optional<ApiError> ConsumerGroup::check(const ConsumerHeartbeatCall& call,
                                             const ConsumerGroupSettings& settings) {
  const auto invalid = [](std::string message) {
    return ApiError{ApiErrc::invalid_request, std::move(message)};
  };
  if (call.group_id.empty()) return invalid("GroupId can't be empty.");
  if (call.group_instance_id == "") return invalid("InstanceId can't be empty.");
  if (call.rack_id == "") return invalid("RackId can't be empty.");
  const bool joins = call.member_epoch == kJoinEpoch;
  if (call.member_id.empty() && (call.member_id_required || !joins)) {
    return invalid("MemberId can't be empty.");
  }
  if (call.member_epoch < kLeaveStaticEpoch) return invalid("MemberEpoch is invalid.");
  if (call.member_epoch == kLeaveStaticEpoch && !call.group_instance_id) {
    return invalid("InstanceId can't be null.");
  }
  if (joins) {
    if (call.rebalance_timeout_ms == -1) {
      return invalid("RebalanceTimeoutMs must be provided in first request.");
    }
    if (!call.owned || !call.owned->empty()) {
      return invalid("TopicPartitions must be empty when (re-)joining.");
    }
    if (!call.topics && !call.regex) {
      return invalid(
          "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when "
          "(re-)joining.");
    }
  }
  if (call.assignor && std::find(settings.assignors.begin(), settings.assignors.end(),
                                 *call.assignor) == settings.assignors.end()) {
    std::string supported;
    for (const std::string& name : settings.assignors) {
      supported += (supported.empty() ? "" : ", ") + name;
    }
    return ApiError{ApiErrc::unsupported_assignor,
                    concat("ServerAssignor ", *call.assignor,
                           " is not supported. Supported assignors: ", supported, ".")};
  }
  return std::nullopt;
}

namespace {

bool is_subset(const std::optional<std::vector<TopicPartitions>>& owned,
               const PartitionEpochs& assigned) {
  if (!owned) return false;
  for (const TopicPartitions& topic : *owned) {
    const auto found = assigned.find(topic.topic_id);
    if (found == assigned.end()) return false;
    for (const std::int32_t partition : topic.partitions) {
      if (!found->second.contains(partition)) return false;
    }
  }
  return true;
}

/// A member that comes with its previous epoch, and has nothing that it should not, has lost the
/// answer with the new one.
bool is_fenced(const ConsumerHeartbeatCall& call, const ConsumerMemberAssignment& known) {
  if (call.member_epoch == known.epoch) return false;
  if (call.member_epoch > known.epoch) return true;
  return call.member_epoch != known.previous_epoch || !is_subset(call.owned, known.assigned);
}

ConsumerMemberMetadata updated(ConsumerMemberMetadata member, const ConsumerHeartbeatCall& call,
                               std::optional<ClassicMemberData> classic) {
  if (call.group_instance_id) member.instance_id = call.group_instance_id;
  if (call.rack_id) member.rack_id = call.rack_id;
  if (call.rebalance_timeout_ms != -1) member.rebalance_timeout_ms = call.rebalance_timeout_ms;
  if (call.assignor) member.assignor = call.assignor;
  if (call.topics) member.topics = {call.topics->begin(), call.topics->end()};
  if (call.regex) member.regex = *call.regex;
  member.client_id = call.client_id;
  member.client_host = call.client_host;
  member.classic = std::move(classic);
  return member;
}

std::vector<TopicPartitions> assignment_of(const ConsumerMemberAssignment& member) {
  std::vector<TopicPartitions> list;
  for (const auto& [topic, partitions] : member.assigned) {
    TopicPartitions& added = list.emplace_back(TopicPartitions{topic, {}});
    for (const auto& [partition, epoch] : partitions) added.partitions.push_back(partition);
  }
  return list;
}

/// Whether a client names what it is assigned, all of it and nothing else.
bool names_all(const std::vector<TopicPartitions>& owned, const PartitionEpochs& assigned) {
  PartitionSet named;
  for (const TopicPartitions& topic : owned) {
    if (topic.partitions.empty()) continue;
    named[topic.topic_id].insert(topic.partitions.begin(), topic.partitions.end());
  }
  if (named.size() != assigned.size()) return false;
  return std::all_of(assigned.begin(), assigned.end(), [&](const auto& entry) {
    const auto found = named.find(entry.first);
    return found != named.end() && found->second.size() == entry.second.size() &&
           std::all_of(entry.second.begin(), entry.second.end(), [&](const auto& partition) {
             return found->second.contains(partition.first);
           });
  });
}

bool same_partitions(const PartitionEpochs& a, const PartitionEpochs& b) {
  const auto same_keys = [](const auto& x, const auto& y) { return x.first == y.first; };
  if (a.size() != b.size()) return false;
  for (auto left = a.begin(), right = b.begin(); left != a.end(); ++left, ++right) {
    if (left->first != right->first) return false;
    if (!std::equal(left->second.begin(), left->second.end(), right->second.begin(),
                    right->second.end(), same_keys)) {
      return false;
    }
  }
  return true;
}

}  // namespace

/// Whoever is not, or no longer, the static member of that name.
void ConsumerGroup::refuse_stranger(const ConsumerHeartbeatCall& call,
                                    ConsumerHeartbeatAnswer& answer) const {
  const std::string* const holder = find_instance(*call.group_instance_id);
  if (holder == nullptr) {
    answer.error = ApiErrc::unknown_member_id;
    answer.message = concat("Instance id ", *call.group_instance_id, " is unknown.");
  } else if (*holder != call.member_id) {
    answer.error = ApiErrc::fenced_instance_id;
    answer.message = concat("Static member ", call.member_id, " with instance id ",
                            *call.group_instance_id, " was fenced by member ", *holder, ".");
  }
}

void ConsumerGroup::refuse_unknown(const ConsumerHeartbeatCall& call,
                                   ConsumerHeartbeatAnswer& answer) const {
  answer.error = ApiErrc::unknown_member_id;
  answer.message = concat("Member ", call.member_id, " is not a member of group ", group_id_, ".");
}

/// The member that a heartbeat speaks for, as it was; nothing: refused. Where a static member comes
/// back under another id, `replaced` is the id it had.
std::optional<ConsumerMember> ConsumerGroup::speaker(const ConsumerHeartbeatCall& call,
                                                     bool is_classic,
                                                     std::optional<std::string>& replaced,
                                                     Draft& draft) const {
  const bool joins = call.member_epoch == kJoinEpoch;
  const ConsumerMember* known = find(call.member_id);
  if (call.group_instance_id) {
    const std::string* const holder = find_instance(*call.group_instance_id);
    if (!joins) {
      refuse_stranger(call, draft.step().answer);
      if (draft.step().answer.error != ApiErrc::none) return std::nullopt;
    }
    if (holder != nullptr && joins && *holder != call.member_id) {
      const ConsumerMember& old = members_.at(*holder);
      const bool both_new = !is_classic && !old.metadata.classic;
      if (both_new && old.assignment.epoch != kLeaveStaticEpoch) {
        draft.refuse(
            ApiErrc::unreleased_instance_id,
            concat("Static member ", call.member_id, " with instance id ", *call.group_instance_id,
                   " cannot join the group because the instance id is owned by ", *holder,
                   " member."));
        return std::nullopt;
      }
      replaced = *holder;
      known = &old;
    }
  }
  if (known == nullptr) {
    if (joins) return ConsumerMember{};
    refuse_unknown(call, draft.step().answer);
    return std::nullopt;
  }
  ConsumerMember member = *known;
  const bool returns = member.assignment.epoch == kLeaveStaticEpoch;
  if (joins && (replaced || returns)) {
    member.assignment.epoch = 0;
    member.assignment.previous_epoch = 0;
  } else if (!joins && is_fenced(call, member.assignment)) {
    draft.refuse(ApiErrc::fenced_member_epoch,
                 concat("The consumer group member has epoch ", call.member_epoch,
                        " and the group coordinator knows epoch ", member.assignment.epoch,
                        ". The member must abandon all its partitions and rejoin."));
    return std::nullopt;
  }
  return member;
}

ConsumerStep ConsumerGroup::heartbeat(const ConsumerHeartbeatCall& call,
                                      const ConsumerScene& scene) const {
  return call.member_epoch < 0 ? leave(call, scene) : join(call, std::nullopt, scene);
}

ConsumerStep ConsumerGroup::join(const ConsumerHeartbeatCall& call,
                                 std::optional<ClassicMemberData> classic,
                                 const ConsumerScene& scene) const {
  Draft draft(*this, scene);
  std::optional<std::string> replaced;
  const std::optional<ConsumerMember> before = speaker(call, classic.has_value(), replaced, draft);
  if (!before) return std::move(draft.step());
  const bool is_new = !replaced && find(call.member_id) == nullptr;
  if (is_new && members_.size() >= static_cast<std::size_t>(settings_.members_max)) {
    draft.refuse(ApiErrc::group_max_size_reached,
                 concat("The consumer group has reached its maximum capacity of ",
                        settings_.members_max, " members."));
    return std::move(draft.step());
  }
  ConsumerMember member{updated(before->metadata, call, std::move(classic)), before->assignment};
  if (!member.metadata.regex.empty() && member.metadata.regex != before->metadata.regex) {
    if (!draft.resolve(member.metadata.regex)) return std::move(draft.step());
  }
  const bool forgotten = member.assignment.state == MemberState::unknown;
  if (forgotten && (!call.owned || !call.owned->empty())) {
    draft.refuse(ApiErrc::fenced_member_epoch,
                 "The consumer group member is in an unknown state. The member must abandon all "
                 "its partitions and rejoin.");
    return std::move(draft.step());
  }

  if (replaced) draft.take_off(*replaced);
  draft.put(call.member_id, member.metadata);
  if (is_new || replaced || member.metadata != before->metadata) {
    draft.add(ConsumerMemberRecord{group_id_, call.member_id, member.metadata});
  }
  if (is_new || member.metadata.topics != before->metadata.topics ||
      member.metadata.regex != before->metadata.regex) {
    draft.rebalance();
  }
  draft.refresh();
  draft.assign();

  const PartitionSet target = draft.target();
  const std::function<bool(const engine::Uuid&, std::int32_t)> is_free =
      [&](const engine::Uuid& topic, std::int32_t partition) {
        return draft.is_free(topic, partition);
      };
  member.assignment = reconcile({.current = before->assignment,
                                 .target_epoch = draft.target_epoch(),
                                 .target = target,
                                 .owned = call.owned ? &*call.owned : nullptr,
                                 .is_free = is_free});
  ConsumerStep& step = draft.step();
  if (is_new || replaced || member.assignment != before->assignment) {
    draft.add(ConsumerAssignmentRecord{group_id_, call.member_id, member.assignment});
    step.revocation_begins = member.assignment.state == MemberState::unrevoked_partitions;
  }
  const bool full = call.member_epoch == kJoinEpoch ||
                    (call.rebalance_timeout_ms != -1 && (call.topics || call.regex) && call.owned);
  step.answer.member_id = call.member_id;
  step.answer.member_epoch = member.assignment.epoch;
  step.answer.heartbeat_interval_ms = scene.times.heartbeat_interval_ms;
  if (call.owned && names_all(*call.owned, member.assignment.assigned)) {
    step.confirmed = call.member_id;
  }
  // Kafka tells it once. Where that answer is lost and the client does not ask in full, as
  // librdkafka after a time-out, the member would not learn of it before the next change: what it
  // shall give up is waited for, what it got nobody reads. So it is told until it names it.
  const bool in_doubt = !call.owned && !confirmed_.contains(call.member_id);
  if (full || in_doubt ||
      !same_partitions(before->assignment.assigned, member.assignment.assigned)) {
    step.answer.assignment = assignment_of(member.assignment);
  }
  return std::move(step);
}

/// A member goes, and the others shall have what it had.
ConsumerStep ConsumerGroup::without(const std::string& member_id,
                                    const ConsumerScene& scene) const {
  Draft draft(*this, scene);
  draft.take_off(member_id);
  draft.rebalance();
  draft.refresh();
  return std::move(draft.step());
}

ConsumerStep ConsumerGroup::remove(const std::string& member_id, const ConsumerScene& scene) const {
  return find(member_id) == nullptr ? ConsumerStep{} : without(member_id, scene);
}

ConsumerStep ConsumerGroup::leave(const ConsumerHeartbeatCall& call,
                                  const ConsumerScene& scene) const {
  ConsumerStep step;
  const ConsumerMember* const known = find(call.member_id);
  if (call.group_instance_id) refuse_stranger(call, step.answer);
  if (step.answer.error != ApiErrc::none) return step;
  if (known == nullptr) {
    refuse_unknown(call, step.answer);
    return step;
  }
  if (call.member_epoch == kLeaveStaticEpoch) {
    ConsumerMemberAssignment away = known->assignment;
    away.epoch = kLeaveStaticEpoch;
    away.revoking.clear();  // it has stopped reading
    step.records.push_back(ConsumerAssignmentRecord{group_id_, call.member_id, std::move(away)});
  } else {
    step = without(call.member_id, scene);
  }
  step.answer.member_id = call.member_id;
  step.answer.member_epoch = call.member_epoch;
  return step;
}

}  // namespace keelson::offsets
