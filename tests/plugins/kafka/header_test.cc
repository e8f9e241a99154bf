#include "plugins/kafka/header.h"

#include <gtest/gtest.h>

#include "tests/plugins/wire/message_checks.h"

namespace keelson::kafka {
namespace {

using engine::Bytes;
using engine::Errc;
using messages::ApiKey;

engine::Result<RequestHeader> decode(const wire::OwnedBytes& bytes) {
  wire::Reader reader{Bytes(bytes)};
  return decode_request_header(reader);
}

// Metadata 8 is the last version before flexible ones; bytes as Kafka's RequestHeader writes them.
TEST(Header, ClassicRequest) {
  const auto bytes = wire::from_hex("000300080102000300027334aa");
  wire::Reader reader{Bytes(bytes)};
  const auto header = decode_request_header(reader);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->api->key, ApiKey::metadata);
  EXPECT_EQ(header->version, 8);
  EXPECT_EQ(header->correlation_id, 0x01020003);
  EXPECT_EQ(header->client_id, "s4");
  EXPECT_EQ(reader.remaining_bytes(), 1u);
}

TEST(Header, FlexibleRequestKeepsTheClassicClientId) {
  const auto bytes = wire::from_hex(
      "000300090102000300027334"
      "01050299990a");
  wire::Reader reader{Bytes(bytes)};
  const auto header = decode_request_header(reader);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->client_id, "s4");
  EXPECT_EQ(reader.remaining_bytes(), 1u);
}

TEST(Header, NullClientIdIsAnyNegativeLength) {
  EXPECT_EQ(decode(wire::from_hex("0003000800000001ffff"))->client_id, std::nullopt);
  EXPECT_EQ(decode(wire::from_hex("0003000800000001fffe"))->client_id, std::nullopt);
}

TEST(Header, UnknownKeysAndVersionsAreRefused) {
  for (const char* start : {"0004", "0007", "0034", "0bad", "ffff", "7fff", "8000"}) {
    EXPECT_EQ(decode(wire::from_hex(start + std::string("000000000001ffff00"))).error().code,
              Errc::unsupported);
  }
  EXPECT_EQ(decode(wire::from_hex("0000000200000001ffff")).error().code, Errc::unsupported);
  EXPECT_EQ(decode(wire::from_hex("0003000e00000001ffff00")).error().code, Errc::unsupported);
}

TEST(Header, ApiVersionsOfAnyVersionIsRead) {
  for (const char* version : {"0005", "7fff"}) {
    const auto header = decode(wire::from_hex("0012" + std::string(version) + "00000001ffff00"));
    ASSERT_TRUE(header);
    EXPECT_FALSE(header->is_version_known());
  }
  const auto negative = decode(wire::from_hex("0012ffff00000001ffff"));
  ASSERT_TRUE(negative);
  EXPECT_FALSE(negative->is_version_known());
  EXPECT_EQ(negative->version, -1);
}

TEST(Header, CutAnywhereIsCorrupt) {
  const auto bytes = wire::from_hex("00030009010200030002733401050199");
  ASSERT_TRUE(decode(bytes));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(
        decode({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)}).error().code,
        Errc::corrupt);
  }
}

// In a body such a count means no tags; in a header Kafka closes the connection.
TEST(Header, TagCountThatWrapsIsCorrupt) {
  EXPECT_EQ(decode(wire::from_hex("0003000900000001ffffffffffff0f")).error().code, Errc::corrupt);
}

TEST(Header, RequestsRoundTrip) {
  for (const messages::ApiInfo& api : messages::all_apis()) {
    for (auto version = api.min_version; version <= api.max_version; ++version) {
      wire::Writer writer;
      encode_request_header(writer, {&api, version, -7, "client"});
      wire::Reader reader{writer.contiguous()};
      const auto header = decode_request_header(reader);
      ASSERT_TRUE(header);
      EXPECT_EQ(header->api, &api);
      EXPECT_EQ(header->version, version);
      EXPECT_EQ(header->correlation_id, -7);
      EXPECT_EQ(header->client_id, "client");
      EXPECT_EQ(reader.remaining_bytes(), 0u);
    }
  }
}

TEST(Header, ResponsesAreFlexibleExceptThatOfApiVersions) {
  const auto size = [](ApiKey key, std::int16_t version) {
    wire::Writer writer;
    encode_response_header(writer, messages::api_info(key), version, 5);
    wire::Reader reader{writer.contiguous()};
    EXPECT_EQ(decode_response_header(reader, messages::api_info(key), version), 5);
    return writer.size_bytes();
  };
  EXPECT_EQ(size(ApiKey::metadata, 8), 4u);
  EXPECT_EQ(size(ApiKey::metadata, 9), 5u);
  EXPECT_EQ(size(ApiKey::api_versions, 4), 4u);
}

TEST(ApiTable, HoldsEveryKeyOnceInOrder) {
  std::int16_t previous = -1;
  for (const messages::ApiInfo& api : messages::all_apis()) {
    const auto key = static_cast<std::int16_t>(api.key);
    EXPECT_GT(key, previous);
    EXPECT_EQ(messages::api_info(key), &api);
    EXPECT_TRUE(api.knows(api.min_version) && api.knows(api.max_version));
    EXPECT_FALSE(api.knows(static_cast<std::int16_t>(api.max_version + 1)));
    previous = key;
  }
  EXPECT_EQ(messages::api_info(4), nullptr);
}

TEST(ApiTable, SpecialCases) {
  EXPECT_EQ(messages::api_info(ApiKey::produce).advertised_min_version, 0);
  EXPECT_EQ(messages::api_info(ApiKey::produce).min_version, 3);
  EXPECT_EQ(messages::api_info(ApiKey::fetch).advertised_min_version, 4);
  EXPECT_EQ(messages::api_info(ApiKey::init_producer_id).max_stable_version, 5);
  EXPECT_FALSE(messages::api_info(ApiKey::sasl_handshake).is_flexible(1));
}

}  // namespace
}  // namespace keelson::kafka
