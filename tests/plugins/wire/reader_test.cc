#include "plugins/wire/reader.h"

#include <gtest/gtest.h>

#include <array>
#include <initializer_list>
#include <vector>

namespace keelson::wire {
namespace {

using engine::Bytes;

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST(Reader, IntegersAreBigEndian) {
  const auto bytes = bytes_of({0x01, 0xff, 0xfe, 0x01, 0x02, 0x03, 0x04, 0xff, 0xff});
  Reader reader{Bytes(bytes)};
  EXPECT_EQ(reader.integer<std::int8_t>(), 1);
  EXPECT_EQ(reader.integer<std::int16_t>(), -2);
  EXPECT_EQ(reader.integer<std::int32_t>(), 0x01020304);
  EXPECT_EQ(reader.integer<std::uint16_t>(), 0xffff);
  EXPECT_TRUE(reader.ok());
}

TEST(Reader, FailureIsFinal) {
  const auto bytes = bytes_of({1, 2, 3});
  Reader reader{Bytes(bytes)};
  EXPECT_EQ(reader.integer<std::int32_t>(), 0);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.integer<std::int8_t>(), 0);  // although there were bytes left
  EXPECT_EQ(reader.string(Reader::compact), "");
  EXPECT_EQ(reader.remaining_bytes(), 0u);
}

TEST(Reader, VarintsHoldUpTo32Bits) {
  const auto bytes = bytes_of({0x7f, 0x80, 0x01, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x80, 0x00});
  Reader reader{Bytes(bytes)};
  EXPECT_EQ(reader.unsigned_varint(), 127u);
  EXPECT_EQ(reader.unsigned_varint(), 128u);
  EXPECT_EQ(reader.unsigned_varint(), 0xffffffffu);
  EXPECT_EQ(reader.unsigned_varint(), 0u);  // longer than needed
  EXPECT_TRUE(reader.ok());
}

TEST(Reader, VarintsAboveThatFail) {
  for (const auto& bytes : {bytes_of({0xff, 0xff, 0xff, 0xff, 0x1f}),
                            bytes_of({0x80, 0x80, 0x80, 0x80, 0x80, 0x00}), bytes_of({0x80})}) {
    Reader reader{Bytes(bytes)};
    reader.unsigned_varint();
    EXPECT_FALSE(reader.ok());
  }
}

TEST(Reader, NegativeLengthsAreNull) {
  // int16 -2, int32 -7, and the compact 0 and 2^32-1
  const auto bytes =
      bytes_of({0xff, 0xfe, 0xff, 0xff, 0xff, 0xf9, 0, 0xff, 0xff, 0xff, 0xff, 0x0f});
  Reader reader{Bytes(bytes)};
  EXPECT_EQ(reader.nullable_string(Reader::classic), std::nullopt);
  EXPECT_FALSE(reader.nullable_bytes(Reader::classic).has_value());
  EXPECT_EQ(reader.nullable_string(Reader::compact), std::nullopt);
  EXPECT_EQ(reader.array_count(Reader::compact, 1, 1), std::nullopt);
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.remaining_bytes(), 0u);
}

TEST(Reader, NullFailsWhereNotAllowed) {
  const auto null = bytes_of({0});
  Reader string{Bytes(null)};
  string.string(Reader::compact);
  EXPECT_FALSE(string.ok());
  Reader bytes{Bytes(null)};
  bytes.bytes(Reader::compact);
  EXPECT_FALSE(bytes.ok());
  Reader array{Bytes(null)};
  array.array<int>(Reader::compact, 1, [](Reader&, int&) {});
  EXPECT_FALSE(array.ok());
}

TEST(Reader, LengthsPastTheEndFail) {
  const auto text = bytes_of({0, 3, 'a', 'b'});
  Reader string{Bytes(text)};
  string.string(Reader::classic);
  EXPECT_FALSE(string.ok());
  const auto largest = bytes_of({0x7f, 0xff, 0xff, 0xff, 1});
  Reader bytes{Bytes(largest)};
  bytes.bytes(Reader::classic);
  EXPECT_FALSE(bytes.ok());
}

