#include "engine/io/sim/sim_world.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "engine/io/awaitables.h"
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

}  // namespace
}  // namespace keelson::engine::io
