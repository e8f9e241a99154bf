// Verification of directories at rest: clean ones have no finding, and each damage has its own.
#include "engine/log/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <sstream>
#include <utility>

#include "engine/log/checkpoint_file.h"
#include "engine/log/compaction.h"
#include "engine/log/manifest.h"
#include "engine/log/meta_properties.h"
#include "engine/log/pace.h"
#include "tests/engine/log/log_fixture.h"
#include "tests/support/run_on_runtime.h"
#include "tests/support/temp_dir.h"

namespace keelson::engine::log {
namespace {

namespace fs = std::filesystem;

constexpr int kBatches = 40;
constexpr std::int64_t kProducer = 77;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const fs::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

void flip(const fs::path& path, std::size_t position) {
  std::string content = read_file(path);
  ASSERT_LT(position, content.size());
  content[position] = static_cast<char>(content[position] ^ 0x10);
  write_file(path, content);
}

/// Two epochs, an idempotent producer, several segments, closed cleanly.
Task<int> write_log(io::Shard& shard, std::string dir) {
  LogContext context(shard, {.disk_reserve_bytes = 0});
  LogConfig config;
  config.segment_bytes = 1'500;
  config.index_interval_bytes = 300;
  Result<std::unique_ptr<Log>> log = co_await Log::open(context, dir, test::kIdentity, config, {});
  EXPECT_TRUE(log.has_value());
  if (!log) co_return 1;
  for (int i = 0; i < kBatches; ++i) {
    std::vector<std::byte> batch =
        i % 2 == 0 ? test::make_batch("value " + std::to_string(i), 3, 1'000 + i * 10)
                   : test::make_producer_batch(kProducer, 0, i / 2 * 3, 3);
    const LeaderEpoch epoch{i < kBatches / 2 ? 5 : 6};
    const Result<AppendResult> appended = co_await (*log)->append(batch, epoch);
    EXPECT_TRUE(appended.has_value());
  }
  const Result<void> closed = co_await (*log)->close();
  EXPECT_TRUE(closed.has_value());
  co_return 0;
}

struct Collected : VerifyObserver {
  void on_finding(const Finding& finding) override {
    all.push_back(finding);
    if (!finding.is_note) kinds.push_back(finding.kind);
  }
  void on_progress(const VerifyProgress&) override {}
  std::vector<Finding> all;
  std::vector<FindingKind> kinds;
};

std::string describe(const Collected& collected) {
  std::ostringstream out;
  for (const Finding& finding : collected.all) {
    out << (finding.is_note ? "note " : "finding ") << to_string(finding.kind) << ' '
        << finding.file << ": " << finding.text << '\n';
  }
  return out.str();
}

class Verify : public testing::Test {
 protected:
  Verify() {
    test::run_on_runtime([&](io::Shard& shard) { return write_log(shard, dir()); }, kPlain);
    for (const auto& entry : fs::directory_iterator(dir())) {
      if (entry.path().extension() == ".log") logs_.push_back(entry.path());
    }
    std::ranges::sort(logs_);
  }

  static inline const io::RuntimeOptions kPlain{.backend = io::BackendChoice::threads};

  std::string dir() const { return data_dir_ / "orders-3"; }
  fs::path file(const std::string& name) const { return fs::path(dir()) / name; }
  /// A side file of segment `index`.
  fs::path beside(std::size_t index, const std::string& ending) const {
    return fs::path(logs_.at(index)).replace_extension(ending);
  }
  /// Where batch `number` of a segment begins.
  std::size_t position_of(std::size_t index, int number) const {
    const std::string content = read_file(logs_.at(index));
    std::size_t position = 0;
    for (; number > 0; --number) {
      const Bytes rest = std::as_bytes(std::span(content)).subspan(position);
      position += read_batch_header(rest).value().size_bytes();
    }
    return position;
  }
  void change_manifest(const std::function<void(Manifest&)>& change) {
    Manifest manifest = decode_manifest(read_file(file("keelson.manifest"))).value();
    change(manifest);
    write_file(file("keelson.manifest"), encode_manifest(manifest));
  }

  Collected verify(const std::string& path, bool records = true) {
    Collected collected;
    summary_ = test::run_on_runtime(
        [&](io::Shard& shard) {
          return verify_directory(shard, path, {.records = records}, collected);
        },
        kPlain);
    return collected;
  }
  Collected verify() { return verify(dir()); }

  void expect_finding(FindingKind kind) {
    const Collected collected = verify();
    EXPECT_THAT(collected.kinds, testing::Contains(kind)) << describe(collected);
    ASSERT_TRUE(summary_.has_value());
    EXPECT_EQ(summary_->findings, collected.kinds.size());
  }

  test::TempDir data_dir_;
  std::vector<fs::path> logs_;
  Result<VerifySummary> summary_;
};

TEST_F(Verify, ClosedLogIsCleanAndCountedAndUnchanged) {
  std::map<std::string, std::string> before;
  for (const auto& entry : fs::directory_iterator(dir())) {
    before[entry.path()] = read_file(entry.path());
  }
  const Collected collected = verify();
  EXPECT_TRUE(collected.all.empty()) << describe(collected);
  ASSERT_TRUE(summary_.has_value());
  EXPECT_EQ(summary_->batches, static_cast<std::uint64_t>(kBatches));
  EXPECT_EQ(summary_->records, static_cast<std::uint64_t>(kBatches) * 3);
  EXPECT_EQ(summary_->segments, logs_.size());
  EXPECT_GE(logs_.size(), 3U);
  std::map<std::string, std::string> after;
  for (const auto& entry : fs::directory_iterator(dir())) {
    after[entry.path()] = read_file(entry.path());
  }
  EXPECT_EQ(before, after);
}

TEST_F(Verify, DirectoryAsKafkaLeavesItIsClean) {
  fs::remove(file("keelson.manifest"));
  for (std::size_t i = 0; i < logs_.size(); ++i) fs::remove(beside(i, ".integrity"));
  const Collected collected = verify();
  EXPECT_TRUE(collected.all.empty()) << describe(collected);
}

TEST_F(Verify, FindsAFlippedBitInRecordsAndGoesOnBehindIt) {
  flip(logs_[0], position_of(0, 2) + 70);
  expect_finding(FindingKind::batch);
  EXPECT_EQ(summary_->batches, static_cast<std::uint64_t>(kBatches) - 1);
}

TEST_F(Verify, FindsAFlippedBitInRecordsWithoutIntegrityEntries) {
  fs::remove(file("keelson.manifest"));
  flip(logs_[0], position_of(0, 2) + 70);
  expect_finding(FindingKind::batch);
  EXPECT_EQ(summary_->batches, static_cast<std::uint64_t>(kBatches) - 1);
}

TEST_F(Verify, FindsBytesBetweenBatchesAndEveryBatchBehindThem) {
  fs::remove(file("keelson.manifest"));
  std::string content = read_file(logs_.back());
  content.insert(position_of(logs_.size() - 1, 1), "no batch");
  write_file(logs_.back(), content);
  expect_finding(FindingKind::batch);
  EXPECT_EQ(summary_->batches, static_cast<std::uint64_t>(kBatches));
}

// The checksum of a batch covers neither its base offset, nor its epoch.
TEST_F(Verify, FindsFlippedBitsThatNoBatchChecksumCovers) {
  flip(logs_[1], position_of(1, 1) + 15);  // leader epoch
  expect_finding(FindingKind::integrity);
  flip(logs_[1], position_of(1, 1) + 15);
  EXPECT_TRUE(verify().all.empty());
  flip(logs_[1], position_of(1, 1) + 7);  // base offset
  expect_finding(FindingKind::integrity);
}

TEST_F(Verify, FindsACutSegment) {
  fs::resize_file(logs_[0], fs::file_size(logs_[0]) - 10);
  expect_finding(FindingKind::segment);
}

TEST_F(Verify, FindsWhatStandsBehindTheEndOfAClosedLog) {
  write_file(logs_.back(), read_file(logs_.back()) + std::string(100, '\0'));
  expect_finding(FindingKind::batch);
}

TEST_F(Verify, FindsAMissingSegmentByTheManifestAndByTheGap) {
  fs::remove(logs_[1]);
  expect_finding(FindingKind::segment);
  fs::remove(file("keelson.manifest"));
  expect_finding(FindingKind::offsets);
}

TEST_F(Verify, FindsASegmentThatTheManifestDoesNotName) {
  fs::copy_file(logs_[0], file("00000000000000000999.log"));
  expect_finding(FindingKind::segment);
}

TEST_F(Verify, FindsBatchesRepeated) {
  fs::remove(file("keelson.manifest"));
  const std::string content = read_file(logs_.back());
  write_file(logs_.back(), content + content);
  expect_finding(FindingKind::offsets);
}

TEST_F(Verify, FindsDamagedOffsetIndexes) {
  const std::string content = read_file(beside(0, ".index"));
  ASSERT_GE(content.size(), 16U);
  std::string wrong = content;
  wrong[3] = static_cast<char>(wrong[3] + 1);  // another offset, in order still
  for (const std::string& damage :
       {wrong, content.substr(0, 13), std::string("no index"), content + wrong.substr(8)}) {
    write_file(beside(0, ".index"), damage);
    expect_finding(FindingKind::offset_index);
  }
  fs::remove(beside(0, ".index"));
  expect_finding(FindingKind::offset_index);
}

TEST_F(Verify, FindsDamagedTimeIndexes) {
  const std::string content = read_file(beside(0, ".timeindex"));
  ASSERT_GE(content.size(), 12U);
  std::string wrong = content;
  wrong[7] = static_cast<char>(wrong[7] - 1);
  for (const std::string& damage : {wrong, content.substr(0, 11)}) {
    write_file(beside(0, ".timeindex"), damage);
    expect_finding(FindingKind::time_index);
  }
}

TEST_F(Verify, FindsDamagedIntegrityEntries) {
  const std::string content = read_file(beside(0, ".integrity"));
  flip(beside(0, ".integrity"), 40);
  expect_finding(FindingKind::integrity);
  write_file(beside(0, ".integrity"), content.substr(0, content.size() - 32));
  expect_finding(FindingKind::integrity);
  fs::remove(beside(0, ".integrity"));
  expect_finding(FindingKind::integrity);
}

TEST_F(Verify, FindsDamagedEpochFiles) {
  for (const char* const damage :
       {"0\n1\n5 0\n", "0\n2\n5 0\n6 61\n", "0\n2\n5 0\n", "0\n3\n5 0\n6 60\n7 9999\n"}) {
    write_file(file("leader-epoch-checkpoint"), damage);
    expect_finding(FindingKind::leader_epochs);
  }
  fs::remove(file("leader-epoch-checkpoint"));
  expect_finding(FindingKind::leader_epochs);
}

/// Two batches a segment. Of epoch 6 the first is superseded, and the log begins where it was.
Task<int> write_gap_between_epochs(io::Shard& shard, std::string dir) {
  LogContext context(shard, {.disk_reserve_bytes = 0});
  LogConfig config;
  config.segment_bytes = 200;
  config.cleanup_compact = true;
  Result<std::unique_ptr<Log>> log = co_await Log::open(context, dir, test::kIdentity, config, {});
  EXPECT_TRUE(log.has_value());
  if (!log) co_return 1;
  const std::pair<std::string, int> records[] = {{"a", 5}, {"b", 6}, {"b", 6}, {"c", 6}, {"d", 6}};
  for (const auto& [key, epoch] : records) {
    BatchBuilder builder;
    builder.add(1'000, test::as_bytes(key), test::as_bytes(key));
    std::vector<std::byte> batch = builder.build();
    const Result<AppendResult> appended = co_await (*log)->append(batch, LeaderEpoch{epoch});
    EXPECT_TRUE(appended.has_value());
  }
  Pace pace(shard, {});
  const auto compacted = co_await (*log)->compact(pace, {});
  EXPECT_TRUE(compacted && compacted->first_dirty == Offset{4});
  const Result<void> moved = co_await (*log)->advance_start(Offset{1});
  EXPECT_TRUE(moved.has_value());
  const Result<void> closed = co_await (*log)->close();
  EXPECT_TRUE(closed.has_value());
  co_return 0;
}

TEST_F(Verify, AGapBetweenEpochsSaysNothing) {
  const std::string gap_dir = data_dir_ / "table-3";
  const auto write = [&](io::Shard& shard) { return write_gap_between_epochs(shard, gap_dir); };
  test::run_on_runtime(write, kPlain);
  const Collected collected = verify(gap_dir);
  EXPECT_TRUE(collected.kinds.empty()) << describe(collected);
}

TEST_F(Verify, FindsDamagedSnapshots) {
  const fs::path snapshot = file("00000000000000000120.snapshot");
  ASSERT_TRUE(fs::exists(snapshot));
  const std::string content = read_file(snapshot);
  flip(snapshot, 30);
  expect_finding(FindingKind::producer_snapshot);
  // A sound one, of an earlier time.
  for (const auto& entry : fs::directory_iterator(dir())) {
    if (entry.path().extension() != ".snapshot" || entry.path() == snapshot) continue;
    write_file(snapshot, read_file(entry.path()));
  }
  ASSERT_NE(read_file(snapshot), content);
  expect_finding(FindingKind::producer_snapshot);
}

TEST_F(Verify, FindsDamagedManifests) {
  change_manifest([](Manifest& manifest) { manifest.segments[0].batch_count += 1; });
  expect_finding(FindingKind::manifest);
  flip(file("keelson.manifest"), 60);
  expect_finding(FindingKind::manifest);
}

TEST_F(Verify, FindsDamagedIdentity) {
  write_file(file("partition.metadata"), "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
  expect_finding(FindingKind::partition_metadata);
  write_file(file("partition.metadata"), "rubbish");
  expect_finding(FindingKind::partition_metadata);
  fs::remove(file("partition.metadata"));
  expect_finding(FindingKind::partition_metadata);
}

TEST_F(Verify, WhatACrashLeavesIsANote) {
  change_manifest([](Manifest& manifest) {
    manifest.clean = false;
    manifest.segments.back() = {.base_offset = manifest.segments.back().base_offset};
  });
  const std::string content = read_file(logs_.back());
  for (const std::string& tail : {std::string(5'000, '\0'), std::string(200, 'x')}) {
    write_file(logs_.back(), content + tail);
    const Collected collected = verify();
    EXPECT_THAT(collected.kinds, testing::IsEmpty()) << describe(collected);
    EXPECT_GE(summary_->notes, 1U);
  }
}

TEST_F(Verify, AnEndThatWasDurableIsNoTornEnd) {
  change_manifest([](Manifest& manifest) {
    manifest.clean = false;
    manifest.segments.back() = {.base_offset = manifest.segments.back().base_offset};
  });
  const std::string content = read_file(logs_.back());
  write_file(logs_.back(), content.substr(0, content.size() - 20));
  const Collected collected = verify();
  EXPECT_FALSE(collected.kinds.empty()) << describe(collected);
}

TEST_F(Verify, ChecksTheDataDirectoryToo) {
  const fs::path root = data_dir_.path();
  const auto checkpoint = [](std::int64_t offset) {
    const CheckpointEntry entry{"orders", 3, Offset{offset}};
    return encode_checkpoints(std::span(&entry, 1));
  };
  write_file(root / "meta.properties",
             encode_meta_properties({.cluster_id = "c", .node_id = 1, .directory_id = "d"}));
  write_file(root / ".kafka_cleanshutdown", "{\"version\":0,\"brokerEpoch\":14}");
  write_file(root / "recovery-point-offset-checkpoint", checkpoint(120));
  Collected collected = verify(root);
  EXPECT_TRUE(collected.all.empty()) << describe(collected);

  write_file(root / "recovery-point-offset-checkpoint", checkpoint(121));
  collected = verify(root);
  EXPECT_THAT(collected.kinds, testing::ElementsAre(FindingKind::checkpoint))
      << describe(collected);
  collected = verify();  // the log alone: its data directory is asked all the same
  EXPECT_THAT(collected.kinds, testing::ElementsAre(FindingKind::checkpoint))
      << describe(collected);
  write_file(root / "recovery-point-offset-checkpoint", "0\n2\n");
  write_file(root / "meta.properties", "rubbish");
  collected = verify(root);
  EXPECT_THAT(collected.kinds,
              testing::UnorderedElementsAre(FindingKind::meta_properties, FindingKind::checkpoint))
      << describe(collected);
}

TEST_F(Verify, RefusesWhatIsNoDirectoryOfLogs) {
  fs::create_directory(data_dir_ / "empty");
  verify(data_dir_ / "empty");
  EXPECT_EQ(summary_.error().code, Errc::invalid_argument);
  verify(data_dir_ / "absent");
  EXPECT_EQ(summary_.error().code, Errc::not_found);
}

}  // namespace
}  // namespace keelson::engine::log
