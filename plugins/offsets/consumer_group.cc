#include "plugins/offsets/consumer_group.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace keelson::offsets {

std::string_view to_string(ConsumerState state) {
  switch (state) {
    case ConsumerState::empty: return "Empty";
    case ConsumerState::assigning: return "Assigning";
    case ConsumerState::reconciling: return "Reconciling";
    case ConsumerState::stable: return "Stable";
  }
  std::unreachable();
}

ConsumerGroup::ConsumerGroup(std::string group_id, const ConsumerGroupSettings& settings)
    : group_id_(std::move(group_id)), settings_(settings) {}

const ConsumerMember* ConsumerGroup::find(const std::string& member_id) const {
  const auto found = members_.find(member_id);
  return found == members_.end() ? nullptr : &found->second;
}

const std::string* ConsumerGroup::find_instance(const std::string& instance_id) const {
  const auto found = static_members_.find(instance_id);
  return found == static_members_.end() ? nullptr : &found->second;
}

// Records -----------------------------------------------------------------------------------------

namespace {

template <class F>
void for_each_owned(const ConsumerMemberAssignment& assignment, F work) {
  for (const PartitionEpochs* set : {&assignment.assigned, &assignment.revoking}) {
    for (const auto& [topic, partitions] : *set) {
      for (const auto& [partition, epoch] : partitions) work(PartitionKey{topic, partition});
    }
  }
}

}  // namespace

// A log that compaction has been through may show for a moment an owner that gave up long ago: the
// later record wins, and nobody takes away what another has by then.

void ConsumerGroup::own(const std::string& member_id, const ConsumerMemberAssignment& assignment) {
  for_each_owned(assignment, [&](const PartitionKey& key) { owners_[key] = member_id; });
}

void ConsumerGroup::disown(const std::string& member_id,
                           const ConsumerMemberAssignment& assignment) {
  for_each_owned(assignment, [&](const PartitionKey& key) {
    const auto owner = owners_.find(key);
    if (owner != owners_.end() && owner->second == member_id) owners_.erase(owner);
  });
}

void ConsumerGroup::set_member(const std::string& member_id, const ConsumerMemberRecord& record) {
  const auto known = members_.find(member_id);
  if (known != members_.end() && known->second.metadata.instance_id) {
    const auto instance = static_members_.find(*known->second.metadata.instance_id);
    if (instance != static_members_.end() && instance->second == member_id) {
      static_members_.erase(instance);
    }
  }
  if (!record.value) {
    if (known == members_.end()) return;
    disown(member_id, known->second.assignment);
    confirmed_.erase(member_id);
    members_.erase(known);
    return;
  }
  if (record.value->instance_id) static_members_[*record.value->instance_id] = member_id;
  members_[member_id].metadata = *record.value;
}

void ConsumerGroup::set_assignment(const std::string& member_id,
                                   const ConsumerAssignmentRecord& record) {
  confirmed_.erase(member_id);
  if (!record.value) {
    const auto known = members_.find(member_id);
    if (known == members_.end()) return;
    disown(member_id, known->second.assignment);
    known->second.assignment = {};
    return;
  }
  ConsumerMember& member = members_[member_id];
  disown(member_id, member.assignment);
  member.assignment = *record.value;
  own(member_id, member.assignment);
}

void ConsumerGroup::apply(const GroupRecord& record) {
  if (const auto* epoch = std::get_if<ConsumerGroupRecord>(&record)) {
    const ConsumerGroupEpoch value = epoch->value.value_or(ConsumerGroupEpoch{});
    if (value.epoch > group_.epoch) ++rebalances_;
    group_ = value;
    has_epoch_ = epoch->value.has_value();
  } else if (const auto* made = std::get_if<ConsumerTargetEpochRecord>(&record)) {
    target_ = made->value.value_or(ConsumerTargetEpoch{});
  } else if (const auto* member = std::get_if<ConsumerMemberRecord>(&record)) {
    set_member(member->member_id, *member);
  } else if (const auto* assignment = std::get_if<ConsumerAssignmentRecord>(&record)) {
    set_assignment(assignment->member_id, *assignment);
  } else if (const auto* target = std::get_if<ConsumerTargetRecord>(&record)) {
    if (target->value) {
      targets_[target->member_id] = *target->value;
    } else {
      targets_.erase(target->member_id);
    }
  } else if (const auto* regex = std::get_if<ConsumerRegexRecord>(&record)) {
    if (regex->value) {
      regexes_[regex->regex] = *regex->value;
    } else {
      regexes_.erase(regex->regex);
    }
  }
}

void ConsumerGroup::settle(const ConsumerStep& step) {
  if (step.view_version) view_version_ = step.view_version;
  if (step.regexes_resolved_ms) regexes_resolved_ms_ = *step.regexes_resolved_ms;
  if (step.confirmed) confirmed_.insert(*step.confirmed);
}

