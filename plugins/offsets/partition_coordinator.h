// plugins/offsets/partition_coordinator.h: the groups of one partition of the internal topic.
//
// Lives on the shard that owns the partition's log, and only there. Every group is a ClassicGroup
// or a ConsumerGroup, which decides, and an OffsetTable, which remembers. Offsets and consumer
// groups change when their records are durable; members of classic groups change at once, and what
// of them must last is written as the state machine asks. A failed write changes nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/io/shard.h"
#include "engine/io/sync.h"
#include "engine/task.h"
#include "plugins/offsets/classic_group.h"
#include "plugins/offsets/group_log.h"
#include "plugins/offsets/offset_settings.h"
#include "plugins/offsets/offset_table.h"
#include "plugins/registry/group_coordinator.h"

namespace keelson::offsets {

/// A join or sync that waits, in the frame of whoever asked. Touched on the owner shard only.
struct Parked {
  explicit Parked(engine::io::Shard& owner) : woken(owner) {}
  engine::io::Event woken;
  bool abandoned = false;
  std::optional<JoinGroupAnswer> joined;
  std::optional<SyncGroupAnswer> synced;

  void abandon() {
    abandoned = true;
    woken.set();
  }
};

struct PartitionCoordinatorParts {
  engine::io::Shard& shard;
  Replicator& replicator;
  PartitionKey key;
  const OffsetSettings& settings;
  /// The topics there are.
  std::function<std::shared_ptr<const ClusterView>()> view;
  /// What is set for a group of the consumer protocol.
  std::function<ConsumerGroupTimes(const std::string& group_id)> consumer_times;
};

/// A topic that was deleted.
struct GoneTopic {
  std::string name;
  engine::Uuid id;
};
using GoneTopics = std::vector<GoneTopic>;

class PartitionCoordinator {
 public:
  explicit PartitionCoordinator(PartitionCoordinatorParts parts);
  ~PartitionCoordinator();
  PartitionCoordinator(const PartitionCoordinator&) = delete;  // tasks and timers hold its address

  /// Begins to read the log; requests get coordinator_load_in_progress until it is done.
  void start();
  /// Resumes when the log is read, or could not be, or at the deadline.
  engine::Task<void> wait_loaded(std::int64_t deadline_ns);
  /// Refuses new requests and waits for the writes under way.
  engine::Task<void> drain(std::int64_t deadline_ns);
  /// Answers all that wait with not_coordinator and ends every task and timer. Idempotent.
  engine::Task<void> stop();

  // As in GroupCoordinator, for groups of this partition.
  engine::Task<JoinGroupAnswer> join(JoinGroupCall call, Parked& parked);
  engine::Task<SyncGroupAnswer> sync(SyncGroupCall call, Parked& parked);
  ApiErrc heartbeat(const HeartbeatCall& call);
  engine::Task<LeaveGroupAnswer> leave(LeaveGroupCall call);
  engine::Task<CommitOffsetsAnswer> commit_offsets(CommitOffsetsCall call);
  engine::Task<FetchedOffsets> fetch_offsets(FetchOffsetsCall::Group call, bool require_stable);
  engine::Task<DeleteOffsetsAnswer> delete_offsets(DeleteOffsetsCall call);
  engine::Task<ConsumerHeartbeatAnswer> consumer_heartbeat(ConsumerHeartbeatCall call);
  DescribedConsumerGroup describe_consumer(const std::string& group_id) const;
  DescribedGroup describe(const std::string& group_id, bool unknown_is_error);
  /// Adds the groups that match; answers coordinator_load_in_progress or none.
  ApiErrc list(const ListGroupsCall& call, std::vector<ListedGroup>& groups) const;
  engine::Task<ApiErrc> delete_group(std::string group_id);
  /// Forgets the offsets of topics that are gone, in the background. Writes that fail are left to
  /// retention.
  void forget_topics(std::shared_ptr<const GoneTopics> gone);
  /// One look at the ages of all offsets; also runs by itself every check interval.
  engine::Task<void> expire_offsets();
  void count(GroupCounters& counters) const;

  /// A number for all that the log says of the groups here, whatever their order: two coordinators
  /// that have applied the same records have the same, on whatever broker and after whatever
  /// compaction. Members as they are in memory are not in it before they are written.
  std::uint64_t state_hash() const;
  /// Checks every group against its invariants; for tests.
  void check_invariants() const;

 private:
  struct Group;
  enum class Phase : std::uint8_t { loading, active, failed, stopping };

