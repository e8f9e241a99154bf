// Large files that go in steps: what others see of them meanwhile, and how it ends.
#include "engine/log/file_removal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "engine/io/file.h"
#include "engine/io/sim/sim_world.h"

namespace keelson::engine::log {
namespace {

constexpr std::uint64_t kStep = 4096;

class FileRemoval : public testing::Test {
 protected:
  void write(const std::string& path, std::size_t bytes) {
    node_.disk().put(path, std::string(bytes, 'x'));
  }

  io::SimWorld world_{1};
  io::SimNode& node_ = world_.start_node("n");
  io::Shard& shard_ = node_.shard();
  io::Event hurry_{shard_};
};

Task<void> note_sizes(io::Shard& shard, std::string path, std::vector<std::uint64_t>& sizes) {
  while (true) {
    const Result<io::FileStat> found = co_await io::stat(shard, path);
    if (!found) co_return;
    if (sizes.empty() || sizes.back() != found->size_bytes) sizes.push_back(found->size_bytes);
    co_await shard.sleep_until(shard.clock().now_ns() + 10'000);
  }
}

TEST_F(FileRemoval, ALargeFileLosesItsEndStepByStep) {
  write("large", 100 * kStep + 17);
  std::vector<std::uint64_t> sizes;
  shard_.spawn(note_sizes(shard_, "large", sizes));
  const Result<void> gone = world_.run_task(shard_, remove_file(shard_, "large", hurry_, kStep));
  EXPECT_TRUE(gone.has_value());
  EXPECT_THAT(node_.disk().files(), testing::IsEmpty());
  ASSERT_GT(sizes.size(), 4u);
  EXPECT_TRUE(std::ranges::is_sorted(sizes, std::ranges::greater()));
  for (std::size_t i = 1; i < sizes.size(); ++i) {
    EXPECT_LE(sizes[i - 1] - sizes[i], 16 * kStep) << "step " << i;
  }
}

TEST_F(FileRemoval, InAHurryItGoesAtOnce) {
  write("large", 100 * kStep);
  hurry_.set();
  const std::int64_t before_ns = shard_.clock().now_ns();
  std::vector<std::uint64_t> sizes;
  shard_.spawn(note_sizes(shard_, "large", sizes));
  const Result<void> gone = world_.run_task(shard_, remove_file(shard_, "large", hurry_, kStep));
  EXPECT_TRUE(gone.has_value());
  EXPECT_THAT(node_.disk().files(), testing::IsEmpty());
  EXPECT_LE(sizes.size(), 1u);
  EXPECT_LT(shard_.clock().now_ns() - before_ns, 20'000'000);
}

TEST_F(FileRemoval, WhoWaitsBetweenStepsHearsOfTheHurry) {
  write("large", 10'000 * kStep);
  std::optional<Result<void>> gone;
  const auto removing = [](io::Shard& shard, io::Event& hurry,
                           std::optional<Result<void>>& gone) -> Task<void> {
    gone = co_await remove_file(shard, "large", hurry, kStep);
  };
  shard_.spawn(removing(shard_, hurry_, gone));
  world_.run_for(20'000'000);
  ASSERT_FALSE(gone.has_value());
  hurry_.set();
  world_.run_for(20'000'000);
  ASSERT_TRUE(gone.has_value());
  EXPECT_TRUE(gone->has_value());
  EXPECT_THAT(node_.disk().files(), testing::IsEmpty());
}

TEST_F(FileRemoval, AMissingFileIsSaidToBeMissing) {
  const Result<void> gone = world_.run_task(shard_, remove_file(shard_, "none", hurry_, kStep));
  ASSERT_FALSE(gone.has_value());
  EXPECT_EQ(gone.error().code, Errc::not_found);
}

TEST_F(FileRemoval, ADirectoryGoesWithItsFilesAndNotWithFolders) {
  write("a/large", 3 * kRemovalStepBytes);
  write("a/small", 1);
  write("b/c/d", 1);
  EXPECT_TRUE(world_.run_task(shard_, remove_directory(shard_, "a", hurry_)).has_value());
  const Result<void> refused = world_.run_task(shard_, remove_directory(shard_, "b", hurry_));
  EXPECT_FALSE(refused.has_value());
  EXPECT_THAT(node_.disk().files(), testing::ElementsAre("/b/c/d"));
}

}  // namespace
}  // namespace keelson::engine::log
