#include "engine/log/compression.h"

#include <gtest/gtest.h>
#include <lz4frame.h>
#include <snappy.h>
#include <zstd.h>

#include <array>

#include "tests/engine/log/batch_support.h"

namespace keelson::engine::log {
namespace {

using Buffer = std::vector<std::byte>;

constexpr Codec kStreams[] = {Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd};

std::optional<std::string> decompress(Codec codec, Bytes stream,
                                      int window_log_max = kStoredWindowLog) {
  Decompressor source(codec, stream, window_log_max);
  std::string plain;
  while (true) {
    const Result<Bytes> piece = source.next();
    if (!piece) {
      EXPECT_EQ(piece.error().code, Errc::corrupt);
      EXPECT_FALSE(source.next());  // final
      return std::nullopt;
    }
    if (piece->empty()) return plain;
    plain += text_of(*piece);
  }
}

Buffer compress(Codec codec, std::string_view plain, int level = 0) {
  Buffer out;
  Compressor target(codec, level, out);
  EXPECT_TRUE(target.write(bytes_of(plain)));
  EXPECT_TRUE(target.finish());
  return out;
}

std::string sample(std::size_t bytes) {
  std::mt19937_64 random(bytes);
  std::string text;
  while (text.size() < bytes) {
    text += text.empty() || random() % 4 == 0 ? std::to_string(random())
                                              : text.substr(text.size() / 2, random() % 100);
  }
  text.resize(bytes);
  return text;
}

TEST(Compression, GivesBackWhatWentInAtAnySize) {
  for (const Codec codec : kAllCodecs) {
    for (const std::size_t bytes :
         {0, 1, 100, 32'767, 32'768, 32'769, 65'535, 65'536, 65'537, 131'072, 1'000'003}) {
      const std::string plain = sample(bytes);
      EXPECT_EQ(decompress(codec, compress(codec, plain)), plain)
          << "codec " << static_cast<int>(codec) << ", " << bytes << " bytes";
    }
  }
}

TEST(Compression, TakesEveryLevelThatKafkaTakes) {
  const std::string plain = sample(20'000);
  for (const int level : {-131'072, -1, 0, 1, 3, 9, 12, 17, 19, 20, 22, 1000}) {
    for (const Codec codec : kStreams) {
      EXPECT_EQ(decompress(codec, compress(codec, plain, level), kClientWindowLog), plain)
          << "codec " << static_cast<int>(codec) << ", level " << level;
    }
  }
}

TEST(Compression, LevelsMakeADifference) {
  const std::string plain = sample(200'000);
  for (const Codec codec : {Codec::gzip, Codec::lz4, Codec::zstd}) {
    const std::size_t fast = compress(codec, plain, codec == Codec::lz4 ? 9 : 1).size();
    EXPECT_LT(compress(codec, plain, codec == Codec::gzip ? 9 : 12).size(), fast);
  }
}

TEST(Compression, StopsAtTheLimitOfTheOutput) {
  const std::string plain = sample(3'000'000);
  for (const Codec codec : kAllCodecs) {
    Buffer out;
    Compressor target(codec, 0, out, 1000);
    EXPECT_FALSE(target.write(bytes_of(plain)) && target.finish());
    EXPECT_LT(out.size(), 300'000u);
  }
}

// No cut stream passes for a whole one: the records behind the cut would be lost in silence.
TEST(Compression, EveryCutIsSeen) {
  const std::string plain = sample(1500);
  for (const Codec codec : kStreams) {
    const Buffer stream = compress(codec, plain);
    for (std::size_t size = 0; size < stream.size(); ++size) {
      const auto cut = decompress(codec, Bytes(stream).first(size));
      // Xerial framing has no end mark: a cut between its blocks is for the record count to see.
      const bool after_header = codec == Codec::snappy && size == 16 && cut == "";
      EXPECT_TRUE(!cut || after_header) << "codec " << static_cast<int>(codec) << " at " << size;
    }
  }
}

TEST(Compression, StreamsAreUsedAgainAfterAnError) {
  const std::string plain = sample(1000);
  for (const Codec codec : kStreams) {
    const Buffer stream = compress(codec, plain);
    for (int round = 0; round < 20; ++round) {
      EXPECT_FALSE(decompress(codec, Bytes(stream).first(stream.size() / 2)).value_or("") == plain);
      EXPECT_EQ(decompress(codec, stream), plain);
    }
  }
}

TEST(Compression, GzipAndZstdStreamsMayStandBackToBack) {
  for (const Codec codec : {Codec::gzip, Codec::zstd, Codec::snappy}) {
    Buffer both = compress(codec, "one, ");
    const Buffer second = compress(codec, "two");
    both.insert(both.end(), second.begin(), second.end());
    EXPECT_EQ(decompress(codec, both), "one, two");
    both.push_back(std::byte{1});
    EXPECT_EQ(decompress(codec, both), std::nullopt);
  }
}

TEST(Compression, SnappyTakesARawBlock) {
  const std::string plain = sample(100'000);
  std::string block;
  snappy::Compress(plain.data(), plain.size(), &block);
  EXPECT_EQ(decompress(Codec::snappy, bytes_of(block)), plain);
  block.pop_back();
  EXPECT_EQ(decompress(Codec::snappy, bytes_of(block)), std::nullopt);
}

// The densest a block can be is far above what text gives; it must pass the check of claims.
TEST(Compression, SnappyTakesTheDensestBlock) {
  const std::string plain(10'000'000, 'z');
  std::string block;
  snappy::Compress(plain.data(), plain.size(), &block);
  EXPECT_EQ(decompress(Codec::snappy, bytes_of(block)), plain);
}

TEST(Compression, SnappyFramingIsThatOfJava) {
  const Buffer stream = compress(Codec::snappy, "abc");
  const std::string start("\x82SNAPPY\0\0\0\0\1\0\0\0\1\0\0\0\5\3", 21);
  EXPECT_EQ(text_of(Bytes(stream).first(21)), start);
  for (const std::int32_t length : {-1, 6, 0x7fffffff}) {
    Buffer damaged = stream;
    store_big_endian(damaged.data() + 16, length);
    EXPECT_EQ(decompress(Codec::snappy, damaged), std::nullopt);
  }
}

std::string lz4_frame(std::string_view plain, LZ4F_preferences_t preferences) {
  std::string frame(LZ4F_compressFrameBound(plain.size(), &preferences), '\0');
  const std::size_t size =
      LZ4F_compressFrame(frame.data(), frame.size(), plain.data(), plain.size(), &preferences);
  EXPECT_FALSE(LZ4F_isError(size));
  frame.resize(size);
  return frame;
}

TEST(Compression, Lz4FramesOfOtherWriters) {
  const std::string plain = sample(9'000'000);
  for (const auto block : {LZ4F_max64KB, LZ4F_max256KB, LZ4F_max1MB, LZ4F_max4MB}) {
    LZ4F_preferences_t preferences{};
    preferences.frameInfo.blockSizeID = block;
    preferences.frameInfo.blockMode = LZ4F_blockIndependent;
    preferences.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
    preferences.frameInfo.blockChecksumFlag = LZ4F_blockChecksumEnabled;
    preferences.frameInfo.contentSize = plain.size();
    std::string frame = lz4_frame(plain, preferences);
    EXPECT_EQ(decompress(Codec::lz4, bytes_of(frame)), plain);
    EXPECT_EQ(decompress(Codec::lz4, bytes_of(frame + "behind the end mark")), plain);
    frame[frame.size() / 2] ^= 1;
    EXPECT_EQ(decompress(Codec::lz4, bytes_of(frame)), std::nullopt);
  }
}

// liblz4's own reset forgets this: a frame that was given up half-way must not fail the next one.
TEST(Compression, ABrokenFrameDoesNotFailTheNext) {
  const std::string plain = sample(200'000);
  LZ4F_preferences_t preferences{};
  preferences.frameInfo.blockMode = LZ4F_blockIndependent;
  preferences.frameInfo.contentSize = plain.size();
  const std::string frame = lz4_frame(plain, preferences);
  EXPECT_EQ(decompress(Codec::lz4, bytes_of(frame).first(frame.size() / 2)), std::nullopt);
  EXPECT_EQ(decompress(Codec::lz4, compress(Codec::lz4, plain)), plain);
  {
    Decompressor dropped(Codec::lz4, bytes_of(frame));
    EXPECT_TRUE(dropped.next());
  }
  EXPECT_EQ(decompress(Codec::lz4, compress(Codec::lz4, plain)), plain);
}

// Java's clients cannot read these, so they must not get into a log.
TEST(Compression, Lz4FramesThatJavaCannotRead) {
  LZ4F_preferences_t linked{};
  linked.frameInfo.blockMode = LZ4F_blockLinked;
  EXPECT_EQ(decompress(Codec::lz4, bytes_of(lz4_frame(sample(200'000), linked))), std::nullopt);

  std::string skippable("\x50\x2a\x4d\x18\4\0\0\0skip", 12);
  skippable += text_of(compress(Codec::lz4, "behind"));
  EXPECT_EQ(decompress(Codec::lz4, bytes_of(skippable)), std::nullopt);
}

TEST(Compression, ZstdWindowsAreBounded) {
  const std::string plain = sample(100'000);
  Buffer stream(ZSTD_compressBound(plain.size()));
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, kClientWindowLog + 1);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  ZSTD_inBuffer in{plain.data(), plain.size(), 0};
  ZSTD_outBuffer out{stream.data(), stream.size(), 0};
  ZSTD_compressStream2(context, &out, &in, ZSTD_e_flush);  // so that the window is not cut to size
  ZSTD_compressStream2(context, &out, &in, ZSTD_e_end);
  ZSTD_freeCCtx(context);
  stream.resize(out.pos);
  EXPECT_EQ(decompress(Codec::zstd, stream, kClientWindowLog), std::nullopt);
  EXPECT_EQ(decompress(Codec::zstd, stream, kStoredWindowLog), plain);
}

}  // namespace
}  // namespace keelson::engine::log
