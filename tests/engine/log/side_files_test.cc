// The files in data/files/ are those of Apache Kafka 4.3.1 after a clean stop.
#include <gtest/gtest.h>

#include "engine/log/checkpoint_file.h"
#include "engine/log/clean_shutdown_file.h"
#include "engine/log/index_format.h"
#include "engine/log/leader_epoch_file.h"
#include "engine/log/meta_properties.h"
#include "engine/log/partition_metadata.h"
#include "engine/log/producer_snapshot.h"
#include "tests/engine/log/batch_support.h"

namespace keelson::engine::log {
namespace {

template <class Entry>
std::string encode_all(const std::vector<Entry>& entries) {
  std::string out;
  for (const Entry& entry : entries) append_entry(out, entry);
  return out;
}

TEST(SideFiles, OffsetIndexOfKafka) {
  const std::string file = read_test_file("files/offset.index");
  const auto entries = parse_offset_index(bytes_of(file));
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 12u);
  EXPECT_EQ(entries->front(), (OffsetIndexEntry{14, 0x10c5}));
  EXPECT_EQ(entries->back(), (OffsetIndexEntry{123, 0xc7d7}));
  EXPECT_EQ(encode_all(*entries), file);
}

TEST(SideFiles, TimeIndexOfKafka) {
  const std::string file = read_test_file("files/time.timeindex");
  const auto entries = parse_time_index(bytes_of(file));
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 12u);
  EXPECT_EQ(entries->front(), (TimeIndexEntry{0x1a1'fe16'd26c, 14}));
  EXPECT_EQ(encode_all(*entries), file);
}

TEST(SideFiles, TransactionIndexOfKafka) {
  const std::string file = read_test_file("files/aborted.txnindex");
  const auto entries = parse_transaction_index(bytes_of(file));
  ASSERT_TRUE(entries);
  const std::vector<TransactionIndexEntry> expected{
      {ProducerId{5}, Offset{0}, Offset{30}, Offset{31}},
      {ProducerId{5}, Offset{62}, Offset{92}, Offset{93}}};
  EXPECT_EQ(*entries, expected);
  EXPECT_EQ(encode_all(*entries), file);
}

