// The uniform assignor: keep, fill, balance.
//
// Topics with the same subscribers form a class. Within a class any partition may go to any of its
// members, so that the fullest and the emptiest are all that need be looked at.
#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include "plugins/offsets/consumer_assignors.h"

namespace keelson::offsets {
namespace {

constexpr std::size_t kRackCandidatesMax = 64;  // equally empty members looked at for their rack

struct Partition {
  engine::Uuid topic;
  std::int32_t number = 0;
};

struct TopicClass {
  std::vector<std::size_t> members;             // those who subscribe; ascending
  std::vector<Partition> unassigned;            // of the class's topics
  std::vector<std::vector<Partition>> held_by;  // by place in `members`
};

class UniformAssignment {
 public:
  explicit UniformAssignment(const AssignmentInput& input) : input_(input) {
    for (const auto& [id, member] : input.members) members_.push_back(&member);
    load_.resize(members_.size());
  }

  Assignments run() {
    make_classes();
    for (TopicClass& one : classes_) fill(one);
    while (classes_.size() > 1 && balance_all()) {
    }
    if (classes_.size() == 1) balance(classes_.front());
    return result();
  }

 private:
  using ByLoad = std::set<std::pair<std::size_t, std::size_t>>;  // load, place in the class

  void make_classes() {
    std::map<engine::Uuid, std::vector<std::size_t>> subscribers;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      for (const engine::Uuid& topic : members_[i]->topics) subscribers[topic].push_back(i);
    }
    std::map<std::vector<std::size_t>, std::size_t> known;
    for (auto& [topic, members] : subscribers) {
      const auto [entry, is_new] = known.try_emplace(std::move(members), classes_.size());
      if (is_new) {
        TopicClass& made = classes_.emplace_back();
        made.members = entry->first;
        made.held_by.resize(made.members.size());
      }
      add_topic(classes_[entry->second], topic);
    }
  }

  /// Who had a partition of the topic keeps it for now, if nobody else does.
  void add_topic(TopicClass& one, const engine::Uuid& topic) {
    const std::int32_t count = input_.topics.at(topic).partition_count;
    std::vector<bool> taken(static_cast<std::size_t>(count));
    for (std::size_t place = 0; place < one.members.size(); ++place) {
      const PartitionSet& current = members_[one.members[place]]->current;
      const auto had = current.find(topic);
      if (had == current.end()) continue;
      for (const std::int32_t partition : had->second) {
        if (partition < 0 || partition >= count) continue;
        if (taken[static_cast<std::size_t>(partition)]) continue;
        taken[static_cast<std::size_t>(partition)] = true;
        give(one, place, {topic, partition});
      }
    }
    for (std::int32_t partition = 0; partition < count; ++partition) {
      if (!taken[static_cast<std::size_t>(partition)]) one.unassigned.push_back({topic, partition});
    }
  }

  void give(TopicClass& one, std::size_t place, Partition partition) {
    one.held_by[place].push_back(partition);
    ++load_[one.members[place]];
  }

  bool is_near(const AssignableMember& member, const Partition& partition) const {
    if (member.rack.empty()) return false;
    const auto& racks = input_.topics.at(partition.topic).racks;
    const auto number = static_cast<std::size_t>(partition.number);
    if (number >= racks.size()) return false;
    return std::find(racks[number].begin(), racks[number].end(), member.rack) !=
           racks[number].end();
  }

  /// The emptiest member; of several the first that is near the partition.
  ByLoad::iterator choose(const TopicClass& one, ByLoad& by_load, const Partition& partition) {
    const std::size_t least = by_load.begin()->first;
    std::size_t looked_at = 0;
    for (auto it = by_load.begin(); it != by_load.end() && it->first == least; ++it) {
      if (is_near(*members_[one.members[it->second]], partition)) return it;
      if (++looked_at == kRackCandidatesMax) break;
    }
    return by_load.begin();
  }

  void fill(TopicClass& one) {
    ByLoad by_load;
    for (std::size_t place = 0; place < one.members.size(); ++place) {
      by_load.emplace(load_[one.members[place]], place);
    }
    for (const Partition& partition : one.unassigned) {
      const auto chosen = choose(one, by_load, partition);
      const std::size_t place = chosen->second;
      by_load.erase(chosen);
      give(one, place, partition);
      by_load.emplace(load_[one.members[place]], place);
    }
  }

  bool balance_all() {
    bool moved = false;
    for (TopicClass& one : classes_) moved = balance(one) || moved;
    return moved;  // each move lowers the sum of the squared loads: it comes to an end
  }

  bool balance(TopicClass& one) {
    ByLoad takers;
    ByLoad givers;  // those that hold something of this class
    for (std::size_t place = 0; place < one.members.size(); ++place) {
      const std::size_t load = load_[one.members[place]];
      takers.emplace(load, place);
      if (!one.held_by[place].empty()) givers.emplace(load, place);
    }
    bool moved = false;
    while (!givers.empty() && givers.rbegin()->first >= takers.begin()->first + 2) {
      const auto [most, from] = *givers.rbegin();
      const auto [least, to] = *takers.begin();
      const Partition partition = one.held_by[from].back();
      one.held_by[from].pop_back();
      --load_[one.members[from]];
      givers.erase({most, from});
      takers.erase({most, from});
      takers.emplace(most - 1, from);
      if (!one.held_by[from].empty()) givers.emplace(most - 1, from);
      givers.erase({least, to});
      takers.erase({least, to});
      give(one, to, partition);
      takers.emplace(least + 1, to);
      givers.emplace(least + 1, to);
      moved = true;
    }
    return moved;
  }

  Assignments result() const {
    std::vector<PartitionSet> given(members_.size());
    for (const TopicClass& one : classes_) {
      for (std::size_t place = 0; place < one.members.size(); ++place) {
        for (const Partition& held : one.held_by[place]) {
          given[one.members[place]][held.topic].insert(held.number);
        }
      }
    }
    Assignments assignments;
    std::size_t i = 0;
    for (const auto& [id, member] : input_.members) {
      assignments.emplace_hint(assignments.end(), id, std::move(given[i++]));
    }
    return assignments;
  }

  const AssignmentInput& input_;
  std::vector<const AssignableMember*> members_;
  std::vector<std::size_t> load_;  // by member
  std::vector<TopicClass> classes_;
};

}  // namespace

Assignments assign_uniform(const AssignmentInput& input) { return UniformAssignment(input).run(); }

}  // namespace keelson::offsets
