// The checker must find what it is there for: each test plants one violation.
#include "tests/sim/support/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace keelson::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;
using Promise = History::Promise;

constexpr RecordId kFirst{7, 0};
constexpr RecordId kSecond{7, 1};
constexpr RecordId kThird{7, 2};

History::SeenRecord record(std::int64_t offset, RecordId id) {
  return {offset, make_value(id, 10)};
}

/// Three records of an idempotent producer, the first two acknowledged at 0 and 1.
History three_sent() {
  History history;
  for (const RecordId id : {kFirst, kSecond, kThird}) {
    history.sending("p", id, make_value(id, 10), Promise::idempotent);
  }
  history.acknowledged("p", kFirst, 0);
  history.acknowledged("p", kSecond, 1);
  return history;
}

TEST(SimHistory, ValuesCarryTheirIdAndFollowFromIt) {
  const std::string value = make_value({12, 345}, 100);
  EXPECT_EQ(read_value(value), (RecordId{12, 345}));
  EXPECT_EQ(value, make_value({12, 345}, 100));
  EXPECT_NE(value, make_value({12, 346}, 100));
  EXPECT_EQ(read_value("12:345"), std::nullopt);
  EXPECT_EQ(read_value(""), std::nullopt);
}

TEST(SimHistory, AcceptsWhatALogMayDo) {
  History history = three_sent();
  history.seen("p", 0, record(0, kFirst));
  history.told("p", history.floors("p"), 3, 0);
  history.final_log("p", 0, 3, {record(0, kFirst), record(1, kSecond), record(2, kThird)});
  EXPECT_THAT(history.violations(), IsEmpty());
}

TEST(SimHistory, AnUnacknowledgedRecordMayBeMissing) {
  History history = three_sent();
  history.final_log("p", 0, 2, {record(0, kFirst), record(1, kSecond)});
  EXPECT_THAT(history.violations(), IsEmpty());
}

TEST(SimHistory, FindsALostRecord) {
  History history = three_sent();
  history.final_log("p", 0, 1, {record(0, kFirst)});
  EXPECT_THAT(history.violations(), testing::Not(IsEmpty()));
  EXPECT_THAT(history.violations().back(), StartsWith("H1"));
}

TEST(SimHistory, FindsALostRecordThatTheBrokerGaveNoOffset) {
  History history;
  history.sending("p", kFirst, make_value(kFirst, 10), Promise::plain);
  history.acknowledged("p", kFirst, -1);
  history.final_log("p", 0, 0, {});
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H1")));
}

TEST(SimHistory, FindsARecordThatWasReadAndIsGone) {
  History history = three_sent();
  history.seen("p", 2, record(2, kThird));
  history.final_log("p", 0, 2, {record(0, kFirst), record(1, kSecond)});
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H1")));
}

TEST(SimHistory, FindsAnInventedRecord) {
  History history = three_sent();
  history.seen("p", 2, record(2, RecordId{9, 9}));
  history.seen("p", 2, {2, "noise"});
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H1"), StartsWith("H1")));
}

TEST(SimHistory, FindsAChangedRecord) {
  History history = three_sent();
  std::string value = make_value(kThird, 10);
  value.back() ^= 1;
  history.seen("p", 2, {2, value});
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H1")));
}

TEST(SimHistory, FindsARecordOfAnotherPartition) {
  History history = three_sent();
  history.seen("q", 0, record(0, kFirst));
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H1")));
}

TEST(SimHistory, FindsADuplicate) {
  History history = three_sent();
  history.seen("p", 2, record(2, kSecond));
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H2")));
}

TEST(SimHistory, PlainProducersMayRepeatThemselves) {
  History history;
  history.sending("p", kFirst, make_value(kFirst, 10), Promise::plain);
  history.acknowledged("p", kFirst, 1);
  history.final_log("p", 0, 2, {record(0, kFirst), record(1, kFirst)});
  EXPECT_THAT(history.violations(), IsEmpty());
}

TEST(SimHistory, FindsAnOffsetWithTwoValues) {
  History history = three_sent();
  history.seen("p", 1, record(1, kThird));
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H3")));
}

TEST(SimHistory, FindsRecordsOutOfOrder) {
  History history;
  for (const RecordId id : {kFirst, kSecond}) {
    history.sending("p", id, make_value(id, 10), Promise::idempotent);
  }
  history.final_log("p", 0, 2, {record(0, kSecond), record(1, kFirst)});
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H4")));
}

TEST(SimHistory, FindsASkip) {
  History history = three_sent();
  history.seen("p", 0, record(1, kSecond));
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H5")));
}

TEST(SimHistory, FindsALogThatEndsBeforeItsEnd) {
  History history = three_sent();
  history.final_log("p", 0, 3, {record(0, kFirst), record(1, kSecond)});
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H5")));
}

TEST(SimHistory, FindsWatermarksThatGoBack) {
  History history = three_sent();
  history.deleting_below("p", 2);
  const History::Floors early = history.floors("p");
  history.told("p", early, 3, 2);
  history.told("p", early, 2, 1);  // an answer that was under way meanwhile
  EXPECT_THAT(history.violations(), IsEmpty());
  history.told("p", history.floors("p"), 2, 1);
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H6"), StartsWith("H6")));
}

TEST(SimHistory, FindsALogStartNobodyAskedFor) {
  History history = three_sent();
  history.deleting_below("p", 1);
  history.told("p", {}, 2, 1);
  EXPECT_THAT(history.violations(), IsEmpty());
  history.told("p", {}, 2, 2);
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H1")));
}

TEST(SimHistory, FindsALogStartThatMovesBack) {
  History history = three_sent();
  history.deleting_below("p", 2);
  history.told_start("p", {}, 2);
  EXPECT_THAT(history.violations(), IsEmpty());
  history.told_start("p", history.floors("p"), 1);
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H6")));
}

TEST(SimHistory, DeletedRecordsAreNotMissed) {
  History history = three_sent();
  history.deleting_below("p", 2);
  history.final_log("p", 2, 3, {record(2, kThird)});
  EXPECT_THAT(history.violations(), IsEmpty());
}

TEST(SimHistory, FindsACommitThatWentBack) {
  History history;
  history.committing("g", "p", 5);
  history.committed("g", "p", 5);
  history.fetched_commit("g", "p", history.committed_floor("g", "p"), 5);
  EXPECT_THAT(history.violations(), IsEmpty());
  history.fetched_commit("g", "p", history.committed_floor("g", "p"), -1);
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H9")));
}

TEST(SimHistory, FindsACommitNobodyMade) {
  History history;
  history.committing("g", "p", 5);
  history.fetched_commit("g", "p", -1, 5);  // not acknowledged and there all the same
  EXPECT_THAT(history.violations(), IsEmpty());
  history.fetched_commit("g", "p", -1, 6);
  EXPECT_THAT(history.violations(), ElementsAre(StartsWith("H9")));
}

TEST(SimHistory, LostPowerOpensWhatWasNotSynced) {
  History history = three_sent();
  history.told("p", {}, 2, 0);
  history.lost_power("p");
  history.told("p", history.floors("p"), 1, 0);
  history.final_log("p", 0, 1, {record(0, kSecond)});
  EXPECT_THAT(history.violations(), IsEmpty());
}

}  // namespace
}  // namespace keelson::test
