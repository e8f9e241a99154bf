// Random lives of logs beside the reference model: a million deeds, with kills and power cuts at
// any moment.
//
//   log_model_test                              all profiles, the seeds of a change
//   log_model_test --profile NAME --seed N      one life, again
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

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

constexpr std::uint64_t kDeedsMin = 1'000'000;
constexpr std::uint64_t kDeedsOfALife = 2'500;
constexpr std::uint64_t kDeedsOfARoundMax = 500;

std::string only_profile;
std::uint64_t only_seed = 0;

/// What the last process left: opened, looked at, and the model told how it went on.
Task<void> look(io::Shard& shard, const Profile& profile, ReferenceLog& model, bool power_cut,
                bool close) {
  Result<Site> site = co_await test::open_site(shard, profile.config);
  EXPECT_TRUE(site.has_value()) << (site ? "" : to_string(site.error().code));
  if (!site) co_return;
  test::check_findings(site->log->recovery(), model);
  std::int64_t end = 0;
  co_await test::check_site(shard, *site, model, model.required_end(power_cut), end);
  model.settle(end);
  model.settle_start(site->log->log_start_offset().value());
  if (!close) co_return;
  const Result<void> closed = co_await test::close_site(*site);
  EXPECT_TRUE(closed.has_value());
  co_await test::check_files(shard);
}

Task<void> spend(io::Shard& shard, const Profile& profile, ReferenceLog& model, std::uint64_t& done,
                 std::uint64_t count, bool& ended) {
  Workload workload(shard, profile, model, done);
  const bool closed = co_await workload.run(count, false);
  EXPECT_TRUE(closed);
  ended = true;
}

/// One log from its making on; how many deeds were done to it.
std::uint64_t live(const Profile& profile, std::uint64_t seed) {
  io::SimWorld world(seed);
  world.set_logger(test::test_logger);
  io::SimNode& node = world.start_node("n");
  node.faults().short_write_ppm = 10'000;
  node.faults().short_read_ppm = 10'000;
  ReferenceLog model;
  std::uint64_t done = 0;
  while (done < kDeedsOfALife && !testing::Test::HasFailure()) {
    const std::uint64_t count = 1 + world.rng().below(kDeedsOfARoundMax);
    const bool clean = world.rng().below(4) == 0;
    const std::uint64_t until = done + count;
    bool ended = false;
    node.shard().spawn(
        spend(node.shard(), profile, model, done, clean ? count : kDeedsOfALife, ended));
    constexpr std::int64_t kHour = 3'600'000'000'000;
    world.run_until([&] { return ended || (!clean && done >= until); }, world.now_ns() + kHour);
    if (!clean) world.run_for(static_cast<std::int64_t>(world.rng().below(400'000)));
    const bool power_cut = world.rng().coin();
    if (power_cut) {
      world.power_cut(node);
    } else {
      world.kill_node(node);
    }
    world.restart_node(node);
    world.run_task(node.shard(), look(node.shard(), profile, model, power_cut, false));
    if (world.rng().below(4) != 0 || testing::Test::HasFailure()) continue;
    // Looked at, and gone again: the next finds the same.
    world.kill_node(node);
    world.restart_node(node);
    world.run_task(node.shard(), look(node.shard(), profile, model, false, true));
  }
  return done;
}

class LogModel : public testing::TestWithParam<Profile> {};

TEST_P(LogModel, LivesAsTheReferenceDoes) {
  const Profile& profile = GetParam();
  if (!only_profile.empty() && profile.name != only_profile) GTEST_SKIP();
  const std::uint64_t deeds_min = kDeedsMin / test::profiles().size() + 1;
  std::uint64_t deeds = 0;
  std::uint64_t seed = only_seed > 0 ? only_seed : 1;
  while (deeds < deeds_min) {
    SCOPED_TRACE(testing::Message()
                 << "replay: log_model_test --profile " << profile.name << " --seed " << seed);
    deeds += live(profile, seed++);
    if (HasFailure() || only_seed > 0) break;
  }
  std::printf("%s: %llu deeds, seeds up to %llu\n", profile.name.c_str(),
              static_cast<unsigned long long>(deeds), static_cast<unsigned long long>(seed - 1));
  if (only_seed == 0) EXPECT_GE(deeds, deeds_min);
}

INSTANTIATE_TEST_SUITE_P(Profiles, LogModel, testing::ValuesIn(test::profiles()),
                         [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace keelson::engine::log

int main(int count, char** arguments) {
  testing::InitGoogleTest(&count, arguments);
  for (int i = 1; i + 1 < count; i += 2) {
    using namespace keelson::engine::log;
    if (std::strcmp(arguments[i], "--profile") == 0) {
      only_profile = arguments[i + 1];
    } else if (std::strcmp(arguments[i], "--seed") == 0) {
      only_seed = std::strtoull(arguments[i + 1], nullptr, 10);
    }
  }
  return RUN_ALL_TESTS();
}
