// What the machine and a directory offer.
#include "engine/io/probe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "engine/io/posix/clock.h"
#include "tests/support/temp_dir.h"

namespace keelson::engine::io {
namespace {

TEST(Probe, SaysWhyAndWhatToDo) {
  const UringProbe probe = probe_uring();
  EXPECT_FALSE(probe.reason.empty());
  if (!probe.available) {
    EXPECT_NE(probe.sys_errno, 0);
    return;
  }
  EXPECT_FALSE(probe.features.empty());
  for (const ProbedFeature& feature : probe.features) {
    EXPECT_NE(feature.present, !feature.remedy.empty()) << feature.name;
  }
}

TEST(Probe, CalibratesWithinItsBudgetAndLeavesNothing) {
  const test::TempDir dir;
  const PosixClock clock;
  const std::int64_t start_ns = clock.now_ns();
  const CommitProbe probe = calibrate_commit(dir.path());
  const std::int64_t took_ns = clock.now_ns() - start_ns;
  EXPECT_FALSE(probe.reason.empty());
  // Ten times the budget: the machine may be busy, but a loop without end would show.
  EXPECT_LT(took_ns, 2'000'000'000);
  if (probe.measured) {
    EXPECT_GT(probe.rounds, 2u);
    EXPECT_GT(probe.dsync_median_ns, 0);
    const bool dsync_wins = probe.dsync_median_ns * 100 <= probe.write_then_sync_median_ns * 115;
    EXPECT_EQ(probe.chosen == CommitPrimitive::write_dsync, dsync_wins);
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(Probe, DirectIoAlignmentIsAPowerOfTwo) {
  const test::TempDir dir;
  const DirectIoProbe probe = probe_direct_io(dir.path());
  EXPECT_EQ(probe.supported, probe.remedy.empty());
  EXPECT_NE(probe.align_bytes, 0u);
  EXPECT_EQ(probe.align_bytes & (probe.align_bytes - 1), 0u);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(Probe, AMissingDirectoryIsNamed) {
  const test::TempDir dir;
  const MachineProbe probe = probe_machine(dir / "absent");
  EXPECT_FALSE(probe.direct_io.supported);
  EXPECT_EQ(probe.direct_io.sys_errno, ENOENT);
  EXPECT_NE(probe.direct_io.remedy.find("absent"), std::string::npos);
  EXPECT_FALSE(probe.commit.measured);
  EXPECT_EQ(probe.commit.sys_errno, ENOENT);
}

}  // namespace
}  // namespace keelson::engine::io
