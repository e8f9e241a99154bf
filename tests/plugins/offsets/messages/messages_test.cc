// What must hold for every record the offsets plugin keeps.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>

#include "plugins/offsets/messages/all_messages.h"
#include "plugins/offsets/messages/testing/all_messages.h"
#include "tests/plugins/wire/message_checks.h"

namespace keelson::offsets::messages {
namespace {

TEST(OffsetsMessages, RandomContentSurvivesARoundTrip) {
  for_each_message([]<class Message>(std::type_identity<Message>) {
    for (std::int16_t version = Message::kMinVersion; version <= Message::kMaxVersion; ++version) {
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        wire::check_round_trip<Message>(seed, version);
      }
    }
  });
}

TEST(OffsetsMessages, CutAnywhereIsAnError) {
  for_each_message([]<class Message>(std::type_identity<Message>) {
    for (std::int16_t version = Message::kMinVersion; version <= Message::kMaxVersion; ++version) {
      wire::check_truncation<Message>(7, version);
      wire::check_truncation<Message>(8, version);
    }
  });
}

TEST(OffsetsMessages, VersionsOutOfRangeAreUnsupported) {
  for_each_message([]<class Message>(std::type_identity<Message>) {
    for (const int version : {Message::kMinVersion - 1, Message::kMaxVersion + 1}) {
      std::array<std::byte, 64> bytes{};
      wire::Reader reader{engine::MutableBytes(bytes)};
      EXPECT_EQ(Message::decode(reader, static_cast<std::int16_t>(version)).error().code,
                engine::Errc::unsupported);
      wire::Writer writer;
      EXPECT_EQ(Message{}.encode(writer, static_cast<std::int16_t>(version)).error().code,
                engine::Errc::unsupported);
      EXPECT_FALSE(writer.ok());
    }
  });
}

// The files hold every record and version as Kafka 4.3.1 writes it: every field set, every nullable
// field null, and as made.
TEST(OffsetsMessages, BytesAreKafkas) {
  std::map<std::string_view, std::set<std::int16_t>> versions;
  for (const auto& file : std::filesystem::directory_iterator(GOLDEN_DIR)) {
    for (const wire::GoldenCase& golden : wire::read_golden_file(file.path())) {
      for_each_message([&]<class Message>(std::type_identity<Message>) {
        if (Message::kName != golden.message) return;
        versions[Message::kName].insert(golden.version);
        wire::check_golden<Message>(golden);
      });
    }
  }
  for_each_message([&]<class Message>(std::type_identity<Message>) {
    EXPECT_EQ(versions[Message::kName].size(), Message::kMaxVersion - Message::kMinVersion + 1u)
        << Message::kName;
  });
}

}  // namespace
}  // namespace keelson::offsets::messages