  // partition_coordinator.cc: life, groups, records
  ApiErrc refusal() const;  // why no request can be served now, or none
  engine::Task<void> load();
  engine::Task<void> expire_periodically();
  engine::Task<void> forget(std::shared_ptr<const GoneTopics> gone);
  void begin_serving();
  Group* find(const std::string& group_id) const;
  Group& find_or_make(const std::string& group_id);
  /// Drops the group where nothing is left of it: neither members, record nor offsets.
  void sweep(const std::string& group_id);
  bool is_visible(const Group& group) const;
  void apply(GroupRecord record);
  void apply_offset(OffsetRecord record);
  void apply_group(ClassicGroupRecord record);
  void apply_consumer(const GroupRecord& record);
  void write(std::vector<GroupRecord> records, GroupLog::Done done);
  /// The same, in as many batches as it takes: each is durable by itself, in order; the first
  /// refusal, or none.
  engine::Task<ApiErrc> write_in_pieces(std::vector<GroupRecord> records);
  engine::Task<ApiErrc> write_and_wait(std::vector<GroupRecord> records);
  void note_write(const std::vector<GroupRecord>& records, bool begins);
  void answer(RequestId request, JoinGroupAnswer answer);
  void answer(RequestId request, SyncGroupAnswer answer);
  void on_timer(const std::string& group_id, GroupTimer timer, const std::string& member_id);

  // partition_consumers.cc: the consumer protocol
  engine::Uuid topic_id(const std::string& topic) const;
  ConsumerScene scene(const std::string& group_id, const ClusterView& view) const;
  void doubt(Group& group);
  /// Makes sure of what the log holds of the group, where a write has failed. Has the turn.
  engine::Task<ApiErrc> clear_doubt(Group& group);
  /// Writes what a step says; the refusal, or none. Has the turn.
  engine::Task<ApiErrc> take(Group& group, ConsumerStep& step);
  engine::Task<ConsumerHeartbeatAnswer> leave_for_good(Group& group, ConsumerHeartbeatCall call);
  void tend(Group& group, const std::string& member_id, const ConsumerStep& step);
  void begin_consumers(Group& group);
  void restart_session(Group& group, const std::string& member_id);
  engine::Task<void> end_member(std::string group_id, GroupTimer timer, std::string member_id);

  // partition_classic_members.cc: the classic protocol in groups of the other
  engine::Task<ApiErrc> leave_consumer_protocol(Group& group);
  engine::Task<JoinGroupAnswer> join_consumer(Group& group, JoinGroupCall call);
  SyncGroupAnswer sync_consumer(Group& group, const SyncGroupCall& call);
  ApiErrc heartbeat_consumer(Group& group, const HeartbeatCall& call);
  void await_join(Group& group, const std::string& member_id);
  engine::Task<ApiErrc> leave_one(Group& group, LeaveGroupCall::Member member);
  std::optional<std::vector<GroupRecord>> upgrade(const Group& group,
                                                  const ClusterView& view) const;
  void finish_upgrade(Group& group);
  void finish_downgrade(Group& group, bool rebalance);
  /// Where `classic` may be, `step` makes it of the group.
  void turn_classic(Group& group, ConsumerStep& step, std::optional<ClassicGroupState> classic);
  engine::Task<ApiErrc> remove_member(Group& group, std::string member_id);

  // partition_offsets.cc: commit, fetch, deletion, age
  std::vector<GroupRecord> tombstones(const Group& group) const;
  engine::Task<ApiErrc> delete_dead(std::string group_id, std::vector<GroupRecord> records);
  bool is_of_topic(const StoredOffset& offset, const engine::Uuid& topic_id) const;
  FetchedOffsets::Partition fetch_one(const Group* group, const FetchOffsetsCall::Topic& topic,
                                      std::int32_t partition, bool require_stable) const;
  void fetch_all(const Group& group, bool require_stable, FetchedOffsets& answer) const;
  bool is_expired(const Group& group, const std::string& topic, const StoredOffset& offset,
                  std::int64_t now_ms) const;
  std::vector<GroupRecord> expired(const Group& group, std::int64_t now_ms) const;

  PartitionCoordinatorParts parts_;
  Phase phase_ = Phase::loading;
  bool stopped_ = false;
  std::unique_ptr<GroupLog> log_;
  std::unordered_map<std::string, std::unique_ptr<Group>> groups_;
  std::unordered_map<RequestId, Parked*> parked_;
  RequestId next_request_ = 1;
  engine::io::Event loaded_;
  engine::io::Event stopping_;
  engine::io::Gate gate_;

  std::uint64_t past_rebalances_ = 0;  // of groups that are gone
  std::uint64_t offset_commits_ = 0;
  std::uint64_t offset_expirations_ = 0;
};

}  // namespace keelson::offsets
