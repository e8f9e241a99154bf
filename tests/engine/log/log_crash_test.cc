// Crash images of logs: what a power cut or a kill leaves after every change of the drive, with
// every choice of what was not synced that is affordable. Each is opened by the real recovery and
// compared with the model as it was at that moment.
//
//   log_crash_test                                                all profiles
//   log_crash_test --profile NAME --seed N [--position P --choice C]
//
// Choices of an image: 0 a kill; 1 nothing kept that is not synced; then of each thing that is not
// synced it alone is kept, all but it, all before it; then by seed.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "engine/io/sim/sim_world.h"
#include "tests/engine/log/log_site.h"
#include "tests/engine/log/log_workload.h"
#include "tests/engine/log/stderr_logger.h"

namespace keelson::engine::log {
namespace {

using test::Profile;
using test::ReferenceLog;
using test::Site;
using test::Workload;
using test::Writer;

constexpr std::size_t kImagesMin = 50'000;
constexpr std::size_t kByThingMax = 18;  // choices by single things, after each change
constexpr std::size_t kBySeed = 3;
constexpr std::uint64_t kDeedsOfAProcess = 25;
constexpr std::uint64_t kNestedEach = 40;  // one image in so many has its recovery crash, too

struct Asked {
  std::string profile;
  std::uint64_t seed = 0;
  std::optional<std::size_t> position;
  std::optional<std::size_t> choice;
};
Asked asked;

/// The model as it was after each change of the drive.
class Chronicle final : public test::ModelListener {
 public:
  struct State {
    std::size_t position = 0;
    std::int64_t wall_ms = 0;
    ReferenceLog model;
  };
  explicit Chronicle(io::SimNode& node) : node_(node) {}

  void model_changed() override {
    const std::size_t position = node_.disk().changes().size();
    if (states_.empty() || states_.back().position != position) states_.push_back({});
    states_.back() = {position, node_.clock().wall_ms(), model};
  }
  /// The last one at or before `position`.
  std::size_t state_at(std::size_t position) const {
    const auto after = std::ranges::upper_bound(states_, position, {}, &State::position);
    return static_cast<std::size_t>(after - states_.begin()) - 1;
  }
  const State& state(std::size_t index) const { return states_[index]; }

  ReferenceLog model;
  std::uint64_t done = 0;