TEST(SideFiles, IndexesThatNoWriterMakesAreCorrupt) {
  const auto offsets = [](std::vector<OffsetIndexEntry> entries) {
    const std::string file = encode_all(entries);
    return parse_offset_index(bytes_of(file)).has_value();
  };
  EXPECT_TRUE(offsets({}));
  EXPECT_TRUE(offsets({{1, 70}, {2, 140}}));
  EXPECT_FALSE(offsets({{0, 0}}));  // the zeros of a file that Kafka had no time to cut
  EXPECT_FALSE(offsets({{1, 70}, {0, 0}}));
  EXPECT_FALSE(offsets({{2, 70}, {2, 140}}));
  EXPECT_FALSE(offsets({{1, 70}, {2, 70}}));
  EXPECT_FALSE(offsets({{0x8000'0000, 70}}));
  EXPECT_FALSE(offsets({{1, 0x8000'0000}}));

  const auto times = [](std::vector<TimeIndexEntry> entries) {
    const std::string file = encode_all(entries);
    return parse_time_index(bytes_of(file)).has_value();
  };
  EXPECT_TRUE(times({{0, 0}, {5, 0}, {6, 9}}));
  EXPECT_FALSE(times({{-1, 0}}));
  EXPECT_FALSE(times({{5, 3}, {5, 4}}));
  EXPECT_FALSE(times({{5, 3}, {6, 2}}));
  EXPECT_FALSE(times({{5, 3}, {0, 0}}));
  EXPECT_FALSE(times({{5, 0x8000'0000}}));

  const auto aborted = [](std::vector<TransactionIndexEntry> entries) {
    const std::string file = encode_all(entries);
    return parse_transaction_index(bytes_of(file)).has_value();
  };
  const TransactionIndexEntry good{ProducerId{1}, Offset{4}, Offset{9}, Offset{10}};
  EXPECT_TRUE(aborted({good}));
  EXPECT_FALSE(aborted({good, good}));
  EXPECT_FALSE(aborted({{ProducerId{-1}, Offset{4}, Offset{9}, Offset{10}}}));
  EXPECT_FALSE(aborted({{ProducerId{1}, Offset{-1}, Offset{9}, Offset{10}}}));
  EXPECT_FALSE(aborted({{ProducerId{1}, Offset{10}, Offset{9}, Offset{10}}}));
  EXPECT_FALSE(aborted({{ProducerId{1}, Offset{4}, Offset{9}, Offset{-1}}}));
  std::string other_version = encode_all(std::vector{good});
  other_version[1] = 1;
  EXPECT_FALSE(parse_transaction_index(bytes_of(other_version)));
}

TEST(SideFiles, CutIndexesAreCorrupt) {
  const std::string offsets = read_test_file("files/offset.index");
  const std::string times = read_test_file("files/time.timeindex");
  const std::string aborted = read_test_file("files/aborted.txnindex");
  for (std::size_t size = 0; size < 68; ++size) {
    EXPECT_EQ(parse_offset_index(bytes_of(offsets).first(size)).has_value(), size % 8 == 0);
    EXPECT_EQ(parse_time_index(bytes_of(times).first(size)).has_value(), size % 12 == 0);
    EXPECT_EQ(parse_transaction_index(bytes_of(aborted).first(size)).has_value(), size % 34 == 0);
  }
}

TEST(SideFiles, ProducerSnapshotsOfKafka) {
  const std::string idempotent = read_test_file("files/idempotent.snapshot");
  const auto producers = parse_producer_snapshot(bytes_of(idempotent));
  ASSERT_TRUE(producers);
  const std::vector<ProducerSnapshotEntry> expected{
      {ProducerId{0}, ProducerEpoch{0}, 39, Offset{39}, 39, 0x1a1'fe16'2e9e, -1, Offset{-1}}};
  EXPECT_EQ(*producers, expected);
  EXPECT_EQ(encode_producer_snapshot(*producers), idempotent);

  // Its last batch was a marker: no sequence, no offset.
  const std::string transactional = read_test_file("files/transactional.snapshot");
  const auto after_marker = parse_producer_snapshot(bytes_of(transactional));
  ASSERT_TRUE(after_marker);
  ASSERT_EQ(after_marker->size(), 1u);
  EXPECT_EQ((*after_marker)[0].producer_epoch, ProducerEpoch{4});
  EXPECT_EQ((*after_marker)[0].last_sequence, kNoSequence);
  EXPECT_EQ((*after_marker)[0].last_offset, Offset{-1});
  EXPECT_EQ((*after_marker)[0].coordinator_epoch, 0);
  EXPECT_EQ(encode_producer_snapshot(*after_marker), transactional);
}

TEST(SideFiles, DamagedProducerSnapshotsAreCorrupt) {
  const std::string whole = read_test_file("files/idempotent.snapshot");
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(parse_producer_snapshot(bytes_of(flipped))) << bit;
  }
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_producer_snapshot(bytes_of(whole).first(size))) << size;
  }
  // With a right CRC: a false count, and entries that contradict themselves.
  for (const std::int32_t count : {-1, 0, 2, 0x7fffffff}) {
    std::string counted = whole;
    const MutableBytes bytes = std::as_writable_bytes(std::span(counted));
    store_big_endian(bytes.data() + 6, count);
    store_big_endian(bytes.data() + 2, crc32c(bytes.subspan(6)));
    EXPECT_FALSE(parse_producer_snapshot(bytes)) << count;
  }
  const auto round = [](ProducerSnapshotEntry entry) {
    const std::string file = encode_producer_snapshot(std::span(&entry, 1));
    return parse_producer_snapshot(bytes_of(file)).has_value();
  };
  const ProducerSnapshotEntry good{ProducerId{3}, ProducerEpoch{1}, 8, Offset{20}, 4, 1000, 2,
                                   Offset{16}};
  EXPECT_TRUE(round(good));
  const auto with = [&](auto change) {
    ProducerSnapshotEntry entry = good;
    change(entry);
    return entry;
  };
  EXPECT_FALSE(round(with([](auto& entry) { entry.producer_id = ProducerId{-1}; })));
  EXPECT_FALSE(round(with([](auto& entry) { entry.producer_epoch = ProducerEpoch{-2}; })));
  EXPECT_FALSE(round(with([](auto& entry) { entry.last_sequence = -2; })));
  EXPECT_FALSE(round(with([](auto& entry) { entry.last_offset = Offset{-2}; })));
  EXPECT_FALSE(round(with([](auto& entry) { entry.offset_delta = -1; })));
  EXPECT_FALSE(round(with([](auto& entry) { entry.offset_delta = 21; })));
  EXPECT_FALSE(round(with([](auto& entry) { entry.coordinator_epoch = -2; })));
  EXPECT_FALSE(round(with([](auto& entry) { entry.transaction_start = Offset{-2}; })));
}

TEST(SideFiles, LeaderEpochs) {
  const std::string file = read_test_file("files/leader-epoch-checkpoint");
  const auto entries = parse_leader_epochs(file);
  ASSERT_TRUE(entries);
  EXPECT_EQ(*entries, (std::vector{LeaderEpochEntry{LeaderEpoch{0}, Offset{0}}}));
  EXPECT_EQ(encode_leader_epochs(*entries), file);

  EXPECT_TRUE(parse_leader_epochs(""));
  EXPECT_TRUE(parse_leader_epochs("0\n2\n1 0\n7 120\n"));
  for (const char* bad : {"0",
                          "0\n",
                          "1\n0\n",
                          "0\n1\n",
                          "0\n1\n0 0",
                          "0\n1\n0 0\n\n",
                          "0\n0\n0 0\n",
                          "0\n-1\n",
                          "0\n1\n0\n",
                          "0\n1\n0 0 0\n",
                          "0\n1\n0  0\n",
                          "0\n1\n-1 0\n",
                          "0\n1\n0 -1\n",
                          "0\n1\nx 0\n",
                          "0\n1\n0 +1\n",
                          "0\r\n0\r\n",
                          " 0\n0\n",
                          "0\n2\n1 0\n1 5\n",
                          "0\n2\n2 0\n1 5\n",
                          "0\n2\n1 6\n2 5\n",
                          "0\n1\n0 9223372036854775808\n",
                          "0\n1\n2147483648 0\n",
                          "0\n9223372036854775807\n0 0\n"}) {
    EXPECT_FALSE(parse_leader_epochs(bad)) << bad;
  }
}

TEST(SideFiles, Checkpoints) {
  for (const char* name : {"recovery-point-offset-checkpoint", "replication-offset-checkpoint",
                           "log-start-offset-checkpoint"}) {
    const std::string file = read_test_file(std::string("files/") + name);
    const auto entries = parse_checkpoints(file);
    ASSERT_TRUE(entries) << name;
    EXPECT_EQ(encode_checkpoints(*entries), file);
    for (std::size_t size = 1; size < file.size(); ++size) {
      EXPECT_FALSE(parse_checkpoints(std::string_view(file).substr(0, size))) << size;
    }
  }
  const auto entries = parse_checkpoints(read_test_file("files/recovery-point-offset-checkpoint"));
  ASSERT_EQ(entries->size(), 12u);
  EXPECT_EQ((*entries)[1], (CheckpointEntry{"tx", 0, Offset{124}}));
  EXPECT_EQ(parse_checkpoints(read_test_file("files/cleaner-offset-checkpoint"))->size(), 0u);

  for (const char* bad :
       {"1\n0\n", "0\n1\nt 0 1\nu 0 1\n", "0\n2\nt 0 1\nt 0 2\n", "0\n1\n 0 1\n", "0\n1\n. 0 1\n",
        "0\n1\na/b 0 1\n", "0\n1\nt -1 1\n", "0\n1\nt 0 -1\n", "0\n1\nt 0\n", "0\n1\nt 0 1 2\n"}) {
    EXPECT_FALSE(parse_checkpoints(bad)) << bad;
  }
  EXPECT_TRUE(parse_checkpoints("0\n1\n" + std::string(249, 't') + " 0 1\n"));
  EXPECT_FALSE(parse_checkpoints("0\n1\n" + std::string(250, 't') + " 0 1\n"));
}

TEST(SideFiles, PartitionMetadata) {
  const std::string file = read_test_file("files/partition.metadata");
  const Result<Uuid> id = parse_partition_metadata(file);
  ASSERT_TRUE(id);
  EXPECT_EQ(to_string(*id), "ln8p8dtKTuG1J77IEimKVA");
  EXPECT_EQ(encode_partition_metadata(*id), file);
  EXPECT_EQ(parse_partition_metadata(file + "\n"), *id);
  EXPECT_FALSE(parse_partition_metadata(file + "\n\n"));
  EXPECT_FALSE(parse_partition_metadata(encode_partition_metadata(Uuid{})));
  EXPECT_FALSE(parse_partition_metadata("version: 1" + file.substr(10)));
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(parse_partition_metadata(std::string_view(file).substr(0, size)));
  }
}

TEST(SideFiles, CleanShutdown) {
  const std::string file = read_test_file("files/kafka_cleanshutdown");
  EXPECT_EQ(parse_clean_shutdown(file), 14);
  EXPECT_EQ(encode_clean_shutdown(14), file);
  EXPECT_EQ(parse_clean_shutdown(encode_clean_shutdown(-1)), -1);
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(parse_clean_shutdown(std::string_view(file).substr(0, size)));
  }
  EXPECT_FALSE(parse_clean_shutdown(R"({"version":1,"brokerEpoch":14})"));
}

TEST(SideFiles, MetaPropertiesOfKafka) {
  const auto properties = parse_meta_properties(read_test_file("files/meta.properties"));
  ASSERT_TRUE(properties);
  EXPECT_EQ(properties->cluster_id, "w5LA5QMrTg6xGtp2QU1h8Q");
  EXPECT_EQ(properties->node_id, 1);
  EXPECT_EQ(properties->directory_id, "vKZZ2068SeSqSOEho2Cfrg");
  EXPECT_TRUE(properties->other_lines.empty());
  EXPECT_EQ(parse_meta_properties(encode_meta_properties(*properties)), *properties);
}

TEST(SideFiles, MetaPropertiesKeepWhatTheyDoNotKnow) {
  const auto properties = parse_meta_properties(
      "# a comment\n! another\n\nversion = 1\r\n  node.id:7\ncluster.id my\\=cluster\n"
      "some.thing=a\\tb\nlast.line");
  ASSERT_TRUE(properties);
  EXPECT_EQ(properties->node_id, 7);
  EXPECT_EQ(properties->cluster_id, "my=cluster");
  EXPECT_EQ(properties->directory_id, std::nullopt);
  EXPECT_EQ(properties->other_lines, (std::vector<std::string>{"some.thing=a\\tb", "last.line"}));
  EXPECT_EQ(parse_meta_properties(encode_meta_properties(*properties)), *properties);
}

TEST(SideFiles, MetaPropertiesEscapeWhatJavaEscapes) {
  const auto properties = parse_meta_properties("version=1\nnode.id=0\ncluster.id=\\ a\\:b\\\\c\n");
  ASSERT_TRUE(properties);
  EXPECT_EQ(properties->cluster_id, " a:b\\c");
  EXPECT_EQ(parse_meta_properties(encode_meta_properties(*properties)), *properties);
  EXPECT_FALSE(parse_meta_properties("version=1\nnode.id=0\ncluster.id=c\nx=1\r\r\n"));
}

TEST(SideFiles, MetaPropertiesOfVersionZero) {
  const auto properties = parse_meta_properties("version=0\nbroker.id=3\n");
  ASSERT_TRUE(properties);
  EXPECT_EQ(properties->node_id, 3);
}

TEST(SideFiles, OddMetaPropertiesAreCorrupt) {
  for (const char* bad :
       {"", "node.id=1\ncluster.id=c\n", "version=2\nnode.id=1\ncluster.id=c\n",
        "version=1\ncluster.id=c\n", "version=1\nnode.id=1\n",
        "version=1\nnode.id=-1\ncluster.id=c\n", "version=1\nnode.id=x\ncluster.id=c\n",
        "version=1\nnode.id=1\nnode.id=2\ncluster.id=c\n", "version=1\nnode.id=1\ncluster.id=\n",
        "version=1\nnode.id=1\ncluster.id=a\\\nb\n", "version=1\nnode.id=1\ncluster.id=a\\tb\n",
        "version=1\nnode.id=1\nbroker.id=1\ncluster.id=c\n", "version=0\nnode.id=1\n"}) {
    EXPECT_FALSE(parse_meta_properties(bad)) << bad;
  }
}

}  // namespace
}  // namespace keelson::engine::log
