// plugins/offsets/classic_group_rebalance.cc: the join phase, the vote and the new generation.
#include <algorithm>
#include <cassert>
#include <utility>

#include "plugins/offsets/classic_group.h"
#include "plugins/offsets/consumer_classic.h"

namespace keelson::offsets {

bool ClassicGroup::can_rebalance() const {
  return state_ == ClassicState::empty || state_ == ClassicState::stable ||
         state_ == ClassicState::completing_rebalance;
}

void ClassicGroup::rebalance_or_complete() {
  can_rebalance() ? prepare_rebalance() : maybe_complete_join();
}

void ClassicGroup::prepare_rebalance() {
  if (state_ == ClassicState::completing_rebalance) {
    propagate_assignment(ApiErrc::rebalance_in_progress);
  }
  if (!pending_syncs_.empty()) host_.disarm(GroupTimer::sync, {});
  pending_syncs_.clear();
  const bool initial = state_ == ClassicState::empty;
  enter(ClassicState::preparing_rebalance);
  if (initial) {
    // The first of a group seldom comes alone: more time for the others spares a rebalance.
    in_initial_delay_ = true;
    member_added_ = false;
    initial_delay_ms_ = limits_.initial_rebalance_delay_ms;
    initial_remaining_ms_ = std::max<std::int64_t>(rebalance_timeout_ms() - initial_delay_ms_, 0);
    return host_.arm(GroupTimer::join, {}, initial_delay_ms_);
  }
  if (all_joined()) return complete_join();
  host_.arm(GroupTimer::join, {}, rebalance_timeout_ms());
}

void ClassicGroup::extend_initial_delay() {
  if (!member_added_ || initial_remaining_ms_ == 0) return complete_join();
  member_added_ = false;
  const std::int64_t delay_ms =
      std::min<std::int64_t>(limits_.initial_rebalance_delay_ms, initial_remaining_ms_);
  initial_remaining_ms_ = std::max<std::int64_t>(initial_remaining_ms_ - initial_delay_ms_, 0);
  initial_delay_ms_ = delay_ms;
  host_.arm(GroupTimer::join, {}, delay_ms);
}

void ClassicGroup::maybe_complete_join() {
  if (state_ != ClassicState::preparing_rebalance || in_initial_delay_) return;
  if (all_joined()) complete_join();
}

void ClassicGroup::complete_join() {
  host_.disarm(GroupTimer::join, {});
  in_initial_delay_ = false;
  std::vector<std::string> missing;
  for (const auto& [id, member] : members_) {
    if (!member.join_request && !member.instance_id) missing.push_back(id);
  }
  for (const std::string& id : missing) remove(id, ApiErrc::unknown_member_id);

  if (!members_.empty() && !elect_joined_leader()) {
    // Only static members are left and none of them is here: their sessions decide.
    return host_.arm(GroupTimer::join, {}, rebalance_timeout_ms());
  }
  begin_generation();
}

/// The leader must be one who joined; false where nobody did.
bool ClassicGroup::elect_joined_leader() {
  if (leader_ && members_.at(*leader_).join_request) return true;
  for (const auto& [id, member] : members_) {
    if (!member.join_request) continue;
    leader_ = id;
    return true;
  }
  return false;
}

void ClassicGroup::begin_generation() {
  // Generations of clients are not negative; a group that lives that long begins again.
  generation_ = generation_ == 0x7fffffff ? 1 : generation_ + 1;
  ++rebalances_;
  pending_syncs_.clear();
  if (!members_.empty()) {
    protocol_name_ = vote();
    topics_ = subscriptions();
    enter(ClassicState::completing_rebalance);
    return answer_joins();
  }
  protocol_name_.reset();
  leader_.reset();
  topics_ = subscriptions();
  enter(ClassicState::empty);
  // Where the write fails the log keeps the older state: its members will not come back, and go
  // with their sessions after the next start.
  host_.persist(snapshot(), [](ApiErrc) {});
}

void ClassicGroup::answer_joins() {
  for (auto& [id, member] : members_) {
    answer_join(member, joined(member, is_leader(id)));
    member.is_new = false;
    restart_session(member);
    pending_syncs_.insert(id);
  }
  host_.arm(GroupTimer::sync, {}, rebalance_timeout_ms());
}

void ClassicGroup::drop_members_without_sync() {
  const bool waits = state_ == ClassicState::completing_rebalance || state_ == ClassicState::stable;
  if (!waits || pending_syncs_.empty()) return;
  for (const std::string& id : std::exchange(pending_syncs_, {})) {
    remove(id, ApiErrc::unknown_member_id);
  }
  prepare_rebalance();
}

/// Each member votes for the first of its protocols that all support; the most voted wins, the
/// first by name among equals.
std::string ClassicGroup::vote() const {
  std::map<std::string_view, std::size_t> votes;
  for (const auto& [id, member] : members_) {
    for (const GroupProtocol& protocol : member.protocols) {
      if (protocol_support_.at(protocol.name) != members_.size()) continue;
      ++votes[protocol.name];
      break;
    }
  }
  assert(!votes.empty());  // supports() lets nobody in who shares no protocol with all others
  const auto most = std::max_element(
      votes.begin(), votes.end(),
      [](const auto& left, const auto& right) { return left.second < right.second; });
  return std::string(most->first);
}

std::optional<std::set<std::string>> ClassicGroup::subscriptions() const {
  std::set<std::string> topics;
  if (members_.empty()) return topics;
  if (protocol_type_ != kConsumerProtocolType || !protocol_name_) return std::nullopt;
  for (const auto& [id, member] : members_) {
    for (const GroupProtocol& protocol : member.protocols) {
      if (protocol.name != protocol_name_) continue;
      const auto subscribed = subscribed_topics(protocol.metadata);
      if (!subscribed) return std::nullopt;
      topics.insert(subscribed->begin(), subscribed->end());
    }
  }
  return topics;
}

}  // namespace keelson::offsets
