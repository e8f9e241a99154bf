// plugins/registry/group_coordinator.h: kind `offset_store`: consumer groups and their committed
// offsets, as the broker that coordinates them serves them.
//
// The structs carry what a request says, with no trace of a wire format; where versions of a
// request behave differently, a flag says which behaviour the caller speaks. Every method may be
// called on any shard: the work hops to the shard that owns the group's partition of
// `__consumer_offsets` and comes back to `home`. Answers come when what they tell is durable.
//
// Any method may answer, for a whole group:
//   coordinator_load_in_progress  the partition is still being read; retry
//   coordinator_not_available     the internal topic or its replicas are not there; retry
//   not_coordinator               another broker leads the partition, or this one is stopping
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/shard.h"
#include "engine/io/sync.h"
#include "engine/task.h"
#include "engine/types.h"
#include "engine/uuid.h"
#include "plugins/registry/cluster.h"
#include "plugins/registry/plugin.h"

namespace keelson {

inline constexpr std::string_view kOffsetsTopic = "__consumer_offsets";

/// Bytes that members send each other through the coordinator, which does not look inside (save
/// for the topic names in a consumer's subscription).
using MemberBytes = std::vector<std::byte>;

// JoinGroup ---------------------------------------------------------------------------------------

struct GroupProtocol {
  std::string name;
  MemberBytes metadata;

  friend bool operator==(const GroupProtocol&, const GroupProtocol&) = default;
};

struct JoinGroupCall {
  std::string group_id;
  std::string member_id;                         // empty: new here
  std::optional<std::string> group_instance_id;  // v5+: a static member
  std::string client_id;
  std::string client_host;  // as it is to be shown: "/127.0.0.1"
  std::int32_t session_timeout_ms = 0;
  std::int32_t rebalance_timeout_ms = 0;  // v0 has none: the session time-out
  std::string protocol_type;
  std::vector<GroupProtocol> protocols;  // most wanted first
  std::string reason;                    // v8+; for the log only
  bool member_id_required = false;       // v4+: a new dynamic member is sent back once with its id
  bool skip_assignment_known = false;    // v9+: see JoinGroupAnswer::skip_assignment
};

struct JoinedMember {
  std::string member_id;
  std::optional<std::string> group_instance_id;
  MemberBytes metadata;  // for the protocol chosen
};

struct JoinGroupAnswer {
  ApiErrc error = ApiErrc::none;
  std::int32_t generation = -1;
  std::optional<std::string> protocol_type;  // nothing on error
  std::optional<std::string> protocol_name;  // nothing on error; before v7 to be sent as ""
  std::string leader;                        // member id; empty on error
  bool skip_assignment = false;              // the leader shall keep the assignment as it is
  std::string member_id;                     // also with member_id_required
  std::vector<JoinedMember> members;         // for the leader only
};

// SyncGroup, Heartbeat, LeaveGroup ----------------------------------------------------------------

struct SyncGroupCall {
  struct Assignment {
    std::string member_id;
    MemberBytes assignment;
  };
  std::string group_id;
  std::int32_t generation = -1;
  std::string member_id;
  std::optional<std::string> group_instance_id;
  std::optional<std::string> protocol_type;  // v5+; nothing: not checked
  std::optional<std::string> protocol_name;  // v5+; nothing: not checked
  std::vector<Assignment> assignments;       // from the leader only
};

struct SyncGroupAnswer {
  ApiErrc error = ApiErrc::none;
  std::optional<std::string> protocol_type;  // nothing on error
  std::optional<std::string> protocol_name;
  MemberBytes assignment;
};

struct HeartbeatCall {
  std::string group_id;
  std::int32_t generation = -1;
  std::string member_id;
  std::optional<std::string> group_instance_id;
};

struct LeaveGroupCall {
  struct Member {
    std::string member_id;  // may be empty with an instance id: removal by an administrator
    std::optional<std::string> group_instance_id;
    std::string reason;  // v5+; for the log only
  };
  std::string group_id;
  std::vector<Member> members;  // v0-2: exactly one
};

struct LeaveGroupAnswer {
  struct Member {
    std::string member_id;
    std::optional<std::string> group_instance_id;
    ApiErrc error = ApiErrc::none;
  };
  ApiErrc error = ApiErrc::none;  // v0-2: where it is none, the one member's error is the answer's
  std::vector<Member> members;    // in the order of the call; empty with an error
};

// ConsumerGroupHeartbeat, ConsumerGroupDescribe ---------------------------------------------------

struct TopicPartitions {
  engine::Uuid topic_id;
  std::vector<std::int32_t> partitions;

