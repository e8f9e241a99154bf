#include "plugins/offsets/classic_group.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace keelson::offsets {

std::string_view to_string(ClassicState state) {
  switch (state) {
    case ClassicState::empty: return "Empty";
    case ClassicState::preparing_rebalance: return "PreparingRebalance";
    case ClassicState::completing_rebalance: return "CompletingRebalance";
    case ClassicState::stable: return "Stable";
    case ClassicState::dead: return "Dead";
  }
  std::unreachable();
}

ClassicGroup::ClassicGroup(std::string group_id, GroupHost& host, const ClassicGroupLimits& limits)
    : group_id_(std::move(group_id)), host_(host), limits_(limits) {}

void ClassicGroup::restore(const ClassicGroupState& state) {
  members_.clear();
  static_members_.clear();
  protocol_support_.clear();
  pending_members_.clear();
  pending_syncs_.clear();
  awaiting_join_ = 0;
  state_ = state.members.empty() ? ClassicState::empty : ClassicState::stable;
  previous_ = state_;
  protocol_type_ = state.protocol_type;
  generation_ = state.generation;
  protocol_name_ = state.protocol_name;
  state_timestamp_ms_ = state.state_timestamp_ms;
  for (const ClassicGroupState::Member& stored : state.members) {
    if (members_.contains(stored.member_id)) continue;
    Member member{.id = stored.member_id,
                  .instance_id = stored.group_instance_id,
                  .client_id = stored.client_id,
                  .client_host = stored.client_host,
                  .rebalance_timeout_ms = stored.rebalance_timeout_ms < 0
                                              ? stored.session_timeout_ms
                                              : stored.rebalance_timeout_ms,
                  .session_timeout_ms = stored.session_timeout_ms,
                  .assignment = stored.assignment};
    member.protocols.push_back({state.protocol_name.value_or(""), stored.subscription});
    add(std::move(member));
  }
  leader_.reset();
  if (state.leader && members_.contains(*state.leader)) leader_ = state.leader;
  if (!leader_ && !members_.empty()) leader_ = members_.begin()->first;
  topics_ = subscriptions();
}

void ClassicGroup::begin() {
  for (const auto& [id, member] : members_) restart_session(member);
  if (members_.size() > static_cast<std::size_t>(limits_.members_max)) prepare_rebalance();
}

// Members -----------------------------------------------------------------------------------------

ClassicGroup::Member* ClassicGroup::find(const std::string& member_id) {
  const auto found = members_.find(member_id);
  return found == members_.end() ? nullptr : &found->second;
}

ApiErrc ClassicGroup::check_member(const std::string& member_id,
                                   const std::optional<std::string>& instance_id) const {
  if (instance_id) {
    const auto known = static_members_.find(*instance_id);
    if (known == static_members_.end()) return ApiErrc::unknown_member_id;
    if (known->second != member_id) return ApiErrc::fenced_instance_id;
  }
  return members_.contains(member_id) ? ApiErrc::none : ApiErrc::unknown_member_id;
}

ClassicGroup::Member& ClassicGroup::add(Member member) {
  if (!leader_) leader_ = member.id;
  if (member.instance_id) static_members_[*member.instance_id] = member.id;
  pending_members_.erase(member.id);
  count_protocols(member, +1);
  const std::string id = member.id;
  return members_.emplace(id, std::move(member)).first->second;
}

/// Puts `replacement` in the place of the static member `old_id`, whose waiting requests are
/// fenced; returns what was there.
ClassicGroup::Member ClassicGroup::replace_static(const std::string& old_id, Member replacement) {
  const auto found = members_.find(old_id);
  assert(found != members_.end());
  Member& old = found->second;
  JoinGroupAnswer fenced{.error = ApiErrc::fenced_instance_id};
  fenced.member_id = old_id;
  answer_join(old, std::move(fenced));
  answer_sync(old, ApiErrc::fenced_instance_id);
  count_protocols(old, -1);
  Member before = std::move(old);
  members_.erase(found);
  host_.disarm(GroupTimer::session, old_id);

  const std::string new_id = replacement.id;
  if (is_leader(before.id)) leader_ = new_id;
  if (pending_syncs_.erase(before.id) > 0) pending_syncs_.insert(new_id);
  add(std::move(replacement));
  return before;
}

