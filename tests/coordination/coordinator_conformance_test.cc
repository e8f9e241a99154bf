// What every coordinator promises (plugins/registry/coordinator.h), whatever keeps its keys.
#include "tests/coordination/coordinator_conformance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "coordination/local/coordinator_local.h"
#include "coordination/memory/coordinator_memory.h"

namespace keelson::test {
namespace {

using coordination::CoordinatorLocal;
using coordination::CoordinatorMemory;
using coordination::MemoryStore;
using engine::Errc;
using testing::ElementsAre;

struct LocalWorld final : CoordinatorWorld {
  std::unique_ptr<Coordinator> make() override {
    return std::make_unique<CoordinatorLocal>(
        ram.shard,
        coordination::LocalOptions{
            .path = "d/keelson.coordinator", .compact_floor_bytes = 4096, .compact_factor = 2});
  }
};

struct MemoryWorld final : CoordinatorWorld {
  std::unique_ptr<Coordinator> make() override {
    return std::make_unique<CoordinatorMemory>(ram.shard, store);
  }
  std::shared_ptr<MemoryStore> store = std::make_shared<MemoryStore>();
};

class CoordinatorConformance : public testing::TestWithParam<CoordinatorKind> {
 protected:
  CoordinatorConformance() : world_(GetParam().make_world()) { start(); }
  ~CoordinatorConformance() override { stop(); }

  void start() {
    coordinator_ = world_->make();
    const ApiResult<void> opened = world_->ram.run(coordinator_->open());
    ASSERT_TRUE(opened) << opened.error().message;
  }
  void stop() { world_->ram.run(coordinator_->stop()); }

  engine::Result<KeyVersion> commit(std::vector<Compare> compares, std::vector<KeyWrite> writes) {
    return world_->ram.run(coordinator_->commit(std::move(compares), std::move(writes)));
  }
  engine::Result<KeyVersion> put(std::string key, std::string value) {
    return commit({}, {{.key = std::move(key), .value = std::move(value)}});
  }
  std::optional<KeyValue> get(std::string key) {
    return world_->ram.run(coordinator_->get(std::move(key))).value();
  }
  std::vector<std::string> keys(std::string prefix) {
    std::vector<std::string> found;
    for (const KeyValue& entry : world_->ram.run(coordinator_->list(std::move(prefix))).value()) {
      found.push_back(entry.key);
    }
    return found;
  }