  friend bool operator==(const TopicPartitions&, const TopicPartitions&) = default;
};

/// What is absent is as it was in the member's last call.
struct ConsumerHeartbeatCall {
  std::string group_id;
  std::string member_id;                         // empty: new here, v0 only
  std::int32_t member_epoch = 0;                 // 0 joins, -1 leaves, -2 leaves for a while
  std::optional<std::string> group_instance_id;  // a static member
  std::optional<std::string> rack_id;
  std::int32_t rebalance_timeout_ms = -1;
  std::optional<std::vector<std::string>> topics;
  std::optional<std::string> regex;  // v1+; empty: none any longer
  std::optional<std::string> assignor;
  std::optional<std::vector<TopicPartitions>> owned;
  std::string client_id;
  std::string client_host;          // as it is to be shown: "/127.0.0.1"
  bool member_id_required = false;  // v1+: the client makes its id
};

struct ConsumerHeartbeatAnswer {
  ApiErrc error = ApiErrc::none;
  std::string message;                   // with an error
  std::optional<std::string> member_id;  // nothing on error
  std::int32_t member_epoch = 0;
  std::int32_t heartbeat_interval_ms = 0;
  std::optional<std::vector<TopicPartitions>> assignment;  // nothing: as it was
};

struct DescribedConsumerGroup {
  struct Member {
    std::string member_id;
    std::optional<std::string> group_instance_id;
    std::optional<std::string> rack_id;
    std::int32_t member_epoch = 0;
    std::string client_id;
    std::string client_host;
    std::vector<std::string> topics;
    std::string regex;  // empty: none
    std::vector<TopicPartitions> assignment;
    std::vector<TopicPartitions> target;
    bool is_classic = false;  // speaks the classic protocol
  };
  ApiErrc error = ApiErrc::none;
  std::string message;  // with an error
  std::string group_id;
  std::string state;  // "Empty", "Assigning", "Reconciling", "Stable"; "" with an error
  std::int32_t epoch = 0;
  std::int32_t assignment_epoch = 0;
  std::string assignor;
  std::vector<Member> members;
};

// OffsetCommit, OffsetFetch, OffsetDelete ---------------------------------------------------------

struct CommitOffsetsCall {
  struct Partition {
    std::int32_t partition = 0;
    std::int64_t offset = -1;
    engine::LeaderEpoch leader_epoch = engine::kNoLeaderEpoch;
    std::string metadata;  // null on the wire: empty
  };
  struct Topic {
    std::string name;
    engine::Uuid id;  // of the topic now; zero where the caller does not know it
    std::vector<Partition> partitions;
  };
  std::string group_id;          // may be empty: old clients
  std::int32_t generation = -1;  // or member epoch; -1: no member
  std::string member_id;
  std::optional<std::string> group_instance_id;
  std::int64_t retention_ms = -1;  // v2-4: time to keep these offsets; -1: the broker's setting
  /// v9+: else an unknown group is illegal_generation, and members of the consumer protocol are
  /// refused.
  bool group_id_not_found_known = false;
  /// Existing topics and partitions only: the caller answers the others itself.
  std::vector<Topic> topics;
};

struct CommitOffsetsAnswer {
  ApiErrc error = ApiErrc::none;  // not none: it stands for every partition of the call
  /// In the order of the call, by topic and partition; each vector as long as the call's.
  std::vector<std::vector<ApiErrc>> partitions;
};

struct FetchOffsetsCall {
  struct Topic {
    std::string name;
    engine::Uuid id;  // of the topic now; zero where the caller does not know it
    std::vector<std::int32_t> partitions;
  };
  struct Group {
    std::string group_id;                      // may be empty: old clients
    std::optional<std::string> member_id;      // v9+
    std::int32_t member_epoch = -1;            // v9+
    std::optional<std::vector<Topic>> topics;  // nothing: all offsets of the group
  };
  std::vector<Group> groups;
  bool require_stable = false;  // v7+
};

struct FetchedOffsets {
  struct Partition {
    std::int32_t partition = 0;
    std::int64_t offset = -1;  // -1: none
    engine::LeaderEpoch leader_epoch = engine::kNoLeaderEpoch;
    std::string metadata;
    ApiErrc error = ApiErrc::none;
  };
  struct Topic {
    std::string name;
    engine::Uuid id;  // as asked for; with all topics, the id stored (zero: none)
    std::vector<Partition> partitions;
  };
  std::string group_id;
  ApiErrc error = ApiErrc::none;  // of the group; the topics are empty then
  std::vector<Topic> topics;      // in the order of the call; with all topics, by name
};

struct DeleteOffsetsCall {
  struct Topic {
    std::string name;
    std::vector<std::int32_t> partitions;
  };
  std::string group_id;
  /// Existing topics and partitions only: the caller answers the others itself.
  std::vector<Topic> topics;
};

struct DeleteOffsetsAnswer {
  ApiErrc error = ApiErrc::none;  // not none: nothing was deleted, `partitions` is empty
  std::vector<std::vector<ApiErrc>> partitions;  // as CommitOffsetsAnswer::partitions
};

// DescribeGroups, ListGroups, DeleteGroups --------------------------------------------------------

struct DescribedGroup {
  struct Member {
    std::string member_id;
    std::optional<std::string> group_instance_id;
    std::string client_id;
    std::string client_host;
    MemberBytes metadata;    // while Stable, else empty
    MemberBytes assignment;  // while Stable, else empty
  };
  ApiErrc error = ApiErrc::none;
  std::string message;  // v6+, with an error
  std::string group_id;
  std::string state;  // "Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"; ""
                      // with an error other than group_id_not_found
  std::string protocol_type;
  std::string protocol_name;  // while Stable, else empty
  std::vector<Member> members;
};

struct ListGroupsCall {
  // Names in any case of letters; unknown ones match nothing; an empty list matches all.
  std::vector<std::string> states;  // v4+
  std::vector<std::string> types;   // v5+
};

struct ListedGroup {
  std::string group_id;
  std::string protocol_type;
  std::string state;  // as in DescribedGroup or DescribedConsumerGroup, v4+
  std::string type;   // "classic" or "consumer", v5+
};

struct ListGroupsAnswer {
  ApiErrc error = ApiErrc::none;  // coordinator_load_in_progress: some groups are not known yet
  std::vector<ListedGroup> groups;
};

struct DeletedGroup {
  std::string group_id;
  ApiErrc error = ApiErrc::none;
};

// FindCoordinator, metrics ------------------------------------------------------------------------

struct GroupHome {
  std::int32_t partition = 0;        // of kOffsetsTopic
  BrokerId coordinator = kNoBroker;  // that partition's leader
};

/// A snapshot for metrics. Bytes are what the state of groups holds, estimated.
struct GroupCounters {
  std::uint64_t groups = 0;
  std::uint64_t members = 0;
  std::uint64_t offsets = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t rebalances = 0;          // generations begun since the start
  std::uint64_t offset_commits = 0;      // partitions committed since the start
  std::uint64_t offset_expirations = 0;  // offsets dropped for their age since the start
  std::uint64_t appends = 0;             // batches written since the start
  std::uint64_t failed_appends = 0;
  std::uint64_t parked_joins = 0;  // requests that wait now
  std::uint64_t parked_syncs = 0;
};

class GroupCoordinator : public Plugin {
 public:
  static constexpr const char* kKind = "offset_store";