std::vector<GroupRecord> ConsumerGroup::records() const {
  std::vector<GroupRecord> records;
  records.reserve(2 * members_.size() + targets_.size() + regexes_.size() + 2);
  if (has_epoch_) records.push_back(ConsumerGroupRecord{group_id_, group_});
  for (const auto& [regex, resolved] : regexes_) {
    records.push_back(ConsumerRegexRecord{group_id_, regex, resolved});
  }
  for (const auto& [id, member] : members_) {
    records.push_back(ConsumerMemberRecord{group_id_, id, member.metadata});
  }
  for (const auto& [id, target] : targets_) {
    records.push_back(ConsumerTargetRecord{group_id_, id, target});
  }
  if (target_.epoch > 0) records.push_back(ConsumerTargetEpochRecord{group_id_, target_});
  for (const auto& [id, member] : members_) {
    records.push_back(ConsumerAssignmentRecord{group_id_, id, member.assignment});
  }
  return records;
}

std::vector<GroupRecord> ConsumerGroup::tombstones() const {
  std::vector<GroupRecord> records;
  records.reserve(2 * members_.size() + targets_.size() + regexes_.size() + 3);
  for (const auto& [id, member] : members_) {
    records.push_back(ConsumerAssignmentRecord{group_id_, id, std::nullopt});
  }
  for (const auto& [id, target] : targets_) {
    records.push_back(ConsumerTargetRecord{group_id_, id, std::nullopt});
  }
  records.push_back(ConsumerTargetEpochRecord{group_id_, std::nullopt});
  for (const auto& [id, member] : members_) {
    records.push_back(ConsumerMemberRecord{group_id_, id, std::nullopt});
  }
  records.push_back(ConsumerTopicsRecord{group_id_, std::nullopt});
  for (const auto& [regex, resolved] : regexes_) {
    records.push_back(ConsumerRegexRecord{group_id_, regex, std::nullopt});
  }
  records.push_back(ConsumerGroupRecord{group_id_, std::nullopt});
  return records;
}

// Offsets -----------------------------------------------------------------------------------------

ApiErrc ConsumerGroup::check_commit(std::int32_t member_epoch, const std::string& member_id,
                                    bool member_epochs_known) const {
  if (member_epoch < 0 && members_.empty()) return ApiErrc::none;
  const ConsumerMember* const member = find(member_id);
  if (member == nullptr) return ApiErrc::unknown_member_id;
  if (member->metadata.classic) {
    return member_epoch == member->assignment.epoch ? ApiErrc::none : ApiErrc::illegal_generation;
  }
  if (!member_epochs_known) return ApiErrc::unsupported_version;
  return member_epoch > member->assignment.epoch ? ApiErrc::stale_member_epoch : ApiErrc::none;
}

ApiErrc ConsumerGroup::check_commit_of(const std::string& member_id, std::int32_t member_epoch,
                                       const engine::Uuid& topic, std::int32_t partition) const {
  const ConsumerMember* const member = find(member_id);
  if (member == nullptr || member_epoch == member->assignment.epoch) return ApiErrc::none;
  for (const PartitionEpochs* set : {&member->assignment.assigned, &member->assignment.revoking}) {
    const auto partitions = set->find(topic);
    if (partitions == set->end()) continue;
    const auto since = partitions->second.find(partition);
    if (since != partitions->second.end() && member_epoch >= since->second) return ApiErrc::none;
  }
  return ApiErrc::stale_member_epoch;
}

ApiErrc ConsumerGroup::check_fetch(const std::optional<std::string>& member_id,
                                   std::int32_t member_epoch) const {
  if (!member_id && member_epoch < 0) return ApiErrc::none;
  const ConsumerMember* const member = find(member_id.value_or(""));
  if (member == nullptr) return ApiErrc::unknown_member_id;
  if (member_epoch == member->assignment.epoch) return ApiErrc::none;
  return member->metadata.classic ? ApiErrc::illegal_generation : ApiErrc::stale_member_epoch;
}

bool ConsumerGroup::is_subscribed_to(const std::string& topic) const {
  return std::any_of(members_.begin(), members_.end(), [&](const auto& entry) {
    const ConsumerMemberMetadata& member = entry.second.metadata;
    if (member.topics.contains(topic)) return true;
    const auto resolved = regexes_.find(member.regex);
    return resolved != regexes_.end() && resolved->second.topics.contains(topic);
  });
}

// Description -------------------------------------------------------------------------------------

ConsumerState ConsumerGroup::state() const {
  if (members_.empty()) return ConsumerState::empty;
  if (group_.epoch > target_.epoch) return ConsumerState::assigning;
  const bool settled = std::all_of(members_.begin(), members_.end(), [&](const auto& entry) {
    const ConsumerMemberAssignment& has = entry.second.assignment;
    return has.state == MemberState::stable && has.epoch == target_.epoch;
  });
  return settled ? ConsumerState::stable : ConsumerState::reconciling;
}

const std::string& ConsumerGroup::pick_assignor(
    const std::map<std::string, std::size_t>& votes) const {
  const auto count = [&](const std::string& name) {
    const auto found = votes.find(name);
    return found == votes.end() ? 0 : found->second;
  };
  const std::string* best = &settings_.assignors.front();
  for (const std::string& name : settings_.assignors) {
    if (count(name) > count(*best)) best = &name;
  }
  return *best;
}

