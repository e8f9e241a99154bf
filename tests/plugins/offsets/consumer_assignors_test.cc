// tests/plugins/offsets/consumer_assignors_test.cc: what every assignment must be, over seeds.
#include "plugins/offsets/consumer_assignors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace keelson::offsets {
namespace {

engine::Uuid uuid(std::uint64_t number) { return engine::make_uuid(number, 1); }

std::size_t size_of(const PartitionSet& set) {
  std::size_t size = 0;
  for (const auto& [topic, partitions] : set) size += partitions.size();
  return size;
}

/// Each partition of a topic with subscribers goes to one of them.
void check_complete(const AssignmentInput& input, const Assignments& made) {
  EXPECT_EQ(made.size(), input.members.size());
  std::map<engine::Uuid, std::multiset<std::int32_t>> given;
  for (const auto& [id, assignment] : made) {
    const auto& topics = input.members.at(id).topics;
    for (const auto& [topic, partitions] : assignment) {
      EXPECT_FALSE(partitions.empty());
      EXPECT_TRUE(std::binary_search(topics.begin(), topics.end(), topic));
      given[topic].insert(partitions.begin(), partitions.end());
    }
  }
  for (const auto& [topic, what] : input.topics) {
    const bool wanted = std::any_of(input.members.begin(), input.members.end(), [&](auto& member) {
      const auto& topics = member.second.topics;
      return std::binary_search(topics.begin(), topics.end(), topic);
    });
    std::multiset<std::int32_t> all;
    for (std::int32_t i = 0; wanted && i < what.partition_count; ++i) all.insert(i);
    EXPECT_EQ(given[topic], all);
  }
}

std::size_t moved(const AssignmentInput& input, const Assignments& made) {
  std::size_t count = 0;
  for (const auto& [id, member] : input.members) {
    for (const auto& [topic, partitions] : member.current) {
      for (const std::int32_t partition : partitions) {
        const auto now = made.at(id).find(topic);
        count += now == made.at(id).end() || !now->second.contains(partition) ? 1 : 0;
      }
    }
  }
  return count;
}

struct Generator {
  explicit Generator(std::uint64_t seed) : random(seed) {}
  std::uint64_t pick(std::uint64_t bound) { return random() % bound; }

  AssignmentInput input(bool same_topics) {
    AssignmentInput made;
    for (std::uint64_t i = 0, count = 1 + pick(4); i < count; ++i) {
      made.topics[uuid(i + 1)].partition_count = static_cast<std::int32_t>(pick(12));
    }
    for (std::uint64_t i = 0, count = 1 + pick(8); i < count; ++i) {
      AssignableMember& member = made.members["m" + std::to_string(i)];
      if (pick(4) == 0) member.instance_id = "i" + std::to_string(99 - i);
      for (const auto& [topic, what] : made.topics) {
        if (same_topics || pick(2) == 0) member.topics.push_back(topic);
      }
    }
    return made;
  }
  /// Members go and come; the others have what they had.
  void change(AssignmentInput& input, const Assignments& before) {
    for (auto& [id, member] : input.members) member.current = before.at(id);
    if (input.members.size() > 1 && pick(2) == 0) input.members.erase(input.members.begin());
    const std::vector<engine::Uuid> topics = input.members.begin()->second.topics;
    for (std::uint64_t i = 0, count = pick(3); i < count; ++i) {
      input.members["n" + std::to_string(i)].topics = topics;
    }
    for (auto& [topic, what] : input.topics) {
      if (pick(4) == 0) what.partition_count += 2;
    }
  }
  std::mt19937_64 random;
};

TEST(UniformAssignor, IsBalancedAndMovesNoMoreThanBalanceNeeds) {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Generator random(seed);
    AssignmentInput input = random.input(true);
    Assignments made = assign_uniform(input);
    for (int round = 0; round < 4; ++round) {
      check_complete(input, made);
      std::size_t least = ~std::size_t{0};
      std::size_t most = 0;
      std::size_t total = 0;
      for (const auto& [id, assignment] : made) {
        least = std::min(least, size_of(assignment));
        most = std::max(most, size_of(assignment));
        total += size_of(assignment);
      }
      EXPECT_LE(most - least, 1u);
      // Who had more than its share gives up what is above, and nobody else anything; of those that
      // had the larger share, as many keep it as may.
      const std::size_t share = total / input.members.size();
      std::size_t larger = total % input.members.size();
      std::size_t must_move = 0;
      for (const auto& [id, member] : input.members) {
        const std::size_t had = size_of(member.current);
        if (had <= share) continue;
        const std::size_t keeps = larger > 0 ? share + 1 : share;
        if (larger > 0) --larger;
        must_move += had - keeps;
      }
      EXPECT_EQ(moved(input, made), must_move);
      if (::testing::Test::HasFailure()) return;
      random.change(input, made);
      made = assign_uniform(input);
    }
  }
}

