// Segments that Apache Kafka 4.3.1 wrote, from its own Java producer and from librdkafka (kcat):
// 40 records, "key0".."key6" and values that repeat themselves.
#include <gtest/gtest.h>

#include "engine/log/batch_validation.h"
#include "engine/log/record_reader.h"
#include "engine/logger.h"
#include "tests/engine/log/batch_support.h"

namespace keelson::engine::log {
namespace {

class ForeignBatches : public testing::TestWithParam<std::string> {};

TEST_P(ForeignBatches, AreReadAndAccepted) {
  const std::string file = read_test_file("batches/" + GetParam() + ".log");
  Bytes rest = bytes_of(file);
  int number = 0;
  while (!rest.empty()) {
    const Result<BatchHeader> header = read_batch_header(rest);
    ASSERT_TRUE(header);
    ASSERT_LE(header->size_bytes(), rest.size());
    const Bytes batch = rest.first(header->size_bytes());
    rest = rest.subspan(batch.size());
    EXPECT_TRUE(crc_matches(batch));
    EXPECT_TRUE(GetParam().ends_with("-none") == (header->codec() == Codec::none));

    RecordReader reader(batch);
    for (std::int32_t index = 0; index < header->record_count; ++index, ++number) {
      const auto record = reader.next();
      ASSERT_TRUE(record && *record);
      EXPECT_EQ((*record)->offset, Offset{number});
      EXPECT_EQ(text_of(*(*record)->key), concat("key", number % 7));
      EXPECT_EQ(text_of(*(*record)->value),
                concat("value ", number,
                       " of a record that repeats itself, of a record that repeats itself"));
      EXPECT_EQ((*record)->header_count, GetParam().starts_with("librdkafka") ? 2 : 0);
    }
    const auto end = reader.next();
    ASSERT_TRUE(end);
    EXPECT_FALSE(*end);

    // The same batch as it was sent.
    std::vector<std::byte> sent(batch.begin(), batch.end());
    stamp_batch(sent, Offset{0}, kNoLeaderEpoch);
    const auto valid = validate_batch(sent, {}, header->max_timestamp, BatchOrigin::client);
    ASSERT_TRUE(valid) << valid.error().message;
    EXPECT_EQ(valid->header.max_timestamp, header->max_timestamp);
    EXPECT_EQ(valid->header.crc, header->crc);
  }
  EXPECT_EQ(number, 40);
}

INSTANTIATE_TEST_SUITE_P(, ForeignBatches,
                         testing::Values("java-none", "java-gzip", "java-snappy", "java-lz4",
                                         "java-zstd", "librdkafka-none", "librdkafka-gzip",
                                         "librdkafka-snappy", "librdkafka-lz4", "librdkafka-zstd"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace keelson::engine::log
