// tests/plugins/offsets/consumer_history_test.cc: seeded random histories of one consumer group.
//
// Clients join, fall silent, lose answers, are fenced; writes fail, the coordinator restarts,
// topics grow and go. After every step: no partition is with two clients; the group's own
// invariants hold; epochs never fall; what a replay would find is what is there. In the end all
// have a share.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>

#include "tests/plugins/offsets/consumer_harness.h"

namespace keelson::offsets {
namespace {

using testing::ConsumerHarness;
using testing::TestClient;

struct History {
  explicit History(std::uint64_t seed) : random(seed) {
    host.times.assignment_interval_ms = pick(2) == 0 ? 0 : 1'000;
  }
  std::uint64_t pick(std::uint64_t bound) { return random() % bound; }

  void join() {
    if (clients.size() >= 6) return;
    TestClient& client = clients.emplace_back(host, "m" + std::to_string(++ids));
    if (pick(4) == 0) client.instance = "i" + std::to_string(pick(3));
    if (pick(3) == 0) client.topics = {"a", "b"};
    if (pick(4) == 0) {
      client.topics = {};
      client.regex = pick(2) == 0 ? "[ab]" : ".*";
    }
    beat(clients.size() - 1);
  }
  void beat(std::size_t index) {
    TestClient& client = clients[index];
    host.fail_next_write = pick(8) == 0;
    if (pick(10) == 0) {
      client.beat_unheard();
    } else {
      client.beat();
    }
    host.fail_next_write = false;
    if (gives_up(client)) drop(index);
  }
  /// Nobody takes an instance's place while it is held.
  static bool gives_up(const TestClient& client) {
    return client.last_error == ApiErrc::unreleased_instance_id ||
           client.last_error == ApiErrc::fenced_instance_id;
  }
  void drop(std::size_t index) {
    clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(index));
  }
  /// The session of a client that died, or that only seemed to: it stops before that.
  void expire() {
    if (clients.empty()) return;
    const std::size_t index = pick(clients.size());
    const std::string id = clients[index].id;
    drop(index);
    host.expire(id);
  }
  void leave() {
    if (clients.empty()) return;
    const std::size_t index = pick(clients.size());
    clients[index].leave(clients[index].instance && pick(2) == 0 ? kLeaveStaticEpoch : kLeaveEpoch);
    drop(index);
  }
  void change_topics() {
    const std::string name(1, static_cast<char>('a' + pick(3)));
    const TopicView* const topic = host.view->find(name);
    if (topic == nullptr) {
      host.set_topic(name, 1 + pick(5));
    } else if (pick(3) == 0) {
      host.drop_topic(name);
    } else {
      host.set_topic(name, topic->partitions.size() + 1);
    }
  }
  void step() {
    host.now_ms += static_cast<std::int64_t>(pick(3'000));
    switch (pick(16)) {
      case 0:
      case 1: join(); break;
      case 2: leave(); break;
      case 3:
        if (pick(2) == 0) expire();
        break;
      case 4:
        if (pick(3) == 0) change_topics();
        break;
      case 5: host.restart(); break;
      default:
        if (!clients.empty()) beat(pick(clients.size()));
    }
  }
  void check() {
    std::set<std::pair<engine::Uuid, std::int32_t>> held;
    for (const TestClient& client : clients) {
      for (const auto& partition : client.owned) {
        EXPECT_TRUE(held.insert(partition).second) << "two owners";
      }
    }
    EXPECT_GE(host.group->epoch(), last_epoch);
    EXPECT_GE(host.group->assignment_epoch(), last_assignment_epoch);
    last_epoch = host.group->epoch();
    last_assignment_epoch = host.group->assignment_epoch();
  }
  /// Quiet clients and good writes: everything that is subscribed to has one owner.
  void settle() {
    std::vector<std::string> strangers;
    for (const auto& [id, member] : host.group->members()) {
      const bool alive = std::any_of(clients.begin(), clients.end(),
                                     [&](const TestClient& client) { return client.id == id; });
      if (!alive) strangers.push_back(id);
    }
    for (const std::string& id : strangers) host.expire(id);
    for (int round = 0; round < 12; ++round) {
      host.now_ms += ConsumerGroup::kRegexPauseMs;
      for (TestClient& client : clients) client.beat();
      std::erase_if(clients, gives_up);
      check();
    }
  }

  std::mt19937_64 random;
  ConsumerHarness host;
  std::deque<TestClient> clients;
  int ids = 0;
  std::int32_t last_epoch = 0;
  std::int32_t last_assignment_epoch = 0;
};

TEST(ConsumerHistory, NoPartitionEverHasTwoOwnersAndAllSettle) {
  std::size_t settled_owners = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    History history(seed);
    for (int i = 0; i < 250; ++i) {
      history.step();
      history.check();
      if (::testing::Test::HasFailure()) return;
    }
    history.settle();
    std::size_t owned = 0;
    std::set<std::string> wanted;
    for (const TestClient& client : history.clients) {
      EXPECT_EQ(client.last_error, ApiErrc::none);
      EXPECT_EQ(client.epoch, history.host.group->epoch());
      owned += client.owned.size();
    }
    for (const auto& [name, topic] : history.host.view->topics) {
      if (history.host.group->is_subscribed_to(name)) wanted.insert(name);
    }
    std::size_t partitions = 0;
    for (const std::string& name : wanted) {
      partitions += history.host.view->find(name)->partitions.size();
    }
    EXPECT_EQ(owned, partitions);
    settled_owners += owned;
    const ConsumerState state = history.host.group->state();
    EXPECT_EQ(state, history.clients.empty() ? ConsumerState::empty : ConsumerState::stable);
    history.host.restart();
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(settled_owners, 300u);  // the histories were not empty ones
}

}  // namespace
}  // namespace keelson::offsets
