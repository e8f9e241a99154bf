#include "plugins/wire/writer.h"

#include <gtest/gtest.h>

#include <string>

#include "plugins/wire/reader.h"
#include "tests/plugins/wire/message_checks.h"

namespace keelson::wire {
namespace {

engine::Slice slice_of(std::string text) {
  auto owner = std::make_shared<const std::string>(std::move(text));
  return {owner, std::as_bytes(std::span(*owner))};
}

std::string text_of(const engine::SliceList& slices) {
  std::string text;
  for (const engine::Slice& slice : slices) {
    text.append(reinterpret_cast<const char*>(slice.bytes.data()), slice.bytes.size());
  }
  return text;
}

TEST(Writer, ASmallFrameIsOneSlice) {
  Writer writer;
  writer.begin_frame();
  writer.string(Writer::classic, "abc");
  writer.end_frame();
  EXPECT_EQ(writer.size_bytes(), 9u);
  const engine::SliceList out = writer.take();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(to_hex(out[0].bytes), "000000050003616263");
}

TEST(Writer, RecordsAreSharedAndNotCopied) {
  const engine::Slice first = slice_of("first"), second = slice_of("second");
  Writer writer;
  writer.begin_frame();
  writer.slices(Writer::compact, {first, slice_of(""), second});
  writer.integer<std::int8_t>('.');
  writer.slices(Writer::compact, {first});
  writer.end_frame();
  const engine::SliceList out = writer.take();
  ASSERT_EQ(out.size(), 5u);
  EXPECT_EQ(out[1].bytes.data(), first.bytes.data());
  EXPECT_EQ(out[2].bytes.data(), second.bytes.data());
  EXPECT_EQ(out[4].bytes.data(), first.bytes.data());
  EXPECT_EQ(out[4].owner, first.owner);
  EXPECT_EQ(text_of(out), std::string("\0\0\0\x13\x0c", 5) + "firstsecond.\x06" + "first");
}

TEST(Writer, ContentSurvivesGrowth) {
  Writer writer(8);
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    writer.raw(std::as_bytes(std::span("0123456789", 10)));
    expected += "0123456789";
    if (i % 100 == 0) {
      writer.slices(Writer::compact, {slice_of("slice")});
      expected += "\x06slice";
    }
  }
  EXPECT_EQ(writer.size_bytes(), expected.size());
  EXPECT_EQ(text_of(writer.take()), expected);
}

TEST(Writer, TaggedFieldsOfAnySizeAreMeasured) {
  for (const std::size_t size : {0, 1, 126, 127, 128, 16'383, 16'384, 100'000}) {
    Writer writer;
    writer.unsigned_varint(1);
    const std::string content(size, 'x');
    writer.tagged_field(5, [&](Writer& inner) { inner.raw(std::as_bytes(std::span(content))); });
    writer.integer<std::uint8_t>(42);
    const auto bytes = flatten(writer.take());
    Reader reader{engine::Bytes(bytes)};
    std::size_t found = 0;
    reader.tagged_fields([&](Reader& r, std::uint32_t tag) {
      EXPECT_EQ(tag, 5u);
      for (; found < size; ++found) EXPECT_EQ(r.integer<char>(), 'x');
      return true;
    });
    EXPECT_EQ(found, size);
    EXPECT_EQ(reader.integer<std::uint8_t>(), 42);
    EXPECT_TRUE(reader.ok());
  }
}

TEST(Writer, TaggedFieldAfterSlicesMovesOnlyItself) {
  Writer writer;
  writer.slices(Writer::compact, {slice_of("abc")});
  writer.tagged_field(0, [](Writer& inner) { inner.integer<std::int8_t>('!'); });
  EXPECT_EQ(text_of(writer.take()), std::string("\x04"
                                                "abc\0\x01!",
                                                7));
}

TEST(Writer, StringsAbove32767BytesFail) {
  Writer writer;
  writer.string(Writer::compact, std::string(32'767, 'x'));
  EXPECT_TRUE(writer.ok());
  writer.string(Writer::compact, std::string(32'768, 'x'));
  EXPECT_FALSE(writer.ok());
}

// The total is counted, not written: the slices are one piece of memory named many times.
TEST(Writer, FramesAboveTwoGigabytesFail) {
  const engine::Slice slice = slice_of(std::string(1 << 20, 'x'));
  Writer writer;
  writer.begin_frame();
  for (int i = 0; i < 2048; ++i) writer.slices(Writer::compact, {slice});
  EXPECT_TRUE(writer.ok());
  writer.end_frame();
  EXPECT_FALSE(writer.ok());
}

TEST(Writer, ContiguousOutputIsAView) {
  Writer writer;
  writer.integer<std::int16_t>(1);
  EXPECT_EQ(to_hex(writer.contiguous()), "0001");
}

}  // namespace
}  // namespace keelson::wire
