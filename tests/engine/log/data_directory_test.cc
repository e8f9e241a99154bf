// What a data directory knows of those who served from it, on a simulated machine without faults.
#include "engine/log/data_directory.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "engine/io/sim/sim_world.h"

namespace keelson::engine::log {
namespace {

class DataDirectoryTest : public testing::Test {
 protected:
  /// Runs `body(shard)`, a coroutine over a capture-less lambda, to its end.
  template <class Body, class... Arguments>
  void run(Body body, Arguments... arguments) {
    world_.run_task(node_.shard(), body(node_.shard(), arguments...));
  }

  io::SimWorld world_{5};
  io::SimNode& node_ = world_.start_node("n");
};

TEST_F(DataDirectoryTest, KnowsItsOriginAndItsStop) {
  run([](io::Shard& shard) -> Task<void> {
    for (int round = 0; round < 3; ++round) {
      auto opened = co_await DataDirectory::open(shard, "data/a");
      EXPECT_TRUE(opened.has_value());
      DataDirectory& directory = **opened;
      const auto taken = co_await DataDirectory::open(shard, "data/a");
      EXPECT_EQ(taken.error().code, Errc::locked);
      EXPECT_EQ(directory.scan().origin,
                round == 0 ? DirectoryOrigin::empty : DirectoryOrigin::keelson);
      EXPECT_EQ(directory.scan().clean_stop, round == 1);
      EXPECT_EQ(directory.hints_for("a-b-7").recovery_point.has_value(), round > 0);
      const Result<void> claimed = co_await directory.claim({"cluster", 1, "AAAA"});
      EXPECT_TRUE(claimed.has_value());
      const Result<void> serving = co_await directory.begin_serving();
      EXPECT_TRUE(serving.has_value());
      if (round > 0) continue;
      const Result<void> finished =
          co_await directory.finish({{"a-b-7", {Offset{5}, Offset{2}, Offset{4}, false}}});
      EXPECT_TRUE(finished.has_value());
    }
  });
  EXPECT_EQ(parse_log_name("a-b-7")->topic, "a-b");
  EXPECT_FALSE(parse_log_name("a-07"));
  EXPECT_FALSE(parse_log_name("a-7.0123-delete"));
}

// A Kafka that is killed leaves no marker, but it has changed the state of its own quorum.
TEST_F(DataDirectoryTest, KnowsThatAKilledKafkaServedIt) {
  const std::string state = "/data/a/__cluster_metadata-0/quorum-state";
  for (const bool ran : {false, true, true, false}) {
    if (ran) node_.disk().put(state, concat("epoch ", node_.disk().content(state).value_or("")));
    run(
        [](io::Shard& shard, bool expected) -> Task<void> {
          auto opened = co_await DataDirectory::open(shard, "data/a");
          EXPECT_TRUE(opened.has_value());
          DataDirectory& directory = **opened;
          EXPECT_EQ(directory.hints_for("a-0").other_writer, expected);
          EXPECT_FALSE(directory.scan().clean_stop);
          const Result<void> claimed = co_await directory.claim({"cluster", 1, "AAAA"});
          EXPECT_TRUE(claimed.has_value());
          const Result<void> serving = co_await directory.begin_serving();
          EXPECT_TRUE(serving.has_value());
        },
        ran);
  }
}

TEST_F(DataDirectoryTest, RemembersWhatWasCompacted) {
  run([](io::Shard& shard) -> Task<void> {
    for (int round = 0; round < 3; ++round) {
      auto opened = co_await DataDirectory::open(shard, "data/a");
      EXPECT_TRUE(opened.has_value());
      DataDirectory& directory = **opened;
      EXPECT_EQ(directory.hints_for("a-0").first_dirty,
                round == 1 ? std::optional(Offset{9}) : std::nullopt);
      const Result<void> claimed = co_await directory.claim({"cluster", 1, "AAAA"});
      EXPECT_TRUE(claimed.has_value());
      DataDirectory::Checkpoint checkpoint{Offset{15}, Offset{2}, Offset{14}};
      if (round == 0) checkpoint.first_dirty = Offset{9};
      const Result<void> written = co_await directory.write_checkpoints({{"a-0", checkpoint}});
      EXPECT_TRUE(written.has_value());
    }
  });
  EXPECT_EQ(node_.disk().content("/data/a/cleaner-offset-checkpoint"), "0\n0\n");
}

}  // namespace
}  // namespace keelson::engine::log
