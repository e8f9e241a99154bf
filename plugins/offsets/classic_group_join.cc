// plugins/offsets/classic_group_join.cc: JoinGroup, up to the point where a rebalance begins.
#include <algorithm>
#include <utility>

#include "plugins/offsets/classic_group.h"

namespace keelson::offsets {
namespace {

/// Each name once, as first given.
std::vector<GroupProtocol> distinct(const std::vector<GroupProtocol>& protocols) {
  std::vector<GroupProtocol> kept;
  std::set<std::string_view> names;
  for (const GroupProtocol& protocol : protocols) {
    if (names.insert(protocol.name).second) kept.push_back(protocol);
  }
  return kept;
}

bool same(const std::vector<GroupProtocol>& left, const std::vector<GroupProtocol>& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const GroupProtocol& a, const GroupProtocol& b) {
                      return a.name == b.name && a.metadata == b.metadata;
                    });
}

}  // namespace

void ClassicGroup::refuse_join(RequestId request, ApiErrc error, std::string member_id) {
  JoinGroupAnswer answer{.error = error};
  answer.member_id = std::move(member_id);
  host_.answer(request, std::move(answer));
}

ApiErrc ClassicGroup::check_join(const JoinGroupCall& call, const ClassicGroupLimits& limits) {
  if (call.group_id.empty()) return ApiErrc::invalid_group_id;
  const bool in_bounds = call.session_timeout_ms >= limits.session_timeout_min_ms &&
                         call.session_timeout_ms <= limits.session_timeout_max_ms;
  return in_bounds ? ApiErrc::none : ApiErrc::invalid_session_timeout;
}

void ClassicGroup::join(RequestId request, const JoinGroupCall& call) {
  const ApiErrc wrong = check_join(call, limits_);
  if (wrong != ApiErrc::none) return refuse_join(request, wrong, call.member_id);
  if (!accepts(call.member_id)) {
    remove(call.member_id, ApiErrc::unknown_member_id);
    refuse_join(request, ApiErrc::group_max_size_reached, {});
    return maybe_complete_join();
  }
  if (state_ == ClassicState::dead) {
    return refuse_join(request, ApiErrc::coordinator_not_available, call.member_id);
  }
  if (!supports(call)) {
    return refuse_join(request, ApiErrc::inconsistent_group_protocol, call.member_id);
  }
  call.member_id.empty() ? join_new(request, call) : join_known(request, call);
}

/// Is there room? During the join phase those count that have joined, so that a group above its
/// bound sheds the last to come.
bool ClassicGroup::accepts(const std::string& member_id) const {
  const auto bound = static_cast<std::size_t>(limits_.members_max);
  const auto known = members_.find(member_id);
  switch (state_) {
    case ClassicState::empty:
    case ClassicState::dead: return true;
    case ClassicState::preparing_rebalance:
      return (known != members_.end() && known->second.join_request) || awaiting_join_ < bound;
    case ClassicState::completing_rebalance:
    case ClassicState::stable: return known != members_.end() || members_.size() < bound;
  }
  std::unreachable();
}

bool ClassicGroup::supports(const JoinGroupCall& call) const {
  if (call.protocol_type.empty() || call.protocols.empty()) return false;
  if (members_.empty()) return true;
  if (call.protocol_type != protocol_type_) return false;
  return std::any_of(call.protocols.begin(), call.protocols.end(), [&](const auto& protocol) {
    const auto counted = protocol_support_.find(protocol.name);
    return counted != protocol_support_.end() && counted->second == members_.size();
  });
}

void ClassicGroup::join_new(RequestId request, const JoinGroupCall& call) {
  if (call.group_instance_id) {
    std::string id = *call.group_instance_id + "-" + host_.new_uuid();
    const auto known = static_members_.find(*call.group_instance_id);
    if (known == static_members_.end()) return add_and_rebalance(request, call, std::move(id));
    return join_replacing(request, call, known->second, std::move(id));
  }
  std::string id = call.client_id + "-" + host_.new_uuid();
  if (!call.member_id_required) return add_and_rebalance(request, call, std::move(id));
  // A client that never hears of its id must not leave a member behind: it is to come back.
  pending_members_.insert(id);
  host_.arm(GroupTimer::session, id, call.session_timeout_ms);
  refuse_join(request, ApiErrc::member_id_required, std::move(id));
}

void ClassicGroup::join_known(RequestId request, const JoinGroupCall& call) {
  if (pending_members_.contains(call.member_id)) {
    // Ids of static members are never pending: the caller made this pair up.
    if (call.group_instance_id) {
      return refuse_join(request, ApiErrc::unknown_member_id, call.member_id);
    }
    return add_and_rebalance(request, call, call.member_id);
  }
  const ApiErrc wrong = check_member(call.member_id, call.group_instance_id);
  if (wrong != ApiErrc::none) return refuse_join(request, wrong, call.member_id);

  Member& member = members_.at(call.member_id);
  const bool unchanged = same(member.protocols, distinct(call.protocols));
  switch (state_) {
    case ClassicState::preparing_rebalance: return update_and_rebalance(request, call, member);
    case ClassicState::completing_rebalance:
      if (!unchanged) return update_and_rebalance(request, call, member);
      // The answer to its first join was lost.
      return host_.answer(request, joined(member, is_leader(member.id)));
    case ClassicState::stable:
      // The leader joins again when the topics it assigns have changed.
      if (is_leader(member.id) || !unchanged) return update_and_rebalance(request, call, member);
      return host_.answer(request, joined(member, false));
    case ClassicState::empty:
    case ClassicState::dead:
      return refuse_join(request, ApiErrc::unknown_member_id, call.member_id);
  }
}

