#include "tests/engine/log/log_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/log/log_fixture.h"

namespace keelson::engine::log::history {
namespace {

using test::make_batch;
using test::stamped;

Task<void> write_some(Log& log, io::Shard& shard, History& history, int count, std::size_t& live,
                      Load load) {
  for (int i = 0; i < count; ++i) {
    const std::size_t size =
        shard.rng().next() % (i % 7 == 0 ? load.large_bytes : load.usual_bytes);
    std::vector<std::byte> batch =
        make_batch(std::string(size, static_cast<char>('a' + i % 26)), 1 + i % 3, 1'000 + i);
    const std::int64_t base = log.log_end_offset().value();
    std::vector<std::byte> stored = stamped(batch, base, kEpoch.value());
    if (!log.failure()) history.sent[base] = std::move(stored);
    const Result<AppendResult> appended = co_await log.append(batch, kEpoch);
    if (!appended) {
      ++history.refused;
      break;
    }
    EXPECT_EQ(appended->base_offset.value(), base);
    history.acknowledged_end =
        std::max(history.acknowledged_end, appended->last_offset.value() + 1);
    if (i % 5 == 0) co_await shard.sleep_for_ms(static_cast<std::int64_t>(shard.rng().next() % 4));
  }
  --live;
}

}  // namespace

Task<Result<Opened>> open_log(io::Shard& shard, LogConfig config, OpenHints hints) {
  Opened opened{std::make_unique<LogContext>(shard, test::quick_limits()), nullptr};
  Result<std::unique_ptr<Log>> log =
      co_await Log::open(*opened.context, kDir, test::kIdentity, config, hints);
  if (!log) co_return std::unexpected(log.error());
  opened.log = std::move(*log);
  co_return std::move(opened);
}

Task<bool> serve(io::Shard& shard, History& history, LogConfig config, int writers, int batches,
                 bool close, Load load) {
  Result<Opened> opened = co_await open_log(shard, config);
  if (!opened) co_return false;
  std::size_t live = static_cast<std::size_t>(writers);
  for (int i = 0; i < writers; ++i) {
    shard.spawn(write_some(*opened->log, shard, history, batches, live, load));
  }
  while (live > 0) co_await shard.sleep_for_ms(1);
  const Result<void> closed = close ? co_await opened->log->close() : co_await opened->log->flush();
  if (!close) {
    const Result<void> at_rest = co_await opened->log->close();
    co_return closed.has_value() && at_rest.has_value();
  }
  co_return closed.has_value();
}

Task<bool> check(io::Shard& shard, History& history, LogConfig config, bool may_withhold) {
  Result<Opened> opened = co_await open_log(shard, config);
  EXPECT_TRUE(opened.has_value()) << (opened ? "" : to_string(opened.error().code));
  if (!opened) co_return false;
  Log& log = *opened->log;
  std::int64_t at = log.log_start_offset().value();
  const std::int64_t end = log.log_end_offset().value();
  bool sound = true;
  while (at < end && sound) {
    const Result<ReadResult> read =
        co_await log.read(Offset{at}, Offset{end}, {.bytes_max = 5'000});
    if (!read) {
      EXPECT_TRUE(may_withhold) << "offset " << at << ": " << to_string(read.error().code);
      sound = false;
      break;
    }
    const std::vector<std::byte> bytes = test::flat(read->batches);
    EXPECT_FALSE(bytes.empty()) << "nothing at offset " << at;
    if (bytes.empty()) co_return false;
    for (std::size_t position = 0; position < bytes.size();) {
      const auto header = read_batch_header(Bytes(bytes).subspan(position));
      EXPECT_TRUE(header.has_value());
      if (!header) co_return false;
      const Bytes batch = Bytes(bytes).subspan(position, header->size_bytes());
      const auto known = history.sent.find(header->base_offset.value());
      const bool same = known != history.sent.end() && std::ranges::equal(batch, known->second);
      EXPECT_EQ(header->base_offset.value(), at);
      EXPECT_TRUE(same) << "at offset " << at;
      if (!same) co_return false;
      at = header->next_offset().value();
      position += header->size_bytes();
    }
  }
  if (!may_withhold) {
    for (const std::string& finding : log.recovery().findings) {
      EXPECT_THAT(finding, testing::Not(testing::HasSubstr("withheld")));
    }
    EXPECT_GE(end, history.acknowledged_end);
    history.sent.erase(history.sent.lower_bound(end), history.sent.end());
    history.acknowledged_end = end;
  }
  const Result<void> closed = co_await log.close();
  EXPECT_TRUE(closed.has_value());
  co_return sound&& end >= history.acknowledged_end;
}

}  // namespace keelson::engine::log::history
