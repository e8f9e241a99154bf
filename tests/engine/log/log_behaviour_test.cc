// What a log does for its users, on a simulated machine without faults.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>

#include "engine/io/file.h"
#include "engine/io/sim/sim_world.h"
#include "engine/log/file_removal.h"
#include "engine/log/log.h"
#include "tests/engine/log/log_fixture.h"

namespace keelson::engine::log {
namespace {

using test::make_batch;
using test::make_producer_batch;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr LeaderEpoch kEpoch{5};
const std::string kDir = "orders-3";

Task<Result<AppendResult>> append(Log& log, std::vector<std::byte> batch,
                                  LeaderEpoch epoch = kEpoch) {
  co_return co_await log.append(batch, epoch);
}

Task<void> append_sound(Log& log, std::vector<std::byte> batch, LeaderEpoch epoch = kEpoch) {
  const Result<AppendResult> appended = co_await log.append(batch, epoch);
  EXPECT_TRUE(appended.has_value());
}

Task<std::unique_ptr<Log>> open_sound(LogContext& context, LogConfig config, OpenHints hints = {}) {
  Result<std::unique_ptr<Log>> log =
      co_await Log::open(context, kDir, test::kIdentity, config, hints);
  EXPECT_TRUE(log.has_value()) << (log ? "" : to_string(log.error().code));
  co_return log ? std::move(*log) : nullptr;
}

class LogBehaviour : public testing::Test {
 protected:
  /// Runs `body(context)`, a coroutine over a capture-less lambda, to its end.
  template <class Body, class... Arguments>
  void run(Body body, Arguments... arguments) {
    LogContext context(node_.shard(), limits_);
    world_.run_task(node_.shard(), body(context, config_, arguments...));
  }

