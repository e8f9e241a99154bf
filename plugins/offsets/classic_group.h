// plugins/offsets/classic_group.h: one group of the classic protocol, as a state machine.
//
//   Empty -> PreparingRebalance -> CompletingRebalance -> Stable
//              ^    joins            the leader's sync      |
//              +--------------------------------------------+   and -> Dead from anywhere
//
// Deterministic and synchronous: no I/O, no clock, no randomness; all of it is asked of the host.
// Requests that wait are known by a number and answered through the host, at most once each; a
// client that has gone is the host's matter, for its member stays until the session ends.
// Behaviour: Kafka 4.3.1, ClassicGroup and GroupMetadataManager.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/offsets/group_records.h"
#include "plugins/registry/group_coordinator.h"

namespace keelson::offsets {

using RequestId = std::uint64_t;

enum class GroupTimer : std::uint8_t {
  session,     // of one member, or of an id that was given and not used yet
  join,        // the join phase ends
  sync,        // members that have not synced are dropped
  revocation,  // consumer protocol: one member gives up what it was asked for
};

/// What a group asks of whoever keeps it. Calls come from within the group's methods; the host must
/// not call back into the group from them, and must call on_timer() and `done` later or not at all.
class GroupHost {
 public:
  virtual ~GroupHost() = default;

  virtual void answer(RequestId request, JoinGroupAnswer answer) = 0;
  virtual void answer(RequestId request, SyncGroupAnswer answer) = 0;

  /// One timer for each kind and member (empty for join and sync): arming it again moves it.
  virtual void arm(GroupTimer timer, const std::string& member_id, std::int64_t delay_ms) = 0;
  virtual void disarm(GroupTimer timer, const std::string& member_id) = 0;

  /// Writes the group's state; `done` gets `none` when it is durable, else the refusal for clients.
  /// Dropped with the group.
  virtual void persist(ClassicGroupState state, std::move_only_function<void(ApiErrc)> done) = 0;

  /// 36 characters that nobody had before.
  virtual std::string new_uuid() = 0;
  /// Milliseconds since 1970; may jump.
  virtual std::int64_t wall_ms() = 0;
};

struct ClassicGroupLimits {
  std::int32_t session_timeout_min_ms = 6'000;
  std::int32_t session_timeout_max_ms = 1'800'000;
  std::int32_t initial_rebalance_delay_ms = 3'000;
  std::int32_t members_max = 0x7fffffff;
};

enum class ClassicState : std::uint8_t {
  empty,
  preparing_rebalance,
  completing_rebalance,
  stable,
  dead,
};

/// Kafka's name: "PreparingRebalance".
std::string_view to_string(ClassicState state);

class ClassicGroup {
 public:
  /// How long a member that has no answer to its first join is kept (source: Kafka 4.3.1,
  /// CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS).
  static constexpr std::int64_t kNewMemberJoinTimeoutMs = 5 * 60 * 1000;

  /// A new, empty group. `host` and `limits` outlive it.
  ClassicGroup(std::string group_id, GroupHost& host, const ClassicGroupLimits& limits);
  ClassicGroup(const ClassicGroup&) = delete;  // the host's continuations hold its address

  /// Becomes what a record says: Stable with members, else Empty. Arms nothing. Before any request,
  /// or after abandon_all().
  void restore(const ClassicGroupState& state);
  /// After the last restore(): starts the sessions of the members.
  void begin();
  /// Asks all members to join again. Stable only.
  void rebalance() { prepare_rebalance(); }

  /// What is wrong with a call whatever the group: invalid_group_id, invalid_session_timeout, none.
  static ApiErrc check_join(const JoinGroupCall& call, const ClassicGroupLimits& limits);

  // Requests. join() and sync() answer through the host, at once or later.
  void join(RequestId request, const JoinGroupCall& call);
  void sync(RequestId request, const SyncGroupCall& call);
  ApiErrc heartbeat(const HeartbeatCall& call);
  LeaveGroupAnswer leave(const LeaveGroupCall& call);
  /// A timer that the group armed has passed. Late ones (disarmed meanwhile) do no harm.
  void on_timer(GroupTimer timer, const std::string& member_id);
  /// Answers all that wait with `error`; the group must not be used for requests afterwards.
  void abandon_all(ApiErrc error);

  // Offsets.
  /// May this caller commit offsets? Restarts the member's session where it may.
  ApiErrc check_commit(std::int32_t generation, const std::string& member_id,
                       const std::optional<std::string>& group_instance_id);
  /// May offsets of this group be deleted by an administrator?
  ApiErrc check_offset_delete() const;
  /// Members need the offsets of this topic. True for all where a subscription cannot be read.
  bool is_subscribed_to(const std::string& topic) const;

  // Deletion: Empty -> Dead until the tombstone is durable, and back where that fails.
  ApiErrc check_delete() const;
  void mark_dead();
  void revive();

