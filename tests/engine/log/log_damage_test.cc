// Damaged files: what is served of them, what is cut, what is reported.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "engine/io/sim/sim_world.h"
#include "engine/log/log.h"
#include "tests/engine/log/log_fixture.h"
#include "tests/engine/log/log_history.h"

namespace keelson::engine::log {
namespace {

using history::check;
using history::History;
using history::kDir;
using history::open_log;
using history::Opened;
using history::serve;
using history::small_segments;
using test::make_batch;
using test::stamped;

/// A small closed or killed log to do damage to.
struct Specimen {
  explicit Specimen(bool close, LogConfig config = small_segments()) : world(3) {
    io::SimNode& node = world.start_node("n");
    world.run_task(node.shard(), serve(node.shard(), history, config, 1, 6, close));
    world.kill_node(node);
    world.restart_node(node);
    disk = node.disk();
  }
  io::SimNode& with_disk(const io::SimDisk& other) {
    io::SimNode& node = restart();
    node.disk() = other;
    return node;
  }
  io::SimNode& restart() {
    if (current == nullptr) current = &world.start_node("damaged");
    world.kill_node(*current);
    world.restart_node(*current);
    return *current;
  }
  io::SimWorld world;
  History history;
  io::SimDisk disk;
  io::SimNode* current = nullptr;
};

TEST(LogDamage, NoFlippedBitIsEverServed) {
  LogConfig config = small_segments();
  Specimen specimen(true, config);
  std::uint64_t flips = 0;
  for (const std::string& path : specimen.disk.files()) {
    const std::size_t size = specimen.disk.content(path)->size();
    // Every bit of headers and side files; of long values each 97th byte.
    for (std::size_t byte = 0; byte < size; byte += size > 2'000 && byte > 700 ? 97 : 1) {
      const unsigned bit = static_cast<unsigned>(byte * 5 % 8);
      io::SimDisk damaged = specimen.disk;
      ASSERT_TRUE(damaged.flip_bit(path, byte, bit));
      io::SimNode& node = specimen.with_disk(damaged);
      SCOPED_TRACE(testing::Message() << path << " byte " << byte << " bit " << bit);
      History history = specimen.history;
      const bool metadata = path.ends_with("partition.metadata");
      const auto opened = specimen.world.run_task(
          node.shard(), [](io::Shard& shard, LogConfig with) -> Task<Result<bool>> {
            Result<Opened> log = co_await open_log(shard, with, {.clean_stop = true});
            if (!log) co_return std::unexpected(log.error());
            const Result<void> closed = co_await log->log->close();
            co_return closed.has_value();
          }(node.shard(), config));
      if (!opened) {
        EXPECT_TRUE(metadata && opened.error().code == Errc::corrupt);
        continue;
      }
      specimen.world.run_task(node.shard(), check(node.shard(), history, config, true));
      if (testing::Test::HasFailure()) return;
      ++flips;
    }
  }
  EXPECT_GT(flips, 1'000u);
}

TEST(LogDamage, ATailCutAnywhereLeavesAllWholeBatches) {
  Specimen specimen(false);
  const std::string path = "/" + kDir + "/00000000000000000000.log";
  const std::size_t size = specimen.disk.content(path)->size();
  ASSERT_GT(size, 500u);
  for (std::size_t cut = 0; cut < size; cut += size - cut > 1'000 ? 53 : 1) {
    SCOPED_TRACE(testing::Message() << "cut at " << cut);
    io::SimDisk damaged = specimen.disk;
    ASSERT_TRUE(damaged.resize(path, cut));
    for (const std::string& name : damaged.files()) {
      if (name.ends_with(".integrity") || name.ends_with(".manifest")) damaged.erase(name);
    }
    io::SimNode& node = specimen.with_disk(damaged);
    History history = specimen.history;
    history.acknowledged_end = 0;
    ASSERT_TRUE(specimen.world.run_task(node.shard(),
                                        check(node.shard(), history, small_segments(), false)));
    std::int64_t whole_end = 0;
    std::size_t bytes = 0;
    for (const auto& [base, batch] : specimen.history.sent) {
      bytes += batch.size();
      if (bytes > cut) break;
      whole_end = read_batch_header(batch)->next_offset().value();
    }
    EXPECT_EQ(history.acknowledged_end, whole_end);
  }
}

std::string segment_name(std::int64_t base) {
  const std::string digits = std::to_string(base);
  return std::string(20 - digits.size(), '0') + digits + ".log";
}

/// Opens a damaged specimen after an unclean stop; what recovery found, or nothing where it failed.
std::vector<std::string> reopen(Specimen& specimen, const io::SimDisk& damaged, LogConfig config,
                                std::int64_t end, OpenHints hints = {}) {
  io::SimNode& node = specimen.with_disk(damaged);
  std::vector<std::string> findings;
  specimen.world.run_task(node.shard(),
                          [](io::Shard& shard, LogConfig with, std::vector<std::string>& found,
                             std::int64_t expected_end, OpenHints known) -> Task<void> {
                            Result<Opened> opened = co_await open_log(shard, with, known);
                            EXPECT_TRUE(opened.has_value())
                                << (opened ? "" : to_string(opened.error().code));
                            if (!opened) co_return;
                            EXPECT_EQ(opened->log->log_end_offset().value(), expected_end);
                            found = opened->log->recovery().findings;
                            const Result<void> closed = co_await opened->log->close();
                            EXPECT_TRUE(closed.has_value());
                          }(node.shard(), config, findings, end, hints));
  return findings;
}

// After a kill: the last batches once more behind the tail, and another segment's batches there.
TEST(LogDamage, StaleBatchesBehindTheTailAreCut) {
  Specimen specimen(false);
  const std::string path = "/" + kDir + "/00000000000000000000.log";
  const std::int64_t end = specimen.history.acknowledged_end;
  const std::size_t last_bytes = specimen.history.sent.rbegin()->second.size();
  const std::string content = *specimen.disk.content(path);
  const std::string again = content.substr(content.size() - last_bytes);
  const std::vector<std::byte> other = stamped(make_batch("of another segment"), 777, 5);
  const std::string foreign(reinterpret_cast<const char*>(other.data()), other.size());
  for (const std::string& stale : {again, foreign, again + foreign}) {
    io::SimDisk damaged = specimen.disk;
    damaged.put(path, content + stale);
    const std::vector<std::string> findings = reopen(specimen, damaged, small_segments(), end);
    EXPECT_THAT(findings, testing::Contains(testing::HasSubstr("cut")));
    io::SimNode& node = specimen.restart();
    History history = specimen.history;
    EXPECT_TRUE(specimen.world.run_task(node.shard(),
                                        check(node.shard(), history, small_segments(), false)));
  }
}

// A flipped base offset in the durable part: that batch is withheld, everything else is kept.
TEST(LogDamage, DamageBelowTheFrontierIsWithheldAndNeverCut) {
  Specimen specimen(false);
  const std::string path = "/" + kDir + "/00000000000000000000.log";
  const std::int64_t end = specimen.history.acknowledged_end;
  std::size_t position = 0;
  for (const auto& [base, batch] : specimen.history.sent) {
    io::SimDisk damaged = specimen.disk;
    ASSERT_TRUE(damaged.flip_bit(path, position + 7, 3));
    position += batch.size();
    reopen(specimen, damaged, small_segments(), end);
    io::SimNode& node = specimen.restart();
    const auto codes = specimen.world.run_task(
        node.shard(),
        [](io::Shard& shard, std::int64_t flipped, std::int64_t all) -> Task<std::pair<int, int>> {
          Result<Opened> opened = co_await open_log(shard, small_segments());
          int withheld = 0;
          int served = 0;
          for (std::int64_t at = 0; at < all; ++at) {
            const Result<ReadResult> read =
                co_await opened->log->read(Offset{at}, Offset{all}, {.bytes_max = 1});
            if (!read) EXPECT_EQ(read.error().code, Errc::quarantined);
            if (!read) withheld += 1;
            if (read) ++served;
            if (at == flipped) EXPECT_FALSE(read.has_value());
          }
          const Result<void> closed = co_await opened->log->close();
          EXPECT_TRUE(closed.has_value());
          co_return std::pair{withheld, served};
        }(node.shard(), base, end));
    const std::int64_t records = read_batch_header(batch)->next_offset().value() - base;
    EXPECT_EQ(codes.first, records);
    EXPECT_EQ(codes.second, end - records);
  }
}

// The same where no entries are left that prove anything: the frontier alone says what was durable.
TEST(LogDamage, DamageBelowTheFrontierIsKeptWithoutEntriesToo) {
  Specimen specimen(false);
  const std::string stem = "/" + kDir + "/00000000000000000000";
  const std::int64_t end = specimen.history.acknowledged_end;
  std::size_t position = 0;
  for (const auto& [base, batch] : specimen.history.sent) {
    SCOPED_TRACE(testing::Message() << "batch at offset " << base);
    io::SimDisk damaged = specimen.disk;
    ASSERT_TRUE(damaged.flip_bit(stem + ".log", position + 7, 3));
    ASSERT_TRUE(damaged.erase(stem + ".integrity"));
    position += batch.size();
    const std::size_t bytes = damaged.content(stem + ".log")->size();
    EXPECT_THAT(reopen(specimen, damaged, small_segments(), end),
                testing::Contains(testing::HasSubstr("are damaged and withheld")));
    EXPECT_GE(specimen.current->disk().content(stem + ".log")->size(), bytes);
  }
}

// Unnamed and missing segments, and derived files: each is reported, and all that is there is
// served.
TEST(LogDamage, FilesMissingUnnamedOrGarbledAreReported) {
  LogConfig config = small_segments();
  config.segment_bytes = 1'500;
  Specimen specimen(true, config);
  const std::int64_t end = specimen.history.acknowledged_end;
  const std::string first = "/" + kDir + "/00000000000000000000";
  std::vector<std::string> logs;
  for (const std::string& name : specimen.disk.files()) {
    if (name.ends_with(".log")) logs.push_back(name);
  }
  ASSERT_GE(logs.size(), 2u);

  io::SimDisk damaged = specimen.disk;
  ASSERT_TRUE(damaged.erase(logs[0]));
  EXPECT_THAT(reopen(specimen, damaged, config, end),
              testing::Contains(testing::HasSubstr("is missing: offsets 0")));

  damaged = specimen.disk;
  ASSERT_TRUE(damaged.erase(logs.back()));
  EXPECT_THAT(reopen(specimen, damaged, config, end),
              testing::Contains(testing::HasSubstr("are withheld")));
  EXPECT_TRUE(specimen.current->disk().exists("/" + kDir + "/" + segment_name(end)));

  damaged = specimen.disk;
  damaged.put("/" + kDir + "/00000000000000012345.log", *specimen.disk.content(logs[0]));
  EXPECT_THAT(reopen(specimen, damaged, config, end),
              testing::Contains(testing::HasSubstr("set aside")));

  for (const std::string& name :
       {first + ".index", first + ".integrity", "/" + kDir + "/leader-epoch-checkpoint",
        "/" + kDir + "/partition.metadata", "/" + kDir + "/keelson.manifest"}) {
    SCOPED_TRACE(name);
    damaged = specimen.disk;
    ASSERT_TRUE(damaged.erase(name));
    reopen(specimen, damaged, config, end);
    io::SimNode& node = specimen.restart();
    History history = specimen.history;
    EXPECT_TRUE(specimen.world.run_task(node.shard(), check(node.shard(), history, config, false)));
    EXPECT_TRUE(node.disk().exists(name));
  }
}

// The recovery point of the directory lies behind the end of every segment but the last.
TEST(LogDamage, LostManifestAfterACleanStopWithholdsNothing) {
  LogConfig config = small_segments();
  config.segment_bytes = 1'500;
  Specimen specimen(true, config);
  const std::int64_t end = specimen.history.acknowledged_end;
  io::SimDisk damaged = specimen.disk;
  ASSERT_TRUE(damaged.erase("/" + kDir + "/keelson.manifest"));
  const std::vector<std::string> findings =
      reopen(specimen, damaged, config, end, {.clean_stop = true, .recovery_point = Offset{end}});
  for (const std::string& finding : findings) {
    EXPECT_THAT(finding, testing::Not(testing::HasSubstr("withheld")));
    EXPECT_THAT(finding, testing::Not(testing::HasSubstr("set aside")));
  }
  io::SimNode& node = specimen.restart();
  History history = specimen.history;
  EXPECT_TRUE(specimen.world.run_task(node.shard(), check(node.shard(), history, config, false)));
}

}  // namespace
}  // namespace keelson::engine::log