  io::SimWorld world_{5};
  io::SimNode& node_ = world_.start_node("n");
  LogLimits limits_{.disk_reserve_bytes = 0, .idle_after_ms = 20};
  LogConfig config_;
};

TEST_F(LogBehaviour, ProducersAreCheckedAndRepeatsAnsweredAsTheFirst) {
  run([](LogContext& context, LogConfig config) -> Task<void> {
    for (int round = 0; round < 2; ++round) {
      const std::unique_ptr<Log> log = co_await open_sound(context, config);
      if (round == 0) {
        // An unknown producer may start anywhere.
        const auto first = co_await append(*log, make_producer_batch(9, 0, 7, 3));
        EXPECT_EQ(first->base_offset, Offset{0});
        const auto second = co_await append(*log, make_producer_batch(9, 0, 10, 2));
        EXPECT_EQ(second->base_offset, Offset{3});
        const auto forgotten = co_await append(*log, make_producer_batch(9, 0, 8, 1));
        EXPECT_EQ(forgotten.error().code, Errc::duplicate_sequence_number);
      }
      const auto repeat = co_await append(*log, make_producer_batch(9, 0, 10, 2));
      EXPECT_TRUE(repeat && repeat->duplicate);
      if (repeat) EXPECT_EQ(repeat->base_offset, Offset{3});
      const auto gap = co_await append(*log, make_producer_batch(9, 0, 13, 1));
      EXPECT_EQ(gap.error().code, Errc::out_of_order_sequence_number);
      const auto never = co_await append(*log, make_producer_batch(9, 0, 0, 1));
      EXPECT_EQ(never.error().code, Errc::out_of_order_sequence_number);
      if (round == 1) {
        const auto raised = co_await append(*log, make_producer_batch(9, 1, 0, 1));
        EXPECT_TRUE(raised.has_value());
        const auto older = co_await append(*log, make_producer_batch(9, 0, 12, 1));
        EXPECT_EQ(older.error().code, Errc::invalid_producer_epoch);
      }
      const Result<void> closed = co_await log->close();
      EXPECT_TRUE(closed.has_value());
    }
  });
}

TEST_F(LogBehaviour, RefusesOlderLeaderEpochsAndOversizedBatches) {
  config_.segment_bytes = 2'000;
  run([](LogContext& context, LogConfig config) -> Task<void> {
    const std::unique_ptr<Log> log = co_await open_sound(context, config);
    co_await append_sound(*log, make_batch("a"), LeaderEpoch{2});
    co_await append_sound(*log, make_batch("b"), LeaderEpoch{4});
    const auto older = co_await append(*log, make_batch("c"), LeaderEpoch{3});
    EXPECT_EQ(older.error().code, Errc::fenced_leader_epoch);
    const auto large = co_await append(*log, make_batch(std::string(3'000, 'x')), LeaderEpoch{4});
    EXPECT_EQ(large.error().code, Errc::record_list_too_large);
    EXPECT_EQ(log->epoch_end(LeaderEpoch{3})->end_offset, Offset{1});
    EXPECT_EQ(log->epoch_end(LeaderEpoch{9})->end_offset, Offset{2});
    EXPECT_EQ(log->epoch_of(Offset{0}), LeaderEpoch{2});
    const auto beyond = co_await log->read(Offset{3}, Offset{9}, {});
    EXPECT_EQ(beyond.error().code, Errc::offset_out_of_range);
    const Result<void> closed = co_await log->close();
    EXPECT_TRUE(closed.has_value());
    const auto late = co_await append(*log, make_batch("d"), LeaderEpoch{4});
    EXPECT_EQ(late.error().code, Errc::closed);
  });
}

TEST_F(LogBehaviour, AnIdleLogHoldsNoMemoryAndNoFileAndGoesOn) {
  run(
      [](LogContext& context, LogConfig config, io::SimNode* node) -> Task<void> {
        const std::unique_ptr<Log> log = co_await open_sound(context, config);
        for (int round = 0; round < 5; ++round) {
          co_await append_sound(*log, make_batch("value"));
          co_await context.shard().sleep_for_ms(1'000);
          EXPECT_EQ(context.chunks().bytes(), 0u);
          EXPECT_EQ(node->descriptors_open(), 0u);
          const auto seen = co_await test::read_all(*log, 10'000);
          EXPECT_TRUE(seen.has_value());
        }
        EXPECT_EQ(log->durable_offset(), Offset{5});
        const Result<void> closed = co_await log->close();
        EXPECT_TRUE(closed.has_value());
      },
      &node_);
}

TEST_F(LogBehaviour, FindsRecordsByTimeInsideBatchesAndOutOfOrder) {
  config_.segment_bytes = 300;
  run([](LogContext& context, LogConfig config) -> Task<void> {
    const std::unique_ptr<Log> log = co_await open_sound(context, config);
    for (const std::int64_t start : {100, 500, 200, 900, 300}) {  // three records each
      co_await append_sound(*log, make_batch("v", 3, start));
    }
    const Offset end = log->log_end_offset();
    const std::pair<std::int64_t, std::int64_t> answers[] = {
        {0, 0}, {101, 1}, {103, 3}, {502, 5}, {503, 9}, {902, 11}, {903, -1}};
    for (const auto& [time, offset] : answers) {
      const auto found = co_await log->find_time(time, end);
      EXPECT_TRUE(found.has_value());
      EXPECT_EQ(*found ? (*found)->offset.value() : -1, offset) << "time " << time;
    }
    const auto bounded = co_await log->find_time(503, Offset{9});
    EXPECT_TRUE(bounded && !*bounded);
    const auto largest = co_await log->find_max_time(end);
    EXPECT_EQ((*largest)->offset, Offset{11});
    EXPECT_EQ((*largest)->timestamp_ms, 902);
    const auto within = co_await log->find_max_time(Offset{9});
    EXPECT_EQ((*within)->offset, Offset{5});
    const Result<void> closed = co_await log->close();
    EXPECT_TRUE(closed.has_value());
  });
}

// A failed sync may leave integrity entries in the page cache only; once they are gone from there,
// they are made again from the log, whoever needs them.
TEST_F(LogBehaviour, LostIntegrityEntriesAreMadeAgainWhereverTheyAreNeeded) {
  config_.segment_bytes = 2'000;
  config_.producer_id_expiration_ms = std::numeric_limits<std::int64_t>::max();
  const auto fill = [](LogContext& context, LogConfig config,
                       std::unique_ptr<Log>& log) -> Task<void> {
    log = co_await open_sound(context, config);
    for (std::int32_t i = 0; i < 60; ++i) {
      co_await append_sound(*log, make_producer_batch(9, 0, i * 2, 2));
      co_await append_sound(*log, make_batch("x", 1, 2'000 + i));
    }
    const Result<void> tidied = co_await log->checkpoint();
    EXPECT_TRUE(tidied.has_value());
  };
  // The indexes are in memory afterwards, so that nobody looks at the entries before they count.
  const auto look = [](Log& log) -> Task<void> {
    const auto largest = co_await log.find_max_time(Offset{4});
    EXPECT_TRUE(largest && *largest && (*largest)->offset == Offset{2});
    const auto last = co_await log.find_time(2'059, log.log_end_offset());
    EXPECT_TRUE(last && *last && (*last)->offset == Offset{179});
    const auto middle = co_await log.find_time(2'040, log.log_end_offset());
    EXPECT_TRUE(middle && *middle && (*middle)->offset == Offset{122});
  };
  const auto lose = [this] {
    std::size_t lost = 0;
    for (const std::string& name : node_.disk().files()) {
      if (name.ends_with(".integrity") && node_.disk().flip_bit(name, 8, 3)) ++lost;
    }
    EXPECT_GE(lost, 2u);
  };
  LogContext context(node_.shard(), {.disk_reserve_bytes = 0, .idle_after_ms = 1'000'000});
  std::unique_ptr<Log> log;
  world_.run_task(node_.shard(), fill(context, config_, log));
  world_.run_task(node_.shard(), look(*log));
  lose();
  world_.run_task(node_.shard(), look(*log));
  EXPECT_THAT(log->recovery().findings, Contains(HasSubstr("made again from the log")));

  for (const std::string& name : node_.disk().files()) {
    if (name.ends_with(".integrity")) EXPECT_TRUE(node_.disk().erase(name));
  }
  world_.run_task(node_.shard(), look(*log));

  // Producers are read from all segments where no snapshot is left.
  lose();
  for (const std::string& name : node_.disk().files()) {
    if (name.ends_with(".snapshot")) EXPECT_TRUE(node_.disk().erase(name));
  }
  world_.run_task(node_.shard(), [](Log& cut) -> Task<void> {
    const Result<void> shorter = co_await cut.truncate_suffix(Offset{111});
    EXPECT_TRUE(shorter.has_value()) << (shorter ? "" : to_string(shorter.error().code));
    const auto repeat = co_await append(cut, make_producer_batch(9, 0, 72, 2));
    EXPECT_TRUE(repeat && repeat->duplicate && repeat->base_offset == Offset{108});
    const auto next = co_await append(cut, make_producer_batch(9, 0, 74, 2));
    EXPECT_TRUE(next && !next->duplicate);
    const Result<void> closed = co_await cut.close();
    EXPECT_TRUE(closed.has_value());
  }(*log));
}

TEST_F(LogBehaviour, ShortWritesGoOnUntilTheDriveStandsStill) {
  config_.segment_bytes = 20'000;
  node_.faults().short_write_ppm = 300'000;
  run(
      [](LogContext& context, LogConfig config, io::SimNode* node) -> Task<void> {
        const std::unique_ptr<Log> log = co_await open_sound(context, config);
        std::vector<std::byte> expected;
        for (int i = 0; i < 200; ++i) {
          const std::vector<std::byte> batch =
              make_batch(std::string(i % 7 == 0 ? 9'000 : 300, 'x'));
          const std::vector<std::byte> stored = test::stamped(batch, i, kEpoch.value());
          expected.insert(expected.end(), stored.begin(), stored.end());
          co_await append_sound(*log, batch);
        }
        EXPECT_FALSE(log->failure());
        const auto all = co_await test::read_all(*log, 100'000);
        EXPECT_TRUE(all && *all == expected);

        node->faults().short_write_ppm = 1'000'000;
        const auto refused = co_await append(*log, make_batch("y"));
        EXPECT_EQ(refused.has_value() ? Errc::corrupt : refused.error().code, Errc::io);
        EXPECT_EQ(log->durable_offset(), Offset{200});
        node->faults().short_write_ppm = 0;
        const Result<void> closed = co_await log->close();
        EXPECT_FALSE(closed.has_value());
      },
      &node_);
}

TEST_F(LogBehaviour, RetentionDropsBySizeTimeAndStart) {
  config_.segment_bytes = 300;
  config_.retention_bytes = 700;
  config_.retention_ms = kUnlimited;
  run([](LogContext& context, LogConfig config) -> Task<void> {
    const std::int64_t now_ms = context.shard().clock().wall_ms();
    std::unique_ptr<Log> log = co_await open_sound(context, config);
    for (int i = 0; i < 12; ++i) {
      co_await append_sound(*log, make_batch(std::string(100, 'x'), 1, now_ms));
    }
    const auto by_size = co_await log->apply_retention();
    EXPECT_GT(*by_size, 0u);
    EXPECT_GE(log->size_bytes(), 700u);
    const Offset start = log->log_start_offset();
    EXPECT_GT(start, Offset{0});
    const auto gone = co_await log->read(Offset{0}, Offset{99}, {});
    EXPECT_EQ(gone.error().code, Errc::offset_out_of_range);

    const Result<void> advanced = co_await log->advance_start(start + 1);
    EXPECT_TRUE(advanced.has_value());
    const auto above = co_await log->advance_start(log->log_end_offset() + 1);
    EXPECT_EQ(above.error().code, Errc::offset_out_of_range);
    const Result<void> closed = co_await log->close();
    EXPECT_TRUE(closed.has_value());

    config.retention_ms = 1'000;
    log = co_await open_sound(context, config);
    EXPECT_EQ(log->log_start_offset(), start + 1);
    EXPECT_THAT(log->recovery().findings, IsEmpty());
    co_await context.shard().sleep_for_ms(3'000);
    const auto by_time = co_await log->apply_retention();
    EXPECT_GT(*by_time, 0u);
    EXPECT_EQ(log->log_start_offset(), Offset{12});
    EXPECT_EQ(log->segment_count(), 1u);
    co_await append_sound(*log, make_batch("again"));
    const Result<void> closed_again = co_await log->close();
    EXPECT_TRUE(closed_again.has_value());
    log = co_await open_sound(context, config);
    EXPECT_EQ(log->log_start_offset(), Offset{12});
    EXPECT_EQ(log->log_end_offset(), Offset{13});
    EXPECT_THAT(log->recovery().findings, IsEmpty());
    const Result<void> closed_last = co_await log->close();
    EXPECT_TRUE(closed_last.has_value());
  });
}

TEST_F(LogBehaviour, TruncatedSuffixIsGoneAndAppendsGoOnThere) {
  config_.segment_bytes = 300;
  for (const std::int64_t keep : {0, 1, 5, 9}) {
    SCOPED_TRACE(keep);
    run(
        [](LogContext& context, LogConfig config, std::int64_t kept) -> Task<void> {
          std::unique_ptr<Log> log = co_await open_sound(context, config);
          const std::int64_t have = log->log_end_offset().value();
          for (std::int64_t i = have; i < 10; ++i) {
            co_await append_sound(*log, make_batch(std::string(90, 'x')));
          }
          const Result<void> cut = co_await log->truncate_suffix(Offset{kept});
          EXPECT_TRUE(cut.has_value());
          EXPECT_EQ(log->log_end_offset(), Offset{kept});
          const auto appended = co_await append(*log, make_batch("new"));
          EXPECT_EQ(appended->base_offset, Offset{kept});
          const auto seen = co_await test::read_all(*log, 10'000);
          EXPECT_TRUE(seen.has_value());
          const Result<void> closed = co_await log->close();
          EXPECT_TRUE(closed.has_value());
          log = co_await open_sound(context, config);
          EXPECT_EQ(log->log_end_offset(), Offset{kept + 1});
          EXPECT_THAT(log->recovery().findings, IsEmpty());
          const auto again = co_await test::read_all(*log, 10'000);
          EXPECT_TRUE(again && *again == *seen);
          const Result<void> closed_again = co_await log->close();
          EXPECT_TRUE(closed_again.has_value());
        },
        keep);
  }
}

TEST_F(LogBehaviour, RefusesAnotherLogsDirectoryAndAMissingOne) {
  run([](LogContext& context, LogConfig config) -> Task<void> {
    const std::unique_ptr<Log> log = co_await open_sound(context, config);
    co_await append_sound(*log, make_batch("a"));
    const Result<void> closed = co_await log->close();
    EXPECT_TRUE(closed.has_value());
    LogIdentity other = test::kIdentity;
    other.partition = 4;
    const auto refused = co_await Log::open(context, kDir, other, config, {});
    EXPECT_EQ(refused.error().code, Errc::corrupt);
    const auto missing = co_await Log::open(context, "nowhere-0", test::kIdentity, config,
                                            {.recovery_point = Offset{7}});
    EXPECT_EQ(missing.error().code, Errc::corrupt);
  });
}

TEST_F(LogBehaviour, RemovedLogLeavesNothing) {
  run([](LogContext& context, LogConfig config) -> Task<void> {
    const std::unique_ptr<Log> log = co_await open_sound(context, config);
    co_await append_sound(*log, make_batch("a"));
    const Result<std::string> left = co_await log->remove();
    EXPECT_TRUE(left.has_value());
    const Result<std::vector<io::DirEntry>> old = co_await io::list_dir(context.shard(), kDir);
    EXPECT_EQ(old.error().code, Errc::not_found);
    io::Event hurry(context.shard());
    const Result<void> removed = co_await remove_directory(context.shard(), *left, hurry);
    EXPECT_TRUE(removed.has_value());
  });
  EXPECT_THAT(node_.disk().files(), IsEmpty());
}

// Prepared zeros go; what somebody else wrote there is not ours to cut.
TEST_F(LogBehaviour, ForeignBytesBehindASealedSegmentStay) {
  config_.segment_bytes = 20'000;
  run([](LogContext& context, LogConfig config) -> Task<void> {
    const std::unique_ptr<Log> log = co_await open_sound(context, config);
    for (int i = 0; i < 20; ++i) co_await append_sound(*log, make_batch(std::string(4'000, 'v')));
    const Result<void> closed = co_await log->close();
    EXPECT_TRUE(closed.has_value());
  });
  const std::string name = concat("/", kDir, "/00000000000000000000.log");
  const std::string records = *node_.disk().content(name);
  for (const std::string& more : {std::string(5'000, '\0'), std::string("xyz")}) {
    node_.disk().put(name, records + more);
    run(
        [](LogContext& context, LogConfig config, std::size_t findings) -> Task<void> {
          Result<std::unique_ptr<Log>> log =
              co_await Log::open(context, kDir, test::kIdentity, config, {.clean_stop = true});
          EXPECT_TRUE(log.has_value());
          EXPECT_EQ((*log)->recovery().findings.size(), findings);
          const Result<std::vector<std::byte>> all = co_await test::read_all(**log, 10'000);
          EXPECT_TRUE(all.has_value());
          const Result<void> closed = co_await (*log)->close();
          EXPECT_TRUE(closed.has_value());
        },
        more == "xyz" ? 1u : 0u);
    EXPECT_EQ(*node_.disk().content(name), more == "xyz" ? records + more : records);
  }
}

// Some file systems have no fallocate: zeros extend the file there.
TEST_F(LogBehaviour, AppendsWhereSpaceCannotBeReserved) {
  node_.fail_nth(io::OpKind::allocate, 1, EOPNOTSUPP);
  run([](LogContext& context, LogConfig config) -> Task<void> {
    const std::unique_ptr<Log> log = co_await open_sound(context, config);
    for (int i = 0; i < 50; ++i) co_await append_sound(*log, make_batch(std::string(4'000, 'v')));
    EXPECT_FALSE(log->failure().has_value());
    const Result<void> closed = co_await log->close();
    EXPECT_TRUE(closed.has_value());
  });
  EXPECT_GE(node_.count(io::OpKind::allocate), 1u);
}

// A reader that goes on finds the next piece in memory; what was cut meanwhile is never shown.
TEST_F(LogBehaviour, ReadsAheadOfASequentialReader) {
  limits_.cache_bytes = 64 << 10;
  run([](LogContext& context, LogConfig config) -> Task<void> {
    const std::unique_ptr<Log> log = co_await open_sound(context, config);
    for (int i = 0; i < 100; ++i) {
      co_await append_sound(*log, make_batch(std::string(4'000, static_cast<char>('a' + i % 26))));
    }
    const ReadLimits limits{.bytes_max = 10'000};
    Offset at;
    std::uint64_t most = 0;
    for (int reads = 0; reads < 20; ++reads) {
      const auto read = co_await log->read(at, log->log_end_offset(), limits);
      EXPECT_TRUE(read.has_value());
      const std::vector<std::byte> bytes = test::flat(read->batches);
      const auto header = read_batch_header(bytes);
      EXPECT_TRUE(header && header->base_offset == at);
      at = at + 2;  // two batches fit
      co_await context.shard().sleep_for_ms(5);
      most = std::max(most, context.read_ahead().bytes());
    }
    EXPECT_GE(most, 10'000u);
    EXPECT_LE(most, 64u << 10);

    const Result<void> cut = co_await log->truncate_suffix(at);
    EXPECT_TRUE(cut.has_value());
    for (int i = 0; i < 20; ++i) co_await append_sound(*log, make_batch(std::string(4'000, '#')));
    const Result<std::vector<std::byte>> all = co_await test::read_all(*log, 10'000);
    EXPECT_TRUE(all.has_value());
    const auto after = co_await log->read(at, log->log_end_offset(), limits);
    const std::vector<std::byte> bytes = test::flat(after->batches);
    EXPECT_EQ(bytes[bytes.size() / 4], std::byte{'#'});
    const Result<void> closed = co_await log->close();
    EXPECT_TRUE(closed.has_value());
    EXPECT_EQ(context.read_ahead().bytes(), 0u);
  });
}

// Readers at different places of one segment, step by step: each gets its own records.
TEST_F(LogBehaviour, ReadersOfOneSegmentDoNotDisturbEachOther) {
  limits_.cache_bytes = 64 << 10;
  run([](LogContext& context, LogConfig config) -> Task<void> {
    const std::unique_ptr<Log> log = co_await open_sound(context, config);
    constexpr std::int64_t kBatches = 200;
    for (std::int64_t i = 0; i < kBatches; ++i) {
      co_await append_sound(*log, make_batch(std::string(4'000, static_cast<char>('a' + i % 26))));
    }
    std::vector<Offset> places{Offset{0}, Offset{1}, Offset{0}, Offset{90}, Offset{150}};
    for (int turn = 0; turn < 400; ++turn) {
      Offset& at = places[static_cast<std::size_t>(turn) % places.size()];
      const ReadLimits limits{.bytes_max = std::uint64_t{5'000} + turn % 7 * 3'000};
      const auto read = co_await log->read(at, log->log_end_offset(), limits);
      EXPECT_TRUE(read.has_value());
      const std::vector<std::byte> bytes = test::flat(read->batches);
      for (std::size_t done = 0; done < bytes.size();) {
        const auto header = read_batch_header(Bytes(bytes).subspan(done));
        EXPECT_TRUE(header && header->base_offset == at);
        if (!header) break;
        EXPECT_EQ(bytes[done + 2'000], static_cast<std::byte>('a' + at.value() % 26));
        done += header->size_bytes();
        at = at + 1;
      }
      if (at == log->log_end_offset()) at = Offset{turn % kBatches};
      if (turn % 3 == 0) co_await context.shard().sleep_for_ms(1);
    }
    const Result<void> closed = co_await log->close();
    EXPECT_TRUE(closed.has_value());
    EXPECT_EQ(context.read_ahead().bytes(), 0u);
  });
}

// What is said to come is read meanwhile: the read that comes finds it, and reads nothing.
TEST_F(LogBehaviour, WhatIsExpectedIsOnItsWay) {
  limits_.cache_bytes = 64 << 10;
  run([this](LogContext& context, LogConfig config) -> Task<void> {
    const std::unique_ptr<Log> log = co_await open_sound(context, config);
    for (int i = 0; i < 100; ++i) co_await append_sound(*log, make_batch(std::string(4'000, 'v')));
    const ReadLimits limits{.bytes_max = 10'000};
    const auto first = co_await log->read(Offset{0}, log->log_end_offset(), limits);
    EXPECT_TRUE(first.has_value());
    EXPECT_TRUE(log->expect(Offset{40}, log->log_end_offset(), limits));
    EXPECT_TRUE(log->expect(Offset{99}, log->log_end_offset(), limits));   // in memory
    EXPECT_TRUE(log->expect(Offset{100}, log->log_end_offset(), limits));  // nothing there
    co_await context.shard().sleep_for_ms(5);
    EXPECT_GT(context.read_ahead().bytes(), 0u);
    const std::uint64_t reads = node_.count(io::OpKind::read);
    const auto there = co_await log->read(Offset{40}, log->log_end_offset(), limits);
    EXPECT_EQ(node_.count(io::OpKind::read), reads);
    const auto header = read_batch_header(test::flat(there->batches));
    EXPECT_TRUE(header && header->base_offset == Offset{40});

    // The budget is 64 KiB: six of 10,000 bytes fit, and it says so.
    int accepted = 0;
    for (int i = 0; i < 20; ++i) {
      accepted += log->expect(Offset{2 * i}, log->log_end_offset(), limits) ? 1 : 0;
      co_await context.shard().sleep_for_ms(1);
    }
    EXPECT_GE(accepted, 4);
    EXPECT_LE(accepted, 7);
    const Result<void> closed = co_await log->close();
    EXPECT_TRUE(closed.has_value());
  });
}

// Readers that keep what they got make the others' reads small; who must have a batch gets one.
TEST_F(LogBehaviour, SlowReadersHoldABoundedAmount) {
  limits_.cache_bytes = 128 << 10;
  run([](LogContext& context, LogConfig config) -> Task<void> {
    const std::unique_ptr<Log> log = co_await open_sound(context, config);
    for (int i = 0; i < 200; ++i) co_await append_sound(*log, make_batch(std::string(8'000, 'v')));
    std::vector<SliceList> held;
    const ReadLimits greedy{.bytes_max = 200'000, .less_will_do = true};
    std::uint64_t held_bytes = 0;
    for (int i = 0; i < 20; ++i) {
      auto read = co_await log->read(Offset{i}, log->log_end_offset(), greedy);
      EXPECT_TRUE(read.has_value());
      EXPECT_FALSE(read->batches.empty());
      held_bytes = total_bytes(read->batches);
      held.push_back(std::move(read->batches));
    }
    EXPECT_TRUE(context.memory_short());
    EXPECT_LE(held_bytes, 64u << 10);
    const ReadLimits optional{
        .bytes_max = 200'000, .at_least_one_batch = false, .less_will_do = true};
    const auto none = co_await log->read(Offset{50}, log->log_end_offset(), optional);
    EXPECT_TRUE(none.has_value() && none->batches.empty());
    const ReadLimits plain{.bytes_max = 150'000};
    const auto whole = co_await log->read(Offset{50}, log->log_end_offset(), plain);
    EXPECT_TRUE(whole.has_value() && total_bytes(whole->batches) > 100'000u);
    held.clear();
    EXPECT_FALSE(context.memory_short());
    const Result<void> closed = co_await log->close();
    EXPECT_TRUE(closed.has_value());
  });
}

}  // namespace
}  // namespace keelson::engine::log
