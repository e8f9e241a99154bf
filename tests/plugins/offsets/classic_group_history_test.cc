// tests/plugins/offsets/classic_group_history_test.cc: seeded random histories of one group.
//
// After each step: the group's own invariants hold, generations never fall, whoever waits or is a
// member has a timer that will end it. At the end, with the clients silent, everything empties.
#include <gtest/gtest.h>

#include <random>

#include "tests/plugins/offsets/group_harness.h"

namespace keelson::offsets {
namespace {

using testing::GroupHarness;
using testing::join_call;
using testing::static_call;

struct History {
  explicit History(std::uint64_t seed) : random(seed) {}

  std::uint64_t pick(std::uint64_t bound) { return random() % bound; }
  std::string some_id() {
    if (ids.empty() || pick(10) == 0) return pick(2) == 0 ? "" : "stranger";
    return ids[pick(ids.size())];
  }
  std::int32_t some_generation() { return host.group.generation() - (pick(8) == 0 ? 1 : 0); }

  void join() {
    JoinGroupCall call = pick(3) == 0 ? static_call("i" + std::to_string(pick(3))) : join_call();
    if (pick(2) == 0) call.member_id = some_id();
    call.member_id_required = pick(2) == 0;
    call.skip_assignment_known = pick(2) == 0;
    if (pick(3) == 0) call.protocols.push_back({"sticky", {std::byte(pick(3))}});
    if (pick(9) == 0) call.protocols.erase(call.protocols.begin());
    if (pick(4) == 0) call.rebalance_timeout_ms = 20'000;
    const RequestId request = host.join(call);
    waiting_joins.insert(request);
  }
  void sync() {
    const std::string id = some_id();
    std::vector<SyncGroupCall::Assignment> parts;
    for (const std::string& member : ids) parts.push_back({member, {std::byte{1}}});
    waiting_syncs.insert(host.sync(id, some_generation(), parts));
  }
  void step() {
    switch (pick(8)) {
      case 0:
      case 1: join(); break;
      case 2:
      case 3: sync(); break;
      case 4: host.heartbeat(some_id(), some_generation()); break;
      case 5: host.pass(static_cast<std::int64_t>(pick(4'000))); break;
      case 6:
        if (pick(3) == 0) host.group.leave({"g", {{some_id(), {}, {}}}});
        if (pick(20) == 0) host.pass(60'000);
        break;
      case 7:
        if (host.writes.empty()) break;
        host.finish_write(pick(5) == 0 ? ApiErrc::coordinator_not_available : ApiErrc::none);
        break;
    }
    collect();
  }
  void collect() {
    std::erase_if(waiting_joins, [&](RequestId request) {
      const auto answered = host.joins.find(request);
      if (answered == host.joins.end()) return false;
      const std::string& id = answered->second.member_id;
      const ApiErrc error = answered->second.error;
      if ((error == ApiErrc::none || error == ApiErrc::member_id_required) && !id.empty()) {
        EXPECT_GE(answered->second.generation, error == ApiErrc::none ? 1 : -1);
        ids.push_back(id);
        if (ids.size() > 6) ids.erase(ids.begin());
      }
      return true;
    });
    std::erase_if(waiting_syncs, [&](RequestId r) { return host.syncs.contains(r); });
  }
  void check() {
    host.group.check_invariants();
    EXPECT_GE(host.group.generation(), last_generation);
    last_generation = host.group.generation();
    // No lost wake-up: whoever waits is known to the group, and something will end the wait.
    EXPECT_EQ(waiting_joins.size(), host.group.parked_joins());
    EXPECT_EQ(waiting_syncs.size(), host.group.parked_syncs());
    const ClassicState state = host.group.state();
    const bool join_timer = host.timers.contains({GroupTimer::join, ""});
    EXPECT_EQ(join_timer, state == ClassicState::preparing_rebalance);
    if (state == ClassicState::completing_rebalance && host.writes.empty()) {
      EXPECT_TRUE(host.timers.contains({GroupTimer::sync, ""}));
    }
    EXPECT_LE(host.timers.size(),
              host.group.member_count() + host.group.pending_member_count() + 2);
  }

  std::mt19937_64 random;
  GroupHarness host;
  std::vector<std::string> ids;
  std::set<RequestId> waiting_joins;
  std::set<RequestId> waiting_syncs;
  std::int32_t last_generation = 0;
};

TEST(ClassicGroupHistory, KeepsItsInvariantsAndEmptiesWhenClientsFallSilent) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    History history(seed);
    for (int i = 0; i < 200; ++i) {
      history.step();
      history.check();
      if (::testing::Test::HasFailure()) return;
    }
    for (int i = 0; i < 40; ++i) {
      history.host.finish_writes();
      history.host.pass(60'000);
    }
    history.host.finish_writes();
    history.collect();
    EXPECT_EQ(history.host.group.state(), ClassicState::empty);
    EXPECT_EQ(history.host.group.pending_member_count(), 0u);
    EXPECT_TRUE(history.waiting_joins.empty());
    EXPECT_TRUE(history.waiting_syncs.empty());
    EXPECT_TRUE(history.host.timers.empty());
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace keelson::offsets
