#include "tests/sim/support/sim_member.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/logger.h"
#include "plugins/kafka/messages/find_coordinator.h"
#include "plugins/kafka/messages/heartbeat.h"
#include "plugins/kafka/messages/join_group.h"
#include "plugins/kafka/messages/leave_group.h"
#include "plugins/kafka/messages/offset_commit.h"
#include "plugins/kafka/messages/offset_fetch.h"
#include "plugins/kafka/messages/sync_group.h"
#include "plugins/registry/replicator.h"
#include "tests/sim/support/sim_consumer.h"

namespace keelson::test {

using engine::concat;
using engine::Task;
using namespace kafka::messages;  // every message of the classic protocol

namespace {

constexpr const char* kProtocol = "sim";

engine::Bytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

/// Kafka's ConsumerProtocolSubscription, version 0.
std::string subscription(const std::string& topic) {
  std::string out("\0\0\0\0\0\1", 6);
  out += static_cast<char>(topic.size() >> 8);
  out += static_cast<char>(topic.size());
  out += topic;
  out += "\xff\xff\xff\xff";
  return out;
}

std::vector<std::int32_t> read_assignment(engine::Bytes bytes) {
  std::vector<std::int32_t> partitions;
  for (const std::byte byte : bytes) partitions.push_back(static_cast<std::int32_t>(byte));
  return partitions;
}

OffsetFetchRequest offset_request(const std::string& group, const SimTopic& topic) {
  OffsetFetchRequest request;
  auto& asked = request.groups.emplace_back();
  asked.group_id = group;
  auto& one = asked.topics->emplace_back();
  one.name = topic.name;
  for (std::int32_t i = 0; i < topic.partitions; ++i) one.partition_indexes.push_back(i);
  return request;
}

constexpr std::int16_t kOffsetFetchVersion = 9;

std::map<std::int32_t, std::int64_t> floors_of(Workload& load, const std::string& group,
                                               const SimTopic& topic) {
  std::map<std::int32_t, std::int64_t> floors;
  for (std::int32_t i = 0; i < topic.partitions; ++i) {
    floors[i] = load.history.committed_floor(group, topic.partition(i));
  }
  return floors;
}

/// The offsets an answer holds; nothing where it is an error.
std::optional<std::map<std::int32_t, std::int64_t>> take_commits(
    Workload& load, const std::string& group, const SimTopic& topic,
    const std::map<std::int32_t, std::int64_t>& floors, const OffsetFetchResponse& answer) {
  const auto& found = answer.groups.at(0);
  if (found.error_code != 0) {
    if (!is_transient(found.error_code) && !topic.deleting) {
      load.history.violation(concat("OffsetFetch of ", group, " answers ", found.error_code));
    }
    return std::nullopt;
  }
  std::map<std::int32_t, std::int64_t> offsets;
  if (topic.deleting) return offsets;
  for (const auto& one : found.topics.at(0).partitions) {
    if (one.error_code != 0) {
      if (!is_transient(one.error_code)) {
        load.history.violation(concat("OffsetFetch of ", group, " answers ", one.error_code));
      }
      return std::nullopt;
    }
    load.history.fetched_commit(group, topic.partition(one.partition_index),
                                floors.at(one.partition_index), one.committed_offset);
    offsets[one.partition_index] = one.committed_offset;
  }
  return offsets;
}

/// As clients do first; it also makes the topic of the offsets.
Task<bool> find_coordinator(Workload& load, SimClient& client, std::string group) {
  FindCoordinatorRequest request;
  request.coordinator_keys.push_back(group);
  const auto answer = co_await client.call<FindCoordinatorResponse>(request, 4);
  if (!answer) co_return false;
  const std::int16_t error = answer->coordinators.at(0).error_code;
  if (error != 0 && !is_transient(error)) {
    load.history.violation(concat("FindCoordinator of ", group, " answers ", error));
  }
  co_return error == 0;
}

}  // namespace

Task<bool> check_commits(Workload& load, std::string group, Topic topic) {
  SimClient client(load.shard, load.broker, "commit-checker");
  const bool found = co_await find_coordinator(load, client, group);
  if (!found) co_return false;
  const auto floors = floors_of(load, group, *topic);
  const OffsetFetchRequest request = offset_request(group, *topic);
  const auto answer = co_await client.call<OffsetFetchResponse>(request, kOffsetFetchVersion);
  client.disconnect();
  co_return answer&& take_commits(load, group, *topic, floors, *answer).has_value();
}

SimMember::SimMember(Workload& load, std::string group, std::string name, Topic topic,
                     MemberOptions options)
    : load_(load),
      group_(std::move(group)),
      topic_(std::move(topic)),
      options_(options),
      client_(load.shard, load.broker, std::move(name)) {}

bool SimMember::stays(std::int16_t error, const char* what) {
  if (error == 0) return true;
  if (error == code(ApiErrc::unknown_member_id) || error == code(ApiErrc::fenced_instance_id)) {
    member_id_.clear();
  } else if (!is_transient(error) && error != code(ApiErrc::rebalance_in_progress) &&
             error != code(ApiErrc::illegal_generation) && !topic_->deleting) {
    load_.history.violation(concat(what, " of ", group_, " answers ", error));
  }
  return false;
}

Task<bool> SimMember::join() {
  const std::string metadata = subscription(topic_->name);
  for (int attempt = 0; attempt < 2; ++attempt) {
    JoinGroupRequest request;
    request.group_id = group_;
    request.session_timeout_ms = options_.session_timeout_ms;
    request.rebalance_timeout_ms = options_.rebalance_timeout_ms;
    request.member_id = member_id_;
    request.protocol_type = "consumer";
    auto& protocol = request.protocols.emplace_back();
    protocol.name = kProtocol;
    protocol.metadata = bytes_of(metadata);
    const auto answer = co_await client_.call<JoinGroupResponse>(
        request, 9, options_.rebalance_timeout_ms + 10'000);
    if (!answer) co_return false;
    if (answer->error_code == code(ApiErrc::member_id_required)) {
      member_id_ = answer->member_id;
      continue;
    }
    if (!stays(answer->error_code, "JoinGroup")) co_return false;
    member_id_ = answer->member_id;
    generation_ = answer->generation_id;
    std::vector<std::string> all;
    for (const auto& member : answer->members) all.push_back(member.member_id);
    co_return co_await sync(answer->leader, answer->protocol_name.value_or(""), std::move(all));
  }
  co_return false;
}

Task<bool> SimMember::sync(std::string leader, std::string protocol, std::vector<std::string> all) {
  SyncGroupRequest request;
  request.group_id = group_;
  request.generation_id = generation_;
  request.member_id = member_id_;
  request.protocol_type = "consumer";
  request.protocol_name = protocol;
  std::vector<std::string> assignments(all.size());
  if (leader == member_id_) {
    for (std::int32_t i = 0; i < topic_->partitions; ++i) {
      assignments[static_cast<std::size_t>(i) % all.size()] += static_cast<char>(i);
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
      auto& one = request.assignments.emplace_back();
      one.member_id = all[i];
      one.assignment = bytes_of(assignments[i]);
    }
  }
  const auto answer =
      co_await client_.call<SyncGroupResponse>(request, 5, options_.rebalance_timeout_ms + 10'000);
  if (!answer || !stays(answer->error_code, "SyncGroup")) co_return false;
  positions_.clear();
  committed_.clear();
  for (const std::int32_t partition : read_assignment(answer->assignment)) {
    positions_[partition] = -1;
  }
  co_return true;
}

Task<bool> SimMember::fetch_commits() {
  const auto floors = floors_of(load_, group_, *topic_);
  const OffsetFetchRequest request = offset_request(group_, *topic_);
  const auto answer = co_await client_.call<OffsetFetchResponse>(request, kOffsetFetchVersion);
  if (!answer) co_return false;
  const auto offsets = take_commits(load_, group_, *topic_, floors, *answer);
  if (!offsets) co_return false;
  for (auto& [partition, position] : positions_) {
    const auto found = offsets->find(partition);
    if (found != offsets->end()) position = found->second;
    committed_[partition] = position;
    if (position >= 0) continue;
    const auto start = co_await list_offset(load_, client_, topic_, partition, kEarliestTime);
    if (!start) co_return false;
    position = *start;
  }
  co_return true;
}

Task<bool> SimMember::read_some() {
  FetchRequest request;
  request.max_wait_ms = 50;
  request.min_bytes = 1;
  request.max_bytes = 1 << 20;
  auto& fetched = request.topics.emplace_back();
  fetched.topic_id = topic_->id;
  std::map<std::int32_t, History::Floors> before;
  for (const auto& [partition, position] : positions_) {
    before[partition] = load_.history.floors(topic_->partition(partition));
    auto& one = fetched.partitions.emplace_back();
    one.partition = partition;
    one.fetch_offset = position;
    one.partition_max_bytes = 2'000;
  }
  const auto answer = co_await client_.call<FetchResponse>(request, 17);
  if (!answer) co_return false;
  const std::uint64_t losses = load_.losses;
  for (const auto& topic : answer->responses) {
    for (const auto& data : topic.partitions) {
      if (topic_->relaxed && losses != load_.losses) co_return true;
      const PartitionName name = topic_->partition(data.partition_index);
      std::int64_t& position = positions_.at(data.partition_index);
      if (data.error_code == code(ApiErrc::offset_out_of_range)) {
        const auto place =
            co_await find_place(load_, client_, topic_, data.partition_index, position);
        if (place && *place < position) load_.history.forget_commits(name);
        if (place) position = *place;
      } else if (data.error_code == 0) {
        load_.history.told(name, before.at(data.partition_index), data.high_watermark,
                           data.log_start_offset);
        if (data.records) position = read_fetched(load_.history, name, position, *data.records);
      }
    }
  }
  co_return true;
}

Task<bool> SimMember::commit() {
  OffsetCommitRequest request;
  request.group_id = group_;
  request.generation_id_or_member_epoch = generation_;
  request.member_id = member_id_;
  auto& topic = request.topics.emplace_back();
  topic.name = topic_->name;
  const std::map<std::int32_t, std::int64_t> positions = positions_;
  for (const auto& [partition, position] : positions) {
    if (position < 0 || position == committed_[partition]) continue;
    auto& one = topic.partitions.emplace_back();
    one.partition_index = partition;
    one.committed_offset = position;
    one.committed_metadata = "";
    load_.history.committing(group_, topic_->partition(partition), position);
  }
  if (topic.partitions.empty()) co_return true;
  const auto answer = co_await client_.call<OffsetCommitResponse>(request, 9);
  if (!answer) co_return false;
  bool stay = true;
  for (const auto& one : answer->topics.at(0).partitions) {
    if (one.error_code == code(ApiErrc::unknown_topic_or_partition)) {
      if (!topic_->deleting) load_.history.violation("OffsetCommit knows the topic no more");
      co_return false;
    }
    if (!stays(one.error_code, "OffsetCommit")) {
      stay = false;
      continue;
    }
    const std::int64_t offset = positions.at(one.partition_index);
    committed_[one.partition_index] = offset;
    if (!topic_->deleting) {
      load_.history.committed(group_, topic_->partition(one.partition_index), offset);
    }
  }
  co_return stay;
}

Task<bool> SimMember::heartbeat() {
  HeartbeatRequest request;
  request.group_id = group_;
  request.generation_id = generation_;
  request.member_id = member_id_;
  const auto answer = co_await client_.call<HeartbeatResponse>(request, 4);
  co_return answer&& stays(answer->error_code, "Heartbeat");
}

Task<void> SimMember::leave() {
  LeaveGroupRequest request;
  request.group_id = group_;
  auto& member = request.members.emplace_back();
  member.member_id = member_id_;
  (void)co_await client_.call<LeaveGroupResponse>(request, 5);
  member_id_.clear();
}

Task<void> SimMember::run() {
  while (!load_.stopping && !topic_->deleting) {
    bool in = co_await find_coordinator(load_, client_, group_);
    if (in) in = co_await join();
    if (in) in = co_await fetch_commits();
    std::int64_t next_commit_ns = load_.shard.clock().now_ns();
    while (in && !load_.stopping && !topic_->deleting) {
      if (!positions_.empty()) in = co_await read_some();
      if (in && load_.shard.clock().now_ns() >= next_commit_ns) {
        next_commit_ns = load_.shard.clock().now_ns() + options_.commit_every_ms * 1'000'000;
        in = co_await commit();
      }
      if (in) in = co_await heartbeat();
      if (in) co_await load_.pause(5, 60);
    }
    if (in && load_.rng.coin()) co_await leave();
    co_await load_.pause(20, 100);
  }
  client_.disconnect();
}

}  // namespace keelson::test
