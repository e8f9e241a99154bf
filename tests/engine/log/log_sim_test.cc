// The log on simulated machines: crashes, failing operations, damage, a full disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>

#include "engine/io/sim/sim_world.h"
#include "engine/log/data_directory.h"
#include "engine/log/log.h"
#include "tests/engine/log/log_fixture.h"
#include "tests/engine/log/stderr_logger.h"

namespace keelson::engine::log {
namespace {

using test::make_batch;
using test::stamped;
using test::test_logger;

constexpr LeaderEpoch kEpoch{5};

constexpr std::int64_t kMillisecond = 1'000'000;
const std::string kDir = "orders-3";

LogConfig small_segments() {
  LogConfig config;
  config.segment_bytes = 20'000;
  config.file_delete_delay_ms = 10;
  return config;
}

/// Sizes of what is appended.
struct Load {
  std::size_t usual_bytes = 400;
  std::size_t large_bytes = 9'000;  // each seventh
};

LogLimits quick_limits() {
  LogLimits limits;
  limits.disk_reserve_bytes = 1 << 20;
  limits.removal_step_bytes = 4096;  // so that files are cut while others read
  limits.sidecar_delay_ms = 2;
  limits.idle_after_ms = 20;
  return limits;
}

/// What clients sent and what was acknowledged to them; outlives the simulated process.
struct History {
  std::map<std::int64_t, std::vector<std::byte>> sent;  // by base offset, as the log stores it
  std::int64_t acknowledged_end = 0;
  std::uint64_t refused = 0;
};

struct Opened {
  std::unique_ptr<LogContext> context;
  std::unique_ptr<Log> log;
};

Task<Result<Opened>> open_log(io::Shard& shard, LogConfig config, OpenHints hints = {}) {
  Opened opened{std::make_unique<LogContext>(shard, quick_limits()), nullptr};
  Result<std::unique_ptr<Log>> log =
      co_await Log::open(*opened.context, kDir, test::kIdentity, config, hints);
  if (!log) co_return std::unexpected(log.error());
  opened.log = std::move(*log);
  co_return std::move(opened);
}

Task<void> write_some(Log& log, io::Shard& shard, History& history, int count, std::size_t& live,
                      Load load) {
  for (int i = 0; i < count; ++i) {
    const std::size_t size =
        shard.rng().next() % (i % 7 == 0 ? load.large_bytes : load.usual_bytes);
    std::vector<std::byte> batch =
        make_batch(std::string(size, static_cast<char>('a' + i % 26)), 1 + i % 3, 1'000 + i);
    const std::int64_t base = log.log_end_offset().value();
    std::vector<std::byte> stored = stamped(batch, base, kEpoch.value());
    if (!log.failure()) history.sent[base] = std::move(stored);
    const Result<AppendResult> appended = co_await log.append(batch, kEpoch);
    if (!appended) {
      ++history.refused;
      break;
    }
    EXPECT_EQ(appended->base_offset.value(), base);
    history.acknowledged_end =
        std::max(history.acknowledged_end, appended->last_offset.value() + 1);
    if (i % 5 == 0) co_await shard.sleep_for_ms(static_cast<std::int64_t>(shard.rng().next() % 4));
  }
  --live;
}

/// Opens, lets `writers` write, and closes; ends early where the process dies.
Task<bool> serve(io::Shard& shard, History& history, LogConfig config, int writers, int batches,
                 bool close, Load load = {}) {
  Result<Opened> opened = co_await open_log(shard, config);
  if (!opened) co_return false;
  std::size_t live = static_cast<std::size_t>(writers);
  for (int i = 0; i < writers; ++i) {
    shard.spawn(write_some(*opened->log, shard, history, batches, live, load));
  }
  while (live > 0) co_await shard.sleep_for_ms(1);
  const Result<void> closed = close ? co_await opened->log->close() : co_await opened->log->flush();
  if (!close) {
    const Result<void> at_rest = co_await opened->log->close();
    co_return closed.has_value() && at_rest.has_value();
  }
  co_return closed.has_value();
}

/// Every batch there is must be one that was sent, at its offset; how far the log goes.
Task<bool> check(io::Shard& shard, History& history, LogConfig config, bool may_withhold) {
  Result<Opened> opened = co_await open_log(shard, config);
  EXPECT_TRUE(opened.has_value()) << (opened ? "" : to_string(opened.error().code));
  if (!opened) co_return false;
  Log& log = *opened->log;
  std::int64_t at = log.log_start_offset().value();
  const std::int64_t end = log.log_end_offset().value();
  bool sound = true;
  while (at < end && sound) {
    const Result<ReadResult> read =
        co_await log.read(Offset{at}, Offset{end}, {.bytes_max = 5'000});
    if (!read) {
      EXPECT_TRUE(may_withhold) << "offset " << at << ": " << to_string(read.error().code);
      sound = false;
      break;
    }
    const std::vector<std::byte> bytes = test::flat(read->batches);
    EXPECT_FALSE(bytes.empty()) << "nothing at offset " << at;
    if (bytes.empty()) co_return false;
    for (std::size_t position = 0; position < bytes.size();) {
      const auto header = read_batch_header(Bytes(bytes).subspan(position));
      EXPECT_TRUE(header.has_value());
      if (!header) co_return false;
      const Bytes batch = Bytes(bytes).subspan(position, header->size_bytes());
      const auto known = history.sent.find(header->base_offset.value());
      const bool same = known != history.sent.end() && std::ranges::equal(batch, known->second);
      EXPECT_EQ(header->base_offset.value(), at);
      EXPECT_TRUE(same) << "at offset " << at;
      if (!same) co_return false;
      at = header->next_offset().value();
      position += header->size_bytes();
    }
  }
  if (!may_withhold) {
    for (const std::string& finding : log.recovery().findings) {
      EXPECT_THAT(finding, testing::Not(testing::HasSubstr("withheld")));
    }
    EXPECT_GE(end, history.acknowledged_end);
    history.sent.erase(history.sent.lower_bound(end), history.sent.end());
    history.acknowledged_end = end;
  }
  const Result<void> closed = co_await log.close();
  EXPECT_TRUE(closed.has_value());
  co_return sound&& end >= history.acknowledged_end;
}

struct CrashCase {
  std::string name;
  Durability durability = Durability::durable;
  std::uint64_t segment_bytes = 20'000;
  Load load;
  std::int64_t round_ns_max = 60 * kMillisecond;
  std::uint64_t seeds = 60;
};

class CrashTest : public testing::TestWithParam<CrashCase> {};

TEST_P(CrashTest, EveryAcknowledgedBatchOutlivesKillsAndPowerCuts) {
  const CrashCase& given = GetParam();
  const char* const asked = std::getenv("KEELSON_TEST_SEEDS");
  const std::uint64_t seeds = asked ? std::strtoull(asked, nullptr, 10) : given.seeds;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    io::SimWorld world(seed);
    world.set_logger(test_logger);
    io::SimNode& node = world.start_node("n");
    node.faults().short_write_ppm = 50'000;
    node.faults().short_read_ppm = 50'000;
    History history;
    LogConfig config = small_segments();
    config.segment_bytes = given.segment_bytes;
    config.durability = given.durability;
    for (int round = 0; round < 4; ++round) {
      node.shard().spawn(
          [](io::Shard& shard, History& told, LogConfig with, Load load) -> Task<void> {
            co_await serve(shard, told, with, 4, 1'000'000, true, load);
          }(node.shard(), history, config, given.load));
      world.run_for(static_cast<std::int64_t>(world.rng().next() %
                                              static_cast<std::uint64_t>(given.round_ns_max)));
      if (given.durability == Durability::durable && world.rng().next() % 2 == 0) {
        world.power_cut(node);
      } else {
        world.kill_node(node);
      }
      world.restart_node(node);
      const bool sound = world.run_task(node.shard(), check(node.shard(), history, config, false));
      ASSERT_TRUE(sound);
    }
  }
}

// Large ones come in commits that go to reserved space, and in turns with small ones, for which
// zeros are written there.
constexpr Load kBulk{.usual_bytes = 300'000, .large_bytes = 600'000};
constexpr Load kMixed{.usual_bytes = 300, .large_bytes = 3'000'000};

INSTANTIATE_TEST_SUITE_P(Loads, CrashTest,
                         testing::Values(CrashCase{.name = "durable"},
                                         CrashCase{.name = "relaxed",
                                                   .durability = Durability::relaxed},
                                         CrashCase{.name = "bulk",
                                                   .segment_bytes = 20'000'000,
                                                   .load = kBulk,
                                                   .round_ns_max = 30 * kMillisecond,
                                                   .seeds = 10},
                                         CrashCase{.name = "mixed",
                                                   .segment_bytes = 20'000'000,
                                                   .load = kMixed,
                                                   .round_ns_max = 30 * kMillisecond,
                                                   .seeds = 10},
                                         CrashCase{.name = "relaxed_bulk",
                                                   .durability = Durability::relaxed,
                                                   .segment_bytes = 20'000'000,
                                                   .load = kBulk,
                                                   .round_ns_max = 30 * kMillisecond,
                                                   .seeds = 5}),
                         [](const auto& parameter) { return parameter.param.name; });

/// Moves the start on and on, and notes every start that a reader could be told of. `told` and
/// `moves` outlive the process.
Task<void> move_the_start(io::Shard& shard, LogConfig config, std::int64_t& told, int& moves) {
  struct Watch {
    static Task<void> starts(io::Shard& shard, const Log& log, std::int64_t& told) {
      while (true) {
        told = std::max(told, log.log_start_offset().value());
        co_await shard.sleep_until(shard.clock().now_ns() + 5'000);
      }
    }
  };
  const Result<Opened> opened = co_await open_log(shard, config);
  EXPECT_TRUE(opened.has_value());
  Log& log = *opened->log;
  shard.spawn(Watch::starts(shard, log, told));
  while (true) {
    for (int i = 0; i < 6; ++i) {
      std::vector<std::byte> batch = make_batch(std::string(5'000, 'x'));
      const Result<AppendResult> appended = co_await log.append(batch, kEpoch);
      EXPECT_TRUE(appended.has_value());
    }
    const Offset start = log.log_start_offset();
    if (moves % 2 == 0) {
      const Result<void> moved = co_await log.advance_start(start + 1 + moves % 4);
      EXPECT_TRUE(moved.has_value());
    } else {
      const Result<std::size_t> dropped = co_await log.apply_retention();
      EXPECT_TRUE(dropped.has_value());
    }
    if (log.log_start_offset() > start) ++moves;
  }
}

// A start that a reader could see stays: it was durable before it was visible.
TEST(LogStart, NoPowerCutTakesAToldStartBack) {
  LogConfig config = small_segments();
  config.retention_bytes = 30'000;
  int moves = 0;
  for (std::uint64_t seed = 1; seed <= 80; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    io::SimWorld world(seed);
    world.set_logger(test_logger);
    io::SimNode& node = world.start_node("n");
    std::int64_t told = 0;
    for (int round = 0; round < 3; ++round) {
      node.shard().spawn(move_the_start(node.shard(), config, told, moves));
      world.run_for(static_cast<std::int64_t>(world.rng().next() % (20 * kMillisecond)));
      world.power_cut(node);
      world.restart_node(node);
      const std::int64_t start =
          world.run_task(node.shard(), [](io::Shard& shard, LogConfig with) -> Task<std::int64_t> {
            const Result<Opened> log = co_await open_log(shard, with);
            EXPECT_TRUE(log.has_value());
            const std::int64_t found = log->log->log_start_offset().value();
            const Result<void> closed = co_await log->log->close();
            EXPECT_TRUE(closed.has_value());
            co_return found;
          }(node.shard(), config));
      ASSERT_GE(start, told);
    }
  }
  EXPECT_GT(moves, 100);
}

// Whatever single operation fails, nothing acknowledged is lost and nothing is made up.
TEST(LogFaults, EachFailingOperationIsSurvived) {
  for (std::uint64_t nth = 1;; ++nth) {
    SCOPED_TRACE(testing::Message() << "operation " << nth);
    io::SimWorld world(7);
    world.set_logger(test_logger);
    io::SimNode& node = world.start_node("n");
    History history;
    node.reset_counts();
    node.fail_nth(io::OpKind::any_disk, nth);
    world.run_task(node.shard(), serve(node.shard(), history, small_segments(), 3, 12, true));
    const bool reached = node.count(io::OpKind::any_disk) >= nth;
    node.faults().nth.clear();
    world.kill_node(node);
    world.restart_node(node);
    ASSERT_TRUE(
        world.run_task(node.shard(), check(node.shard(), history, small_segments(), false)));
    if (!reached) break;
  }
}

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

TEST(LogSpace, RefusesBeforeTheDiskIsFullAndResumes) {
  io::SimWorld world(11);
  io::SimNode& node = world.start_node("n");
  node.disk().set_total_bytes(8 << 20);
  History history;
  LogConfig config;
  const auto outcome = world.run_task(
      node.shard(), [](io::Shard& shard, io::SimNode& machine, LogConfig with) -> Task<bool> {
        Result<Opened> opened = co_await open_log(shard, with);
        EXPECT_TRUE(opened.has_value());
        Log& log = *opened->log;
        bool refused = false;
        for (int i = 0; i < 4'000 && !refused; ++i) {
          std::vector<std::byte> batch = make_batch(std::string(10'000, 'x'));
          const Result<AppendResult> appended = co_await log.append(batch, kEpoch);
          refused = !appended;
          if (refused) EXPECT_EQ(appended.error().code, Errc::no_space);
        }
        EXPECT_TRUE(refused);
        EXPECT_GT(machine.disk().free_bytes(), 0u);
        EXPECT_FALSE(log.failure().has_value());
        machine.disk().set_total_bytes(64 << 20);
        bool resumed = false;
        for (int i = 0; i < 100 && !resumed; ++i) {
          std::vector<std::byte> batch = make_batch(std::string(10'000, 'x'));
          const Result<AppendResult> appended = co_await log.append(batch, kEpoch);
          resumed = appended.has_value();
          co_await shard.sleep_for_ms(10);
        }
        EXPECT_TRUE(resumed);
        const Result<void> closed = co_await log.close();
        co_return closed.has_value();
      }(node.shard(), node, config));
  EXPECT_TRUE(outcome);
}

}  // namespace
}  // namespace keelson::engine::log
