// A program that is forbidden io_uring, as in a container with a seccomp profile.
//
// The filter is for good and for every later thread of the process: it has a program of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <string>

#include "engine/io/file.h"
#include "engine/io/probe.h"
#include "engine/io/runtime.h"
#include "tests/support/run_on_runtime.h"
#include "tests/support/temp_dir.h"

namespace keelson::engine::io {
namespace {

/// io_uring_setup answers EPERM from here on.
bool forbid_io_uring() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(program), program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

class NoIoUring : public testing::Test {
 protected:
  static void SetUpTestSuite() { is_forbidden_ = forbid_io_uring(); }
  void SetUp() override {
    if (!is_forbidden_) GTEST_SKIP() << "no seccomp filters here";
  }
  static inline bool is_forbidden_ = false;
};

TEST_F(NoIoUring, TheProbeNamesTheCauseAndTheRemedy) {
  const UringProbe probe = probe_uring();
  EXPECT_FALSE(probe.available);
  EXPECT_EQ(probe.sys_errno, EPERM);
  EXPECT_THAT(probe.reason, testing::AnyOf(testing::HasSubstr("seccomp"),
                                           testing::HasSubstr("io_uring_disabled")));
  EXPECT_FALSE(probe.remedy.empty());
}

Task<Result<std::string>> write_and_read(Shard& shard, std::string path) {
  const Result<void> written = co_await replace_file(shard, path, "kept");
  if (!written) co_return std::unexpected(written.error());
  co_return co_await read_file(shard, path, 100);
}

TEST_F(NoIoUring, AutomaticFallsBackToThreads) {
  const auto runtime = test::start_runtime({.shards = 2, .backend = BackendChoice::automatic});
  EXPECT_EQ(runtime->info().name, "threads");
  EXPECT_EQ(runtime->info().reason, probe_uring().reason);
  const test::TempDir dir;
  EXPECT_EQ(runtime->run(1, [&] { return write_and_read(runtime->shard(1), dir / "file"); }),
            Result<std::string>("kept"));
}

TEST_F(NoIoUring, UringOnDemandDoesNotStart) {
  const auto runtime = Runtime::start({.shards = 1, .backend = BackendChoice::uring});
  ASSERT_FALSE(runtime.has_value());
  EXPECT_EQ(runtime.error(), (Error{Errc::unsupported, EPERM}));
}

}  // namespace
}  // namespace keelson::engine::io
