// The answers are those of Apache Kafka 4.3.1 to the same bytes, except where a test says so.
#include "engine/log/batch_validation.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <utility>

#include "engine/log/compression.h"
#include "engine/log/record_reader.h"
#include "engine/log/varint.h"
#include "tests/engine/log/batch_support.h"

namespace keelson::engine::log {
namespace {

using Batch = std::vector<std::byte>;

constexpr std::int64_t kNow = 1'700'000'000'000;

Batch make_batch(int records = 3, Codec codec = Codec::none) {
  BatchBuilder builder(codec);
  for (int index = 0; index < records; ++index) {
    builder.add(kNow + index, bytes_of("key"), bytes_of("a value that is a value"));
  }
  return builder.build();
}

std::optional<Errc> refusal(Batch batch, const LogConfig& config = {},
                            BatchOrigin origin = BatchOrigin::client) {
  const auto result = validate_batch(batch, config, kNow, origin);
  return result ? std::nullopt : std::optional(result.error().error.code);
}

TEST(BatchValidation, AcceptsAWholeBatchAsItCame) {
  for (const Codec codec : kAllCodecs) {
    Batch batch = make_batch(3, codec);
    const Batch before = batch;
    const auto result = validate_batch(batch, {}, kNow, BatchOrigin::client);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(batch, before);
    EXPECT_EQ(result->bytes.data(), batch.data());
    EXPECT_EQ(result->bytes.size(), batch.size());
    EXPECT_EQ(result->header.record_count, 3);
    EXPECT_EQ(result->header.max_timestamp, kNow + 2);
  }
}

TEST(BatchValidation, DropsUpToElevenBytesBehindTheBatch) {
  for (std::size_t extra = 0; extra <= 12; ++extra) {
    Batch batch = make_batch();
    const std::size_t size = batch.size();
    batch.resize(size + extra);
    const auto result = validate_batch(batch, {}, kNow, BatchOrigin::client);
    ASSERT_EQ(result.has_value(), extra < 12) << extra;
    if (result) EXPECT_EQ(result->bytes.size(), size);
    if (!result) EXPECT_EQ(result.error().error.code, Errc::invalid_record);
  }
}

TEST(BatchValidation, EveryTruncationIsRefused) {
  const Batch whole = make_batch();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(refusal(Batch(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))),
              Errc::invalid_record)
        << size;
  }
}

struct HeaderCase {
  const char* name;
  std::function<void(Batch&)> damage;
  std::optional<Errc> answer;
};

class BadHeader : public testing::TestWithParam<HeaderCase> {};

TEST_P(BadHeader, IsAnsweredAsKafkaDoes) {
  Batch batch = make_batch();
  GetParam().damage(batch);
  EXPECT_EQ(refusal(std::move(batch)), GetParam().answer);
}

