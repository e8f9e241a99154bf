// Relaxed logs: acknowledged from the page cache, synced a little later.
#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/sim/sim_world.h"
#include "engine/log/cache_gate.h"
#include "engine/log/log.h"
#include "tests/engine/log/log_fixture.h"

namespace keelson::engine::log {
namespace {

constexpr LeaderEpoch kEpoch{5};
constexpr std::int64_t kMillisecond = 1'000'000;
const std::string kDir = "orders-3";

LogConfig config_of(Durability durability) {
  LogConfig config;
  config.durability = durability;
  return config;
}

/// A log on a simulated machine, and what was acknowledged to its client.
class Relaxed : public testing::Test {
 protected:
  explicit Relaxed(std::uint64_t seed = 1) : world_(seed), node_(world_.start_node("n")) {
    node_.faults().disk_delay_min_ns = kMillisecond;
    node_.faults().disk_delay_max_ns = 2 * kMillisecond;
  }

  void open(Durability durability, LogLimits limits = {}) {
    context_ = std::make_unique<LogContext>(node_.shard(), limits);
    world_.run_task(node_.shard(), [](Relaxed& self, LogConfig config) -> Task<void> {
      auto opened = co_await Log::open(*self.context_, kDir, test::kIdentity, config, {});
      EXPECT_TRUE(opened.has_value());
      if (opened) self.log_ = std::move(*opened);
    }(*this, config_of(durability)));
  }
  /// The first one makes files, and space is prepared behind them: two appends.
  void settle() {
    for (const std::size_t value_bytes : {300'000, 100}) {
      EXPECT_TRUE(append(value_bytes));
      world_.run_for(50 * kMillisecond);
    }
  }
  bool append(std::size_t value_bytes = 100) {
    bool done = false;
    world_.run_task(node_.shard(), [](Relaxed& self, std::size_t size, bool& ok) -> Task<void> {
      std::vector<std::byte> batch = test::make_batch(std::string(size, 'v'));
      const Result<AppendResult> appended = co_await self.log_->append(batch, kEpoch);
      ok = appended.has_value();
      if (!ok) self.error_ = appended.error();
    }(*this, value_bytes, done));
    return done;
  }
  /// Whether an append is done without the drive.
  bool appends_in_memory(std::size_t value_bytes = 100) {
    const std::int64_t begun_ns = world_.now_ns();
    EXPECT_TRUE(append(value_bytes));
    return world_.now_ns() - begun_ns < node_.faults().disk_delay_min_ns;
  }
  void flush() {
    world_.run_task(node_.shard(), [](Relaxed& self) -> Task<void> {
      const Result<void> flushed = co_await self.log_->flush();
      EXPECT_TRUE(flushed.has_value());
    }(*this));
  }
  void close() {
    world_.run_task(node_.shard(), [](Relaxed& self) -> Task<void> {
      const Result<void> closed = co_await self.log_->close();
      if (!self.error_) EXPECT_TRUE(closed.has_value());
    }(*this));
    log_.reset();
    context_.reset();
  }
  /// Kill -9, or a power cut: the offset at which the log ends afterwards.
  std::int64_t end_after_crash(bool power) {
    power ? world_.power_cut(node_) : world_.kill_node(node_);
    // They go with the process that had them: its tasks can be neither resumed nor destroyed.
    static auto& gone = *new std::vector<std::pair<Log*, LogContext*>>;
    gone.emplace_back(log_.release(), context_.release());
    world_.restart_node(node_);
    open(Durability::durable);
    const std::int64_t end = log_->log_end_offset().value();
    close();
    return end;
  }

  io::SimWorld world_;
  io::SimNode& node_;
  std::unique_ptr<LogContext> context_;
  std::unique_ptr<Log> log_;
  std::optional<Error> error_;
};

TEST_F(Relaxed, NoDriveIsWaitedFor) {
  open(Durability::relaxed);
  settle();
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(appends_in_memory()) << i;
  close();
}

TEST_F(Relaxed, DurableAppendsWaitForTheDrive) {
  open(Durability::durable);
  settle();
  EXPECT_FALSE(appends_in_memory());
  close();
}

TEST_F(Relaxed, AKillTakesNothing) {
  open(Durability::relaxed);
  settle();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(appends_in_memory(500));
  EXPECT_EQ(end_after_crash(/*power=*/false), 22);
}

// Nobody asks for it, and no later append brings it.
TEST_F(Relaxed, TheSyncFollowsByItself) {
  open(Durability::relaxed);
  settle();
  EXPECT_TRUE(appends_in_memory());
  world_.run_for(20 * kMillisecond);
  EXPECT_EQ(end_after_crash(/*power=*/true), 3);
}

TEST_F(Relaxed, AFlushDoesNotWaitForMore) {
  open(Durability::relaxed);
  settle();
  EXPECT_TRUE(appends_in_memory());
  const std::int64_t begun_ns = world_.now_ns();
  flush();
  EXPECT_LT(world_.now_ns() - begun_ns, 4 * kMillisecond);
  EXPECT_EQ(end_after_crash(/*power=*/true), 3);
}

// A durable append says that all before it is safe, however that was written.
TEST_F(Relaxed, DurableFromNowOn) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    struct Case : Relaxed {
      explicit Case(std::uint64_t seed) : Relaxed(seed) {}
      void TestBody() override {
        open(Durability::relaxed);
        settle();
        for (int i = 0; i < 3; ++i) EXPECT_TRUE(appends_in_memory(3'000));
        log_->set_config(config_of(Durability::durable));
        EXPECT_FALSE(appends_in_memory());
        EXPECT_EQ(end_after_crash(/*power=*/true), 6);
      }
    };
    Case(seed).TestBody();
  }
}

TEST_F(Relaxed, RelaxedFromNowOn) {
  open(Durability::durable);
  settle();
  log_->set_config(config_of(Durability::relaxed));
  EXPECT_TRUE(append());  // opens the file once more
  EXPECT_TRUE(appends_in_memory());
  EXPECT_EQ(end_after_crash(/*power=*/false), 4);
}

TEST_F(Relaxed, WhatWaitsForItsSyncIsBounded) {
  LogLimits limits;
  limits.unsynced_bytes = 64 << 10;
  open(Durability::relaxed, limits);
  settle();
  EXPECT_TRUE(appends_in_memory(30'000));
  EXPECT_FALSE(appends_in_memory(40'000));
  EXPECT_LE(context_->cache_gate().unsynced_bytes(), limits.unsynced_bytes);
  flush();
  world_.run_for(50 * kMillisecond);  // space is prepared
  EXPECT_TRUE(appends_in_memory(30'000));
  flush();
  EXPECT_EQ(context_->cache_gate().unsynced_bytes(), 0u);
  close();
}

// Syncs gather for 50 ms, but not where that would shut the gate.
TEST_F(Relaxed, TheSyncComesSoonerWhereMuchWaits) {
  LogLimits limits;
  limits.unsynced_bytes = 64 << 10;
  open(Durability::relaxed, limits);
  settle();
  world_.run_for(100 * kMillisecond);
  EXPECT_TRUE(appends_in_memory(10'000));
  world_.run_for(20 * kMillisecond);
  EXPECT_GT(context_->cache_gate().unsynced_bytes(), 0u);
  EXPECT_TRUE(appends_in_memory(30'000));
  world_.run_for(20 * kMillisecond);
  EXPECT_EQ(context_->cache_gate().unsynced_bytes(), 0u);
  close();
}

TEST_F(Relaxed, LargeCommitsGoPastTheCache) {
  open(Durability::relaxed);
  settle();
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(append(400'000));
  world_.run_for(50 * kMillisecond);
  EXPECT_FALSE(appends_in_memory());
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(append());
  world_.run_for(50 * kMillisecond);
  EXPECT_TRUE(appends_in_memory());
  EXPECT_EQ(end_after_crash(/*power=*/false), 44);
}

TEST_F(Relaxed, SyncedPagesLeaveTheCache) {
  open(Durability::relaxed);
  settle();
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(append(60'000));
  flush();
  world_.run_for(20 * kMillisecond);
  EXPECT_GE(node_.count(io::OpKind::drop_cache), 1u);
  close();
}

TEST_F(Relaxed, AFailedSyncIsFinal) {
  open(Durability::relaxed);
  settle();
  node_.fail_nth(io::OpKind::sync_data, 1);
  EXPECT_TRUE(appends_in_memory());
  world_.run_for(20 * kMillisecond);
  EXPECT_FALSE(append());
  EXPECT_EQ(error_, (Error{Errc::io, EIO}));
  EXPECT_EQ(context_->cache_gate().unsynced_bytes(), 0u);
  close();
}

TEST_F(Relaxed, WithoutASecondDescriptorItGoesPastTheCache) {
  node_.fail_nth(io::OpKind::open, 3, EMFILE, io::FaultAction::fail, "0.log");
  open(Durability::relaxed);
  settle();
  EXPECT_FALSE(appends_in_memory());
  EXPECT_EQ(end_after_crash(/*power=*/false), 3);
}

TEST(CacheGate, ShutsForAWhileWhereTheKernelHeldTheThreadBack) {
  CacheGate gate(1'000);
  gate.wrote(100, 0, CacheGate::kHeldBackNs);
  EXPECT_TRUE(gate.is_open(100, CacheGate::kHeldBackNs));
  const std::int64_t ended_ns = 2 * CacheGate::kHeldBackNs;
  gate.wrote(100, 0, ended_ns);
  EXPECT_FALSE(gate.is_open(1, ended_ns));
  EXPECT_FALSE(gate.is_open(1, ended_ns + CacheGate::kClosedNs - 1));
  EXPECT_TRUE(gate.is_open(800, ended_ns + CacheGate::kClosedNs));
  EXPECT_FALSE(gate.is_open(801, ended_ns + CacheGate::kClosedNs));
  gate.settled(200);
  EXPECT_TRUE(gate.is_open(1'000, ended_ns + CacheGate::kClosedNs));
}

}  // namespace
}  // namespace keelson::engine::log
