// tests/plugins/offsets/consumer_harness.h: one ConsumerGroup, the topics it sees, the records that
// it wrote; writes can fail. And clients that behave as KIP-848 asks.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "plugins/offsets/consumer_group.h"

namespace keelson::offsets::testing {

inline engine::Uuid topic_uuid(const std::string& name) {
  return engine::make_uuid(7, std::hash<std::string>{}(name) | 1);
}

class ConsumerHarness {
 public:
  ConsumerHarness() { set_topic("a", 4); }

  void set_topic(const std::string& name, std::size_t partitions) {
    auto next = std::make_shared<ClusterView>(*view);
    ++next->version;
    auto topic = std::make_shared<TopicView>();
    topic->name = name;
    topic->id = topic_uuid(name);
    topic->partitions.resize(partitions);
    for (PartitionView& partition : topic->partitions) partition.replicas = {1};
    next->topics_by_id[topic->id] = topic;
    next->topics[name] = std::move(topic);
    view = std::move(next);
  }
  void drop_topic(const std::string& name) {
    auto next = std::make_shared<ClusterView>(*view);
    ++next->version;
    next->topics_by_id.erase(topic_uuid(name));
    next->topics.erase(name);
    view = std::move(next);
  }

  ConsumerScene scene() const { return {*view, now_ms, times}; }

  /// As a coordinator would: nothing changes where the write fails.
  ConsumerHeartbeatAnswer take(ConsumerStep step) {
    if (std::exchange(fail_next_write, false) && !step.records.empty()) {
      ConsumerHeartbeatAnswer failed;
      failed.error = ApiErrc::coordinator_not_available;
      return failed;
    }
    EXPECT_TRUE(step.answer.error == ApiErrc::none || step.records.empty());
    for (const GroupRecord& record : step.records) {
      group->apply(record);
      log.push_back(record);
    }
    group->settle(step);
    group->check_invariants();
    return step.answer;
  }
  ConsumerHeartbeatAnswer heartbeat(const ConsumerHeartbeatCall& call) {
    if (std::optional<ApiError> wrong = ConsumerGroup::check(call, settings)) {
      ConsumerHeartbeatAnswer refused;
      refused.error = wrong->code;
      return refused;
    }
    return take(group->heartbeat(call, scene()));
  }
  void expire(const std::string& member) { take(group->remove(member, scene())); }

  /// Forgets everything but the log.
  void restart() {
    auto replayed = std::make_unique<ConsumerGroup>("g", settings);
    for (const GroupRecord& record : log) replayed->apply(record);
    EXPECT_TRUE(*replayed == *group);
    group = std::move(replayed);
    group->check_invariants();
  }

  std::shared_ptr<const ClusterView> view = std::make_shared<ClusterView>();
  std::int64_t now_ms = 1'000'000;
  ConsumerGroupTimes times{.assignment_interval_ms = 0};
  ConsumerGroupSettings settings;
  std::unique_ptr<ConsumerGroup> group = std::make_unique<ConsumerGroup>("g", settings);
  std::vector<GroupRecord> log;
  bool fail_next_write = false;
};

inline ConsumerHeartbeatCall consumer_join(std::string member_id,
                                           std::vector<std::string> topics = {"a"}) {
  ConsumerHeartbeatCall call;
  call.group_id = "g";
  call.member_id = std::move(member_id);
  call.rebalance_timeout_ms = 60'000;
  call.topics = std::move(topics);
  call.owned.emplace();
  call.client_id = "c";
  call.client_host = "/127.0.0.1";
  call.member_id_required = true;
  return call;
}

inline ConsumerHeartbeatCall keep_alive(const std::string& member_id, std::int32_t epoch) {
  ConsumerHeartbeatCall call;
  call.group_id = "g";
  call.member_id = member_id;
  call.member_epoch = epoch;
  call.client_id = "c";
  call.client_host = "/127.0.0.1";
  call.member_id_required = true;
  return call;
}

/// A consumer: takes what it is given, gives up what it is not given any longer.
struct TestClient {
  using Send = std::function<ConsumerHeartbeatAnswer(const ConsumerHeartbeatCall&)>;

  TestClient(Send to_group, std::string member_id)
      : send(std::move(to_group)), id(std::move(member_id)) {}
  TestClient(ConsumerHarness& of, std::string member_id)
      : TestClient([&of](const ConsumerHeartbeatCall& call) { return of.heartbeat(call); },
                   std::move(member_id)) {}

  using Owned = std::set<std::pair<engine::Uuid, std::int32_t>>;

  std::vector<TopicPartitions> reported() const {
    std::map<engine::Uuid, std::vector<std::int32_t>> by_topic;
    for (const auto& [topic, partition] : owned) by_topic[topic].push_back(partition);
    std::vector<TopicPartitions> list;
    for (auto& [topic, partitions] : by_topic) list.push_back({topic, std::move(partitions)});
    return list;
  }
  ConsumerHeartbeatCall call() const {
    if (epoch == 0) {
      ConsumerHeartbeatCall joins = consumer_join(id, topics);
      joins.group_instance_id = instance;
      if (!regex.empty()) joins.regex = regex;
      return joins;
    }
    ConsumerHeartbeatCall next = keep_alive(id, epoch);
    next.group_instance_id = instance;
    if (must_tell_all) {
      next.rebalance_timeout_ms = 60'000;
      next.topics = topics;
    }
    next.owned = reported();
    return next;
  }
  /// What the answer makes of it.
  void learn(const ConsumerHeartbeatAnswer& answer) {
    last_error = answer.error;
    switch (answer.error) {
      case ApiErrc::none: break;
      case ApiErrc::unknown_member_id:
      case ApiErrc::fenced_member_epoch:
        owned.clear();
        epoch = 0;
        return;
      default: must_tell_all = true; return;
    }
    must_tell_all = false;
    EXPECT_GE(answer.member_epoch, 1);
    EXPECT_GE(answer.member_epoch, epoch);
    epoch = answer.member_epoch;
    if (!answer.assignment) return;
    owned.clear();
    for (const TopicPartitions& topic : *answer.assignment) {
      for (const std::int32_t partition : topic.partitions)
        owned.insert({topic.topic_id, partition});
    }
  }
  ConsumerHeartbeatAnswer beat() {
    ConsumerHeartbeatAnswer answer = send(call());
    learn(answer);
    return answer;
  }
  /// The coordinator does its part, the answer is lost.
  void beat_unheard() {
    send(call());
    must_tell_all = true;
  }
  ApiErrc leave(std::int32_t how = kLeaveEpoch) {
    ConsumerHeartbeatCall leaving = keep_alive(id, how);
    leaving.group_instance_id = instance;
    owned.clear();
    epoch = 0;
    return send(leaving).error;
  }

  Send send;
  std::string id;
  std::optional<std::string> instance;
  std::vector<std::string> topics = {"a"};
  std::string regex;
  std::int32_t epoch = 0;
  bool must_tell_all = true;
  Owned owned;
  ApiErrc last_error = ApiErrc::none;
};

}  // namespace keelson::offsets::testing