INSTANTIATE_TEST_SUITE_P(
    BatchValidation, BadHeader,
    testing::Values(
        HeaderCase{"crc", [](Batch& b) { b[17] ^= std::byte{1}; }, Errc::corrupt_message},
        HeaderCase{"payload", [](Batch& b) { b.back() ^= std::byte{1}; }, Errc::corrupt_message},
        HeaderCase{"magic_0", [](Batch& b) { b[16] = std::byte{0}; }, Errc::invalid_record},
        HeaderCase{"magic_1", [](Batch& b) { b[16] = std::byte{1}; }, Errc::invalid_record},
        HeaderCase{"magic_3", [](Batch& b) { b[16] = std::byte{3}; }, Errc::corrupt_message},
        HeaderCase{"magic_minus_1", [](Batch& b) { b[16] = std::byte{255}; },
                   Errc::corrupt_message},
        HeaderCase{"length_13", [](Batch& b) { store_big_endian(&b[8], std::int32_t{13}); },
                   Errc::corrupt_message},
        HeaderCase{"length_48", [](Batch& b) { store_big_endian(&b[8], std::int32_t{48}); },
                   Errc::corrupt_message},
        HeaderCase{"length_negative", [](Batch& b) { store_big_endian(&b[8], std::int32_t{-1}); },
                   Errc::corrupt_message},
        HeaderCase{
            "length_past_end",
            [](Batch& b) { store_big_endian(&b[8], static_cast<std::int32_t>(b.size() - 11)); },
            Errc::invalid_record},
        HeaderCase{"length_max",
                   [](Batch& b) { store_big_endian(&b[8], std::int32_t{0x7fffffff}); },
                   Errc::invalid_record},
        HeaderCase{"length_too_short_by_one",
                   [](Batch& b) {
                     store_big_endian(&b[8], static_cast<std::int32_t>(b.size() - 13));
                     fix_crc(std::span(b).first(b.size() - 1));
                   },
                   Errc::invalid_record},
        HeaderCase{"base_offset", [](Batch& b) { poke(b, 0, std::int64_t{1}); },
                   Errc::invalid_record},
        HeaderCase{"two_batches",
                   [](Batch& b) {
                     const Batch copy = b;
                     b.insert(b.end(), copy.begin(), copy.end());
                   },
                   Errc::invalid_record},
        HeaderCase{"count_0", [](Batch& b) { poke(b, 57, std::int32_t{0}); }, Errc::invalid_record},
        HeaderCase{"count_negative", [](Batch& b) { poke(b, 57, std::int32_t{-1}); },
                   Errc::invalid_record},
        HeaderCase{"count_too_small", [](Batch& b) { poke(b, 57, std::int32_t{2}); },
                   Errc::invalid_record},
        HeaderCase{"delta_too_large", [](Batch& b) { poke(b, 23, std::int32_t{3}); },
                   Errc::invalid_record},
        HeaderCase{"count_and_delta_too_small",
                   [](Batch& b) {
                     poke(b, 23, std::int32_t{1});
                     poke(b, 57, std::int32_t{2});
                   },
                   Errc::invalid_record},
        HeaderCase{"count_and_delta_huge",
                   [](Batch& b) {
                     poke(b, 23, std::int32_t{0x7ffffffe});
                     poke(b, 57, std::int32_t{0x7fffffff});
                   },
                   Errc::invalid_record},
        HeaderCase{"control", [](Batch& b) { poke(b, 21, kAttributeControl); },
                   Errc::invalid_record},
        HeaderCase{"producer_without_sequence",
                   [](Batch& b) {
                     poke(b, 43, std::int64_t{7});
                     poke(b, 51, std::int16_t{0});
                   },
                   Errc::invalid_record},
        // Kafka accepts the next three; they contradict themselves.
        HeaderCase{"producer_without_epoch",
                   [](Batch& b) {
                     poke(b, 43, std::int64_t{7});
                     poke(b, 53, std::int32_t{0});
                   },
                   Errc::invalid_record},
        HeaderCase{"transactional_without_producer",
                   [](Batch& b) { poke(b, 21, kAttributeTransactional); }, Errc::invalid_record},
        HeaderCase{"delete_horizon", [](Batch& b) { poke(b, 21, kAttributeDeleteHorizon); },
                   Errc::invalid_record},
        HeaderCase{"log_append_time", [](Batch& b) { poke(b, 21, kAttributeLogAppendTime); },
                   Errc::invalid_timestamp},
        HeaderCase{"codec_5", [](Batch& b) { poke(b, 21, std::int16_t{5}); }, Errc::invalid_record},
        HeaderCase{"codec_7", [](Batch& b) { poke(b, 21, std::int16_t{7}); }, Errc::invalid_record},
        HeaderCase{"unused_attribute", [](Batch& b) { poke(b, 21, std::int16_t{0x100}); },
                   std::nullopt},
        HeaderCase{"leader_epoch", [](Batch& b) { store_big_endian(&b[12], std::int32_t{9}); },
                   std::nullopt}),
    [](const auto& info) { return info.param.name; });

// One record's bytes, with a field of the test's choice.
struct RawRecord {
  std::optional<std::int32_t> length;
  std::int64_t timestamp_delta = 0;
  std::int32_t offset_delta = 0;
  std::int32_t key_bytes = 3;
  std::int32_t value_bytes = 2;
  std::int32_t header_count = 0;
  std::vector<std::byte> rest;  // headers
};

Batch one_record(const RawRecord& raw) {
  Batch body{std::byte{0}};
  append_varint(body, raw.timestamp_delta);
  append_varint(body, raw.offset_delta);
  append_varint(body, raw.key_bytes);
  body.resize(body.size() + 3);
  append_varint(body, raw.value_bytes);
  body.resize(body.size() + 2);
  append_varint(body, raw.header_count);
  body.insert(body.end(), raw.rest.begin(), raw.rest.end());
  Batch record;
  append_varint(record, raw.length.value_or(static_cast<std::int32_t>(body.size())));
  record.insert(record.end(), body.begin(), body.end());
  return with_records(make_batch(1), record);
}