/// Takes a member or a pending id off; requests of it that wait get `answer_waiting`.
void ClassicGroup::remove(const std::string& member_id, ApiErrc answer_waiting) {
  host_.disarm(GroupTimer::session, member_id);
  pending_members_.erase(member_id);
  const auto found = members_.find(member_id);
  if (found == members_.end()) return;
  const std::string id = member_id;  // `member_id` may point into what goes away
  Member& member = found->second;
  JoinGroupAnswer refusal{.error = answer_waiting};
  answer_join(member, std::move(refusal));
  answer_sync(member, answer_waiting);
  count_protocols(member, -1);
  if (member.instance_id) {
    const auto known = static_members_.find(*member.instance_id);
    if (known != static_members_.end() && known->second == id) static_members_.erase(known);
  }
  members_.erase(found);
  if (leader_ == id) {
    leader_.reset();
    if (!members_.empty()) leader_ = members_.begin()->first;
  }
  note_sync(id);
}

void ClassicGroup::set_protocols(Member& member, std::vector<GroupProtocol> protocols) {
  count_protocols(member, -1);
  member.protocols = std::move(protocols);
  count_protocols(member, +1);
}

void ClassicGroup::count_protocols(const Member& member, int change) {
  for (const GroupProtocol& protocol : member.protocols) {
    const auto counted = protocol_support_.try_emplace(protocol.name, 0).first;
    counted->second += static_cast<std::size_t>(change);
    if (counted->second == 0) protocol_support_.erase(counted);
  }
}

void ClassicGroup::set_join(Member& member, RequestId request) {
  // A client that asks twice has given up on the first.
  JoinGroupAnswer superseded{.error = ApiErrc::rebalance_in_progress};
  superseded.member_id = member.id;
  answer_join(member, std::move(superseded));
  member.join_request = request;
  ++awaiting_join_;
}

bool ClassicGroup::answer_join(Member& member, JoinGroupAnswer answer) {
  if (!member.join_request) return false;
  const RequestId request = *std::exchange(member.join_request, std::nullopt);
  --awaiting_join_;
  host_.answer(request, std::move(answer));
  return true;
}

bool ClassicGroup::answer_sync(Member& member, ApiErrc error) {
  if (!member.sync_request) return false;
  const RequestId request = *std::exchange(member.sync_request, std::nullopt);
  SyncGroupAnswer answer{.error = error};
  if (error == ApiErrc::none) {
    answer.protocol_type = protocol_type_;
    answer.protocol_name = protocol_name_;
    answer.assignment = member.assignment;
  }
  host_.answer(request, std::move(answer));
  return true;
}

std::int32_t ClassicGroup::rebalance_timeout_ms() const {
  std::int32_t longest = 0;
  for (const auto& [id, member] : members_)
    longest = std::max(longest, member.rebalance_timeout_ms);
  return longest;
}

void ClassicGroup::enter(ClassicState state) {
  previous_ = state_;
  state_ = state;
  state_timestamp_ms_ = host_.wall_ms();
}

// SyncGroup ---------------------------------------------------------------------------------------

