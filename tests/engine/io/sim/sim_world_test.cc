#include "engine/io/sim/sim_world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "engine/io/aligned_buffer.h"
#include "engine/io/file.h"

namespace keelson::engine::io {
namespace {

Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

struct Acknowledged {
  std::vector<std::uint32_t> records;  // by number
};

constexpr std::size_t kRecordBytes = 1000;  // not a multiple of a sector

std::string record_of(std::uint32_t number) {
  std::string record(kRecordBytes, static_cast<char>('a' + number % 26));
  std::memcpy(record.data(), &number, sizeof number);
  return record;
}

/// Appends numbered records with durable writes, from where the file ends, until it is killed.
Task<void> append_for_ever(Shard& shard, std::uint32_t first, Acknowledged& acknowledged) {
  Result<File> file = co_await File::open(shard, "/log", OpenFlags{.write = true, .create = true});
  if (!file) co_return;
  const Result<void> synced = co_await sync_dir(shard, "/");
  if (!synced) co_return;
  for (std::uint32_t number = first;; ++number) {
    const std::string record = record_of(number);
    const Result<void> written =
        co_await file->write_at(number * kRecordBytes, bytes_of(record), /*durable=*/true);
    if (!written) co_return;
    acknowledged.records.push_back(number);
  }
}

Task<int> answer_one() { co_return 1; }

std::uint64_t append_through_power_cuts(std::uint64_t seed, std::size_t* operations) {
  Acknowledged acknowledged;
  SimWorld world(seed);
  SimNode& node = world.start_node("a");
  node.faults().short_write_ppm = 100'000;
  for (int round = 0; round < 4; ++round) {
    const std::uint32_t first = static_cast<std::uint32_t>(acknowledged.records.size());
    node.shard().spawn(append_for_ever(node.shard(), first, acknowledged));
    world.run_for(world.rng().between(100'000, 3'000'000));
    if (world.rng().coin()) {
      world.power_cut(node);
    } else {
      world.kill_node(node);
    }
    const std::string content = node.disk().content("/log").value_or("");
    for (const std::uint32_t number : acknowledged.records) {
      const std::string found = content.substr(
          std::min<std::size_t>(content.size(), number * kRecordBytes), kRecordBytes);
      EXPECT_EQ(found, record_of(number)) << "seed " << seed << " record " << number;
      if (found != record_of(number)) return 0;
    }
    world.restart_node(node);
  }
  *operations += node.count(OpKind::any_disk);
  return world.trace_hash();
}

TEST(SimWorld, DurableAppendsSurvivePowerCuts) {
  std::size_t operations = 0;
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    append_through_power_cuts(seed, &operations);
    if (HasFailure()) break;
  }
  EXPECT_GT(operations, 20'000u);
  RecordProperty("operations", static_cast<int>(operations));
}

TEST(SimWorld, SameSeedSameTrace) {
  std::size_t operations = 0;
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const std::uint64_t hash = append_through_power_cuts(seed, &operations);
    EXPECT_EQ(hash, append_through_power_cuts(seed, &operations)) << "seed " << seed;
    hashes.insert(hash);
  }
  EXPECT_EQ(hashes.size(), 50u);
}

Task<void> ping_for_ever(Shard& home, Shard& target, std::uint64_t& count) {
  while (true) {
    const int answer = co_await call_on(home, target, [] { return answer_one(); });
    count += static_cast<std::uint64_t>(answer);
    if (count % 16 == 0) co_await home.sleep_for_ms(1);
  }
}

std::uint64_t hop_between_shards(std::uint64_t seed) {
  std::uint64_t count = 0;
  SimWorld world(seed);
  SimNode& node = world.start_node("a", 3);
  for (std::uint32_t i = 0; i < 3; ++i) {
    node.shard(i).spawn(ping_for_ever(node.shard(i), node.shard((i + 1) % 3), count));
  }
  world.run_for(20'000'000);
  EXPECT_GT(count, 100u);
  return world.trace_hash();
}

TEST(SimWorld, ShardsCallEachOtherRepeatably) {
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const std::uint64_t hash = hop_between_shards(seed);
    EXPECT_EQ(hash, hop_between_shards(seed)) << "seed " << seed;
    hashes.insert(hash);
  }
  EXPECT_EQ(hashes.size(), 50u);
}

Task<void> tick(Shard& shard, int& ticks) {
  while (true) {
    co_await shard.sleep_for_ms(1'000);
    ++ticks;
  }
}

TEST(SimWorld, ClocksDriftJumpAndPause) {
  constexpr std::int64_t kHourNs = 3'600'000'000'000;
  int ticks = 0;
  SimWorld world(7);
  SimNode& node = world.start_node("a");
  node.shard().spawn(tick(node.shard(), ticks));
  world.run_for(kHourNs);
  EXPECT_NEAR(ticks, 3600, 2);
  node.clock().set_drift_ppm(50'000);
  world.run_for(kHourNs);
  EXPECT_NEAR(ticks, 3600 + 3780, 4);
  const std::int64_t wall_ms = node.clock().wall_ms();
  node.clock().jump_wall_ms(-86'400'000);
  EXPECT_EQ(node.clock().wall_ms(), wall_ms - 86'400'000);
  const int before = ticks;
  world.pause_node(node, true);
  world.run_for(kHourNs);
  EXPECT_EQ(ticks, before);
  world.pause_node(node, false);
  world.run_for(1'000'000);
  EXPECT_EQ(ticks, before + 1);  // late, once
}

Task<Result<void>> write_to(Shard& shard, std::string path, bool durable) {
  Result<File> file = co_await File::open(shard, path, OpenFlags{.write = true, .create = true});
  if (!file) co_return std::unexpected(file.error());
  const Result<void> locked = co_await file->lock();
  if (!locked) co_return locked;
  const std::string bytes(8192, 'x');
  const Result<void> written = co_await file->write_at(0, bytes_of(bytes), durable);
  if (!written) co_return written;
  co_return co_await file->sync_data();
}

Task<Result<void>> write_block(Shard& shard, bool direct) {
  const OpenFlags flags{.write = true, .create = true, .truncate = true, .direct = direct};
  Result<File> file = co_await File::open(shard, "/f", flags);
  if (!file) co_return std::unexpected(file.error());
  AlignedBuffer block(kBlockBytes);
  std::ranges::fill(block.bytes(), std::byte{'x'});
  co_return co_await file->write_at(0, block.bytes(), true);
}

// Less than a block is no progress for a direct write: it goes again, for so long.
TEST(SimWorld, ShortWritesGoOnWhereTheirLastBlockEnded) {
  SimWorld world(9);
  SimNode& node = world.start_node("a");
  const auto run = [&](bool direct, int shorts) {
    node.faults().nth.clear();
    for (int i = 1; i <= shorts; ++i) {
      node.fail_nth(OpKind::write, static_cast<std::uint64_t>(i), 0, FaultAction::short_transfer);
    }
    return world.run_task(node.shard(), write_block(node.shard(), direct));
  };
  EXPECT_TRUE(run(false, 5));
  EXPECT_EQ(node.disk().content("/f"), std::string(kBlockBytes, 'x'));
  EXPECT_TRUE(run(true, kWriteStallsMax - 1));
  EXPECT_EQ(node.disk().content("/f"), std::string(kBlockBytes, 'x'));
  EXPECT_EQ(run(true, kWriteStallsMax), std::unexpected(Error{Errc::io, EIO}));
}

TEST(SimWorld, FaultsAreReportedOrSilentAsAsked) {
  SimWorld world(9);
  SimNode& node = world.start_node("a");
  const auto run = [&] {
    return world.run_task(node.shard(), write_to(node.shard(), "/f", false));
  };
  ASSERT_TRUE(run());
  node.faults().read_only = true;
  EXPECT_EQ(run(), std::unexpected(Error{Errc::io, EROFS}));
  node.faults().read_only = false;
  node.fail_nth(OpKind::write, 1, EDQUOT);
  EXPECT_EQ(run(), std::unexpected(Error{Errc::no_space, EDQUOT}));
  node.fail_nth(OpKind::sync_data, 1, EIO);
  EXPECT_EQ(run(), std::unexpected(Error{Errc::io, EIO}));
  node.set_descriptors_max(0);
  EXPECT_EQ(run(), std::unexpected(Error{Errc::io, EMFILE}));
  node.set_descriptors_max(10);

  node.disk().erase("/f");
  node.fail_nth(OpKind::write, 1, 0, FaultAction::lost_write);
  EXPECT_TRUE(run());
  EXPECT_EQ(node.disk().content("/f"), "");

  const std::int64_t before_ns = world.now_ns();
  node.fail_nth(OpKind::write, 1, 0, FaultAction::stall);
  EXPECT_TRUE(run());
  EXPECT_GT(world.now_ns() - before_ns, 4'000'000'000);

  node.fail_nth(OpKind::write, 1, 0, FaultAction::hang);
  EXPECT_FALSE(world.try_run_task(node.shard(), write_to(node.shard(), "/g", false)));
  // The file is still locked, until the process dies.
  EXPECT_EQ(world.run_task(node.shard(), write_to(node.shard(), "/g", false)),
            std::unexpected(Error{Errc::locked, EWOULDBLOCK}));
  world.kill_node(node);
  world.restart_node(node);
  EXPECT_TRUE(world.run_task(node.shard(), write_to(node.shard(), "/g", true)));
}

TEST(SimWorld, RunsHundredsOfThousandsOfOperations) {
  Acknowledged acknowledged;
  SimWorld world(11);
  SimNode& node = world.start_node("a");
  node.shard().spawn(append_for_ever(node.shard(), 0, acknowledged));
  ASSERT_TRUE(
      world.run_until([&] { return acknowledged.records.size() >= 200'000; }, 3'600'000'000'000));
}

}  // namespace
}  // namespace keelson::engine::io
