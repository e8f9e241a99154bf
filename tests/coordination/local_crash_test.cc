// The local coordinator's file, cut, flipped and failed at every place.
#include <gtest/gtest.h>

#include <map>

#include "coordination/local/coordinator_local.h"
#include "tests/coordination/ram_disk.h"

namespace keelson::test {
namespace {

using coordination::CoordinatorLocal;
using coordination::LocalOptions;
using engine::Errc;

constexpr const char* kPath = "d/keelson.coordinator";
using State = std::map<std::string, std::string>;

LocalOptions small_options() {
  return {.path = kPath, .compact_floor_bytes = 600, .compact_factor = 2};
}

State read_state(RamShard& ram, Coordinator& coordinator) {
  State state;
  for (const KeyValue& entry : ram.run(coordinator.list("")).value()) {
    state[entry.key] = entry.value;
  }
  return state;
}

struct Reopened {
  bool opened = false;
  std::string message;
  State state;
};

/// Opens `content` as another process would. An opened one must also take a write and keep it.
Reopened reopen(const std::string& content) {
  RamShard ram{7};
  ram.disk.files[kPath] = std::make_shared<std::string>(content);
  Reopened result;
  {
    CoordinatorLocal coordinator{ram.shard, small_options()};
    const ApiResult<void> opened = ram.run(coordinator.open());
    result.opened = opened.has_value();
    if (opened) {
      result.state = read_state(ram, coordinator);
      EXPECT_TRUE(ram.run(coordinator.commit({}, {{"after", "1"}})));
    } else {
      result.message = opened.error().message;
      EXPECT_EQ(*ram.disk.files[kPath], content) << "a refused file must stay as it was";
    }
    ram.run(coordinator.stop());
  }
  if (result.opened) {
    CoordinatorLocal again{ram.shard, small_options()};
    EXPECT_TRUE(ram.run(again.open()));
    State expected = result.state;
    expected["after"] = "1";
    EXPECT_EQ(read_state(ram, again), expected);
    ram.run(again.stop());
  }
  return result;
}

struct History {
  std::string file;               // as a crash leaves it: no clean stop
  std::vector<State> states;      // [i]: after i transactions
  std::vector<std::size_t> ends;  // size of all up to the transaction, without its mark
};

History make_history(int transactions) {
  RamShard ram{3};
  CoordinatorLocal coordinator{ram.shard,
                               LocalOptions{.path = kPath}};  // large floor: one file throughout
  EXPECT_TRUE(ram.run(coordinator.open()));
  History history;
  history.states.emplace_back();
  history.ends.push_back(coordinator.journal_bytes());
  State state;
  for (int i = 0; i < transactions; ++i) {
    const std::string key = "key" + std::to_string(i % 3);
    std::vector<KeyWrite> writes{{key, "value" + std::to_string(i)}};
    state[key] = *writes[0].value;
    if (i % 4 == 3) {
      writes.push_back({"key" + std::to_string((i + 1) % 3), std::nullopt});
      state.erase(writes[1].key);
    }
    EXPECT_TRUE(ram.run(coordinator.commit({}, writes)));
    history.states.push_back(state);
    history.ends.push_back(coordinator.journal_bytes());
  }
  history.file = *ram.disk.files[kPath];
  ram.run(coordinator.stop());
  return history;
}

// A torn last write leaves any prefix of it.
TEST(LocalCrash, EveryCutGivesTheTransactionsBeforeIt) {
  const History history = make_history(10);
  for (std::size_t cut = history.ends.front(); cut <= history.file.size(); ++cut) {
    SCOPED_TRACE("cut at " + std::to_string(cut));
    std::size_t whole = 0;
    while (whole + 1 < history.ends.size() && history.ends[whole + 1] <= cut) ++whole;
    const Reopened reopened = reopen(history.file.substr(0, cut));
    ASSERT_TRUE(reopened.opened) << reopened.message;
    ASSERT_EQ(reopened.state, history.states[whole]);
  }
}

TEST(LocalCrash, CutsWithinTheSnapshotAreRefused) {
  const History history = make_history(2);
  for (std::size_t cut = 0; cut < history.ends.front(); ++cut) {
    const Reopened reopened = reopen(history.file.substr(0, cut));
    ASSERT_FALSE(reopened.opened) << cut;
    ASSERT_NE(reopened.message.find("Restore it from a backup"), std::string::npos);
  }
}

// Every transaction has a frame behind it, so no flip may cost one. A flip in the last mark only
// loses a witness.
TEST(LocalCrash, EveryFlippedBitIsReportedOrHarmless) {
  const History history = make_history(6);
  for (std::size_t bit = 0; bit < history.file.size() * 8; ++bit) {
    SCOPED_TRACE("bit " + std::to_string(bit));
    std::string file = history.file;
    file[bit / 8] = static_cast<char>(file[bit / 8] ^ (1 << (bit % 8)));
    const Reopened reopened = reopen(file);
    if (bit / 8 < history.ends.back()) {
      ASSERT_FALSE(reopened.opened);
      ASSERT_NE(reopened.message.find("nothing was changed"), std::string::npos);
    } else {
      ASSERT_TRUE(reopened.opened) << reopened.message;
      ASSERT_EQ(reopened.state, history.states.back());
    }
  }
}

// Half a transaction over the mark of the one before, sector by sector.
TEST(LocalCrash, TornWriteOverAMarkIsCut) {
  const History shorter = make_history(5);
  const History longer = make_history(6);
  ASSERT_EQ(longer.file.substr(0, shorter.ends.back()),
            shorter.file.substr(0, shorter.ends.back()));
  for (std::size_t at = shorter.ends.back(); at < longer.ends.back(); ++at) {
    std::string file = shorter.file;
    file.resize(std::max(file.size(), at + 1), '\0');
    file.replace(shorter.ends.back(), at - shorter.ends.back(),
                 longer.file.substr(shorter.ends.back(), at - shorter.ends.back()));
    const Reopened reopened = reopen(file);
    ASSERT_TRUE(reopened.opened) << reopened.message;
    ASSERT_EQ(reopened.state, shorter.states.back());
  }
}

TEST(LocalCrash, ZerosAndRubbishBehindTheEndAreCut) {
  const History history = make_history(3);
  for (const std::string& tail :
       {std::string(5000, '\0'), std::string(5000, 'x'), std::string("KCf1KCf1KCf1")}) {
    const Reopened reopened = reopen(history.file + tail);
    ASSERT_TRUE(reopened.opened) << reopened.message;
    EXPECT_EQ(reopened.state, history.states.back());
  }
}

// Each change to the disk fails once, with each errno, torn at some byte; then a restart.
TEST(LocalCrash, EveryFailedOperationKeepsWhatWasAnswered) {
  for (const int sys_errno : {EIO, ENOSPC}) {
    for (const std::size_t torn : {std::size_t{0}, std::size_t{20}, std::size_t{100'000}}) {
      for (std::uint64_t nth = 0; nth < 120; ++nth) {
        SCOPED_TRACE("errno " + std::to_string(sys_errno) + ", change " + std::to_string(nth) +
                     ", torn at " + std::to_string(torn));
        RamShard ram{5};
        ram.disk.fail_change = nth;
        ram.disk.fail_errno = sys_errno;
        ram.disk.torn_bytes = torn;
        CoordinatorLocal coordinator{ram.shard, small_options()};
        State acknowledged;
        std::optional<State> perhaps;
        const ApiResult<void> opened = ram.run(coordinator.open());
        for (int i = 0; opened && i < 40; ++i) {
          State next = acknowledged;
          const std::string key = "k" + std::to_string(i % 2);
          next[key] = "v" + std::to_string(i);
          const auto written = ram.run(coordinator.commit({}, {{key, next[key]}}));
          if (written) {
            ASSERT_FALSE(perhaps) << "poisoned, and answers again";
            acknowledged = next;
          } else if (written.error().code == Errc::outcome_unknown) {
            ASSERT_FALSE(perhaps);
            perhaps = next;
            ASSERT_EQ(ram.run(coordinator.list("")).error().code, Errc::io);
          } else if (written.error().code == Errc::no_space) {
            ASSERT_EQ(sys_errno, ENOSPC);
            ASSERT_EQ(read_state(ram, coordinator), acknowledged);
          } else {
            ASSERT_EQ(written.error().code, Errc::io);
          }
        }
        ram.run(coordinator.stop());
        ram.disk.fail_change.reset();
        CoordinatorLocal again{ram.shard, small_options()};
        const ApiResult<void> reopened = ram.run(again.open());
        ASSERT_TRUE(reopened) << reopened.error().message;
        const State found = read_state(ram, again);
        ASSERT_TRUE(found == acknowledged || (perhaps && found == *perhaps));
        ram.run(again.stop());
      }
    }
  }
}

TEST(LocalCrash, CompactionKeepsTheFileSmallAndTheStateWhole) {
  RamShard ram{5};
  CoordinatorLocal coordinator{ram.shard, small_options()};
  ASSERT_TRUE(ram.run(coordinator.open()));
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(ram.run(coordinator.commit({}, {{"k", std::to_string(i)}})));
    ASSERT_LT(ram.disk.files[kPath]->size(), 1500u);
  }
  ram.run(coordinator.stop());
  CoordinatorLocal again{ram.shard, small_options()};
  ASSERT_TRUE(ram.run(again.open()));
  EXPECT_EQ(ram.run(again.get("k")).value()->value, "1999");
  EXPECT_EQ(ram.run(again.get("k")).value()->version, 2000u);
  ram.run(again.stop());
}

}  // namespace
}  // namespace keelson::test
