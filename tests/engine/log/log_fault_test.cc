// The n-th operation fails, for every n of a workload and each errno that the call can return:
// nothing acknowledged is lost, nothing is made up, no error is swallowed, and the log can be
// opened again, after a crash as well.
//
//   log_fault_test                                              all profiles
//   log_fault_test --profile NAME [--fault NAME --nth N]
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
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

constexpr std::uint64_t kRunsMin = 5'000;
constexpr std::uint64_t kDeeds = 30;

struct Fault {
  std::string name;
  io::OpKind kind = io::OpKind::any_disk;
  int sys_errno = 0;
  io::FaultAction action = io::FaultAction::fail;
};

/// What the calls may answer (their manual pages), as the backends pass it on: those that are to be
/// tried again were, below.
const std::vector<Fault> kFaults = {
    {.name = "EIO", .sys_errno = EIO},
    {.name = "write_ENOSPC", .kind = io::OpKind::write, .sys_errno = ENOSPC},
    {.name = "write_EDQUOT", .kind = io::OpKind::write, .sys_errno = EDQUOT},
    {.name = "open_ENOSPC", .kind = io::OpKind::open, .sys_errno = ENOSPC},
    {.name = "open_EMFILE", .kind = io::OpKind::open, .sys_errno = EMFILE},
    {.name = "allocate_ENOSPC", .kind = io::OpKind::allocate, .sys_errno = ENOSPC},
    {.name = "allocate_EOPNOTSUPP", .kind = io::OpKind::allocate, .sys_errno = EOPNOTSUPP},
    {.name = "sync_ENOSPC", .kind = io::OpKind::sync_data, .sys_errno = ENOSPC},
    {.name = "rename_ENOSPC", .kind = io::OpKind::rename, .sys_errno = ENOSPC},
    {.name = "rename_EROFS", .kind = io::OpKind::rename, .sys_errno = EROFS},
    {.name = "short_write", .kind = io::OpKind::write, .action = io::FaultAction::short_transfer},
    {.name = "short_read", .kind = io::OpKind::read, .action = io::FaultAction::short_transfer},
};

std::string only_profile;
std::string only_fault;
std::uint64_t only_nth = 0;

bool is_survived_unseen(const Fault& fault) {
  return fault.action == io::FaultAction::short_transfer || fault.sys_errno == EOPNOTSUPP;
}

struct Run {
  ReferenceLog model;
  std::uint64_t done = 0;
  bool closed = false;
};

Task<void> work(io::Shard& shard, const Profile& profile, Run& run, bool may_fail) {
  Workload workload(shard, profile, run.model, run.done);
  run.closed = co_await workload.run(kDeeds, may_fail);
}

Task<void> look(io::Shard& shard, const Profile& profile, ReferenceLog& model, bool power_cut,
                bool stop) {
  Result<Site> site = co_await test::open_site(shard, profile.config);
  EXPECT_TRUE(site.has_value()) << (site ? "" : to_string(site.error().code));
  if (!site) co_return;
  for (const std::string& finding : site->log->recovery().findings) {
    EXPECT_EQ(finding.find("withheld"), std::string::npos) << finding;
  }
  std::int64_t end = 0;
  co_await test::check_site(shard, *site, model, model.required_end(power_cut), end);
  model.settle(end);
  model.settle_start(site->log->log_start_offset().value());
  if (stop) {
    const Result<void> closed = co_await test::close_site(*site);
    EXPECT_TRUE(closed.has_value());
    co_await test::check_files(shard);
  } else {
    co_await test::abandon_site(*site);
  }
}

/// False where the workload has no n-th such operation.
bool fail_nth(const Profile& profile, const Fault& fault, std::uint64_t nth) {
  io::SimWorld world(3);
  world.set_logger(test::test_logger);
  io::SimNode& node = world.start_node("n");
  Run run;
  world.run_task(node.shard(), work(node.shard(), profile, run, false));
  EXPECT_TRUE(run.closed);
  node.reset_counts();
  node.fail_nth(fault.kind, nth, fault.sys_errno, fault.action);
  world.run_task(node.shard(), work(node.shard(), profile, run, !is_survived_unseen(fault)));
  const bool reached = node.count(fault.kind) >= nth;
  if (is_survived_unseen(fault)) EXPECT_TRUE(run.closed);
  node.faults().nth.clear();
  // What a failed sync left in memory only is gone by then; memory may be lost as well.
  node.disk().drop_cache();
  const bool power_cut = nth % 2 == 0;
  if (power_cut) {
    world.power_cut(node);
  } else {
    world.kill_node(node);
  }
  world.restart_node(node);
  // A drive that fails takes what a relaxed log had not synced.
  const bool lossy = power_cut || profile.config.durability == Durability::relaxed;
  world.run_task(node.shard(), look(node.shard(), profile, run.model, lossy, nth % 3 == 0));
  if (testing::Test::HasFailure()) return false;
  world.kill_node(node);
  world.restart_node(node);
  world.run_task(node.shard(), look(node.shard(), profile, run.model, false, true));
  return reached;
}

class LogFaults : public testing::TestWithParam<Profile> {};

TEST_P(LogFaults, EachFailingOperationIsSurvived) {
  const Profile& profile = GetParam();
  if (!only_profile.empty() && profile.name != only_profile) GTEST_SKIP();
  std::uint64_t runs = 0;
  for (const Fault& fault : kFaults) {
    if (!only_fault.empty() && fault.name != only_fault) continue;
    for (std::uint64_t nth = only_nth > 0 ? only_nth : 1;; ++nth) {
      SCOPED_TRACE(testing::Message() << "replay: log_fault_test --profile " << profile.name
                                      << " --fault " << fault.name << " --nth " << nth);
      const bool reached = fail_nth(profile, fault, nth);
      if (HasFailure()) return;
      if (!reached || only_nth > 0) break;
      ++runs;
    }
  }
  std::printf("%s: %llu runs\n", profile.name.c_str(), static_cast<unsigned long long>(runs));
  if (only_fault.empty()) EXPECT_GE(runs, kRunsMin / test::profiles().size() + 1);
}

INSTANTIATE_TEST_SUITE_P(Profiles, LogFaults, testing::ValuesIn(test::profiles()),
                         [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace keelson::engine::log

int main(int count, char** arguments) {
  testing::InitGoogleTest(&count, arguments);
  using namespace keelson::engine::log;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = arguments[i];
    if (name == "--profile") only_profile = arguments[i + 1];
    if (name == "--fault") only_fault = arguments[i + 1];
    if (name == "--nth") only_nth = std::strtoull(arguments[i + 1], nullptr, 10);
  }
  return RUN_ALL_TESTS();
}
