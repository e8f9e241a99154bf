// What must hold for every request and response of every version.
#include <gtest/gtest.h>

#include <array>
#include <cctype>
#include <map>
#include <set>
#include <string>

#include "plugins/kafka/messages/all_messages.h"
#include "plugins/kafka/messages/api_table.h"
#include "plugins/kafka/messages/testing/all_messages.h"
#include "tests/plugins/wire/message_checks.h"

namespace keelson::kafka::messages {
namespace {

TEST(Messages, RandomContentSurvivesARoundTrip) {
  for_each_message([]<class Message>(std::type_identity<Message>) {
    for (std::int16_t version = Message::kMinVersion; version <= Message::kMaxVersion; ++version) {
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        wire::check_round_trip<Message>(seed, version);
      }
    }
  });
}

TEST(Messages, CutAnywhereIsAnError) {
  for_each_message([]<class Message>(std::type_identity<Message>) {
    for (std::int16_t version = Message::kMinVersion; version <= Message::kMaxVersion; ++version) {
      wire::check_truncation<Message>(7, version);
      wire::check_truncation<Message>(8, version);
    }
  });
}

TEST(Messages, VersionsOutOfRangeAreUnsupported) {
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

// The files hold every API and version as Kafka 4.3.1 writes it: every field set, every nullable
// field null, and as made.
TEST(Messages, BytesAreKafkas) {
  for (const ApiInfo& api : all_apis()) {
    std::string stem;
    for (const char letter : api.name) {
      if (std::isupper(letter) && !stem.empty()) stem += '_';
      stem += static_cast<char>(std::tolower(letter));
    }
    const auto cases = wire::read_golden_file(std::string(GOLDEN_DIR) + "/" + stem + ".txt");
    std::map<std::string, std::set<std::int16_t>> versions;
    for (const wire::GoldenCase& golden : cases) {
      versions[golden.message].insert(golden.version);
      for_each_message([&]<class Message>(std::type_identity<Message>) {
        if (Message::kName == golden.message) wire::check_golden<Message>(golden);
      });
    }
    const auto count = static_cast<std::size_t>(api.max_version - api.min_version + 1);
    EXPECT_EQ(versions[std::string(api.name) + "Request"].size(), count) << api.name;
    EXPECT_EQ(versions[std::string(api.name) + "Response"].size(), count) << api.name;
  }
}

}  // namespace
}  // namespace keelson::kafka::messages