TEST(UniformAssignor, WithDifferentSubscriptionsNoSingleMoveWouldBalanceBetter) {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Generator random(seed);
    AssignmentInput input = random.input(false);
    Assignments made = assign_uniform(input);
    for (int round = 0; round < 4; ++round) {
      check_complete(input, made);
      for (const auto& [giver, has] : made) {
        for (const auto& [topic, partitions] : has) {
          for (const auto& [taker, takes] : made) {
            const auto& topics = input.members.at(taker).topics;
            if (!std::binary_search(topics.begin(), topics.end(), topic)) continue;
            EXPECT_LE(size_of(has), size_of(takes) + 1);
          }
        }
      }
      if (::testing::Test::HasFailure()) return;
      random.change(input, made);
      made = assign_uniform(input);
    }
  }
}

TEST(UniformAssignor, GivesToTheRackWhereAPartitionIsIfThatCostsNoBalance) {
  AssignmentInput input;
  AssignableTopic& topic = input.topics[uuid(1)];
  topic.partition_count = 6;
  for (const char* rack : {"r2", "r2", "r2", "r1", "r1", "r1"}) topic.racks.push_back({rack});
  input.members["m1"] = {.instance_id = {}, .rack = "r1", .topics = {uuid(1)}, .current = {}};
  input.members["m2"] = {.instance_id = {}, .rack = "r2", .topics = {uuid(1)}, .current = {}};
  const Assignments made = assign_uniform(input);
  check_complete(input, made);
  EXPECT_EQ(size_of(made.at("m1")), 3u);
  EXPECT_TRUE(made.at("m2").at(uuid(1)).contains(0));
}

TEST(RangeAssignor, CutsEachTopicIntoNeighbours) {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Generator random(seed);
    const AssignmentInput input = random.input(seed % 2 == 0);
    const Assignments made = assign_range(input);
    check_complete(input, made);
    for (const auto& [id, assignment] : made) {
      for (const auto& [topic, partitions] : assignment) {
        EXPECT_EQ(static_cast<std::size_t>(*partitions.rbegin() - *partitions.begin()) + 1,
                  partitions.size());
      }
    }
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(RangeAssignor, PutsStaticMembersFirstByInstance) {
  AssignmentInput input;
  for (std::uint64_t i = 1; i <= 2; ++i) input.topics[uuid(i)].partition_count = 4;
  const std::vector<engine::Uuid> both = {uuid(1), uuid(2)};
  input.members["a"] = {.instance_id = {}, .rack = {}, .topics = both, .current = {}};
  input.members["b"] = {.instance_id = "z", .rack = {}, .topics = both, .current = {}};
  input.members["c"] = {.instance_id = "y", .rack = {}, .topics = both, .current = {}};
  const Assignments made = assign_range(input);
  for (const engine::Uuid& topic : both) {
    EXPECT_EQ(made.at("c").at(topic), (std::set<std::int32_t>{0, 1}));
    EXPECT_EQ(made.at("b").at(topic), (std::set<std::int32_t>{2}));
    EXPECT_EQ(made.at("a").at(topic), (std::set<std::int32_t>{3}));
  }
}

TEST(Assignors, AreKnownByName) {
  EXPECT_EQ(find_assignor("uniform"), &assign_uniform);
  EXPECT_EQ(find_assignor("range"), &assign_range);
  EXPECT_EQ(find_assignor("sticky"), nullptr);
}

}  // namespace
}  // namespace keelson::offsets
