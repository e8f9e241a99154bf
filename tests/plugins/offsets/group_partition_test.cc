#include "plugins/offsets/group_partition.h"

#include <gtest/gtest.h>

#include "plugins/offsets/consumer_classic.h"
#include "plugins/offsets/group_records.h"

namespace keelson::offsets {
namespace {

TEST(GroupPartition, HashesAsJavaDoes) {
  EXPECT_EQ(java_string_hash(""), 0);
  EXPECT_EQ(java_string_hash("a"), 97);
  EXPECT_EQ(java_string_hash("hello"), 99162322);
  EXPECT_EQ(java_string_hash("polygenelubricants"), -2147483647 - 1);
  EXPECT_EQ(java_string_hash("\xc3\xbc"), 0xfc);                          // one unit
  EXPECT_EQ(java_string_hash("\xf0\x9f\x98\x80"), 0xd83d * 31 + 0xde00);  // a surrogate pair
  EXPECT_EQ(java_string_hash("\xff"), 0xfffd);
  EXPECT_EQ(java_string_hash("\xe2\x82"), 0xfffd);  // cut off
  EXPECT_EQ(utf16_units("a\xf0\x9f\x98\x80"), 3u);
}

TEST(GroupPartition, SmallestHashGoesToTheFirstPartition) {
  EXPECT_EQ(group_partition("polygenelubricants", 50), 0);
  EXPECT_EQ(group_partition("hello", 50), 22);
}

TEST(ConsumerSubscription, ReadsTopicsAndRefusesWhatIsNone) {
  const auto bytes = [](std::vector<int> values) {
    MemberBytes made;
    for (const int value : values) made.push_back(std::byte(value));
    return made;
  };
  // Version 0, and a later one than is known, which has more behind version 3.
  EXPECT_EQ(
      subscribed_topics(bytes({0, 0, 0, 0, 0, 2, 0, 1, 'a', 0, 2, 'b', 'c', 255, 255, 255, 255})),
      (std::vector<std::string>{"a", "bc"}));
  EXPECT_EQ(subscribed_topics(bytes({0,   9, 0, 0, 0, 1, 0, 1, 'a', 255, 255, 255,
                                     255, 0, 0, 0, 0, 0, 0, 0, 1,   255, 255, 7})),
            (std::vector<std::string>{"a"}));
  EXPECT_FALSE(subscribed_topics(bytes({})));
  EXPECT_FALSE(subscribed_topics(bytes({0, 0, 0x7f, 0xff, 0xff, 0xff})));
  EXPECT_FALSE(subscribed_topics(bytes({0, 0, 0, 0, 0, 1, 0, 9, 'a'})));
  EXPECT_FALSE(subscribed_topics(bytes({0xff, 0xff, 0, 0, 0, 0})));
}

TEST(GroupRecords, ComeBackAsTheyWere) {
  engine::Uuid id;
  id.bytes[3] = std::byte{9};
  ClassicGroupState group{"consumer", 7, "range", "m1", 123, {}};
  group.members.push_back({"m1", "i1", "c", "/h", 1, 2, {std::byte{1}}, {std::byte{2}}});
  group.members.push_back({"m2", std::nullopt, "c", "/h", 3, 4, {}, {}});
  const std::vector<GroupRecord> records = {
      OffsetRecord{"g", "t", 3, StoredOffset{5, engine::LeaderEpoch{2}, "m", 10, -1, id}},
      OffsetRecord{"g", "t", 3, StoredOffset{5, engine::kNoLeaderEpoch, "", 10, 20, {}}},
      OffsetRecord{"g", "t", 3, std::nullopt},
      ClassicGroupRecord{"g", group},
      ClassicGroupRecord{"g", ClassicGroupState{}},
      ClassicGroupRecord{"g", std::nullopt},
  };
  for (const GroupRecord& record : records) {
    const std::optional<EncodedRecord> encoded = encode(record);
    ASSERT_TRUE(encoded);
    std::optional<engine::Bytes> value;
    if (encoded->value) value = *encoded->value;
    const auto decoded = decode(encoded->key, value);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(std::get<GroupRecord>(*decoded), record);
    for (std::size_t cut = 0; value && cut < value->size(); ++cut) {
      EXPECT_FALSE(decode(encoded->key, value->first(cut)));
    }
    for (std::size_t cut = 0; cut < encoded->key.size(); ++cut) {
      EXPECT_FALSE(decode(engine::Bytes(encoded->key).first(cut), value));
    }
  }
}

TEST(GroupRecords, LaysOutKeysAsKafkaDoes) {
  const auto encoded = encode(GroupRecord{OffsetRecord{"g", "t", 3, std::nullopt}});
  const std::vector<int> wanted = {0, 1, 0, 1, 'g', 0, 1, 't', 0, 0, 0, 3};
  ASSERT_EQ(encoded->key.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_EQ(encoded->key[i], std::byte(wanted[i]));
}

TEST(GroupRecords, UnknownTypesArePassedOver) {
  const MemberBytes key{std::byte{0}, std::byte{99}, std::byte{1}};
  const auto decoded = decode(key, std::nullopt);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(std::get<UnknownRecord>(*decoded).type, 99);
  EXPECT_FALSE(decode(engine::Bytes(key).first(1), std::nullopt));
}

TEST(GroupRecords, NamesTooLongForTheFormatAreRefused) {
  EXPECT_FALSE(encode(GroupRecord{OffsetRecord{std::string(32'768, 'g'), "t", 0, {}}}));
}

}  // namespace
}  // namespace keelson::offsets
