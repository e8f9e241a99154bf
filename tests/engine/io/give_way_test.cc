// When a computation beside a shard lets others run.
#include "engine/io/give_way.h"

#include <gtest/gtest.h>

#include <thread>

namespace keelson::engine::io {
namespace {

constexpr std::size_t kStretchBytes = std::size_t{32} << 10;

thread_local int times = 0;

TEST(GiveWay, OncePerStretchOfWork) {
  set_give_way([] { ++times; });
  times = 0;
  for (std::size_t done = 0; done < 10 * kStretchBytes; done += 512) give_way(512);
  EXPECT_EQ(times, 10);
  give_way(100 * kStretchBytes);  // one piece cannot be divided
  EXPECT_EQ(times, 11);
  set_give_way(nullptr);
}

TEST(GiveWay, OnlyWhereABackendAskedForIt) {
  set_give_way([] { ++times; });
  std::thread other([] {
    times = 0;
    give_way(10 * kStretchBytes);
    EXPECT_EQ(times, 0);
  });
  other.join();
  set_give_way(nullptr);
  times = 0;
  give_way(10 * kStretchBytes);
  EXPECT_EQ(times, 0);
}

}  // namespace
}  // namespace keelson::engine::io
