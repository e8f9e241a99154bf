// Members of the classic protocol in a group of the consumer protocol, and the way from one kind of
// group to the other while its members go on (KIP-848, "online migration").
#include <algorithm>
#include <utility>

#include "plugins/offsets/classic_group.h"
#include "plugins/offsets/consumer_classic.h"
#include "plugins/offsets/consumer_group.h"

namespace keelson::offsets {

std::optional<std::vector<GroupRecord>> ConsumerGroup::upgraded(const ClassicGroup& classic,
                                                                const ClusterView& view) {
  if (classic.protocol_type() != kConsumerProtocolType) return std::nullopt;
  const ClassicGroupState state = classic.snapshot();
  const std::string& id = classic.group_id();
  const std::int32_t epoch = state.generation;
  std::vector<GroupRecord> records;
  std::set<PartitionKey> taken;
  records.push_back(ConsumerGroupRecord{id, ConsumerGroupEpoch{epoch, 0}});
  records.push_back(ConsumerTargetEpochRecord{id, ConsumerTargetEpoch{epoch, 0}});
  for (const ClassicGroupState::Member& member : state.members) {
    const std::vector<GroupProtocol>& protocols = classic.protocols_of(member.member_id);
    if (protocols.empty()) return std::nullopt;
    std::optional<ClassicSubscription> subscription =
        read_subscription(protocols.front().metadata, view);
    const std::optional<ClassicAssignment> has = read_assignment(member.assignment, view);
    // An assignor that talks to itself is more than the group could do in its place: Streams'.
    if (!subscription || !has || has->has_user_data) return std::nullopt;
    ConsumerMemberMetadata metadata;
    metadata.instance_id = member.group_instance_id;
    metadata.rack_id = std::move(subscription->rack_id);
    metadata.client_id = member.client_id;
    metadata.client_host = member.client_host;
    metadata.topics = {subscription->topics.begin(), subscription->topics.end()};
    metadata.rebalance_timeout_ms = member.rebalance_timeout_ms;
    metadata.classic = ClassicMemberData{member.session_timeout_ms, protocols};
    ConsumerMemberAssignment assignment{.epoch = epoch, .previous_epoch = epoch};
    PartitionSet target;
    for (const auto& [topic, partitions] : has->partitions) {
      for (const std::int32_t partition : partitions) {
        // A client's assignor may have given one to two.
        if (!taken.insert({topic, partition}).second) continue;
        assignment.assigned[topic][partition] = epoch;
        target[topic].insert(partition);
      }
    }
    records.push_back(ConsumerMemberRecord{id, member.member_id, std::move(metadata)});
    records.push_back(ConsumerTargetRecord{id, member.member_id, std::move(target)});
    records.push_back(ConsumerAssignmentRecord{id, member.member_id, std::move(assignment)});
  }
  return records;
}

std::optional<ClassicGroupState> ConsumerGroup::downgraded(const std::string& leaving,
                                                           const ConsumerScene& scene) const {
  ClassicGroupState state;
  const std::vector<GroupProtocol>* wanted = nullptr;
  std::map<std::string, std::size_t> support;
  std::size_t count = 0;
  for (const auto& [id, member] : members_) {
    if (id == leaving) continue;
    if (!member.metadata.classic) return std::nullopt;
    ++count;
    wanted = &member.metadata.classic->protocols;
    for (const GroupProtocol& protocol : *wanted) ++support[protocol.name];
  }
  if (wanted == nullptr) return std::nullopt;
  const auto common = std::find_if(wanted->begin(), wanted->end(), [&](const auto& protocol) {
    return support[protocol.name] == count;
  });
  if (common == wanted->end()) return std::nullopt;
  state.protocol_type = kConsumerProtocolType;
  state.protocol_name = common->name;
  state.generation = group_.epoch;
  state.state_timestamp_ms = scene.now_ms;
  for (const auto& [id, member] : members_) {
    if (id == leaving) continue;
    const ClassicMemberData& classic = *member.metadata.classic;
    const auto protocol = std::find_if(classic.protocols.begin(), classic.protocols.end(),
                                       [&](const auto& one) { return one.name == common->name; });
    const auto subscription = read_subscription(protocol->metadata, scene.view);
    state.members.push_back({id, member.metadata.instance_id, member.metadata.client_id,
                             member.metadata.client_host, member.metadata.rebalance_timeout_ms,
                             classic.session_timeout_ms, protocol->metadata,
                             write_assignment(member.assignment.assigned, scene.view,
                                              subscription ? subscription->version : 0)});
  }
  state.leader = state.members.front().member_id;
  return state;
}

std::optional<ClassicGroupState> ConsumerGroup::downgraded_by(const JoinGroupCall& call,
                                                              const ConsumerStep& step,
                                                              const ConsumerScene& scene) const {
  if (!call.group_instance_id) return std::nullopt;
  const std::string* const holder = find_instance(*call.group_instance_id);
  if (holder == nullptr || members_.at(*holder).metadata.classic) return std::nullopt;
  ConsumerGroup next(group_id_, settings_);
  for (const GroupRecord& record : records()) next.apply(record);
  for (const GroupRecord& record : step.records) next.apply(record);
  return next.downgraded({}, scene);
}

/// A classic member must speak for consumers, and share a protocol with the others of its kind: one
/// day they may be alone again.
bool ConsumerGroup::supports(const JoinGroupCall& call, const ClusterView& view) const {
  if (call.protocol_type != kConsumerProtocolType || call.protocols.empty()) return false;
  if (!read_subscription(call.protocols.front().metadata, view)) return false;
  return std::any_of(call.protocols.begin(), call.protocols.end(), [&](const auto& wanted) {
    return std::all_of(members_.begin(), members_.end(), [&](const auto& entry) {
      const auto& classic = entry.second.metadata.classic;
      return !classic || entry.first == call.member_id ||
             std::any_of(classic->protocols.begin(), classic->protocols.end(),
                         [&](const auto& known) { return known.name == wanted.name; });
    });
  });
}

ConsumerStep ConsumerGroup::join_classic(const JoinGroupCall& call, std::string member_id,
                                         const ConsumerScene& scene) const {
  ConsumerStep refused;
  if (call.group_instance_id && !call.member_id.empty()) {
    const std::string* const holder = find_instance(*call.group_instance_id);
    if (holder == nullptr || *holder != call.member_id) {
      refused.answer.error =
          holder == nullptr ? ApiErrc::unknown_member_id : ApiErrc::fenced_instance_id;
      return refused;
    }
  }
  std::optional<ClassicSubscription> subscription =
      read_subscription(call.protocols.front().metadata, scene.view);
  ConsumerHeartbeatCall joins;
  joins.group_id = group_id_;
  joins.member_id = std::move(member_id);
  joins.member_epoch = kJoinEpoch;
  joins.group_instance_id = call.group_instance_id;
  joins.rack_id = std::move(subscription->rack_id);
  joins.rebalance_timeout_ms = call.rebalance_timeout_ms;
  joins.topics = std::move(subscription->topics);
  joins.regex = "";
  joins.owned = std::move(subscription->owned);
  joins.client_id = call.client_id;
  joins.client_host = call.client_host;
  return join(joins, ClassicMemberData{call.session_timeout_ms, call.protocols}, scene);
}

ApiErrc ConsumerGroup::check_classic(const std::string& member_id,
                                     const std::optional<std::string>& instance_id,
                                     std::int32_t generation) const {
  if (instance_id) {
    const std::string* const holder = find_instance(*instance_id);
    if (holder == nullptr) return ApiErrc::unknown_member_id;
    if (*holder != member_id) return ApiErrc::fenced_instance_id;
  }
  const ConsumerMember* const member = find(member_id);
  if (member == nullptr || !member->metadata.classic) return ApiErrc::unknown_member_id;
  return generation == member->assignment.epoch ? ApiErrc::none : ApiErrc::illegal_generation;
}

std::string ConsumerGroup::leaving_id(const LeaveGroupCall::Member& member) const {
  if (!member.member_id.empty() || !member.group_instance_id) return member.member_id;
  const std::string* const holder = find_instance(*member.group_instance_id);
  return holder == nullptr ? std::string{} : *holder;
}

bool ConsumerGroup::must_rejoin(const std::string& member_id) const {
  const ConsumerMemberAssignment& has = members_.at(member_id).assignment;
  if (has.epoch < group_.epoch || has.state == MemberState::unrevoked_partitions) return true;
  if (has.state != MemberState::unreleased_partitions) return false;
  const auto target = targets_.find(member_id);
  if (target == targets_.end()) return true;
  for (const auto& [topic, partitions] : target->second) {
    for (const std::int32_t partition : partitions) {
      const auto owner = owners_.find({topic, partition});
      if (owner != owners_.end() && owner->second != member_id) return false;  // not free yet
    }
  }
  return true;
}

SyncGroupAnswer ConsumerGroup::sync_classic(const SyncGroupCall& call,
                                            const ClusterView& view) const {
  SyncGroupAnswer answer;
  answer.error = check_classic(call.member_id, call.group_instance_id, call.generation);
  if (answer.error != ApiErrc::none) return answer;
  const ConsumerMember& member = members_.at(call.member_id);
  const GroupProtocol& protocol = member.metadata.classic->protocols.front();
  if ((call.protocol_type && *call.protocol_type != kConsumerProtocolType) ||
      (call.protocol_name && *call.protocol_name != protocol.name)) {
    answer.error = ApiErrc::inconsistent_group_protocol;
    return answer;
  }
  const bool revokes = member.assignment.state == MemberState::unrevoked_partitions;
  if (group_.epoch > member.assignment.epoch && !revokes) {
    answer.error = ApiErrc::rebalance_in_progress;
    return answer;
  }
  const auto subscription = read_subscription(protocol.metadata, view);
  answer.protocol_type = kConsumerProtocolType;
  answer.protocol_name = protocol.name;
  answer.assignment =
      write_assignment(member.assignment.assigned, view, subscription ? subscription->version : 0);
  return answer;
}

}  // namespace keelson::offsets