void ClassicGroup::sync(RequestId request, const SyncGroupCall& call) {
  const auto refuse = [&](ApiErrc error) {
    host_.answer(request, SyncGroupAnswer{.error = error});
  };
  if (state_ == ClassicState::dead) return refuse(ApiErrc::coordinator_not_available);
  const ApiErrc wrong = check_member(call.member_id, call.group_instance_id);
  if (wrong != ApiErrc::none) return refuse(wrong);
  if (call.generation != generation_) return refuse(ApiErrc::illegal_generation);
  if ((call.protocol_type && *call.protocol_type != protocol_type_) ||
      (call.protocol_name && *call.protocol_name != protocol_name_.value_or(""))) {
    return refuse(ApiErrc::inconsistent_group_protocol);
  }

  Member& member = members_.at(call.member_id);
  switch (state_) {
    case ClassicState::empty:
    case ClassicState::dead: return refuse(ApiErrc::unknown_member_id);
    case ClassicState::preparing_rebalance: return refuse(ApiErrc::rebalance_in_progress);
    case ClassicState::completing_rebalance: {
      answer_sync(member, ApiErrc::rebalance_in_progress);  // asked twice: the first is given up
      member.sync_request = request;
      note_sync(member.id);
      if (!is_leader(member.id)) return;
      std::map<std::string, MemberBytes> assignments;
      for (const SyncGroupCall::Assignment& given : call.assignments) {
        assignments[given.member_id] = given.assignment;
      }
      return persist_assignment(std::move(assignments));
    }
    case ClassicState::stable: {
      note_sync(member.id);
      member.sync_request = request;
      answer_sync(member, ApiErrc::none);
      return restart_session(member);
    }
  }
}

void ClassicGroup::persist_assignment(std::map<std::string, MemberBytes> assignments) {
  ClassicGroupState state = snapshot();
  for (ClassicGroupState::Member& member : state.members) {
    const auto given = assignments.find(member.member_id);
    member.assignment = given == assignments.end() ? MemberBytes{} : given->second;
  }
  host_.persist(std::move(state), [this, generation = generation_,
                                   assignments = std::move(assignments)](ApiErrc error) mutable {
    // A rebalance may have begun meanwhile; it has answered everybody.
    if (state_ != ClassicState::completing_rebalance || generation_ != generation) return;
    if (error != ApiErrc::none) {
      propagate_assignment(error);
      return rebalance_or_complete();
    }
    for (auto& [id, member] : members_) member.assignment = std::move(assignments[id]);
    enter(ClassicState::stable);
    propagate_assignment(ApiErrc::none);
  });
}

/// Answers all that wait in sync. Sessions start anew: while they waited, their end was ignored.
void ClassicGroup::propagate_assignment(ApiErrc error) {
  for (auto& [id, member] : members_) {
    if (error != ApiErrc::none) member.assignment.clear();
    if (answer_sync(member, error)) restart_session(member);
  }
}

void ClassicGroup::note_sync(const std::string& member_id) {
  if (pending_syncs_.erase(member_id) > 0 && pending_syncs_.empty()) {
    host_.disarm(GroupTimer::sync, {});
  }
}

// Heartbeat, leave, sessions ----------------------------------------------------------------------

ApiErrc ClassicGroup::heartbeat(const HeartbeatCall& call) {
  if (state_ == ClassicState::dead) return ApiErrc::coordinator_not_available;
  const ApiErrc wrong = check_member(call.member_id, call.group_instance_id);
  if (wrong != ApiErrc::none) return wrong;
  if (call.generation != generation_) return ApiErrc::illegal_generation;
  if (state_ == ClassicState::empty) return ApiErrc::unknown_member_id;
  restart_session(members_.at(call.member_id));
  return state_ == ClassicState::preparing_rebalance ? ApiErrc::rebalance_in_progress
                                                     : ApiErrc::none;
}

LeaveGroupAnswer ClassicGroup::leave(const LeaveGroupCall& call) {
  if (state_ == ClassicState::dead) return {.error = ApiErrc::coordinator_not_available};
  LeaveGroupAnswer answer;
  bool any = false;
  for (const LeaveGroupCall::Member& leaving : call.members) {
    std::string id = leaving.member_id;
    ApiErrc error = ApiErrc::none;
    if (id.empty() && leaving.group_instance_id) {
      const auto known = static_members_.find(*leaving.group_instance_id);
      if (known == static_members_.end()) {
        error = ApiErrc::unknown_member_id;
      } else {
        id = known->second;
      }
    } else if (!pending_members_.contains(id)) {
      error = check_member(id, leaving.group_instance_id);
    }
    if (error == ApiErrc::none) {
      remove(id, ApiErrc::unknown_member_id);
      any = true;
    }
    answer.members.push_back({leaving.member_id, leaving.group_instance_id, error});
  }
  if (any) after_leaving();
  return answer;
}