Batch header_bytes(std::int32_t key_bytes, std::int32_t value_bytes) {
  Batch header;
  append_varint(header, key_bytes);
  header.resize(header.size() + static_cast<std::size_t>(std::max(key_bytes, 0)));
  append_varint(header, value_bytes);
  header.resize(header.size() + static_cast<std::size_t>(std::max(value_bytes, 0)));
  return header;
}

TEST(BatchValidation, RefusesIllFormedRecords) {
  ASSERT_EQ(refusal(one_record({})), std::nullopt);
  EXPECT_EQ(refusal(one_record({.header_count = 1, .rest = header_bytes(1, -1)})), std::nullopt);

  const RawRecord bad[] = {
      {.length = 5},
      {.length = 100},
      {.length = -1},
      {.length = 0x7fffffff},
      {.key_bytes = 100},
      {.key_bytes = -2},
      {.key_bytes = 0x7fffffff},
      {.value_bytes = 100},
      {.value_bytes = -2},
      {.header_count = 1},
      {.header_count = -1},
      {.header_count = 0x7fffffff},
      {.header_count = 1, .rest = header_bytes(-1, 0)},
      {.header_count = 1, .rest = header_bytes(0, -2)},
      {.header_count = 0, .rest = header_bytes(0, 0)},
      {.header_count = 2, .rest = header_bytes(0, 0)},
      // Kafka stores these; a reader would not find the records where the index says.
      {.offset_delta = 5},
      {.offset_delta = -1},
  };
  int number = 0;
  for (const RawRecord& raw : bad) {
    EXPECT_EQ(refusal(one_record(raw)), Errc::invalid_record) << "case " << number;
    ++number;
  }
}

TEST(BatchValidation, RefusesVarintsWithoutEnd) {
  const Batch eleven(11, std::byte{0xff});
  EXPECT_EQ(refusal(with_records(make_batch(1), eleven)), Errc::invalid_record);
}

TEST(BatchValidation, RefusesOffsetDeltasOutOfOrder) {
  Batch batch = make_batch(2);
  // Two records of one size: their offset deltas are byte 3 of each.
  const std::size_t record_bytes = (batch.size() - kBatchHeaderBytes) / 2;
  std::byte& first = batch[kBatchHeaderBytes + 3];
  std::byte& second = batch[kBatchHeaderBytes + record_bytes + 3];
  ASSERT_EQ(second, std::byte{2});
  std::swap(first, second);
  fix_crc(batch);
  EXPECT_EQ(refusal(batch), Errc::invalid_record);
}

TEST(BatchValidation, RefusesRubbishAndCutStreamsOfEveryCodec) {
  for (const Codec codec : kAllCodecs) {
    if (codec == Codec::none) continue;
    const Batch whole = make_batch(3, codec);
    const Bytes stream = Bytes(whole).subspan(kBatchHeaderBytes);
    for (std::size_t size = 0; size < stream.size(); ++size) {
      EXPECT_EQ(refusal(with_records(whole, stream.first(size))), Errc::invalid_record)
          << "codec " << static_cast<int>(codec) << " cut to " << size;
    }
    const Batch rubbish(100, std::byte{0x5a});
    EXPECT_EQ(refusal(with_records(whole, rubbish)), Errc::invalid_record);
  }
}

TEST(BatchValidation, ChecksTimestamps) {
  const LogConfig config;  // an hour ahead, for ever back
  const auto at = [](std::int64_t timestamp_ms) {
    return BatchBuilder().add(timestamp_ms, std::nullopt, std::nullopt).build();
  };
  EXPECT_EQ(refusal(at(kNow + 3'600'000), config), std::nullopt);
  EXPECT_EQ(refusal(at(kNow + 3'600'001), config), Errc::invalid_timestamp);
  EXPECT_EQ(refusal(at(-5), config), std::nullopt);
  EXPECT_EQ(refusal(at(kNoTimestamp), config), std::nullopt);
  EXPECT_EQ(refusal(at(std::numeric_limits<std::int64_t>::max()), config), Errc::invalid_timestamp);
  EXPECT_EQ(refusal(at(std::numeric_limits<std::int64_t>::min()), config), std::nullopt);

  LogConfig strict;
  strict.timestamp_before_max_ms = 1000;
  EXPECT_EQ(refusal(at(kNow - 1000), strict), std::nullopt);
  EXPECT_EQ(refusal(at(kNow - 1001), strict), Errc::invalid_timestamp);
  EXPECT_EQ(refusal(at(kNoTimestamp), strict), std::nullopt);
  strict.timestamp_type = TimestampType::log_append_time;
  EXPECT_EQ(refusal(at(kNow - 1001), strict), std::nullopt);
}