  /// Waits until the join phase ends: at most the longest rebalance time-out of the members, and
  /// the initial rebalance delay. `cancelled` is set on `home` when the client has gone: the call
  /// then ends soon with whatever answer, and the member stays until its session ends. It outlives
  /// the call.
  /// Errors: invalid_group_id, invalid_session_timeout, unknown_member_id, member_id_required,
  /// fenced_instance_id, inconsistent_group_protocol, group_max_size_reached,
  /// rebalance_in_progress, unknown_server_error.
  [[nodiscard]] virtual engine::Task<JoinGroupAnswer> join(engine::io::Shard& home,
                                                           JoinGroupCall call,
                                                           engine::io::Event& cancelled) = 0;

  /// Waits for the leader's assignment. `cancelled` as for join().
  /// Errors: invalid_group_id, unknown_member_id, illegal_generation, fenced_instance_id,
  /// inconsistent_group_protocol, rebalance_in_progress.
  [[nodiscard]] virtual engine::Task<SyncGroupAnswer> sync(engine::io::Shard& home,
                                                           SyncGroupCall call,
                                                           engine::io::Event& cancelled) = 0;

  /// Errors: invalid_group_id, unknown_member_id, illegal_generation, fenced_instance_id,
  /// rebalance_in_progress (rejoin).
  [[nodiscard]] virtual engine::Task<ApiErrc> heartbeat(engine::io::Shard& home,
                                                        HeartbeatCall call) = 0;

