// tests/plugins/wire/message_checks.h: what must hold for every generated message.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "engine/slice.h"
#include "plugins/wire/codec.h"
#include "tests/plugins/wire/random_values.h"

namespace keelson::wire {

inline OwnedBytes flatten(const engine::SliceList& slices) {
  OwnedBytes bytes;
  for (const engine::Slice& slice : slices) {
    bytes.insert(bytes.end(), slice.bytes.begin(), slice.bytes.end());
  }
  return bytes;
}

inline std::string to_hex(engine::Bytes bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

inline OwnedBytes from_hex(std::string_view text) {
  OwnedBytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

/// One case of a golden file: what Kafka's own classes write.
struct GoldenCase {
  std::string message;
  std::int16_t version = 0;
  std::string text;  // the fields as JSON, or "defaults" for a message as it is made
  std::string hex;
};

/// Cases of three lines each, with an empty line between: name and version, text, hex or "-".
inline std::vector<GoldenCase> read_golden_file(const std::string& path) {
  std::vector<GoldenCase> cases;
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  GoldenCase one;
  std::string empty;
  while (file >> one.message >> one.version && std::getline(file, empty) &&
         std::getline(file, one.text) && std::getline(file, one.hex)) {
    if (one.hex == "-") one.hex.clear();
    cases.push_back(one);
  }
  return cases;
}

template <class Message>
OwnedBytes encoded(const Message& message, std::int16_t version) {
  Writer writer;
  const auto done = message.encode(writer, version);
  EXPECT_TRUE(done) << Message::kName << " " << version;
  return done ? flatten(writer.take()) : OwnedBytes{};
}

/// Encoding and decoding give the same message, the same bytes, and use all of them.
template <class Message>
void check_round_trip(std::uint64_t seed, std::int16_t version) {
  SCOPED_TRACE(testing::Message() << Message::kName << " version " << version << " seed " << seed);
  RandomValues random(seed);
  Message message;
  fill_random(random, message, version);
  OwnedBytes bytes = encoded(message, version);
  Reader reader{engine::MutableBytes(bytes)};
  const auto decoded = Message::decode(reader, version);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(reader.remaining_bytes(), 0u);
  EXPECT_TRUE(*decoded == message);
  EXPECT_EQ(to_hex(encoded(*decoded, version)), to_hex(bytes));
}

/// A message cut anywhere is an error. Kept small: the work is the square of the size.
template <class Message>
void check_truncation(std::uint64_t seed, std::int16_t version) {
  SCOPED_TRACE(testing::Message() << Message::kName << " version " << version << " seed " << seed);
  RandomValues random(seed);
  Message message;
  fill_random(random, message, version);
  const OwnedBytes bytes = encoded(message, version);
  if (bytes.size() > 2000) return;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    OwnedBytes cut(bytes.begin(),
                   bytes.begin() + static_cast<std::ptrdiff_t>(size));  // own heap block
    Reader reader{engine::MutableBytes(cut)};
    ASSERT_EQ(Message::decode(reader, version).error().code, engine::Errc::corrupt) << size;
  }
}

template <class Message>
void check_golden(const GoldenCase& golden) {
  SCOPED_TRACE(golden.message + " version " + std::to_string(golden.version) + " " + golden.text);
  OwnedBytes bytes = from_hex(golden.hex);
  if (golden.text == "defaults") {
    EXPECT_EQ(to_hex(encoded(Message{}, golden.version)), golden.hex);
    return;
  }
  Reader reader{engine::MutableBytes(bytes)};
  const auto decoded = Message::decode(reader, golden.version);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(reader.remaining_bytes(), 0u);
  EXPECT_EQ(to_text(*decoded, golden.version), golden.text);
  EXPECT_EQ(to_hex(encoded(*decoded, golden.version)), golden.hex);
}

}  // namespace keelson::wire