TEST(BatchValidation, CorrectsAFalseMaxTimestamp) {
  for (const Codec codec : kAllCodecs) {
    Batch batch = make_batch(3, codec);
    poke(batch, 35, std::int64_t{5});
    const auto result = validate_batch(batch, {}, kNow, BatchOrigin::client);
    ASSERT_TRUE(result);
    EXPECT_EQ(result->header.max_timestamp, kNow + 2);
    EXPECT_EQ(batch, make_batch(3, codec));
  }
}

TEST(BatchValidation, StampsLogAppendTime) {
  LogConfig config;
  config.timestamp_type = TimestampType::log_append_time;
  Batch batch = make_batch(3, Codec::lz4);
  const auto result = validate_batch(batch, config, kNow + 77, BatchOrigin::client);
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->header.is_log_append_time());
  EXPECT_EQ(result->header.max_timestamp, kNow + 77);
  EXPECT_TRUE(crc_matches(batch));
  RecordReader reader(batch);
  EXPECT_EQ((*reader.next())->timestamp_ms, kNow + 77);
}

TEST(BatchValidation, NamesEachRecordWithoutKeyInACompactedTopic) {
  LogConfig config;
  config.cleanup_compact = true;
  BatchBuilder builder;
  builder.add(kNow, bytes_of("k"), bytes_of("v"));
  builder.add(kNow, std::nullopt, bytes_of("v"));
  builder.add(kNow, bytes_of(""), bytes_of("v"));
  builder.add(kNow, std::nullopt, bytes_of("v"));
  Batch batch = builder.build();
  const auto result = validate_batch(batch, config, kNow, BatchOrigin::client);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().error.code, Errc::invalid_record);
  ASSERT_EQ(result.error().records.size(), 2u);
  EXPECT_EQ(result.error().records[0].batch_index, 1);
  EXPECT_EQ(result.error().records[1].batch_index, 3);
  EXPECT_EQ(refusal(batch, config, BatchOrigin::internal), std::nullopt);
}

TEST(BatchValidation, NamesAHundredRecordsAtMost) {
  LogConfig config;
  config.cleanup_compact = true;
  BatchBuilder builder;
  for (int index = 0; index < 1000; ++index) builder.add(kNow, std::nullopt, std::nullopt);
  Batch batch = builder.build();
  const auto result = validate_batch(batch, config, kNow, BatchOrigin::client);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().records.size(), 100u);
}

TEST(BatchValidation, RefusesABatchAboveTheTopicsLimit) {
  Batch batch = make_batch();
  LogConfig config;
  config.max_message_bytes = static_cast<std::uint32_t>(batch.size());
  EXPECT_EQ(refusal(batch, config), std::nullopt);
  --config.max_message_bytes;
  EXPECT_EQ(refusal(batch, config), Errc::message_too_large);
}

TEST(BatchValidation, InternalWritersMayWriteMarkersAtAnyOffset) {
  const std::byte key[4] = {};
  const std::byte value[6] = {};
  Batch batch = BatchBuilder()
                    .producer(ProducerId{5}, ProducerEpoch{0}, kNoSequence)
                    .transactional()
                    .control()
                    .add(kNow, key, value)
                    .build(Offset{12});
  EXPECT_EQ(refusal(batch, {}, BatchOrigin::internal), std::nullopt);
  EXPECT_EQ(refusal(batch, {}, BatchOrigin::client), Errc::invalid_record);
}

