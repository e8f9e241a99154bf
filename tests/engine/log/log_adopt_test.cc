// A directory that Kafka left in the middle of replacing segments by compacted ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

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
  void make_log(const std::string& dir, int batches, LogConfig config = {}) {
    test::run_on_runtime([&](io::Shard& shard) { return append_all(shard, dir, batches, config); });
    fs::remove(dir + "/keelson.manifest");
    for (const fs::path& path : files_ending(dir, ".integrity")) fs::remove(path);
  }
  static std::vector<fs::path> files_ending(const std::string& dir, const std::string& ending) {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(dir)) {
      if (entry.path().extension() == ending) found.push_back(entry.path());
    }
    std::ranges::sort(found);
    return found;
  }
  static Task<void> append_all(io::Shard& shard, std::string dir, int batches, LogConfig config) {
    LogContext context(shard, {.disk_reserve_bytes = 0});
    Result<std::unique_ptr<Log>> log =
        co_await Log::open(context, dir, test::kIdentity, config, {});
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

  static Task<Result<std::vector<std::byte>>> read_log(io::Shard& shard, std::string dir) {
    LogContext context(shard, {.disk_reserve_bytes = 0});
    Result<std::unique_ptr<Log>> log =
        co_await Log::open(context, dir, test::kIdentity, LogConfig{}, {});
    EXPECT_TRUE(log);
    Result<std::vector<std::byte>> all = co_await test::read_all(**log, 1'000'000);
    const Result<void> closed = co_await (*log)->close();
    EXPECT_TRUE(closed);
    co_return all;
  }

  /// Opens the log, and copies its directory while it is open: what a kill leaves.
  static Task<void> open_and_copy(io::Shard& shard, std::string dir, std::string to) {
    LogContext context(shard, {.disk_reserve_bytes = 0});
    Result<std::unique_ptr<Log>> log = co_await Log::open(
        context, dir, test::kIdentity, LogConfig{.cleanup_compact = true}, {.other_writer = true});
    EXPECT_TRUE(log);
    fs::copy(dir, to, fs::copy_options::recursive);
    const Result<void> closed = co_await (*log)->close();
    EXPECT_TRUE(closed);
  }

  test::TempDir root;
  const std::string stem = "00000000000000000000";
  const std::string dir = root / "orders-3";
  const std::string log_file = dir + "/" + stem + ".log";
};

// Compaction leaves empty files where nothing is left. The first manifest names all that is there.
TEST_F(AdoptedLog, EmptySegmentsAreNamedLikeOthers) {
  make_log(dir, 30, LogConfig{.segment_bytes = 400});
  const std::vector<fs::path> segments = files_ending(dir, ".log");
  ASSERT_GT(segments.size(), 4u);
  for (const std::size_t i : {0u, 1u}) fs::resize_file(segments[i], 0);
  const std::string killed = root / "killed-3";
  test::run_on_runtime([&](io::Shard& shard) { return open_and_copy(shard, dir, killed); });
  for (const std::string& where : {killed, dir}) {
    EXPECT_EQ(end_of(where), 30);
    EXPECT_TRUE(files_ending(where, ".set-aside").empty());
    EXPECT_EQ(files_ending(where, ".log").size(), segments.size());
  }
}

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

// A topic that was compacted once: Kafka reads across, so do we. Where the directory was ours, it
// is a loss, and nobody may take it for the end of the matter.
TEST_F(AdoptedLog, OffsetsInNoSegmentAreReadAcrossWhereKafkaLeftThem) {
  for (const bool ours : {false, true}) {
    const std::string where = root / (ours ? "ours-3" : "theirs-3");
    make_log(where, 30, LogConfig{.segment_bytes = 400});
    const std::vector<fs::path> segments = files_ending(where, ".log");
    ASSERT_GT(segments.size(), 3u);
    fs::remove(segments[1]);
    if (ours) std::ofstream(segments[0].string().substr(0, where.size() + 21) + ".integrity");
    for (int opened = 0; opened < (ours ? 1 : 2); ++opened) {
      const Result<std::vector<std::byte>> all =
          test::run_on_runtime([&](io::Shard& shard) { return read_log(shard, where); });
      EXPECT_EQ(all.has_value(), !ours) << opened;
      if (!all) EXPECT_EQ(all.error().code, Errc::quarantined) << opened;
    }
  }
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
