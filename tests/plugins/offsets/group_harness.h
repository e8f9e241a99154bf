// tests/plugins/offsets/group_harness.h: a host for one ClassicGroup that keeps everything in view:
// answers, timers and writes that the test lets pass or fail.
#pragma once

#include <cassert>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plugins/offsets/classic_group.h"

namespace keelson::offsets::testing {

class GroupHarness final : public GroupHost {
 public:
  explicit GroupHarness(ClassicGroupLimits limits = {}) : limits(limits) {}

  void answer(RequestId request, JoinGroupAnswer answer) override {
    assert(!joins.contains(request));  // answered at most once
    joins.emplace(request, std::move(answer));
  }
  void answer(RequestId request, SyncGroupAnswer answer) override {
    assert(!syncs.contains(request));
    syncs.emplace(request, std::move(answer));
  }
  void arm(GroupTimer timer, const std::string& member_id, std::int64_t delay_ms) override {
    assert(delay_ms >= 0);
    timers[{timer, member_id}] = now_ms + delay_ms;
  }
  void disarm(GroupTimer timer, const std::string& member_id) override {
    timers.erase({timer, member_id});
  }
  void persist(ClassicGroupState state, std::move_only_function<void(ApiErrc)> done) override {
    writes.push_back({std::move(state), std::move(done)});
  }
  std::string new_uuid() override { return "uuid" + std::to_string(++uuids); }
  std::int64_t wall_ms() override { return now_ms; }

  /// Ends the oldest write.
  void finish_write(ApiErrc error = ApiErrc::none) {
    auto write = std::move(writes.front());
    writes.pop_front();
    if (error == ApiErrc::none) durable = write.first;
    write.second(error);
  }
  void finish_writes() {
    while (!writes.empty()) finish_write();
  }
  /// Lets `milliseconds` pass; timers run in order.
  void pass(std::int64_t milliseconds) {
    const std::int64_t end_ms = now_ms + milliseconds;
    while (true) {
      auto first = timers.end();
      for (auto timer = timers.begin(); timer != timers.end(); ++timer) {
        if (timer->second > end_ms) continue;
        if (first == timers.end() || timer->second < first->second) first = timer;
      }
      if (first == timers.end()) break;
      now_ms = first->second;
      const auto [kind, member] = first->first;
      timers.erase(first);
      group.on_timer(kind, member);
    }
    now_ms = end_ms;
  }

  RequestId join(JoinGroupCall call) {
    const RequestId request = ++requests;
    group.join(request, call);
    return request;
  }
  RequestId sync(const std::string& member, std::int32_t generation,
                 std::vector<SyncGroupCall::Assignment> assignments = {}) {
    SyncGroupCall call{.group_id = "g", .generation = generation, .member_id = member};
    call.assignments = std::move(assignments);
    const RequestId request = ++requests;
    group.sync(request, call);
    return request;
  }
  ApiErrc heartbeat(const std::string& member, std::int32_t generation) {
    return group.heartbeat({.group_id = "g", .generation = generation, .member_id = member});
  }

  const ClassicGroupLimits limits;
  std::int64_t now_ms = 1'000'000;
  std::map<RequestId, JoinGroupAnswer> joins;
  std::map<RequestId, SyncGroupAnswer> syncs;
  std::map<std::pair<GroupTimer, std::string>, std::int64_t> timers;
  std::deque<std::pair<ClassicGroupState, std::move_only_function<void(ApiErrc)>>> writes;
  std::optional<ClassicGroupState> durable;
  int uuids = 0;
  RequestId requests = 0;
  ClassicGroup group{"g", *this, limits};
};

inline JoinGroupCall join_call(std::string member_id = {},
                               std::vector<std::string> protocols = {"range"}) {
  JoinGroupCall call;
  call.group_id = "g";
  call.member_id = std::move(member_id);
  call.client_id = "c";
  call.client_host = "/127.0.0.1";
  call.session_timeout_ms = 10'000;
  call.rebalance_timeout_ms = 60'000;
  call.protocol_type = "consumer";
  for (std::string& name : protocols) call.protocols.push_back({std::move(name), {}});
  return call;
}

inline JoinGroupCall static_call(std::string instance, std::string member_id = {}) {
  JoinGroupCall call = join_call(std::move(member_id));
  call.group_instance_id = std::move(instance);
  return call;
}

}  // namespace keelson::offsets::testing