TEST(BatchValidation, ReencodesForTheTopicsCodec) {
  for (const Codec from : kAllCodecs) {
    for (const Codec to : kAllCodecs) {
      LogConfig config;
      config.keep_producer_codec = false;
      config.codec = to;
      BatchBuilder builder(from);
      builder.producer(ProducerId{9}, ProducerEpoch{1}, 40);
      for (int index = 0; index < 500; ++index) {
        builder.add(kNow + index, bytes_of("k"), bytes_of("some value, some value"));
      }
      Batch batch = builder.build();
      poke(batch, 35, std::int64_t{1});  // a false max timestamp, to be set right as well
      const auto result = validate_batch(batch, config, kNow, BatchOrigin::client);
      ASSERT_TRUE(result) << result.error().message;
      EXPECT_EQ(result->recoded.empty(), from == to);
      EXPECT_EQ(result->header.codec(), to);
      EXPECT_EQ(result->header.size_bytes(), result->bytes.size());
      EXPECT_EQ(result->header.max_timestamp, kNow + 499);
      EXPECT_EQ(result->header.base_sequence, 40);
      EXPECT_TRUE(crc_matches(result->bytes));

      // What was stored is a batch that a client could have sent.
      Batch stored(result->bytes.begin(), result->bytes.end());
      EXPECT_EQ(refusal(stored), std::nullopt);
      RecordReader reader(stored);
      for (int index = 0; index < 500; ++index) {
        const auto record = reader.next();
        ASSERT_TRUE(record && *record);
        EXPECT_EQ((*record)->offset, Offset{index});
        EXPECT_EQ(text_of(*(*record)->value), "some value, some value");
      }
    }
  }
}

// A batch of one record whose value is zeros, without ever holding them.
Batch bomb(Codec codec, std::int32_t value_bytes) {
  Batch body{std::byte{0}};
  append_varint(body, std::int64_t{0});
  append_varint(body, std::int32_t{0});
  append_varint(body, std::int32_t{-1});
  append_varint(body, value_bytes);
  Batch record;
  append_varint(record, static_cast<std::int32_t>(body.size()) + value_bytes + 1);
  record.insert(record.end(), body.begin(), body.end());

  Batch stream;
  Compressor compressor(codec, 1, stream);
  const Batch zeros(1 << 20);
  EXPECT_TRUE(compressor.write(record));
  for (std::int32_t left = value_bytes; left > 0;) {
    const std::int32_t piece = std::min<std::int32_t>(left, 1 << 20);
    EXPECT_TRUE(compressor.write(Bytes(zeros).first(static_cast<std::size_t>(piece))));
    left -= piece;
  }
  EXPECT_TRUE(compressor.write(Bytes(zeros).first(1)));  // no headers
  EXPECT_TRUE(compressor.finish());
  Batch batch = make_batch(1);
  poke(batch, 21, static_cast<std::int16_t>(codec));
  return with_records(batch, stream);
}

TEST(BatchValidation, StreamsBombsThatAreTrueRecords) {
  LogConfig config;
  config.max_message_bytes = 2 << 20;
  EXPECT_EQ(refusal(bomb(Codec::gzip, 300 << 20), config), std::nullopt);
  EXPECT_EQ(refusal(bomb(Codec::lz4, 200 << 20), config), std::nullopt);
  EXPECT_EQ(refusal(bomb(Codec::zstd, 1 << 30), config), std::nullopt);
}

/// The verdict in steps of `plain_bytes`, and how many there were.
std::pair<Validated, int> in_steps(Batch& batch, const LogConfig& config,
                                   std::uint64_t plain_bytes) {
  BatchValidation validation(batch, config, kNow, BatchOrigin::client);
  int steps = 1;
  while (!validation.step(plain_bytes)) ++steps;
  return {validation.take(), steps};
}