void ClassicGroup::after_leaving() {
  switch (state_) {
    case ClassicState::stable:
    case ClassicState::completing_rebalance: return prepare_rebalance();
    case ClassicState::preparing_rebalance: return maybe_complete_join();
    case ClassicState::empty:
    case ClassicState::dead: return;
  }
}

void ClassicGroup::restart_session(const Member& member) {
  host_.arm(GroupTimer::session, member.id,
            member.is_new ? kNewMemberJoinTimeoutMs : member.session_timeout_ms);
}

void ClassicGroup::on_timer(GroupTimer timer, const std::string& member_id) {
  if (state_ == ClassicState::dead) return;
  switch (timer) {
    case GroupTimer::session: return expire(member_id);
    case GroupTimer::join:
      if (state_ != ClassicState::preparing_rebalance) return;
      return in_initial_delay_ ? extend_initial_delay() : complete_join();
    case GroupTimer::sync: return drop_members_without_sync();
    case GroupTimer::revocation: return;  // of the other protocol
  }
}

void ClassicGroup::expire(const std::string& member_id) {
  if (pending_members_.erase(member_id) > 0) {
    if (state_ == ClassicState::preparing_rebalance) maybe_complete_join();
    return;
  }
  const Member* member = find(member_id);
  if (member == nullptr) return;
  // Who waits for us is alive, save one that never had an answer: it may have gone long ago.
  const bool waiting = member->join_request.has_value() || member->sync_request.has_value();
  if (waiting && !member->is_new) return;
  remove(member_id, ApiErrc::unknown_member_id);
  after_leaving();
}

void ClassicGroup::abandon_all(ApiErrc error) {
  for (auto& [id, member] : members_) {
    JoinGroupAnswer refusal{.error = error};
    refusal.member_id = id;
    answer_join(member, std::move(refusal));
    answer_sync(member, error);
  }
}

// Offsets, deletion, description ------------------------------------------------------------------

ApiErrc ClassicGroup::check_commit(std::int32_t generation, const std::string& member_id,
                                   const std::optional<std::string>& group_instance_id) {
  if (state_ == ClassicState::dead) return ApiErrc::coordinator_not_available;
  if (generation < 0 && state_ == ClassicState::empty) return ApiErrc::none;
  if (generation < 0 && member_id.empty() && !group_instance_id) return ApiErrc::unknown_member_id;
  const ApiErrc wrong = check_member(member_id, group_instance_id);
  if (wrong != ApiErrc::none) return wrong;
  if (generation != generation_) return ApiErrc::illegal_generation;
  if (state_ == ClassicState::completing_rebalance) return ApiErrc::rebalance_in_progress;
  if (state_ != ClassicState::empty) restart_session(members_.at(member_id));
  return ApiErrc::none;
}

ApiErrc ClassicGroup::check_offset_delete() const {
  if (state_ == ClassicState::dead) return ApiErrc::group_id_not_found;
  if (state_ == ClassicState::empty || protocol_type_ == "consumer") return ApiErrc::none;
  return ApiErrc::non_empty_group;
}

bool ClassicGroup::is_subscribed_to(const std::string& topic) const {
  return topics_ ? topics_->contains(topic) : protocol_type_ == "consumer";
}

ApiErrc ClassicGroup::check_delete() const {
  if (state_ == ClassicState::dead) return ApiErrc::group_id_not_found;
  return state_ == ClassicState::empty ? ApiErrc::none : ApiErrc::non_empty_group;
}

void ClassicGroup::mark_dead() {
  assert(state_ == ClassicState::empty);
  state_ = ClassicState::dead;
}

void ClassicGroup::revive() {
  assert(state_ == ClassicState::dead);
  state_ = ClassicState::empty;
}

