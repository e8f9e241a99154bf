// Rules that hold for all messages, shown on the ones that matter most.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "plugins/kafka/messages/fetch.h"
#include "plugins/kafka/messages/metadata.h"
#include "plugins/kafka/messages/offset_fetch.h"
#include "plugins/kafka/messages/produce.h"
#include "tests/plugins/wire/message_checks.h"

namespace keelson::kafka::messages {
namespace {

using engine::Errc;

bool is_inside(const void* view, const wire::OwnedBytes& frame) {
  const auto* const byte = static_cast<const std::byte*>(view);
  return byte >= frame.data() && byte < frame.data() + frame.size();
}

TEST(MessageRules, RequestsPointIntoTheirFrame) {
  std::string records = "records";
  ProduceRequest request{.acks = -1};
  request.topic_data = {{.name = "topic"}};
  request.topic_data[0].partition_data = {
      {.index = 3, .records = std::as_writable_bytes(std::span(records))}};
  wire::OwnedBytes frame = wire::encoded(request, 9);
  wire::Reader reader{engine::MutableBytes(frame)};
  const auto decoded = ProduceRequest::decode(reader, 9);
  ASSERT_TRUE(decoded);
  const auto& topic = decoded->topic_data.at(0);
  EXPECT_TRUE(is_inside(topic.name.data(), frame));
  ASSERT_TRUE(topic.partition_data.at(0).records);
  EXPECT_TRUE(is_inside(topic.partition_data[0].records->data(), frame));
  (*topic.partition_data[0].records)[0] = std::byte{'R'};  // stamped in place
  EXPECT_NE(wire::to_hex(frame).find(wire::to_hex(std::as_bytes(std::span("Records", 7)))),
            std::string::npos);
}

TEST(MessageRules, ResponsesShareTheirRecords) {
  const auto owner = std::make_shared<const std::string>("a batch");
  FetchResponse response;
  response.responses.emplace_back().partitions.emplace_back().records =
      engine::SliceList{{owner, std::as_bytes(std::span(*owner))}};
  wire::Writer writer;
  writer.begin_frame();
  ASSERT_TRUE(response.encode(writer, 12));
  writer.end_frame();
  const engine::SliceList out = writer.take();
  ASSERT_EQ(out.size(), 3u);  // before, records, after
  EXPECT_EQ(out[1].bytes.data(), std::as_bytes(std::span(*owner)).data());
}

TEST(MessageRules, WhatAVersionCannotSayIsAnErrorUnlessIgnorable) {
  FetchRequest request;
  request.max_bytes = 7;
  request.rack_id = "ignorable";
  wire::Writer dropped;
  EXPECT_TRUE(request.encode(dropped, 10));

  request.forgotten_topics_data.emplace_back();
  wire::Writer refused;
  EXPECT_EQ(request.encode(refused, 6).error().code, Errc::invalid_argument);
  EXPECT_FALSE(refused.ok());

  FetchRequest follower;
  follower.replica_state.replica_id = 1;  // tagged, from version 15
  wire::Writer old_version;
  EXPECT_EQ(follower.encode(old_version, 14).error().code, Errc::invalid_argument);
}

TEST(MessageRules, NullIsWrittenOnlyWhereTheVersionKnowsIt) {
  MetadataRequest all_topics;
  all_topics.topics.reset();
  wire::Writer old_version;
  EXPECT_EQ(all_topics.encode(old_version, 0).error().code, Errc::invalid_argument);
  EXPECT_EQ(wire::to_hex(wire::encoded(all_topics, 1)), "ffffffff");
}

TEST(MessageRules, NullIsReadOnlyWhereTheVersionKnowsIt) {
  wire::OwnedBytes null_topics = wire::from_hex("ffffffff");
  wire::Reader old_version{engine::MutableBytes(null_topics)};
  EXPECT_EQ(MetadataRequest::decode(old_version, 0).error().code, Errc::corrupt);
  wire::Reader reader{engine::MutableBytes(null_topics)};
  const auto request = MetadataRequest::decode(reader, 1);
  ASSERT_TRUE(request);
  EXPECT_FALSE(request->topics.has_value());
}

// A count of 2^32-1 wraps to null in Kafka, and clients get an answer to it.
TEST(MessageRules, CompactCountThatWrapsIsNull) {
  wire::OwnedBytes bytes = wire::from_hex(
      "ffffffff0f"
      "01"
      "00"
      "00"
      "00");
  wire::Reader reader{engine::MutableBytes(bytes)};
  const auto request = MetadataRequest::decode(reader, 9);
  ASSERT_TRUE(request);
  EXPECT_FALSE(request->topics.has_value());
}

TEST(MessageRules, UnknownTagsAreSkippedAndKnownOnesFoundAmongThem) {
  // MaxWaitMs .. rack id of a Fetch 12, then tags 9, 0 (the cluster id "ab"), 5.
  wire::OwnedBytes bytes = wire::encoded(FetchRequest{}, 12);
  bytes.pop_back();
  for (const std::byte byte : wire::from_hex("030901ee"
                                             "0003036162"
                                             "0500"))
    bytes.push_back(byte);
  wire::Reader reader{engine::MutableBytes(bytes)};
  const auto request = FetchRequest::decode(reader, 12);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->cluster_id, "ab");
  EXPECT_EQ(reader.remaining_bytes(), 0u);
}

TEST(MessageRules, BytesBehindTheBodyAreLeft) {
  wire::OwnedBytes bytes = wire::encoded(FetchRequest{}, 4);
  bytes.resize(bytes.size() + 1'000'000);
  wire::Reader reader{engine::MutableBytes(bytes)};
  ASSERT_TRUE(FetchRequest::decode(reader, 4));
  EXPECT_EQ(reader.remaining_bytes(), 1'000'000u);
}

// Structs of many empty strings: 64 KiB of elements are free, then 8 bytes for each of the frame.
TEST(MessageRules, TinyElementsCannotBuyMuchMemory) {
  const auto decode_groups = [](std::size_t count) {
    wire::Writer writer;
    writer.array_count(wire::Writer::compact, count);
    for (std::size_t i = 0; i < count; ++i) {
      writer.unsigned_varint(1);  // empty group id
      writer.unsigned_varint(0);  // null topics
      writer.unsigned_varint(0);  // no tags
    }
    writer.boolean(false);
    writer.unsigned_varint(0);
    wire::OwnedBytes bytes = wire::flatten(writer.take());
    wire::Reader reader{engine::MutableBytes(bytes)};
    return OffsetFetchRequest::decode(reader, 8).has_value();
  };
  EXPECT_TRUE(decode_groups(500));
  EXPECT_FALSE(decode_groups(100'000));
}

}  // namespace
}  // namespace keelson::kafka::messages