/// Records of every shape, as they lie in a batch: small and large fields, many headers.
Batch varied_records(Codec codec) {
  BatchBuilder builder(codec);
  std::mt19937_64 random(7);
  for (int index = 0; index < 60; ++index) {
    const std::string key(random() % 20 == 0 ? 150'000 : random() % 50, 'k');
    const std::string value(random() % 10 == 0 ? 200'000 : random() % 50, 'v');
    const RecordHeader header{bytes_of("name"), bytes_of(key)};
    const std::vector<RecordHeader> headers(random() % 8 == 0 ? 2'000 : random() % 3,
                                            RecordHeader{header.key, std::nullopt});
    builder.add(kNow + index, bytes_of(key), bytes_of(value), headers);
  }
  return builder.build();
}

// However it is cut into steps, the verdict is that of one pass, and no step does much.
TEST(BatchValidation, StepsComeToTheVerdictOfOnePass) {
  LogConfig config;
  config.max_message_bytes = 64 << 20;
  for (const Codec codec : kAllCodecs) {
    if (codec == Codec::none) continue;
    const Batch whole = varied_records(codec);
    const Batch plain = varied_records(Codec::none);
    const std::size_t plain_bytes = plain.size() - kBatchHeaderBytes;
    ASSERT_GT(plain_bytes, 1u << 20);
    for (const std::uint64_t step : {1u, 1'000u, 100'000u, 1u << 30}) {
      SCOPED_TRACE(testing::Message() << "codec " << int(codec) << " step " << step);
      Batch batch = whole;
      auto [verdict, steps] = in_steps(batch, config, step);
      EXPECT_TRUE(verdict.has_value()) << verdict.error().message;
      EXPECT_EQ(batch, whole);
      if (codec == Codec::snappy) continue;  // a block comes whole
      if (step == 100'000) EXPECT_GE(steps, static_cast<int>(plain_bytes / 250'000));
      if (step == 1u << 30) EXPECT_EQ(steps, 1);

      // The same with its stream cut, with a false max timestamp, and for a topic with another
      // codec.
      Batch cut = with_records(
          whole, Bytes(whole).subspan(kBatchHeaderBytes, (whole.size() - kBatchHeaderBytes) / 2));
      EXPECT_EQ(in_steps(cut, config, step).first.error().error.code, Errc::invalid_record);
      poke(batch, 35, std::int64_t{1});
      EXPECT_EQ(in_steps(batch, config, step).first->header.max_timestamp, kNow + 59);
      LogConfig other = config;
      other.keep_producer_codec = false;
      other.codec = Codec::none;
      auto [recoded, recode_steps] = in_steps(batch, other, step);
      ASSERT_TRUE(recoded.has_value());
      EXPECT_EQ(recoded->recoded, plain);
      if (step == 100'000) EXPECT_GE(recode_steps, steps * 2);
    }
  }
}

// One record of any size and one of many headers are left in the middle, too.
TEST(BatchValidation, NoStepOfABombIsLarge) {
  LogConfig config;
  Batch one = bomb(Codec::gzip, 64 << 20);
  auto [verdict, steps] = in_steps(one, config, 1 << 20);
  EXPECT_TRUE(verdict.has_value());
  EXPECT_GE(steps, 60);

  BatchBuilder builder(Codec::zstd);
  const std::vector<RecordHeader> headers(1 << 20, RecordHeader{bytes_of("h"), std::nullopt});
  Batch many = builder.add(kNow, std::nullopt, std::nullopt, headers).build();
  auto [verdict_of_many, steps_of_many] = in_steps(many, config, 1 << 16);
  EXPECT_TRUE(verdict_of_many.has_value());
  EXPECT_GE(steps_of_many, 20);
}

TEST(BatchValidation, ABombThatMustBeStoredPlainIsTooLarge) {
  LogConfig config;
  config.keep_producer_codec = false;
  config.codec = Codec::none;
  EXPECT_EQ(refusal(bomb(Codec::zstd, 64 << 20), config), Errc::message_too_large);
}

TEST(BatchValidation, RefusesFalseClaimsBeforeItAllocates) {
  // A snappy block that claims 4 GiB - 1, and one of 128 MiB that holds three bytes.
  for (const std::string_view claim : {"\xff\xff\xff\xff\x0f", "\x80\x80\x80\x40"}) {
    Batch batch = make_batch(1);
    poke(batch, 21, static_cast<std::int16_t>(Codec::snappy));
    Batch block(bytes_of(claim).begin(), bytes_of(claim).end());
    block.resize(block.size() + 3);
    EXPECT_EQ(refusal(with_records(batch, block)), Errc::invalid_record);
  }
  // A zstd frame with a window of 2^41, and one just above what is taken of clients.
  for (const int window_log : {41, kClientWindowLog + 1}) {
    Batch batch = make_batch(1);
    poke(batch, 21, static_cast<std::int16_t>(Codec::zstd));
    const std::byte frame[] = {
        std::byte{0x28}, std::byte{0xb5}, std::byte{0x2f},
        std::byte{0xfd}, std::byte{0},    static_cast<std::byte>((window_log - 10) << 3),
        std::byte{1},    std::byte{0},    std::byte{0}};
    EXPECT_EQ(refusal(with_records(batch, frame)), Errc::invalid_record);
  }
}

}  // namespace
}  // namespace keelson::engine::log
