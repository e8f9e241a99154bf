// A directory that Kafka left in the middle of replacing segments by compacted ones.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/engine/log/log_fixture.h"
#include "tests/support/run_on_runtime.h"
#include "tests/support/temp_dir.h"

namespace keelson::engine::log {
namespace {

namespace fs = std::filesystem;
using test::make_batch;

class AdoptedLog : public testing::Test {
 protected:
  /// Makes a log of `batches` of one record each in `dir`, as Kafka would have left it.
  void make_log(const std::string& dir, int batches) {
    test::run_on_runtime([&](io::Shard& shard) { return append_all(shard, dir, batches); });
    fs::remove(dir + "/keelson.manifest");
    fs::remove(dir + "/" + stem + ".integrity");
  }
  static Task<void> append_all(io::Shard& shard, std::string dir, int batches) {
    LogContext context(shard, {.disk_reserve_bytes = 0});
    Result<std::unique_ptr<Log>> log =
        co_await Log::open(context, dir, test::kIdentity, LogConfig{}, {});
    EXPECT_TRUE(log);
    for (int i = 0; i < batches; ++i) {
      std::vector<std::byte> batch = make_batch("value " + std::to_string(i));
      const Result<AppendResult> appended = co_await (*log)->append(batch, LeaderEpoch{5});
      EXPECT_TRUE(appended);
    }
    const Result<void> closed = co_await (*log)->close();
    EXPECT_TRUE(closed);
  }
  /// The log end offset after an unclean stop; everything below it is read.
  std::int64_t end_of(const std::string& dir) {
    return test::run_on_runtime([&](io::Shard& shard) { return read_to_end(shard, dir); });
  }
  static Task<std::int64_t> read_to_end(io::Shard& shard, std::string dir) {
    LogContext context(shard, {.disk_reserve_bytes = 0});
    Result<std::unique_ptr<Log>> log =
        co_await Log::open(context, dir, test::kIdentity, LogConfig{}, {});
    EXPECT_TRUE(log);
    const Result<std::vector<std::byte>> all = co_await test::read_all(**log, 1'000'000);
    EXPECT_TRUE(all);
    const std::int64_t end = (*log)->log_end_offset().value();
    const Result<void> closed = co_await (*log)->close();
    EXPECT_TRUE(closed);
    co_return end;
  }

  test::TempDir root;
  const std::string stem = "00000000000000000000";
  const std::string dir = root / "orders-3";
  const std::string log_file = dir + "/" + stem + ".log";
};

// The segments it replaces were taken away already: it is the only copy.
TEST_F(AdoptedLog, SwapTakesThePlaceOfWhatIsGone) {
  make_log(dir, 7);
  fs::copy_file(log_file, log_file + ".swap");
  fs::rename(log_file, log_file + ".deleted");
  fs::copy_file(dir + "/" + stem + ".index", dir + "/" + stem + ".index.swap");
  EXPECT_EQ(end_of(dir), 7);
  EXPECT_FALSE(fs::exists(log_file + ".swap"));
  EXPECT_FALSE(fs::exists(dir + "/" + stem + ".index.swap"));
  EXPECT_EQ(end_of(dir), 7);
}

TEST_F(AdoptedLog, SwapTakesThePlaceOfWhatIsThere) {
  make_log(dir, 7);
  make_log(root / "other-3", 4);
  fs::copy_file(root / "other-3/" + stem + ".log", log_file + ".swap");
  EXPECT_EQ(end_of(dir), 4);
  EXPECT_TRUE(fs::exists(log_file + ".set-aside"));  // not deleted
}

// Not all of them have the name yet: what they would replace is whole.
TEST_F(AdoptedLog, SwapBesideCleanedIsDropped) {
  make_log(dir, 7);
  fs::copy_file(log_file, log_file + ".swap");
  fs::resize_file(log_file + ".swap", 100);
  fs::copy_file(log_file, log_file + ".cleaned");
  EXPECT_EQ(end_of(dir), 7);
  EXPECT_FALSE(fs::exists(log_file + ".swap"));
  EXPECT_FALSE(fs::exists(log_file + ".cleaned"));
}

}  // namespace
}  // namespace keelson::engine::log