namespace {

MemberBytes metadata_for(const std::vector<GroupProtocol>& protocols, const std::string& name) {
  for (const GroupProtocol& protocol : protocols) {
    if (protocol.name == name) return protocol.metadata;
  }
  return {};
}

}  // namespace

DescribedGroup ClassicGroup::describe() const {
  DescribedGroup group;
  group.group_id = group_id_;
  group.state = to_string(state_);
  group.protocol_type = protocol_type_;
  const bool settled = state_ == ClassicState::stable;
  if (settled) group.protocol_name = protocol_name_.value_or("");
  for (const auto& [id, member] : members_) {
    DescribedGroup::Member& shown = group.members.emplace_back();
    shown.member_id = id;
    shown.group_instance_id = member.instance_id;
    shown.client_id = member.client_id;
    shown.client_host = member.client_host;
    if (!settled) continue;
    shown.metadata = metadata_for(member.protocols, group.protocol_name);
    shown.assignment = member.assignment;
  }
  return group;
}

ClassicGroupState ClassicGroup::snapshot() const {
  ClassicGroupState state;
  state.protocol_type = protocol_type_;
  state.generation = generation_;
  state.protocol_name = protocol_name_;
  state.leader = leader_;
  state.state_timestamp_ms = state_timestamp_ms_;
  for (const auto& [id, member] : members_) {
    state.members.push_back({id, member.instance_id, member.client_id, member.client_host,
                             member.rebalance_timeout_ms, member.session_timeout_ms,
                             metadata_for(member.protocols, protocol_name_.value_or("")),
                             member.assignment});
  }
  return state;
}

std::size_t ClassicGroup::parked_syncs() const {
  std::size_t parked = 0;
  for (const auto& [id, member] : members_) parked += member.sync_request ? 1 : 0;
  return parked;
}

std::size_t ClassicGroup::memory_bytes() const {
  constexpr std::size_t kNodeBytes = 64;  // of a tree, with its share of the allocator
  std::size_t bytes = sizeof(*this) + group_id_.size();
  for (const auto& [id, member] : members_) {
    bytes += kNodeBytes + sizeof(Member) + 2 * id.size() + member.client_id.size() +
             member.client_host.size() + member.assignment.capacity();
    for (const GroupProtocol& protocol : member.protocols) {
      bytes += sizeof protocol + protocol.name.size() + protocol.metadata.capacity();
    }
  }
  for (const std::string& id : pending_members_) bytes += kNodeBytes + sizeof id + id.size();
  if (!topics_) return bytes;
  for (const std::string& topic : *topics_) bytes += kNodeBytes + sizeof topic + topic.size();
  return bytes;
}

void ClassicGroup::check_invariants() const {
  std::size_t awaiting = 0;
  std::map<std::string, std::size_t> support;
  std::size_t instances = 0;
  for (const auto& [id, member] : members_) {
    assert(member.id == id && !pending_members_.contains(id));
    awaiting += member.join_request ? 1 : 0;
    if (member.sync_request) assert(state_ == ClassicState::completing_rebalance);
    for (const GroupProtocol& protocol : member.protocols) ++support[protocol.name];
    if (!member.instance_id) continue;
    ++instances;
    assert(static_members_.at(*member.instance_id) == id);
  }
  assert(awaiting == awaiting_join_ && support == protocol_support_);
  assert(instances == static_members_.size());
  assert(leader_.has_value() == !members_.empty());
  assert(!leader_ || members_.contains(*leader_));
  for (const std::string& id : pending_syncs_) assert(members_.contains(id));
  const bool settled =
      state_ == ClassicState::stable || state_ == ClassicState::completing_rebalance;
  if (settled) assert(!members_.empty() && protocol_name_);
  if (state_ == ClassicState::empty || state_ == ClassicState::dead) assert(members_.empty());
  assert(members_.empty() || std::any_of(support.begin(), support.end(), [&](const auto& entry) {
           return entry.second == members_.size();
         }));
}

}  // namespace keelson::offsets
