// The controller over a coordinator that refuses, loses answers and reads badly; and killed.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/coordination/controller_world.h"

namespace keelson::test {
namespace {

constexpr coordination::Hostility kHostile{.conflict_ppm = 150'000,
                                           .unknown_applied_ppm = 150'000,
                                           .unknown_not_applied_ppm = 150'000,
                                           .read_error_ppm = 50'000,
                                           .delay_ppm = 200'000,
                                           .event_late_ppm = 300'000,
                                           .event_twice_ppm = 300'000,
                                           .event_coalesce_ppm = 300'000};

/// What the answers so far allow of one topic.
struct Expected {
  bool must = false;      // answered: it is there
  bool must_not = false;  // answered: it is not there
  std::size_t partitions_min = 0;
};

void start_somehow(ControllerWorld& world) {
  ApiResult<void> opened = world.start();
  for (int attempt = 0; !opened && attempt < 50; ++attempt) {
    world.crash();
    opened = world.start();
  }
  ASSERT_TRUE(opened) << opened.error().message;
}

class HostileStore : public testing::TestWithParam<std::uint64_t> {};

TEST_P(HostileStore, AnswersStayTrueAcrossCrashes) {
  const std::uint64_t seed = GetParam();
  ControllerWorld world{seed, kHostile};
  std::mt19937_64 random(seed);
  std::map<std::string, Expected> expected;
  std::set<engine::ProducerId> producer_ids;
  ASSERT_NO_FATAL_FAILURE(start_somehow(world));
  for (int step = 0; step < 150; ++step) {
    const std::string name = "t" + std::to_string(random() % 4);
    Expected& topic = expected[name];
    switch (random() % 6) {
      case 0:
      case 1: {
        const std::size_t count = 1 + random() % 250;
        const auto made =
            world.create({.name = name, .partition_count = static_cast<std::int32_t>(count)});
        if (made) {
          ASSERT_FALSE(topic.must) << "made twice";
          topic = {.must = true, .partitions_min = count};
        } else if (made.error().code == ApiErrc::topic_already_exists) {
          ASSERT_FALSE(topic.must_not);
          topic.must = true;
        } else {
          topic.must_not = false;  // perhaps
        }
        break;
      }
      case 2: {
        const TopicView* const shown = world.find(name);
        if (shown == nullptr) break;
        const auto gone = world.remove(shown->id);
        topic = gone ? Expected{.must_not = true} : Expected{};
        break;
      }
      case 3: {
        const TopicView* const shown = world.find(name);
        if (shown == nullptr) break;
        const std::size_t count = shown->partitions.size() + 1;
        if (world.grow(name, static_cast<std::int32_t>(count))) topic.partitions_min = count;
        break;
      }
      case 4: {
        for (int i = 0; i < 300; ++i) {
          const auto id = world.producer_id();
          if (id) ASSERT_TRUE(producer_ids.insert(*id).second);
        }
        break;
      }
      case 5:
        if (random() % 3 == 0) {
          random() % 2 == 0 ? world.crash() : world.stop();
          ASSERT_NO_FATAL_FAILURE(start_somehow(world));
        }
        break;
    }
    for (const auto& [checked, state] : expected) {
      const TopicView* const shown = world.find(checked);
      if (state.must) ASSERT_NE(shown, nullptr) << checked << " at step " << step;
      if (state.must_not) ASSERT_EQ(shown, nullptr) << checked << " at step " << step;
      if (shown == nullptr) continue;
      ASSERT_GE(shown->partitions.size(), state.partitions_min);
      for (std::size_t p = 0; p < shown->partitions.size(); ++p) {
        ASSERT_EQ(shown->partitions[p].leader, 1) << "a log counted as lost";
        ASSERT_TRUE(world.logs.logs.contains({shown->id, static_cast<std::int32_t>(p)}))
            << "shown and not made";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, HostileStore, testing::Range<std::uint64_t>(1, 101));

}  // namespace
}  // namespace keelson::test
