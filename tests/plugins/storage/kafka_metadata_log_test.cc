#include "plugins/storage/kafka_metadata_log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "plugins/storage/adoption.h"
#include "tests/plugins/storage/metadata_support.h"
#include "tests/support/run_on_runtime.h"
#include "tests/support/temp_dir.h"

namespace keelson::storage {
namespace {

class KafkaMetadataLog : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directory(dir()); }
  std::string dir() const { return data / std::string(kKafkaMetadataName); }
  void write(const std::string& name, const ByteString& bytes) {
    std::ofstream file(dir() + "/" + name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  std::optional<AdoptedMetadata> read() {
    auto found = test::run_on_runtime(
        [&](engine::io::Shard& shard) { return read_kafka_metadata(shard, dir()); });
    EXPECT_TRUE(found);
    return found ? *found : std::nullopt;
  }
  std::optional<AdoptedMetadata> adopt(const std::vector<StoredLog>& stored, std::int64_t known) {
    auto found = test::run_on_runtime(
        [&](engine::io::Shard& shard) { return read_adoption(shard, data.path(), stored, known); });
    EXPECT_TRUE(found);
    return found ? *found : std::nullopt;
  }

  const std::string first = "00000000000000000000.log";
  test::TempDir data;
};

TEST_F(KafkaMetadataLog, IsNothingWithoutItsDirectory) {
  std::filesystem::remove(dir());
  EXPECT_FALSE(read());
}

TEST_F(KafkaMetadataLog, IsReadToItsEnd) {
  write(first, golden_log());
  const auto found = read();
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->complete);
  EXPECT_EQ(found->topics.size(), 6u);
  EXPECT_TRUE(found->findings.empty());
}

TEST_F(KafkaMetadataLog, IsCompleteWithATornTailAndWithPreparedSpace) {
  ByteString log = golden_log();
  log.resize(log.size() - 3);
  write(first, log);
  EXPECT_TRUE(read()->complete);
  EXPECT_EQ(read()->end_position, 235);
  log = golden_log();
  log.resize(log.size() + 100'000);
  write(first, log);
  EXPECT_TRUE(read()->complete);
  EXPECT_EQ(read()->end_position, 236);
}

TEST_F(KafkaMetadataLog, SaysWhereItIsDamaged) {
  ByteString log = golden_log();
  log[log.size() / 2] ^= std::byte{1};
  write(first, log);
  const auto found = read();
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->complete);
  EXPECT_EQ(found->findings.size(), 1u);
  EXPECT_GT(found->end_position, 0);
}

TEST_F(KafkaMetadataLog, GoesOnFromTheNewestSoundSnapshot) {
  write("00000000000000000010-0000000001.checkpoint",
        batch_of({topic_record("orders"), partition_record(0, 1)}, 0));
  ByteString garbled = batch_of({topic_record("wrong")}, 0);
  garbled.back() ^= std::byte{1};
  write("00000000000000000020-0000000001.checkpoint", garbled);
  write("00000000000000000010.log", batch_of({partition_record(1, 2)}, 10));
  const auto found = read();
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->complete);
  EXPECT_EQ(found->findings.size(), 1u);
  ASSERT_EQ(found->topics.size(), 1u);
  EXPECT_EQ(found->topics[0].name, "orders");
  EXPECT_EQ(found->topics[0].partitions.size(), 2u);
}

TEST_F(KafkaMetadataLog, TellsAMissingFile) {
  write("00000000000000000010.log", batch_of({topic_record("orders")}, 10));
  EXPECT_FALSE(read()->complete);
}

// Where the metadata cannot say it, a folder is enough, and nothing of it expires.
TEST_F(KafkaMetadataLog, FoldersSpeakWhereItIsIncomplete) {
  const std::vector<StoredLog> stored = {{"orders", {kSomeId, 0}}, {"orders", {kSomeId, 2}}};
  std::filesystem::create_directory(data / "orders-2");
  std::ofstream(data / "orders-2/leader-epoch-checkpoint") << "0\n2\n1 0\n7 30\n";
  std::filesystem::remove(dir());
  const auto found = adopt(stored, -1);
  ASSERT_TRUE(found);
  ASSERT_EQ(found->topics.size(), 1u);
  EXPECT_EQ(found->topics[0].settings.at("retention.ms").value, "-1");
  EXPECT_EQ(found->topics[0].partitions.at(0), engine::LeaderEpoch{0});
  EXPECT_EQ(found->topics[0].partitions.at(2), engine::LeaderEpoch{7});
  EXPECT_FALSE(adopt(stored, 0));

  std::filesystem::create_directory(dir());
  write(first, golden_log());
  EXPECT_EQ(adopt(stored, 235)->topics.size(), 6u);  // complete: no topic by its folder
  EXPECT_FALSE(adopt(stored, 236));
}

}  // namespace
}  // namespace keelson::storage
