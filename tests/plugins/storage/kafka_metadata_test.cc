#include "plugins/storage/kafka_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/plugins/storage/metadata_support.h"

namespace keelson::storage {
namespace {

using engine::LeaderEpoch;
using testing::ElementsAre;
using testing::Pair;

std::map<std::string, AdoptedMetadata::Topic> by_name(const AdoptedMetadata& metadata) {
  std::map<std::string, AdoptedMetadata::Topic> topics;
  for (const AdoptedMetadata::Topic& topic : metadata.topics) topics[topic.name] = topic;
  return topics;
}

std::map<std::string, std::string> values(const AdoptedMetadata::Settings& settings) {
  std::map<std::string, std::string> values;
  for (const auto& [name, setting] : settings) values[name] = setting.value;
  return values;
}

/// What `records` make, each in a batch of its own.
KafkaMetadata fed(const std::vector<ByteString>& records) {
  KafkaMetadata metadata;
  std::int64_t offset = 0;
  for (const ByteString& record : records) {
    const ByteString batch = batch_of({record}, offset++);
    EXPECT_EQ(metadata.feed(batch), batch.size());
  }
  return metadata;
}

TEST(KafkaMetadata, ReadsWhatKafkaWrote) {
  const ByteString log = golden_log();
  KafkaMetadata metadata;
  EXPECT_EQ(metadata.feed(log), log.size());
  EXPECT_EQ(metadata.misunderstood(), 0u);
  const AdoptedMetadata found = metadata.result();
  EXPECT_EQ(found.end_position, 236);
  EXPECT_EQ(found.next_producer_id, engine::ProducerId{1000});
  EXPECT_EQ(found.removed_topics.size(), 2u);
  const auto topics = by_name(found);
  ASSERT_EQ(topics.size(), 6u);
  const AdoptedMetadata::Topic& plain = topics.at("plain");
  EXPECT_EQ(engine::to_string(plain.id), "q1ibwGfETvq1Hz8mZog65Q");
  EXPECT_THAT(plain.partitions, ElementsAre(Pair(0, LeaderEpoch{3}), Pair(1, LeaderEpoch{3}),
                                            Pair(2, LeaderEpoch{3})));
  EXPECT_THAT(values(plain.settings),
              ElementsAre(Pair("preallocate", "false"), Pair("remote.log.copy.disable", "false"),
                          Pair("retention.ms", "99999999999")));
  EXPECT_EQ(topics.at("compacted").partitions.size(), 2u);
  EXPECT_THAT(values(topics.at("codecs").settings),
              ElementsAre(Pair("retention.ms", "-1"), Pair("segment.bytes", "1048576")));
  EXPECT_THAT(values(found.broker_defaults),
              ElementsAre(Pair("message.max.bytes", "1500000"), Pair("min.insync.replicas", "1")));
}

TEST(KafkaMetadata, StopsAtWhatIsCutAndGoesOnWithTheRest) {
  const ByteString log = golden_log();
  for (std::size_t cut = 0; cut <= log.size(); ++cut) {
    KafkaMetadata metadata;
    const std::size_t first = metadata.feed(engine::Bytes(log).first(cut));
    ASSERT_LE(first, cut);
    ASSERT_EQ(first + metadata.feed(engine::Bytes(log).subspan(first)), log.size());
    ASSERT_EQ(metadata.next_offset(), 236);
    ASSERT_EQ(metadata.result().topics.size(), 6u);
  }
}

TEST(KafkaMetadata, TakesNothingFromABatchThatIsDamaged) {
  const ByteString log = golden_log();
  for (std::size_t at = 0; at < log.size(); at += 7) {
    ByteString damaged = log;
    damaged[at] ^= std::byte{0x10};
    KafkaMetadata metadata;
    const std::size_t taken = metadata.feed(damaged);
    // Offset and leader epoch stand outside of the CRC; a wrong offset can hide what follows, but
    // it invents nothing.
    ASSERT_LE(taken, log.size());
    ASSERT_LE(metadata.result().topics.size(), 8u);
  }
}

TEST(KafkaMetadata, AppliesATransactionWholeOrNotAtAll) {
  const ByteString begin = bare_record(23);
  const ByteString commit = bare_record(24);
  const ByteString abort = bare_record(25);
  const ByteString topic = topic_record("orders");
  EXPECT_EQ(fed({begin, topic, commit}).result().topics.size(), 1u);
  EXPECT_EQ(fed({begin, topic, abort}).result().topics.size(), 0u);
  EXPECT_EQ(fed({begin, topic}).result().topics.size(), 0u);
  EXPECT_EQ(fed({begin, topic, abort, commit, topic}).result().topics.size(), 1u);
}

TEST(KafkaMetadata, RemovesSettingsWithTheirValueAndWithTheirTopic) {
  const std::vector<ByteString> made = {topic_record("orders"), partition_record(0, 4),
                                        config_record(2, "orders", "retention.ms", "5"),
                                        config_record(2, "orders", "segment.ms", "6"),
                                        config_record(2, "orders", "retention.ms", std::nullopt)};
  const AdoptedMetadata found = fed(made).result();
  ASSERT_EQ(found.topics.size(), 1u);
  ASSERT_EQ(found.topics[0].settings.size(), 1u);
  EXPECT_EQ(found.topics[0].settings.at("segment.ms").position, 3);
  EXPECT_THAT(found.topics[0].partitions, ElementsAre(Pair(0, LeaderEpoch{4})));

  std::vector<ByteString> again = made;
  again.push_back(RecordWriter(9, 0).uuid(kSomeId).end());
  EXPECT_TRUE(fed(again).result().removed_topics.contains(kSomeId));
  again.push_back(topic_record("orders", engine::make_uuid(3, 4)));
  const AdoptedMetadata other = fed(again).result();
  ASSERT_EQ(other.topics.size(), 1u);
  EXPECT_TRUE(other.topics[0].settings.empty());
}

TEST(KafkaMetadata, CountsWhatItDoesNotUnderstand) {
  EXPECT_EQ(fed({RecordWriter(2, 1).text("later").uuid(kSomeId).end()}).misunderstood(), 1u);
  EXPECT_EQ(fed({RecordWriter(2, 0).text("cut").end()}).misunderstood(), 1u);
  EXPECT_EQ(fed({partition_record(0, 0)}).misunderstood(), 1u);  // of no topic
  EXPECT_EQ(fed({topic_record("t"), partition_record(-1, 0)}).misunderstood(), 1u);
  EXPECT_EQ(fed({{std::byte{1}, std::byte{0x80}}}).misunderstood(), 1u);  // a cut varint
  EXPECT_EQ(fed({RecordWriter(99, 9).end()}).misunderstood(), 0u);        // none that is needed
}

TEST(KafkaMetadata, GoesOnFromASnapshot) {
  KafkaMetadata metadata;
  const ByteString snapshot =
      batch_of({topic_record("orders"), config_record(2, "orders", "retention.ms", "5")}, 0);
  EXPECT_EQ(metadata.feed(snapshot), snapshot.size());
  metadata.end_snapshot(100);
  const ByteString known = batch_of({topic_record("old", engine::make_uuid(5, 6))}, 99);
  EXPECT_EQ(metadata.feed(known), known.size());
  const ByteString next = batch_of({partition_record(0, 1)}, 100);
  EXPECT_EQ(metadata.feed(next), next.size());
  const AdoptedMetadata found = metadata.result();
  ASSERT_EQ(found.topics.size(), 1u);
  EXPECT_EQ(found.topics[0].settings.at("retention.ms").position, 99);
  EXPECT_EQ(found.topics[0].partitions.size(), 1u);
  EXPECT_EQ(found.end_position, 101);
}

}  // namespace
}  // namespace keelson::storage
