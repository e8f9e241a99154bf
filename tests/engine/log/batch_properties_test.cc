// What must hold for any batch: random ones, and every small damage to one.
#include <gtest/gtest.h>

#include "engine/log/batch_validation.h"
#include "engine/log/record_reader.h"
#include "engine/log/varint.h"
#include "tests/engine/log/batch_support.h"

namespace keelson::engine::log {
namespace {

using Batch = std::vector<std::byte>;

constexpr std::int64_t kNow = 1'700'000'000'000;
constexpr std::uint64_t kSeed = 20'240'607;

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::int64_t up_to(std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(0, most)(engine_);
  }
  bool one_in(int n) { return up_to(n - 1) == 0; }

  std::string text(std::int64_t bytes_max) {
    std::string out(static_cast<std::size_t>(up_to(bytes_max)), 'x');
    const bool compressible = one_in(2);
    for (char& c : out) {
      const std::uint64_t bits = engine_();
      c = static_cast<char>(compressible ? 'a' + bits % 3 : bits);
    }
    return out;
  }
  std::optional<std::string> nullable(std::int64_t bytes_max) {
    if (one_in(5)) return std::nullopt;
    return text(bytes_max);
  }

  PlainRecord record() {
    PlainRecord record{kNow - up_to(1'000'000'000), nullable(20), nullable(300), {}};
    if (one_in(20)) record.value = text(150'000);  // across the pieces of every codec
    while (one_in(3)) record.headers.emplace_back(text(10), nullable(30));
    return record;
  }

 private:
  std::mt19937_64 engine_;
};

std::optional<std::string> text_of(const std::optional<Bytes>& bytes) {
  if (!bytes) return std::nullopt;
  return log::text_of(*bytes);
}

/// Headers of a record, told apart again.
std::vector<std::pair<std::string, std::optional<std::string>>> headers_of(const Record& record) {
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
  const std::byte* at = record.headers.data();
  const std::byte* const end = at + record.headers.size();
  const auto take = [&]() -> std::optional<std::string> {
    std::int32_t bytes = 0;
    EXPECT_TRUE(read_varint(at, end, bytes));
    if (bytes < 0) return std::nullopt;
    at += bytes;
    return log::text_of(Bytes(at - bytes, static_cast<std::size_t>(bytes)));
  };
  for (std::int32_t index = 0; index < record.header_count; ++index) {
    std::string key = take().value_or("none");
    headers.emplace_back(std::move(key), take());
  }
  EXPECT_EQ(at, end);
  return headers;
}

void expect_records(Bytes batch, Offset base_offset, const std::vector<PlainRecord>& expected) {
  RecordReader reader(batch);
  std::int64_t index = 0;
  for (const PlainRecord& plain : expected) {
    const auto record = reader.next();
    ASSERT_TRUE(record && *record) << "record " << index;
    EXPECT_EQ((*record)->offset, base_offset + index);
    EXPECT_EQ((*record)->timestamp_ms, plain.timestamp_ms);
    EXPECT_EQ(text_of((*record)->key), plain.key);
    EXPECT_EQ(text_of((*record)->value), plain.value);
    EXPECT_EQ(headers_of(**record), plain.headers);
    ++index;
  }
  for (int again = 0; again < 2; ++again) {
    const auto end = reader.next();
    ASSERT_TRUE(end);
    EXPECT_FALSE(*end);
  }
}

TEST(BatchProperties, BuiltValidatedAndReadIsWhatWasPutIn) {
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  Random random(kSeed);
  for (int round = 0; round < 200; ++round) {
    const Codec codec = kAllCodecs[round % 5];
    SCOPED_TRACE(testing::Message() << "round " << round);
    BatchBuilder builder(codec, static_cast<int>(random.up_to(12)));
    std::vector<PlainRecord> records;
    for (std::int64_t count = 1 + random.up_to(40); count > 0; --count) {
      records.push_back(random.record());
      add_record(builder, records.back());
    }
    Batch batch = builder.build();
    LogConfig config;
    config.max_message_bytes = 64 << 20;
    const auto valid = validate_batch(batch, config, kNow, BatchOrigin::client);
    ASSERT_TRUE(valid) << valid.error().message;
    const Offset base_offset{random.up_to(std::int64_t{1} << 60)};
    stamp_batch(valid->bytes, base_offset, LeaderEpoch{3});
    EXPECT_TRUE(crc_matches(valid->bytes));
    expect_records(valid->bytes, base_offset, records);
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
}

// Kafka's checksum binds 21..end, and the field that holds it; what is left is for the integrity
// entries, but nothing there may turn into other records.
TEST(BatchProperties, EveryFlippedBitIsRefusedOrLeavesTheRecordsAlone) {
  for (const Codec codec : kAllCodecs) {
    const Batch whole = BatchBuilder(codec)
                            .add(kNow, bytes_of("key"), bytes_of("value"))
                            .add(kNow + 1, std::nullopt, bytes_of("another value"))
                            .build();
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
      Batch flipped = whole;
      flipped[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      const auto valid = validate_batch(flipped, {}, kNow, BatchOrigin::client);
      if (!valid) continue;
      EXPECT_TRUE(bit / 8 >= 12 && bit / 8 < 16) << "bit " << bit;  // the leader epoch only
    }
  }
}

// The reader trusts its caller with the CRC, and must survive what the caller did not check.
TEST(BatchProperties, TheReaderIsTotal) {
  Random random(kSeed + 1);
  for (const Codec codec : kAllCodecs) {
    BatchBuilder builder(codec);
    for (int index = 0; index < 4; ++index) add_record(builder, random.record());
    const Batch whole = builder.build();
    const std::size_t damaged_bytes = std::min<std::size_t>(whole.size(), 600);
    for (std::size_t bit = 0; bit < damaged_bytes * 8; ++bit) {
      Batch flipped = whole;
      flipped[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      RecordReader reader(flipped, /*record_bytes_max=*/1 << 20);
      std::int64_t records = 0;
      while (true) {
        const auto record = reader.next();
        if (!record || !*record) break;
        ++records;
        ASSERT_LT(records, 1'000'000);
      }
    }
    for (std::size_t size = 0; size < damaged_bytes; ++size) {
      RecordReader reader(Bytes(whole).first(std::min(size, whole.size() - 1)));
      EXPECT_EQ(reader.next().error().code, Errc::corrupt);
    }
  }
}

TEST(BatchProperties, TheReaderKeepsToItsRecordLimit) {
  for (const Codec codec : kAllCodecs) {
    const std::string value(100'000, 'v');
    const Batch batch = BatchBuilder(codec).add(kNow, std::nullopt, bytes_of(value)).build();
    RecordReader roomy(batch, 100'100);
    const auto record = roomy.next();
    ASSERT_TRUE(record && *record);
    RecordReader tight(batch, 100'000);
    EXPECT_EQ(tight.next().error().code, Errc::corrupt);
    EXPECT_EQ(tight.next().error().code, Errc::corrupt);
  }
}

TEST(BatchProperties, AnEmptiedBatchHasNoRecords) {
  BatchHeader header = *read_batch_header(BatchBuilder().add(0, {}, {}).build());
  header.record_count = 0;
  header.attributes = static_cast<std::int16_t>(Codec::zstd);
  header.length = kBatchHeaderBytes - kBatchPrefixBytes;
  Batch batch(kBatchHeaderBytes);
  write_batch_header(batch, header);
  RecordReader reader(batch);
  const auto record = reader.next();
  ASSERT_TRUE(record);
  EXPECT_FALSE(*record);
}

TEST(BatchHeader, SequencesWrap) {
  BatchHeader header;
  header.base_sequence = 0x7fffffff;
  header.last_offset_delta = 2;
  EXPECT_EQ(header.last_sequence(), 1);
  header.base_sequence = kNoSequence;
  EXPECT_EQ(header.last_sequence(), kNoSequence);
}

TEST(BatchHeader, ReadsWhatItWrote) {
  const Batch batch = BatchBuilder()
                          .producer(ProducerId{77}, ProducerEpoch{4}, 12)
                          .transactional()
                          .add(5, {}, {})
                          .add(3, {}, {})
                          .build(Offset{1'000'000'007}, LeaderEpoch{6});
  const Result<BatchHeader> header = read_batch_header(batch);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->base_offset, Offset{1'000'000'007});
  EXPECT_EQ(header->last_offset(), Offset{1'000'000'008});
  EXPECT_EQ(header->leader_epoch, LeaderEpoch{6});
  EXPECT_EQ(header->size_bytes(), batch.size());
  EXPECT_EQ(header->producer_id, ProducerId{77});
  EXPECT_EQ(header->producer_epoch, ProducerEpoch{4});
  EXPECT_EQ(header->base_sequence, 12);
  EXPECT_EQ(header->last_sequence(), 13);
  EXPECT_TRUE(header->is_transactional());
  EXPECT_FALSE(header->is_control());
  EXPECT_EQ(header->base_timestamp, 5);
  EXPECT_EQ(header->max_timestamp, 5);
  EXPECT_TRUE(crc_matches(batch));
}

}  // namespace
}  // namespace keelson::engine::log