 private:
  io::SimNode& node_;
  std::vector<State> states_;
};

Task<void> work(io::Shard& shard, const Profile& profile, Chronicle& chronicle, bool& ended) {
  Workload workload(shard, profile, chronicle.model, chronicle.done, &chronicle);
  const bool closed = co_await workload.run(kDeedsOfAProcess, false);
  EXPECT_TRUE(closed);
  ended = true;
}

/// A process that is killed at some moment, one that recovers and stops, one that starts cleanly.
void record(const Profile& profile, io::SimWorld& world, io::SimNode& node, Chronicle& chronicle) {
  node.disk().start_recording();
  chronicle.model_changed();
  for (int process = 0; process < 3; ++process) {
    const bool killed = process == 0;
    const std::uint64_t until = kDeedsOfAProcess / 2 + world.rng().below(kDeedsOfAProcess / 2);
    bool ended = false;
    node.shard().spawn(work(node.shard(), profile, chronicle, ended));
    constexpr std::int64_t kHour = 3'600'000'000'000;
    world.run_until([&] { return ended || (killed && chronicle.done >= until); },
                    world.now_ns() + kHour);
    if (killed) world.run_for(static_cast<std::int64_t>(world.rng().below(400'000)));
    ASSERT_TRUE(killed || ended);
    world.kill_node(node);
    world.restart_node(node);
  }
}

/// Opens what is there and compares. The model goes on from what was found.
Task<void> look(io::Shard& shard, const Profile& profile, ReferenceLog& model, bool power_cut,
                Site& site) {
  Result<Site> opened = co_await test::open_site(shard, profile.config);
  EXPECT_TRUE(opened.has_value()) << (opened ? "" : to_string(opened.error().code));
  if (!opened) co_return;
  site = std::move(*opened);
  test::check_findings(site.log->recovery(), model);
  std::int64_t end = 0;
  co_await test::check_site(shard, site, model, model.required_end(power_cut), end);
  model.settle(end);
  model.settle_start(site.log->log_start_offset().value());
}

enum class Then : std::uint8_t { nothing, again, go_on, stop };

/// One image, and what comes after it.
Task<void> check_image(io::Shard& shard, const Profile& profile, ReferenceLog model, bool power_cut,
                       Then then) {
  Site site;
  co_await look(shard, profile, model, power_cut, site);
  if (!site.log) co_return;
  if (then == Then::go_on) {
    const LeaderEpoch epoch = std::max(LeaderEpoch{0}, site.log->latest_epoch());
    Writer writer(shard, *site.log, model, profile.load);
    writer.set_epoch(epoch);
    const bool repeated = co_await writer.repeat_one();
    EXPECT_TRUE(repeated) << "a producer's batch was not known again";
    const bool appended = co_await writer.append_some(3);
    EXPECT_TRUE(appended);
  }
  if (then == Then::stop) {
    const Result<void> closed = co_await test::close_site(site);
    EXPECT_TRUE(closed.has_value());
    co_await test::check_files(shard);
  } else {
    co_await test::abandon_site(site);
  }
  if (then == Then::nothing || testing::Test::HasFailure()) co_return;
  co_await look(shard, profile, model, false, site);
  if (site.log) co_await test::abandon_site(site);
}

/// Recovery, some appends and a clean stop, for images of these.
Task<void> recover(io::Shard& shard, const Profile& profile, Chronicle& chronicle) {
  Workload workload(shard, profile, chronicle.model, chronicle.done, &chronicle);
  const bool closed = co_await workload.run(2, false);
  EXPECT_TRUE(closed);
}

io::SimDisk choose(const io::CrashImages& images, std::size_t choice, std::size_t things) {
  if (choice == 0) return images.killed();
  if (choice == 1) return images.image([](const io::Unsynced&) { return false; });
  const std::size_t number = choice - 2;
  if (number >= 3 * things) return images.image(choice);
  const std::size_t thing = number / 3;
  return images.image([&](const io::Unsynced& unsynced) {
    switch (number % 3) {
      case 0: return unsynced.number == thing;
      case 1: return unsynced.number != thing;
      default: return unsynced.number < thing;
    }
  });
}

/// All images of one seed of a profile.
class Enumeration {
 public:
  Enumeration(const Profile& profile, std::uint64_t seed, std::unordered_set<std::uint64_t>& seen)
      : profile_(profile), seed_(seed), seen_(seen) {}

  void run() {
    io::SimWorld world(seed_);
    world.set_logger(test::test_logger);
    io::SimNode& node = world.start_node("n");
    const io::SimDisk before = node.disk();
    Chronicle chronicle(node);
    record(profile_, world, node, chronicle);
    if (testing::Test::HasFailure()) return;
    io::CrashImages images(before, node.disk().changes());
    do {
      check_position(images, chronicle);
    } while (!testing::Test::HasFailure() && images.advance());
  }

 private:
  void check_position(const io::CrashImages& images, const Chronicle& chronicle) {
    if (asked.position && *asked.position != images.position()) return;
    const std::size_t things = images.unsynced();
    const std::size_t choices = things == 0 ? 1 : 2 + 3 * things + kBySeed;
    io::SimRng rng(seed_ * 1'000'003 + images.position());
    std::set<std::size_t> chosen;
    for (std::size_t choice = 0; choice < choices; ++choice) {
      const bool by_thing = choice >= 2 && choice < 2 + 3 * things;
      if (!by_thing || rng.below(3 * things) < kByThingMax) chosen.insert(choice);
    }
    if (asked.choice) chosen = {*asked.choice};
    for (const std::size_t choice : chosen) {
      const io::SimDisk image = choose(images, choice, things);
      const std::uint64_t hash = image.content_hash();
      const std::size_t state = chronicle.state_at(images.position());
      // Another moment may demand more of the same image.
      if (!asked.choice && !checked_.emplace(hash, state).second) continue;
      seen_.insert(hash);
      SCOPED_TRACE(testing::Message()
                   << "replay: log_crash_test --profile " << profile_.name << " --seed " << seed_
                   << " --position " << images.position() << " --choice " << choice);
      check(image, chronicle.state(state), choice, images.position());
      if (testing::Test::HasFailure()) return;
    }
  }

  void check(const io::SimDisk& image, const Chronicle::State& state, std::size_t choice,
             std::size_t position) {
    const std::uint64_t number = position * 31 + choice;
    io::SimWorld world(seed_ ^ number << 20);
    world.set_logger(test::test_logger);
    io::SimNode& node = world.start_node("crashed");
    node.disk() = image;
    node.clock().jump_wall_ms(state.wall_ms - node.clock().wall_ms());
    if (number % kNestedEach == 0) {
      check_nested(world, node, state, choice > 0);
      return;
    }
    constexpr Then kThen[] = {Then::nothing, Then::again,   Then::nothing,
                              Then::go_on,   Then::nothing, Then::stop};
    world.run_task(node.shard(), check_image(node.shard(), profile_, state.model, choice > 0,
                                             kThen[number % std::size(kThen)]));
  }

  /// A crash while the crash is recovered from.
  void check_nested(io::SimWorld& world, io::SimNode& node, const Chronicle::State& state,
                    bool power_cut) {
    const io::SimDisk before = node.disk();
    node.disk().start_recording();
    Chronicle chronicle(node);
    chronicle.model = state.model;
    if (power_cut) chronicle.model.end = chronicle.model.safe_end;
    chronicle.model_changed();
    world.run_task(node.shard(), recover(node.shard(), profile_, chronicle));
    io::CrashImages images(before, node.disk().changes());
    do {
      const std::size_t choice = images.unsynced() == 0 ? 0 : world.rng().below(6);
      const io::SimDisk image = choice == 0 ? images.killed() : images.image(choice);
      const std::size_t then = chronicle.state_at(images.position());
      seen_.insert(image.content_hash());
      SCOPED_TRACE(testing::Message() << "in its recovery: position " << images.position());
      io::SimWorld after(seed_ + images.position());
      after.set_logger(test::test_logger);
      io::SimNode& again = after.start_node("crashed twice");
      again.disk() = image;
      again.clock().jump_wall_ms(chronicle.state(then).wall_ms - again.clock().wall_ms());
      after.run_task(again.shard(),
                     check_image(again.shard(), profile_, chronicle.state(then).model, choice > 0,
                                 Then::nothing));
    } while (!testing::Test::HasFailure() && images.advance());
  }

  const Profile& profile_;
  const std::uint64_t seed_;
  std::unordered_set<std::uint64_t>& seen_;
  std::set<std::pair<std::uint64_t, std::size_t>> checked_;
};

class LogCrash : public testing::TestWithParam<Profile> {};

TEST_P(LogCrash, EveryImageIsRecovered) {
  const Profile& profile = GetParam();
  if (!asked.profile.empty() && profile.name != asked.profile) GTEST_SKIP();
  const std::size_t images_min = kImagesMin / test::profiles().size() + 1;
  std::unordered_set<std::uint64_t> seen;
  std::uint64_t seed = asked.seed > 0 ? asked.seed : 1;
  while (seen.size() < images_min) {
    Enumeration(profile, seed++, seen).run();
    if (HasFailure() || asked.seed > 0) break;
  }
  std::printf("%s: %zu distinct images, seeds up to %llu\n", profile.name.c_str(), seen.size(),
              static_cast<unsigned long long>(seed - 1));
  if (asked.seed == 0) EXPECT_GE(seen.size(), images_min);
}

INSTANTIATE_TEST_SUITE_P(Profiles, LogCrash, testing::ValuesIn(test::profiles()),
                         [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace keelson::engine::log

int main(int count, char** arguments) {
  testing::InitGoogleTest(&count, arguments);
  using keelson::engine::log::asked;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = arguments[i];
    const char* const value = arguments[i + 1];
    if (name == "--profile") asked.profile = value;
    if (name == "--seed") asked.seed = std::strtoull(value, nullptr, 10);
    if (name == "--position") asked.position = std::strtoull(value, nullptr, 10);
    if (name == "--choice") asked.choice = std::strtoull(value, nullptr, 10);
  }
  return RUN_ALL_TESTS();
}