namespace {

std::vector<TopicPartitions> listed(const PartitionSet& set) {
  std::vector<TopicPartitions> list;
  for (const auto& [topic, partitions] : set) {
    list.push_back({topic, {partitions.begin(), partitions.end()}});
  }
  return list;
}

std::vector<TopicPartitions> listed(const PartitionEpochs& set) {
  std::vector<TopicPartitions> list;
  for (const auto& [topic, partitions] : set) {
    TopicPartitions& added = list.emplace_back(TopicPartitions{topic, {}});
    for (const auto& [partition, epoch] : partitions) added.partitions.push_back(partition);
  }
  return list;
}

}  // namespace

DescribedConsumerGroup ConsumerGroup::describe() const {
  DescribedConsumerGroup group;
  group.group_id = group_id_;
  group.state = to_string(state());
  group.epoch = group_.epoch;
  group.assignment_epoch = target_.epoch;
  std::map<std::string, std::size_t> votes;
  for (const auto& [id, member] : members_) {
    DescribedConsumerGroup::Member& shown = group.members.emplace_back();
    shown.member_id = id;
    shown.group_instance_id = member.metadata.instance_id;
    shown.rack_id = member.metadata.rack_id;
    shown.member_epoch = member.assignment.epoch;
    shown.client_id = member.metadata.client_id;
    shown.client_host = member.metadata.client_host;
    shown.topics.assign(member.metadata.topics.begin(), member.metadata.topics.end());
    shown.regex = member.metadata.regex;
    shown.assignment = listed(member.assignment.assigned);
    const auto target = targets_.find(id);
    if (target != targets_.end()) shown.target = listed(target->second);
    shown.is_classic = member.metadata.classic.has_value();
    if (member.metadata.assignor) ++votes[*member.metadata.assignor];
  }
  group.assignor = pick_assignor(votes);
  return group;
}

std::size_t ConsumerGroup::memory_bytes() const {
  constexpr std::size_t kNodeBytes = 64;       // of a tree, with its share of the allocator
  constexpr std::size_t kPartitionBytes = 48;  // of a set's node
  std::size_t bytes = sizeof(*this) + group_id_.size() + owners_.size() * 2 * kNodeBytes;
  for (const auto& [id, member] : members_) {
    const ConsumerMemberMetadata& metadata = member.metadata;
    bytes += kNodeBytes + sizeof member + 2 * id.size() + metadata.client_id.size() +
             metadata.client_host.size() + metadata.regex.size();
    for (const std::string& topic : metadata.topics) {
      bytes += kNodeBytes + sizeof(std::string) + topic.size();
    }
    for_each_owned(member.assignment, [&](const PartitionKey&) { bytes += kPartitionBytes; });
  }
  for (const auto& [id, target] : targets_) {
    bytes += kNodeBytes + sizeof(PartitionSet) + id.size();
    for (const auto& [topic, partitions] : target) {
      bytes += kNodeBytes + sizeof(PartitionSet::mapped_type) + partitions.size() * kPartitionBytes;
    }
  }
  for (const auto& [regex, resolved] : regexes_) {
    bytes += kNodeBytes + sizeof resolved + regex.size();
    for (const std::string& topic : resolved.topics) {
      bytes += kNodeBytes + sizeof(std::string) + topic.size();
    }
  }
  return bytes;
}

void ConsumerGroup::check_invariants() const {
  assert(target_.epoch <= group_.epoch);
  std::size_t owned = 0;
  std::size_t instances = 0;
  for (const auto& [id, member] : members_) {
    assert(member.assignment.epoch <= target_.epoch);
    for_each_owned(member.assignment, [&](const PartitionKey& key) {
      ++owned;
      const auto owner = owners_.find(key);
      assert(owner != owners_.end() && owner->second == id);  // else two members have it
    });
    if (!member.metadata.instance_id) continue;
    ++instances;
    assert(static_members_.at(*member.metadata.instance_id) == id);
  }
  assert(owned == owners_.size() && instances == static_members_.size());
  for (const auto& [id, target] : targets_) assert(members_.contains(id));
  std::set<PartitionKey> given;
  for (const auto& [id, target] : targets_) {
    for (const auto& [topic, partitions] : target) {
      for (const std::int32_t partition : partitions) {
        const bool first = given.insert({topic, partition}).second;
        assert(first);
      }
    }
  }
}

bool operator==(const ConsumerGroup& a, const ConsumerGroup& b) {
  return a.group_id_ == b.group_id_ && a.has_epoch_ == b.has_epoch_ && a.group_ == b.group_ &&
         a.target_ == b.target_ && a.members_ == b.members_ && a.targets_ == b.targets_ &&
         a.regexes_ == b.regexes_ && a.owners_ == b.owners_ &&
         a.static_members_ == b.static_members_;
}

}  // namespace keelson::offsets