void ClassicGroup::add_and_rebalance(RequestId request, const JoinGroupCall& call,
                                     std::string member_id) {
  if (members_.empty()) protocol_type_ = call.protocol_type;
  if (state_ == ClassicState::preparing_rebalance && in_initial_delay_) member_added_ = true;
  Member& member = add({.id = std::move(member_id),
                        .instance_id = call.group_instance_id,
                        .client_id = call.client_id,
                        .client_host = call.client_host,
                        .rebalance_timeout_ms = call.rebalance_timeout_ms,
                        .session_timeout_ms = call.session_timeout_ms,
                        .protocols = distinct(call.protocols),
                        .is_new = true});
  set_join(member, request);
  restart_session(member);
  rebalance_or_complete();
}

void ClassicGroup::update_and_rebalance(RequestId request, const JoinGroupCall& call,
                                        Member& member) {
  set_protocols(member, distinct(call.protocols));
  member.rebalance_timeout_ms = call.rebalance_timeout_ms;
  member.session_timeout_ms = call.session_timeout_ms;
  set_join(member, request);
  rebalance_or_complete();
}

/// A static member came back without its id: it gets a new one, the old one is fenced, and where
/// nothing else changes the group need not rebalance.
void ClassicGroup::join_replacing(RequestId request, const JoinGroupCall& call, std::string old_id,
                                  std::string new_id) {
  std::string leader_before = leader_.value_or("");
  Member replacement = members_.at(old_id);
  replacement.id = new_id;
  replacement.join_request.reset();
  replacement.sync_request.reset();
  replacement.client_id = call.client_id;
  replacement.client_host = call.client_host;
  replacement.rebalance_timeout_ms = call.rebalance_timeout_ms;
  replacement.session_timeout_ms = call.session_timeout_ms;
  replacement.protocols = distinct(call.protocols);
  Member before = replace_static(old_id, std::move(replacement));
  Member& member = members_.at(new_id);
  set_join(member, request);
  restart_session(member);
  if (state_ == ClassicState::stable && protocol_name_ == vote()) {
    return persist_replacement(request, call, std::move(before), new_id, std::move(leader_before));
  }
  rebalance_or_complete();
}

void ClassicGroup::persist_replacement(RequestId request, const JoinGroupCall& call, Member before,
                                       const std::string& new_id, std::string leader_before) {
  host_.persist(snapshot(), [this, request, before = std::move(before), new_id,
                             skip_known = call.skip_assignment_known, generation = generation_,
                             leader_before = std::move(leader_before)](ApiErrc error) mutable {
    Member* const member = find(new_id);
    if (member == nullptr || member->join_request != request) return;  // answered by a rebalance
    if (state_ != ClassicState::stable || generation_ != generation) return;  // it soon will be
    if (error != ApiErrc::none)
      return replacement_failed(request, new_id, std::move(before), error);
    const bool leads = is_leader(new_id);
    JoinGroupAnswer answer = joined(*member, leads && skip_known);
    // Clients that do not know the flag must not take themselves for the leader: they would assign
    // anew without a rebalance.
    answer.skip_assignment = leads && skip_known;
    if (!skip_known) answer.leader = leader_before;
    answer_join(*member, std::move(answer));
    restart_session(*member);  // its end was ignored while the write was under way
  });
}

void ClassicGroup::replacement_failed(RequestId request, const std::string& new_id, Member before,
                                      ApiErrc error) {
  Member* const member = find(new_id);
  member->join_request.reset();
  --awaiting_join_;
  before.join_request.reset();
  before.sync_request.reset();
  const std::string old_id = before.id;
  replace_static(new_id, std::move(before));
  restart_session(members_.at(old_id));
  refuse_join(request, error, {});
}

JoinGroupAnswer ClassicGroup::joined(const Member& member, bool with_members) const {
  JoinGroupAnswer answer;
  answer.generation = generation_;
  answer.protocol_type = protocol_type_;
  answer.protocol_name = protocol_name_;
  answer.leader = leader_.value_or("");
  answer.member_id = member.id;
  if (with_members) answer.members = joined_members();
  return answer;
}

std::vector<JoinedMember> ClassicGroup::joined_members() const {
  std::vector<JoinedMember> list;
  list.reserve(members_.size());
  for (const auto& [id, member] : members_) {
    JoinedMember& joined = list.emplace_back(JoinedMember{id, member.instance_id, {}});
    for (const GroupProtocol& protocol : member.protocols) {
      if (protocol.name == protocol_name_) joined.metadata = protocol.metadata;
    }
  }
  return list;
}

}  // namespace keelson::offsets