  std::unique_ptr<CoordinatorWorld> world_;
  std::unique_ptr<Coordinator> coordinator_;
};

TEST_P(CoordinatorConformance, WritesCarryVersions) {
  const KeyVersion first = put("a", "1").value();
  const KeyVersion second = put("a", "2").value();
  EXPECT_LT(first, second);
  const std::optional<KeyValue> found = get("a");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->value, "2");
  EXPECT_EQ(found->version, second);
  EXPECT_EQ(found->create_version, first);
  EXPECT_FALSE(get("b"));
}

TEST_P(CoordinatorConformance, FailedCompareWritesNothing) {
  const KeyVersion version = put("a", "1").value();
  const auto refused = commit({{"a", version}, {"b", 7}}, {{"a", "2"}, {"c", "3"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::conflict);
  EXPECT_EQ(get("a")->value, "1");
  EXPECT_FALSE(get("c"));
  EXPECT_TRUE(commit({{"a", version}, {"b", 0}}, {{"a", "2"}, {"b", "3"}}));
  EXPECT_EQ(commit({{"b", 0}}, {{"b", "4"}}).error().code, Errc::conflict);
}

TEST_P(CoordinatorConformance, DeletedKeysAreAbsentAndVersionsGoOn) {
  const KeyVersion made = put("a", "1").value();
  ASSERT_TRUE(commit({{"a", made}}, {{"a", std::nullopt}}));
  EXPECT_FALSE(get("a"));
  const KeyVersion again = commit({{"a", 0}}, {{"a", "2"}}).value();
  EXPECT_GT(again, made);
  EXPECT_EQ(get("a")->create_version, again);
}

TEST_P(CoordinatorConformance, ListsByPrefixInOrder) {
  ASSERT_TRUE(commit({}, {{"p/b", "1"}, {"p/a", "2"}, {"p0", "3"}, {"o", "4"}}));
  EXPECT_THAT(keys("p/"), ElementsAre("p/a", "p/b"));
  EXPECT_THAT(keys(""), ElementsAre("o", "p/a", "p/b", "p0"));
}

TEST_P(CoordinatorConformance, BoundsAreRefusedWhole) {
  const std::string long_key(coordination::kKeyBytesMax + 1, 'k');
  const std::string long_value(coordination::kValueBytesMax + 1, 'v');
  EXPECT_EQ(put(long_key, "").error().code, Errc::invalid_argument);
  EXPECT_EQ(put("", "x").error().code, Errc::invalid_argument);
  EXPECT_EQ(commit({}, {{"a", "1"}, {"b", long_value}}).error().code, Errc::invalid_argument);
  EXPECT_EQ(commit({}, {{"a", "1"}, {"a", "2"}}).error().code, Errc::invalid_argument);
  std::vector<KeyWrite> many;
  for (std::size_t i = 0; i <= coordination::kCommitOperationsMax; ++i) {
    many.push_back({"k" + std::to_string(i), "v"});
  }
  EXPECT_EQ(commit({}, many).error().code, Errc::invalid_argument);
  EXPECT_TRUE(keys("").empty());
  many.pop_back();
  EXPECT_TRUE(commit({}, many));
  EXPECT_TRUE(put(std::string(coordination::kKeyBytesMax, 'k'),
                  std::string(coordination::kValueBytesMax, 'v')));
}

TEST_P(CoordinatorConformance, StateOutlivesTheProcessAndLeasesDoNot) {
  const KeyVersion plain = put("plain", std::string("\0\n\xff", 3)).value();
  const KeyVersion leased = commit({}, {{.key = "leased", .value = "x", .leased = true}}).value();
  stop();
  start();
  ASSERT_TRUE(get("plain"));
  EXPECT_EQ(get("plain")->value, std::string("\0\n\xff", 3));
  EXPECT_EQ(get("plain")->version, plain);
  EXPECT_FALSE(get("leased"));
  EXPECT_GT(put("next", "").value(), leased);
}

TEST_P(CoordinatorConformance, WatchTellsWritesUnderItsPrefixUntilItEnds) {
  std::vector<std::string> seen;
  auto watch = coordinator_->watch("w/", [&](const std::vector<KeyEvent>& events) {
    for (const KeyEvent& event : events)
      seen.push_back(event.key + "=" + event.value.value_or("-"));
  });
  ASSERT_TRUE(commit({}, {{"w/a", "1"}, {"other", "2"}}));
  ASSERT_TRUE(commit({}, {{"w/a", std::nullopt}}));
  EXPECT_THAT(seen, ElementsAre("w/a=1", "w/a=-"));
  watch.reset();
  ASSERT_TRUE(put("w/b", "1"));
  EXPECT_EQ(seen.size(), 2u);
}

TEST_P(CoordinatorConformance, WatchMayEndItselfInItsCallback) {
  int calls = 0;
  std::unique_ptr<Coordinator::Watch> watch;
  watch = coordinator_->watch("", [&](const std::vector<KeyEvent>&) {
    ++calls;
    watch.reset();
  });
  ASSERT_TRUE(put("a", "1"));
  ASSERT_TRUE(put("a", "2"));
  EXPECT_EQ(calls, 1);
}

TEST_P(CoordinatorConformance, StoppedRefuses) {
  stop();
  EXPECT_EQ(put("a", "1").error().code, Errc::closed);
  EXPECT_FALSE(world_->ram.run(coordinator_->list("")));
}

// Random transactions and restarts, beside a map that is obviously right.
TEST_P(CoordinatorConformance, BehavesAsASmallModel) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    std::map<std::string, KeyValue> model;
    for (const std::string& key : keys("")) ASSERT_TRUE(commit({}, {{key, std::nullopt}}));
    for (int step = 0; step < 400; ++step) {
      if (random() % 50 == 0) {
        stop();
        start();
      }
      std::vector<Compare> compares;
      std::map<std::string, KeyWrite> writes;
      bool holds = true;
      for (std::uint64_t i = random() % 3; i > 0; --i) {
        const std::string key = "k" + std::to_string(random() % 8);
        const KeyVersion now = model.contains(key) ? model[key].version : 0;
        const bool right = random() % 4 != 0;
        compares.push_back({key, right ? now : now + 1});
        holds = holds && right;
      }
      for (std::uint64_t i = random() % 4; i > 0; --i) {
        const std::string key = "k" + std::to_string(random() % 8);
        std::optional<std::string> value;
        if (random() % 3 != 0) value = std::string(random() % 100, static_cast<char>(random()));
        writes[key] = {key, value};
      }
      std::vector<KeyWrite> list;
      for (const auto& [key, write] : writes) list.push_back(write);
      const auto written = commit(compares, list);
      ASSERT_EQ(written.has_value(), holds);
      if (!holds) continue;
      for (const KeyWrite& write : list) {
        if (!write.value) {
          model.erase(write.key);
          continue;
        }
        const KeyVersion created =
            model.contains(write.key) ? model[write.key].create_version : *written;
        model[write.key] = {write.key, *write.value, *written, created};
      }
    }
    const auto listed = world_->ram.run(coordinator_->list("")).value();
    ASSERT_EQ(listed.size(), model.size());
    for (const KeyValue& entry : listed) {
      const KeyValue& expected = model[entry.key];
      EXPECT_EQ(entry.value, expected.value);
      EXPECT_EQ(entry.version, expected.version);
      EXPECT_EQ(entry.create_version, expected.create_version);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, CoordinatorConformance,
    testing::Values(CoordinatorKind{"local", [] { return std::make_unique<LocalWorld>(); }},
                    CoordinatorKind{"memory", [] { return std::make_unique<MemoryWorld>(); }}),
    [](const testing::TestParamInfo<CoordinatorKind>& info) { return info.param.name; });

}  // namespace
}  // namespace keelson::test
