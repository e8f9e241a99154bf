// Random operations on a coordinator over the real log, with power cuts, against a model.
//
//   offsets_model_test                    100,000 operations: 4 seeds of 25,000
//   offsets_model_test --seed N [--ops M] one seed
//
// Operations come one at a time, so the model knows the answer to each. Where the power goes during
// one, each group is as it was before or as it is after; an answered one is never taken back.
#include "tests/plugins/offsets/group_model.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/plugins/offsets/coordinator_machine.h"

namespace keelson::offsets::testing {
namespace {

using engine::Task;

constexpr std::int64_t kDayMs = 24LL * 3'600 * 1'000;
constexpr std::int32_t kSessionMs = 1'800'000;
constexpr int kGroups = 12;
constexpr int kMembersMax = 4;

template <class T>
Task<void> keep(Task<T> task, std::shared_ptr<std::optional<T>> slot) {
  slot->emplace(co_await task);
}

MemberBytes bytes_of(const std::string& text) {
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

class Run {
 public:
  Run(std::uint64_t seed, std::size_t ops)
      : seed_(seed), ops_(ops), random_(seed), machine_(seed) {}

  void go() {
    struct Kind {
      const char* name;
      std::uint64_t weight;
      void (Run::*op)();
    };
    static constexpr Kind kKinds[] = {
        {"commit", 40, &Run::commit},
        {"member commit", 20, &Run::member_commit},
        {"fetch", 12, &Run::look_at_one},
        {"join", 8, &Run::join},
        {"leave", 6, &Run::leave},
        {"delete offsets", 4, &Run::delete_offsets},
        {"delete group", 3, &Run::delete_group},
        {"expire", 3, &Run::expire},
        {"forget topic", 1, &Run::forget_topic},
        {"heartbeat", 6, &Run::heartbeats},
        {"time", 3, &Run::pass_time},
        {"days", 1, &Run::pass_days},
    };
    std::uint64_t total = 0;
    for (const Kind& kind : kKinds) total += kind.weight;
    for (op_ = 0; op_ < ops_; ++op_) {
      std::uint64_t ticket = pick(total);
      const Kind* kind = kKinds;
      while (ticket >= kind->weight) ticket -= (kind++)->weight;
      // A power cut some time within this operation, or behind it where it is short. Their lengths
      // differ by orders of magnitude, from a tenth of a microsecond on.
      const std::uint64_t magnitude_ns = std::uint64_t{100} << pick(14);
      cut_after_ns_.reset();
      if (pick(50) == 0) cut_after_ns_ = static_cast<std::int64_t>(pick(magnitude_ns));
      doing_ = kind->name;
      ++counts[kind->name];
      (this->*kind->op)();
      machine_.coordinator().check_invariants();
      compare_all();
      if (pick(600) == 0) {
        doing_ = "clean restart";
        ++counts["restart"];
        const std::uint64_t hash = machine_.coordinator().state_hash();
        machine_.restart();
        compare_all();
        expect(machine_.coordinator().state_hash() == hash, "the log says something else");
      }
    }
    machine_.restart();
    compare_all();
  }

  std::map<std::string, std::uint64_t> counts;

 private:
  std::uint64_t pick(std::uint64_t bound) { return random_() % bound; }
  std::string some_group() { return "g" + std::to_string(pick(kGroups)); }
  std::string some_topic() {
    return CoordinatorMachine::topic_name(pick(CoordinatorMachine::kTopics));
  }

  [[noreturn]] void fail(const std::string& what) const {
    std::fprintf(stderr, "seed %llu, operation %zu (%s): %s\n",
                 static_cast<unsigned long long>(seed_), op_, doing_, what.c_str());
    std::fflush(stderr);
    std::_Exit(1);  // tasks are under way: nothing here can be taken down
  }
  void expect(bool condition, const std::string& what) const {
    if (!condition) fail(what);
  }

  // Doing -----------------------------------------------------------------------------------------

  /// Runs `task`, which makes of the model what `change` does. True where it was answered, with the
  /// answer in `answer`; else the power went, and the machine runs again.
  template <class T>
  bool perform(Task<T> task, std::optional<T>& answer, const std::function<void()>& change) {
    auto slot = std::make_shared<std::optional<T>>();
    machine_.shard().spawn(keep(std::move(task), slot));
    const std::int64_t limit_ns = cut_after_ns_.value_or(60 * test::kSecond);
    machine_.world.run_until([&] { return slot->has_value(); }, machine_.world.now_ns() + limit_ns);
    const GroupModel before = model_;
    if (slot->has_value()) {
      answer = std::move(*slot);
      change();
      if (!cut_after_ns_) machine_.settle();
      if (cut_after_ns_) crash(model_);
      return true;
    }
    expect(cut_after_ns_.has_value(), "no answer within a minute");
    change();
    ++counts["cut within"];
    crash(before);
    return false;
  }

  /// Afterwards each group is as in `before` or as in the model; which, is taken over.
  void crash(const GroupModel& before) {
    ++counts["crash"];
    machine_.cut_power();
    for (int i = 0; i < kGroups; ++i) {
      const std::string id = "g" + std::to_string(i);
      const std::string not_after = difference(id, model_.find(id));
      if (not_after.empty()) continue;
      const std::string not_before = difference(id, before.find(id));
      if (!not_before.empty()) {
        fail(id + " is neither as before (" + not_before + ") nor as after (" + not_after + ")");
      }
      ++counts["undone by a cut"];
      if (const ModelGroup* old = before.find(id)) {
        model_.groups[id] = *old;
      } else {
        model_.groups.erase(id);
      }
    }
    compare_all();
    cut_after_ns_.reset();
  }

  // Comparing -------------------------------------------------------------------------------------

  void compare_all() {
    std::vector<ListedGroup> listed;
    expect(machine_.coordinator().list({}, listed) == ApiErrc::none, "the list is refused");
    std::map<std::string, std::string> found;
    for (const ListedGroup& group : listed) found[group.group_id] = group.state;
    std::map<std::string, std::string> wanted;
    for (const auto& [id, group] : model_.groups) {
      wanted[id] = group.members.empty() ? "Empty" : "Stable";
    }
    expect(found == wanted, "other groups are listed");
    for (int i = 0; i < kGroups; ++i) {
      const std::string id = "g" + std::to_string(i);
      const std::string other = difference(id, model_.find(id));
      expect(other.empty(), id + ": " + other);
    }
    ++counts["comparison"];
  }

  /// How the coordinator's group differs from `wanted`; empty where it does not.
  std::string difference(const std::string& id, const ModelGroup* wanted) {
    const DescribedGroup described = machine_.coordinator().describe(id, true);
    if (wanted == nullptr) {
      return described.error == ApiErrc::group_id_not_found ? "" : "it is there";
    }
    if (described.error != ApiErrc::none) return "it is not there";
    if (described.state != (wanted->members.empty() ? "Empty" : "Stable")) return described.state;
    if (described.protocol_type != (wanted->has_protocol ? "consumer" : "")) {
      return "protocol type '" + described.protocol_type + "'";
    }
    std::map<std::string, std::string> members;
    for (const auto& member : described.members) {
      const auto* data = reinterpret_cast<const char*>(member.assignment.data());
      members[member.member_id] = std::string(data, member.assignment.size());
    }
    if (members != wanted->members) return "other members";
    for (const auto& [member, assignment] : members) {
      const HeartbeatCall now{id, wanted->generation, member, {}};
      const HeartbeatCall next{id, wanted->generation + 1, member, {}};
      if (machine_.coordinator().heartbeat(now) != ApiErrc::none) return "another generation";
      if (machine_.coordinator().heartbeat(next) != ApiErrc::illegal_generation) {
        return "a generation that is not there";
      }
    }
    return difference(fetch(id), *wanted);
  }

  static std::string difference(const FetchedOffsets& fetched, const ModelGroup& wanted) {
    if (fetched.error != ApiErrc::none) return "no offsets to be had";
    std::map<std::pair<std::string, std::int32_t>, std::pair<std::int64_t, std::string>> found;
    for (const auto& topic : fetched.topics) {
      for (const auto& partition : topic.partitions) {
        found[{topic.name, partition.partition}] = {partition.offset, partition.metadata};
      }
    }
    if (found.size() != wanted.offsets.size()) {
      return std::to_string(found.size()) + " offsets in place of " +
             std::to_string(wanted.offsets.size());
    }
    for (const auto& [name, offset] : wanted.offsets) {
      const auto one = found.find(name);
      if (one == found.end() || one->second != std::pair(offset.offset, offset.metadata)) {
        return "another offset of " + name.first + "-" + std::to_string(name.second);
      }
    }
    return {};
  }

  FetchedOffsets fetch(const std::string& id) {
    return machine_.run(
        machine_.coordinator().fetch_offsets(FetchOffsetsCall::Group{id, {}, -1, {}}, false));
  }

  // Operations ------------------------------------------------------------------------------------

  void commit_as(const std::string& id, std::int32_t generation, const std::string& member) {
    CommitOffsetsCall call;
    call.group_id = id;
    call.generation = generation;
    call.member_id = member;
    call.group_id_not_found_known = true;
    if (pick(8) == 0) call.retention_ms = 4 * kDayMs;
    const std::string topic = some_topic();
    auto& added = call.topics.emplace_back();
    added.name = topic;
    added.id = CoordinatorMachine::topic_id(topic);
    const std::int64_t now_ms = machine_.now_ms();
    std::map<std::int32_t, ModelOffset> values;
    for (std::uint64_t i = 0; i <= pick(3); ++i) {
      const auto partition = static_cast<std::int32_t>(pick(4));
      if (values.contains(partition)) continue;
      ModelOffset& value = values[partition];
      value.offset = ++next_offset_;
      value.metadata = std::string(pick(20), 'm');
      value.commit_ms = now_ms;
      if (call.retention_ms >= 0) value.expire_ms = now_ms + call.retention_ms;
      added.partitions.push_back({partition, value.offset, engine::LeaderEpoch{0}, value.metadata});
    }
    const ApiErrc wanted = model_.check_commit(id, generation, member);
    if (wanted != ApiErrc::none) ++counts["refusal"];
    std::optional<CommitOffsetsAnswer> answer;
    perform(machine_.coordinator().commit_offsets(std::move(call)), answer, [&] {
      if (wanted != ApiErrc::none) return;
      for (auto& [partition, value] : values) model_.commit(id, topic, partition, value);
    });
    if (answer) expect(answer->error == wanted, "commit answers otherwise");
  }
  void commit() { commit_as(some_group(), pick(10) == 0 ? 5 : -1, {}); }
  void member_commit() {
    const std::string id = some_group();
    const ModelGroup* const group = model_.find(id);
    if (group == nullptr || group->members.empty()) return commit_as(id, -1, {});
    const bool stranger = pick(10) == 0;
    const std::int32_t generation = group->generation - (pick(10) == 0 ? 1 : 0);
    commit_as(id, generation, stranger ? "stranger" : some_member(*group));
  }
  std::string some_member(const ModelGroup& group) {
    auto member = group.members.begin();
    std::advance(member, pick(group.members.size()));
    return member->first;
  }

  void look_at_one() {
    const std::string id = some_group();
    const std::string other = difference(id, model_.find(id));
    expect(other.empty(), id + ": " + other);
  }

  void delete_offsets() {
    const std::string id = some_group();
    const std::string topic = some_topic();
    DeleteOffsetsCall call{id, {{topic, {0, 1, 2, 3}}}};
    const bool known = model_.find(id) != nullptr;
    ApiErrc wanted = ApiErrc::none;
    std::optional<DeleteOffsetsAnswer> answer;
    perform(machine_.coordinator().delete_offsets(std::move(call)), answer, [&] {
      if (known) wanted = model_.delete_offsets(id, topic);
    });
    if (!answer) return;
    if (!known) return expect(answer->error == ApiErrc::group_id_not_found, "an unknown group");
    expect(answer->error == ApiErrc::none && answer->partitions.at(0).at(0) == wanted,
           "deletion of offsets answers otherwise");
  }

  void delete_group() {
    const std::string id = some_group();
    const ApiErrc wanted = model_.check_delete(id);
    std::optional<ApiErrc> answer;
    perform(machine_.coordinator().delete_group(id), answer, [&] {
      if (wanted == ApiErrc::none) model_.groups.erase(id);
    });
    if (answer) expect(*answer == wanted, "deletion of a group answers otherwise");
  }

  void join() {
    const std::string id = some_group();
    const ModelGroup* const group = model_.find(id);
    if (group != nullptr && group->members.size() >= kMembersMax) return heartbeats();
    rebalance(id, true, {});
  }
  void leave() {
    const std::string id = some_group();
    const ModelGroup* const group = model_.find(id);
    if (group == nullptr || group->members.empty()) return heartbeats();
    rebalance(id, false, some_member(*group));
  }

  /// One more member or one less; all others join again, the leader assigns.
  void rebalance(const std::string& id, bool one_more, const std::string& leaving) {
    std::vector<std::string> members;
    if (const ModelGroup* const group = model_.find(id)) {
      for (const auto& [member, assignment] : group->members) {
        if (member != leaving) members.push_back(member);
      }
    }
    auto joined = std::make_shared<std::map<std::string, std::string>>();  // id: assignment
    const std::size_t count = members.size() + (one_more ? 1 : 0);
    std::optional<bool> done;
    perform(generation_of(id, members, one_more, leaving, joined), done, [&] {
      // Before all have joined nothing can have been written.
      if (joined->size() == count) model_.rebalance(id, *joined, machine_.now_ms());
    });
    if (done) expect(*done, "a rebalance is refused");
  }

  Task<bool> generation_of(std::string id, std::vector<std::string> members, bool one_more,
                           std::string leaving,
                           std::shared_ptr<std::map<std::string, std::string>> joined) {
    PartitionCoordinator& coordinator = machine_.coordinator();
    if (!leaving.empty()) {
      const LeaveGroupAnswer left = co_await coordinator.leave({id, {{leaving, {}, {}}}});
      if (left.error != ApiErrc::none || left.members.at(0).error != ApiErrc::none) co_return false;
      if (members.empty()) {
        // The group is written in its own time.
        co_await machine_.shard().sleep_until(machine_.shard().clock().now_ns() +
                                              test::kSecond / 10);
        co_return true;
      }
    }
    if (one_more) members.insert(members.begin(), "");  // who is new begins the rebalance
    std::vector<std::shared_ptr<std::optional<JoinGroupAnswer>>> joins;
    for (const std::string& member : members) {
      joins.push_back(std::make_shared<std::optional<JoinGroupAnswer>>());
      machine_.shard().spawn(keep(join_one(id, member), joins.back()));
    }
    co_await all(joins);
    std::string leader;
    std::int32_t generation = 0;
    std::vector<SyncGroupCall::Assignment> assignments;
    for (const auto& answer : joins) {
      if ((*answer)->error != ApiErrc::none) co_return false;
      leader = (*answer)->leader;
      generation = (*answer)->generation;
      const std::string given =
          "a" + std::to_string(assignments.size()) + "." + std::to_string(++next_offset_);
      assignments.push_back({(*answer)->member_id, bytes_of(given)});
      (*joined)[(*answer)->member_id] = given;
    }
    std::vector<std::shared_ptr<std::optional<SyncGroupAnswer>>> syncs;
    for (const auto& [member, assignment] : *joined) {
      SyncGroupCall call{.group_id = id, .generation = generation, .member_id = member};
      if (member == leader) call.assignments = assignments;
      syncs.push_back(std::make_shared<std::optional<SyncGroupAnswer>>());
      machine_.shard().spawn(keep(sync_one(std::move(call)), syncs.back()));
    }
    co_await all(syncs);
    for (const auto& answer : syncs) {
      if ((*answer)->error != ApiErrc::none) co_return false;
    }
    co_return true;
  }
  template <class Slots>
  Task<void> all(const Slots& slots) {
    const auto waits = [&] { return std::ranges::any_of(slots, [](auto& s) { return !*s; }); };
    while (waits()) {
      co_await machine_.shard().sleep_until(machine_.shard().clock().now_ns() + 100'000);
    }
  }
  Task<JoinGroupAnswer> join_one(std::string id, std::string member) {
    JoinGroupCall call;
    call.group_id = std::move(id);
    call.member_id = std::move(member);
    call.client_id = "model";
    call.session_timeout_ms = kSessionMs;
    call.rebalance_timeout_ms = 60'000;
    call.protocol_type = "consumer";
    // Version 0 of a subscription to "t0", without user data.
    using namespace std::string_literals;
    call.protocols.push_back({"range", bytes_of("\0\0\0\0\0\1\0\2t0\xff\xff\xff\xff"s)});
    Parked parked(machine_.shard());
    co_return co_await machine_.coordinator().join(std::move(call), parked);
  }
  Task<SyncGroupAnswer> sync_one(SyncGroupCall call) {
    Parked parked(machine_.shard());
    co_return co_await machine_.coordinator().sync(std::move(call), parked);
  }

  void expire() {
    std::optional<bool> done;
    const std::int64_t now_ms = machine_.now_ms();
    perform(expired(), done, [&] { model_.expire(now_ms); });
  }
  Task<bool> expired() {
    co_await machine_.coordinator().expire_offsets();
    co_return true;
  }

  void forget_topic() {
    const std::string topic = some_topic();
    auto gone = std::make_shared<GoneTopics>();
    gone->push_back({topic, CoordinatorMachine::topic_id(topic)});
    std::optional<bool> done;
    perform(forgotten(std::move(gone)), done, [&] { model_.forget_topic(topic); });
  }
  Task<bool> forgotten(std::shared_ptr<const GoneTopics> gone) {
    machine_.coordinator().forget_topics(std::move(gone));
    co_await machine_.shard().sleep_until(machine_.shard().clock().now_ns() + test::kSecond / 10);
    co_return true;
  }

  void heartbeats() {
    for (const auto& [id, group] : model_.groups) {
      for (const auto& [member, assignment] : group.members) {
        const ApiErrc error = machine_.coordinator().heartbeat({id, group.generation, member, {}});
        expect(error == ApiErrc::none, id + ": a heartbeat is refused");
      }
    }
  }
  void pass_time() {
    heartbeats();
    machine_.world.run_for(static_cast<std::int64_t>(1 + pick(60)) * test::kSecond);
    heartbeats();
    if (pick(4) != 0) return;
    ++counts["silence"];
    machine_.world.run_for((kSessionMs / 1'000 + 120) * test::kSecond);
    model_.silence(machine_.now_ms());
    compare_all();
  }
  /// Only whole multiples of what is a good deal shorter than any age that counts: nothing is ever
  /// near the moment at which it expires.
  void pass_days() { machine_.jump_wall_ms(3 * kDayMs); }

  const std::uint64_t seed_;
  const std::size_t ops_;
  std::mt19937_64 random_;
  CoordinatorMachine machine_;
  GroupModel model_;
  std::size_t op_ = 0;
  const char* doing_ = "";
  std::optional<std::int64_t> cut_after_ns_;
  std::int64_t next_offset_ = 0;
};

}  // namespace
}  // namespace keelson::offsets::testing

int main(int argc, char** argv) {
  using keelson::offsets::testing::Run;
  std::uint64_t first = 1;
  std::uint64_t seeds = 4;
  std::size_t ops = 25'000;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--seed") == 0) {
      first = value;
      seeds = 1;
    } else if (std::strcmp(argv[i], "--ops") == 0) {
      ops = value;
    } else {
      std::fprintf(stderr, "what is %s?\n", argv[i]);
      return 2;
    }
  }
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    Run run(seed, ops);
    run.go();
    std::printf("seed %llu: %zu operations:", static_cast<unsigned long long>(seed), ops);
    for (const auto& [name, count] : run.counts) {
      std::printf(" %s %llu", name.c_str(), static_cast<unsigned long long>(count));
    }
    std::printf("\n");
    std::fflush(stdout);
    // What it is about has happened.
    for (const char* name : {"crash", "cut within", "undone by a cut", "restart", "silence", "days",
                             "refusal", "comparison"}) {
      if (run.counts[name] < ops / 2'500) {
        std::fprintf(stderr, "seed %llu: too little of '%s'\n",
                     static_cast<unsigned long long>(seed), name);
        return 1;
      }
    }
  }
  return 0;
}