  const std::string& group_id() const { return group_id_; }
  ClassicState state() const { return state_; }
  std::int32_t generation() const { return generation_; }
  const std::string& protocol_type() const { return protocol_type_; }
  const std::optional<std::string>& leader() const { return leader_; }
  /// Nothing where some member's subscription cannot be read, or none was chosen yet.
  const std::optional<std::set<std::string>>& topics() const { return topics_; }
  std::int64_t state_timestamp_ms() const { return state_timestamp_ms_; }
  std::size_t member_count() const { return members_.size(); }
  bool has_member(const std::string& member_id) const { return members_.contains(member_id); }
  bool is_pending_member(const std::string& id) const { return pending_members_.contains(id); }
  std::size_t pending_member_count() const { return pending_members_.size(); }
  std::uint64_t rebalances() const { return rebalances_; }
  std::size_t parked_joins() const { return awaiting_join_; }
  std::size_t parked_syncs() const;
  /// Of a member, which is there, all that it brought; most wanted first.
  const std::vector<GroupProtocol>& protocols_of(const std::string& member_id) const {
    return members_.at(member_id).protocols;
  }
  DescribedGroup describe() const;
  ClassicGroupState snapshot() const;
  std::size_t memory_bytes() const;
  /// Aborts where the members, votes and waiting requests contradict each other. For tests.
  void check_invariants() const;

 private:
  struct Member {
    std::string id;
    std::optional<std::string> instance_id;
    std::string client_id;
    std::string client_host;
    std::int32_t rebalance_timeout_ms = 0;
    std::int32_t session_timeout_ms = 0;
    std::vector<GroupProtocol> protocols;
    MemberBytes assignment;
    bool is_new = false;  // its first join is not answered yet
    std::optional<RequestId> join_request;
    std::optional<RequestId> sync_request;
  };

  // Joining: classic_group_join.cc
  bool accepts(const std::string& member_id) const;
  bool supports(const JoinGroupCall& call) const;
  void join_new(RequestId request, const JoinGroupCall& call);
  void join_known(RequestId request, const JoinGroupCall& call);
  void join_replacing(RequestId request, const JoinGroupCall& call, std::string old_id,
                      std::string new_id);
  void persist_replacement(RequestId request, const JoinGroupCall& call, Member before,
                           const std::string& new_id, std::string leader_before);
  void replacement_failed(RequestId request, const std::string& new_id, Member before,
                          ApiErrc error);
  void add_and_rebalance(RequestId request, const JoinGroupCall& call, std::string member_id);
  void update_and_rebalance(RequestId request, const JoinGroupCall& call, Member& member);
  void refuse_join(RequestId request, ApiErrc error, std::string member_id);
  JoinGroupAnswer joined(const Member& member, bool with_members) const;
  std::vector<JoinedMember> joined_members() const;

  // Rebalancing: classic_group_rebalance.cc
  bool can_rebalance() const;
  void rebalance_or_complete();
  void prepare_rebalance();
  void maybe_complete_join();
  void complete_join();
  void extend_initial_delay();
  void begin_generation();
  void answer_joins();
  bool elect_joined_leader();
  void drop_members_without_sync();
  std::string vote() const;
  std::optional<std::set<std::string>> subscriptions() const;

  // Members and syncs: classic_group.cc
  ApiErrc check_member(const std::string& member_id,
                       const std::optional<std::string>& instance_id) const;
  Member* find(const std::string& member_id);
  bool is_leader(const std::string& id) const { return leader_ == id; }
  Member& add(Member member);
  Member replace_static(const std::string& old_id, Member replacement);
  void remove(const std::string& member_id, ApiErrc answer_waiting);
  void set_protocols(Member& member, std::vector<GroupProtocol> protocols);
  void count_protocols(const Member& member, int change);
  void set_join(Member& member, RequestId request);
  bool answer_join(Member& member, JoinGroupAnswer answer);
  bool answer_sync(Member& member, ApiErrc error);
  void propagate_assignment(ApiErrc error);
  void persist_assignment(std::map<std::string, MemberBytes> assignments);
  void note_sync(const std::string& member_id);
  void restart_session(const Member& member);
  void expire(const std::string& member_id);
  void after_leaving();
  void enter(ClassicState state);
  bool all_joined() const { return awaiting_join_ == members_.size() && pending_members_.empty(); }
  std::int32_t rebalance_timeout_ms() const;

  const std::string group_id_;
  GroupHost& host_;
  const ClassicGroupLimits& limits_;

  ClassicState state_ = ClassicState::empty;
  ClassicState previous_ = ClassicState::empty;
  std::int64_t state_timestamp_ms_ = -1;
  std::int32_t generation_ = 0;
  std::string protocol_type_;  // empty: none yet
  std::optional<std::string> protocol_name_;
  std::optional<std::string> leader_;
  std::optional<std::set<std::string>> topics_;

  std::map<std::string, Member> members_;                // by id
  std::map<std::string, std::string> static_members_;    // instance id -> member id
  std::set<std::string> pending_members_;                // ids given, not yet joined with
  std::set<std::string> pending_syncs_;                  // joined, not yet synced
  std::map<std::string, std::size_t> protocol_support_;  // name -> members that have it
  std::size_t awaiting_join_ = 0;

  // While the first join phase is stretched for late comers.
  bool member_added_ = false;
  std::int64_t initial_delay_ms_ = 0;      // of the timer that runs
  std::int64_t initial_remaining_ms_ = 0;  // by which it may be stretched
  bool in_initial_delay_ = false;
  std::uint64_t rebalances_ = 0;
};

}  // namespace keelson::offsets