TEST(Reader, StringsEndAt32767BytesInBothForms) {
  std::vector<std::byte> bytes(40'000);
  bytes[0] = std::byte{0x80};  // 32768, that is 32767 bytes
  bytes[1] = std::byte{0x80};
  bytes[2] = std::byte{0x02};
  Reader fits{Bytes(bytes)};
  EXPECT_EQ(fits.string(Reader::compact).size(), 32'767u);
  bytes[0] = std::byte{0x81};
  Reader longer{Bytes(bytes)};
  longer.string(Reader::compact);
  EXPECT_FALSE(longer.ok());
}

TEST(Reader, CountsMustFitIntoWhatRemains) {
  const auto bytes = bytes_of({0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0});
  Reader reader{Bytes(bytes)};
  EXPECT_EQ(reader.array_count(Reader::classic, 4, 4), std::nullopt);
  EXPECT_FALSE(reader.ok());
}

// One byte on the wire must not buy a hundred in memory.
TEST(Reader, ElementsMayTakeEightTimesTheFrame) {
  struct Large {
    std::array<char, 100> content;
  };
  std::vector<std::byte> bytes(1'000'004);
  const auto with_count = [&](std::uint32_t count) {
    engine::store_big_endian(bytes.data(), count);
    Reader reader{Bytes(bytes)};
    const auto read = reader.array<Large>(Reader::classic, 1,
                                          [](Reader& r, Large&) { r.integer<std::int8_t>(); });
    EXPECT_TRUE(read.empty() || read.size() == count);
    return reader.ok();
  };
  EXPECT_TRUE(with_count(80'000));  // 8 MB of a frame of 1 MB
  EXPECT_FALSE(with_count(90'000));
}

TEST(Reader, TheBudgetIsOneForAllArraysOfAFrame) {
  std::vector<std::byte> bytes(100'000);
  Reader reader{Bytes(bytes)};
  std::size_t arrays = 0;
  while (reader.ok() && reader.remaining_bytes() > 0) {
    engine::store_big_endian(const_cast<std::byte*>(reader.position()), std::uint32_t{100});
    reader.array<std::array<char, 100>>(Reader::classic, 1, [](Reader&, auto&) {});
    ++arrays;
  }
  EXPECT_FALSE(reader.ok());
  EXPECT_NEAR(static_cast<double>(arrays), (800'000 + 65'536) / 10'000.0, 2);
}

TEST(Reader, FiftyThousandUnknownTagsInAnyOrderAreSkipped) {
  std::vector<std::byte> bytes = bytes_of({0xd0, 0x86, 0x03});  // 50,000
  for (int i = 0; i < 50'000; ++i) {
    for (const auto byte : bytes_of({9 - i % 9, 1, 0xee})) bytes.push_back(byte);
  }
  bytes.push_back(std::byte{42});
  Reader reader{Bytes(bytes)};
  reader.skip_tagged_fields();
  EXPECT_EQ(reader.integer<std::uint8_t>(), 42);
  EXPECT_TRUE(reader.ok());
}

TEST(Reader, TagCountThatWrapsIsNone) {
  const auto bytes = bytes_of({0xff, 0xff, 0xff, 0xff, 0x0f, 42});
  Reader reader{Bytes(bytes)};
  reader.skip_tagged_fields();
  EXPECT_EQ(reader.integer<std::uint8_t>(), 42);
}

TEST(Reader, KnownTagMustFillItsSize) {
  const auto bytes = bytes_of({1, 0, 2, 7, 7});
  Reader reader{Bytes(bytes)};
  reader.tagged_fields([](Reader& r, std::uint32_t) {
    r.integer<std::int8_t>();
    return true;
  });
  EXPECT_FALSE(reader.ok());
}

TEST(Reader, SlicesShareTheOwnerOrCopy) {
  const auto owner = std::make_shared<std::vector<std::byte>>(bytes_of({3, 1, 2}));
  Reader shared(Bytes(*owner), owner);
  const auto slices = shared.nullable_slices(Reader::compact);
  ASSERT_EQ(slices->size(), 1u);
  EXPECT_EQ((*slices)[0].bytes.data(), owner->data() + 1);
  EXPECT_EQ((*slices)[0].owner, owner);

  Reader copying{Bytes(*owner)};
  const auto copies = copying.nullable_slices(Reader::compact);
  owner->assign(3, std::byte{0});
  EXPECT_EQ((*copies)[0].bytes[1], std::byte{2});
}

}  // namespace
}  // namespace keelson::wire