  /// Members are independent of each other. Errors: invalid_group_id; per member
  /// unknown_member_id, fenced_instance_id.
  [[nodiscard]] virtual engine::Task<LeaveGroupAnswer> leave(engine::io::Shard& home,
                                                             LeaveGroupCall call) = 0;

  /// A member of the consumer protocol: joins, reports what it owns, learns what it shall own,
  /// leaves. Repeating a call whose answer was lost is harmless.
  /// Errors: invalid_request, unsupported_version (the protocol is off), group_id_not_found (or of
  /// another kind), unknown_member_id, fenced_member_epoch (give all up and join again),
  /// unreleased_instance_id, fenced_instance_id, unsupported_assignor, invalid_regular_expression,
  /// group_max_size_reached.
  [[nodiscard]] virtual engine::Task<ConsumerHeartbeatAnswer> consumer_heartbeat(
      engine::io::Shard& home, ConsumerHeartbeatCall call) = 0;

  /// One answer for each id, in the order of the call. Errors: group_id_not_found, also for a
  /// classic group.
  [[nodiscard]] virtual engine::Task<std::vector<DescribedConsumerGroup>> describe_consumer_groups(
      engine::io::Shard& home, std::vector<std::string> group_ids) = 0;

  /// Errors: group_id_not_found, illegal_generation, unknown_member_id, fenced_instance_id,
  /// rebalance_in_progress; stale_member_epoch, unsupported_version (members of the consumer
  /// protocol); per partition offset_metadata_too_large. Repeating a call whose answer was lost is
  /// harmless.
  [[nodiscard]] virtual engine::Task<CommitOffsetsAnswer> commit_offsets(
      engine::io::Shard& home, CommitOffsetsCall call) = 0;

  /// One answer for each group, in the order of the call. An unknown group has no offsets, which
  /// is no error. Errors per group: as above the class; unknown_member_id, stale_member_epoch
  /// (consumer protocol, with a member id); per partition unstable_offset_commit.
  [[nodiscard]] virtual engine::Task<std::vector<FetchedOffsets>> fetch_offsets(
      engine::io::Shard& home, FetchOffsetsCall call) = 0;

  /// Errors: invalid_group_id, group_id_not_found; non_empty_group (a live group of another
  /// protocol type than "consumer"); per partition group_subscribed_to_topic.
  [[nodiscard]] virtual engine::Task<DeleteOffsetsAnswer> delete_offsets(
      engine::io::Shard& home, DeleteOffsetsCall call) = 0;

  /// One answer for each id, in the order of the call. With `unknown_is_error` (v6+) an unknown
  /// group is group_id_not_found, else no error; its state is "Dead" in both cases.
  [[nodiscard]] virtual engine::Task<std::vector<DescribedGroup>> describe_groups(
      engine::io::Shard& home, std::vector<std::string> group_ids, bool unknown_is_error) = 0;

  /// The groups that this broker coordinates, by id.
  [[nodiscard]] virtual engine::Task<ListGroupsAnswer> list_groups(engine::io::Shard& home,
                                                                   ListGroupsCall call) = 0;

  /// One answer for each id, in the order of the call. Errors: non_empty_group,
  /// group_id_not_found.
  [[nodiscard]] virtual engine::Task<std::vector<DeletedGroup>> delete_groups(
      engine::io::Shard& home, std::vector<std::string> group_ids) = 0;

  /// Who coordinates `group_id`; makes the internal topic where it is not there yet.
  /// Errors: coordinator_not_available.
  [[nodiscard]] virtual engine::Task<ApiResult<GroupHome>> find(engine::io::Shard& home,
                                                                std::string group_id) = 0;

  /// Sums over all groups coordinated here.
  [[nodiscard]] virtual engine::Task<GroupCounters> counters(engine::io::Shard& home) = 0;
};

}  // namespace keelson
