// plugins/offsets/group_log.h: the log of one partition of the internal topic, as its coordinator
// writes and reads it.
//
// One append is under way at a time; what comes meanwhile goes into the next one together, so that
// load makes batches larger instead of waits longer. Records are applied in log order, when
// durable. An append whose outcome is unknown may turn up later: offsets tell. Whatever lies
// between what was applied and a new append is read back first.
//
// Every append names the leader epoch under which the log was read, and its batch keeps it: when
// the partition has had another leader since, it is refused, and this coordinator's time is over.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "engine/io/shard.h"
#include "engine/io/sync.h"
#include "engine/task.h"
#include "plugins/offsets/group_records.h"
#include "plugins/offsets/record_replay.h"
#include "plugins/registry/replicator.h"

namespace keelson::offsets {

struct GroupLogParts {
  engine::io::Shard& shard;  // the owner; every call comes on it
  Replicator& replicator;
  PartitionKey key;
  std::size_t batch_bytes_max = 1'000'000;  // below max.message.bytes of the internal topic
  std::int32_t read_bytes_max = 5 * 1024 * 1024;
  std::int32_t timeout_ms = 5'000;
};

/// What a client is told where the group's records could not be written (source: Kafka 4.3.1,
/// CoordinatorOperationExceptionHelper).
ApiErrc write_refusal(ApiErrc produce_error);

class GroupLog {
 public:
  /// `applied` is told of every record of the log, in its order, once: loaded ones and own ones.
  GroupLog(GroupLogParts parts, RecordReplay::Apply applied);
  GroupLog(const GroupLog&) = delete;  // the writer task holds its address

  /// Reads the log from its start to the high watermark. Errors: kafka_storage_error and the like:
  /// try again, with a new GroupLog. corrupt_message: a record that cannot be understood.
  [[nodiscard]] engine::Task<ApiResult<void>> load();

  using Done = std::move_only_function<void(ApiErrc)>;
  /// Queues records that become durable together or not at all; without any it is a barrier. `done`
  /// is called once, later, never from within: with `none` after the records were applied, else
  /// with the refusal for clients. Success is in the order of the calls.
  void write(std::vector<GroupRecord> records, Done done);

  /// An offset of this partition waits for the end of a transaction.
  const RecordReplay& replay() const { return replay_; }
  bool idle() const { return queue_.empty() && !writing_; }
  /// Awaitable: resumes when nothing is queued, or false at `deadline_ns`.
  engine::Task<bool> wait_idle(std::int64_t deadline_ns);

  /// Ends the writer: what is queued is refused with not_coordinator, what is under way is awaited.
  engine::Task<void> stop();

  std::uint64_t appends() const { return appends_; }
  std::uint64_t failed_appends() const { return failed_appends_; }

 private:
  struct Write {
    std::vector<GroupRecord> records;
    std::vector<EncodedRecord> encoded;
    std::size_t size_bytes = 0;
    ApiErrc refusal = ApiErrc::none;  // known before it is tried
    Done done;
  };

  engine::Task<void> drain_queue();
  std::vector<Write> take_batch();
  engine::Task<ApiErrc> append(const std::vector<Write>& batch);
  engine::Task<ApiErrc> read_up_to(engine::Offset end);
  engine::Task<ApiResult<engine::Offset>> read_some(engine::Offset until, std::int32_t bytes_max);
  void finish(std::vector<Write>& batch, ApiErrc error);

  GroupLogParts parts_;
  RecordReplay::Apply applied_;
  RecordReplay replay_;
  engine::LeaderEpoch epoch_ = engine::kNoLeaderEpoch;  // of the partition when it was read
  std::deque<Write> queue_;
  bool writing_ = false;
  bool stopping_ = false;
  bool doubtful_ = false;  // an append failed and may yet be in the log
  engine::io::Event idle_;
  std::uint64_t appends_ = 0;
  std::uint64_t failed_appends_ = 0;
};

}  // namespace keelson::offsets
