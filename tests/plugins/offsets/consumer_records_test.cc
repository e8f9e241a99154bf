// tests/plugins/offsets/consumer_records_test.cc: records of consumer groups, as bytes and back.
#include <gtest/gtest.h>

#include "plugins/offsets/group_records.h"
#include "tests/plugins/offsets/consumer_harness.h"

namespace keelson::offsets {
namespace {

using testing::topic_uuid;

std::optional<GroupRecord> through_bytes(const GroupRecord& record) {
  const std::optional<EncodedRecord> encoded = encode(record);
  if (!encoded) return std::nullopt;
  std::optional<engine::Bytes> value;
  if (encoded->value) value = *encoded->value;
  auto decoded = decode(encoded->key, value);
  if (!decoded || !std::holds_alternative<GroupRecord>(*decoded)) return std::nullopt;
  return std::get<GroupRecord>(std::move(*decoded));
}

std::vector<GroupRecord> samples() {
  ConsumerMemberMetadata plain;
  plain.client_id = "c";
  plain.client_host = "/127.0.0.1";
  plain.topics = {"a", "b"};
  ConsumerMemberMetadata full = plain;
  full.instance_id = "i";
  full.rack_id = "r";
  full.regex = "a.*";
  full.rebalance_timeout_ms = 7;
  full.assignor = "range";
  full.classic = ClassicMemberData{9, {{"range", {std::byte{1}}}, {"sticky", {}}}};
  ConsumerMemberAssignment assignment{
      5, 4, MemberState::unreleased_partitions, {{topic_uuid("a"), {{0, 3}, {2, 5}}}}, {}};
  assignment.revoking[topic_uuid("b")] = {{1, 2}};
  return {ConsumerGroupRecord{"g", ConsumerGroupEpoch{3, -9}},
          ConsumerTopicsRecord{"g", std::monostate{}},
          ConsumerMemberRecord{"g", "m", plain},
          ConsumerMemberRecord{"g", "m", full},
          ConsumerTargetEpochRecord{"g", ConsumerTargetEpoch{3, 77}},
          ConsumerTargetRecord{"g", "m", PartitionSet{{topic_uuid("a"), {0, 1}}}},
          ConsumerTargetRecord{"g", "m", PartitionSet{}},
          ConsumerAssignmentRecord{"g", "m", assignment},
          ConsumerRegexRecord{"g", "a.*", ResolvedRegex{{"a", "ab"}, 6, 8}}};
}

TEST(ConsumerRecords, ComeBackFromTheirBytes) {
  for (GroupRecord record : samples()) {
    EXPECT_EQ(through_bytes(record), record) << "alternative " << record.index();
    std::visit([](auto& any) { any.value.reset(); }, record);
    EXPECT_EQ(through_bytes(record), record) << "tombstone of alternative " << record.index();
  }
}

TEST(ConsumerRecords, CutBytesAreCorruptAndNothingElse) {
  for (const GroupRecord& record : samples()) {
    const std::optional<EncodedRecord> encoded = encode(record);
    ASSERT_TRUE(encoded.has_value());
    const engine::Bytes key = encoded->key;
    const engine::Bytes value = *encoded->value;
    for (std::size_t i = 0; i < key.size(); ++i) EXPECT_FALSE(decode(key.first(i), value));
    for (std::size_t i = 0; i < value.size(); ++i) EXPECT_FALSE(decode(key, value.first(i)));
  }
}

TEST(ConsumerRecords, NamesLongerThanAKeyCanSayAreNotWritten) {
  const std::string name(40'000, 'x');
  EXPECT_FALSE(encode(ConsumerGroupRecord{name, std::nullopt}).has_value());
  EXPECT_FALSE(encode(ConsumerMemberRecord{"g", name, std::nullopt}).has_value());
  EXPECT_FALSE(encode(ConsumerRegexRecord{"g", name, std::nullopt}).has_value());
}

}  // namespace
}  // namespace keelson::offsets
