#include "tests/engine/log/log_workload.h"

#include <algorithm>
#include <utility>

#include "engine/io/sync.h"
#include "tests/engine/log/compaction_support.h"

namespace keelson::test {
namespace {

constexpr std::int64_t kSecond = 1'000;

LogConfig small_config(std::uint64_t segment_bytes) {
  LogConfig config;
  config.segment_bytes = segment_bytes;
  config.file_delete_delay_ms = 5;
  config.index_interval_bytes = 300;
  config.delete_retention_ms = kRetentionMs;
  config.retention_ms = kUnlimited;
  return config;
}

std::vector<std::pair<Deed, std::uint32_t>> with(
    std::vector<std::pair<Deed, std::uint32_t>> special) {
  std::vector<std::pair<Deed, std::uint32_t>> deeds = {
      {Deed::append, 400}, {Deed::burst, 30},     {Deed::repeat, 60}, {Deed::read, 250},
      {Deed::observe, 2},  {Deed::ask_time, 150}, {Deed::flush, 10},  {Deed::checkpoint, 10},
      {Deed::pause, 30},   {Deed::next_epoch, 5}, {Deed::restart, 2}};
  deeds.insert(deeds.end(), special.begin(), special.end());
  return deeds;
}

}  // namespace

std::vector<Profile> profiles() {
  std::vector<Profile> all;
  all.push_back({.name = "append",
                 .config = small_config(4'000),
                 .load = {.large_bytes_max = 3'000},
                 .deeds = with({{Deed::long_pause, 2}})});
  all.push_back({.name = "delete",
                 .config = small_config(2'500),
                 .load = {.any_codec = false},
                 .deeds = with({{Deed::retention, 20},
                                {Deed::advance_start, 20},
                                {Deed::delete_beside, 10},
                                {Deed::long_pause, 10}})});
  all.back().config.retention_ms = 8 * kSecond;
  all.back().config.segment_ms = 4 * kSecond;
  all.push_back({.name = "recycle",
                 .config = small_config(40'000),
                 .load = {.value_bytes_max = 3'000, .large_bytes_max = 20'000, .any_codec = false},
                 .deeds = with({{Deed::retention, 20}, {Deed::delete_beside, 20}})});
  all.back().config.retention_bytes = 40'000;
  all.push_back({.name = "compact",
                 .config = small_config(2'000),
                 .load = {},
                 .deeds = with({{Deed::compact, 20}, {Deed::long_pause, 10}})});
  all.back().config.cleanup_delete = false;
  all.back().config.cleanup_compact = true;
  all.push_back({.name = "both",
                 .config = small_config(2'000),
                 .load = {.keys = 30},
                 .deeds = with({{Deed::compact, 15},
                                {Deed::retention, 10},
                                {Deed::advance_start, 5},
                                {Deed::cut, 3},
                                {Deed::long_pause, 10}})});
  all.back().config.cleanup_compact = true;
  all.back().config.retention_bytes = 20'000;
  all.back().config.min_compaction_lag_ms = 1 * kSecond;
  all.push_back({.name = "cut",
                 .config = small_config(2'000),
                 .load = {},
                 .deeds = with({{Deed::cut, 30}, {Deed::advance_start, 5}})});
  all.push_back({.name = "relaxed",
                 .config = small_config(4'000),
                 .load = {.large_bytes_max = 3'000},
                 .deeds = with({{Deed::flush, 40}, {Deed::advance_start, 5}, {Deed::cut, 5}})});
  all.back().config.durability = Durability::relaxed;
  return all;
}

void Workload::tell() {
  if (!site_.log) return;
  model_.told_start = std::max(model_.told_start, log().log_start_offset().value());
  model_.coming_start = std::max(model_.coming_start, model_.told_start);
  if (listener_ != nullptr) listener_->model_changed();
}

Writer Workload::writer() {
  Writer made(shard_, log(), model_, profile_.load, listener_);
  made.set_epoch(model_.epoch);
  return made;
}

Deed Workload::draw() {
  std::uint64_t total = 0;
  for (const auto& [deed, weight] : profile_.deeds) total += weight;
  std::uint64_t drawn = random(total);
  for (const auto& [deed, weight] : profile_.deeds) {
    if (drawn < weight) return deed;
    drawn -= weight;
  }
  return Deed::append;
}

Task<bool> Workload::run(std::uint64_t count, bool may_fail) {
  may_fail_ = may_fail;
  const bool opened = co_await open();
  EXPECT_TRUE(opened || may_fail_);
  if (!opened) co_return false;
  for (std::uint64_t i = 0; i < count && site_.log && !log().failure(); ++i) {
    const Deed deed = draw();
    const bool as_expected = co_await perform(deed);
    EXPECT_TRUE(as_expected || may_fail_) << "deed " << static_cast<int>(deed);
    ++done_;
    tell();
    if (!as_expected && !may_fail_) break;
  }
  if (!site_.log) co_return false;
  EXPECT_TRUE(!log().failure() || may_fail_);
  co_return co_await close();
}

Task<bool> Workload::open() {
  Result<Site> opened = co_await open_site(shard_, profile_.config);
  if (!opened) co_return false;
  site_ = std::move(*opened);
  const std::int64_t end = log().log_end_offset().value();
  EXPECT_GE(end, model_.required_end(false));
  model_.settle(end);
  model_.settle_start(std::max(model_.told_start, log().log_start_offset().value()));
  EXPECT_LE(log().latest_epoch(), model_.epoch);
  tell();
  co_return true;
}

Task<bool> Workload::close() {
  const bool failed = log().failure().has_value();
  const Result<void> closed = co_await close_site(site_);
  EXPECT_FALSE(failed && closed) << "a log that failed says that it was closed cleanly";
  site_ = {};
  if (closed) model_.acknowledge(model_.end, true);
  if (closed && listener_ != nullptr) listener_->model_changed();
  co_return closed.has_value();
}

Task<bool> Workload::restart() {
  const std::int64_t end = log().log_end_offset().value();
  const bool closed = co_await close();
  if (!closed) co_return false;
  const bool opened = co_await open();
  if (!opened) co_return false;
  if (!may_fail_) {
    for (const std::string& finding : log().recovery().findings) {
      EXPECT_THAT(finding, testing::HasSubstr("transaction")) << "after a clean stop";
    }
  }
  EXPECT_EQ(log().log_end_offset().value(), end);
  co_return true;
}

Task<bool> Workload::perform(Deed deed) {
  switch (deed) {
    case Deed::append: return append();
    case Deed::burst: return burst();
    case Deed::read: return read();
    case Deed::observe: return observe();
    case Deed::ask_time: return ask_time();
    case Deed::flush: return flush();
    case Deed::retention: return retention(true);
    case Deed::advance_start: return advance_start();
    case Deed::delete_beside: return delete_beside();
    case Deed::compact: return compact();
    case Deed::cut: return cut();
    case Deed::restart: return restart();
    case Deed::repeat:
      return [](Writer again) -> Task<bool> { co_return co_await again.repeat_one(); }(writer());
    case Deed::checkpoint:
      return [](Site& site) -> Task<bool> {
        const Result<void> written = co_await checkpoint_site(site);
        co_return written.has_value();
      }(site_);
    case Deed::pause:
    case Deed::long_pause:
      return [](io::Shard& shard, std::int64_t ms) -> Task<bool> {
        co_await shard.sleep_for_ms(ms);
        co_return true;
      }(shard_, static_cast<std::int64_t>(random(deed == Deed::pause ? 40 : 4'000)));
    case Deed::next_epoch:
      model_.epoch = engine::LeaderEpoch{model_.epoch.value() + 1};
      return [](io::Shard& shard) -> Task<bool> {
        co_await shard.sleep_for_ms(0);
        co_return true;
      }(shard_);
  }
  std::unreachable();
}

Task<bool> Workload::append() {
  Writer one = writer();
  co_return co_await one.append_one();
}

Task<bool> Workload::burst() {
  struct Each {
    static Task<void> append(Writer& writer, int count, bool& all) {
      const bool appended = co_await writer.append_some(count);
      if (!appended) all = false;
    }
  };
  Writer shared = writer();
  bool all = true;
  io::TaskGroup writers(shard_);
  const std::uint64_t count = 2 + random(6);
  for (std::uint64_t i = 0; i < count; ++i) {
    writers.start(Each::append(shared, 1 + static_cast<int>(random(4)), all));
  }
  co_await writers.wait();
  co_return all;
}

Task<bool> Workload::read() {
  const std::int64_t start = log().log_start_offset().value();
  const std::int64_t end = log().durable_offset().value();
  const Offset from{start +
                    static_cast<std::int64_t>(random(static_cast<std::uint64_t>(end - start) + 1))};
  const ReadLimits limits{.bytes_max = 1 + random(6'000)};
  const Result<ReadResult> read = co_await log().read(from, Offset{end}, limits);
  if (!read) co_return false;
  if (total_bytes(read->batches) > limits.bytes_max) {
    const auto first = read_batch_header(test::flat(read->batches));
    EXPECT_EQ(total_bytes(read->batches), first ? first->size_bytes() : 0) << "more than asked";
  }
  check_read(from, *read);
  if (start > 0) {
    const auto below = co_await log().read(Offset{start - 1}, Offset{end}, limits);
    EXPECT_TRUE(!below && below.error().code == Errc::offset_out_of_range);
  }
  co_return true;
}

void Workload::check_read(Offset from, const ReadResult& read) {
  const std::vector<std::byte> bytes = flat(read.batches);
  std::int64_t at = from.value();
  if (bytes.empty()) EXPECT_GE(at, std::min(model_.end, model_.attempted_below));
  for (std::size_t position = 0; position < bytes.size();) {
    const auto header = read_batch_header(Bytes(bytes).subspan(position));
    ASSERT_TRUE(header.has_value());
    const Bytes batch = Bytes(bytes).subspan(position, header->size_bytes());
    const std::int64_t base = header->base_offset.value();
    const auto known = model_.batches.find(base);
    ASSERT_NE(known, model_.batches.end()) << "made up: offset " << base;
    ASSERT_GT(header->next_offset().value(), at);
    if (at >= model_.attempted_below) ASSERT_LE(base, at) << "a gap";
    ASSERT_TRUE(crc_matches(batch));
    if (base >= model_.attempted_below) {
      ASSERT_TRUE(std::ranges::equal(batch, *known->second.bytes)) << "offset " << base;
    }
    at = header->next_offset().value();
    position += header->size_bytes();
  }
}

Task<bool> Workload::observe() {
  if (may_fail_) co_return true;
  std::int64_t end = 0;
  co_await check_site(shard_, site_, model_, model_.end, end);
  EXPECT_EQ(end, model_.end);
  co_return true;
}

Task<bool> Workload::ask_time() {
  const std::int64_t asked = shard_.clock().wall_ms() - static_cast<std::int64_t>(random(20'000));
  const auto found = co_await log().find_time(asked, log().durable_offset());
  if (!found) co_return false;
  // Below what is not compacted, the model knows the answer.
  const std::int64_t start = log().log_start_offset().value();
  for (auto at = model_.records.lower_bound(start); at != model_.records.end(); ++at) {
    if (at->second.timestamp_ms < asked) continue;
    if (!found->has_value()) {
      EXPECT_LT(at->first, model_.attempted_below) << "time " << asked << " is not found";
      break;
    }
    if (start >= model_.attempted_below) EXPECT_LE((*found)->offset.value(), at->first);
    break;
  }
  if (*found) {
    EXPECT_GE((*found)->timestamp_ms, asked);
    EXPECT_GE((*found)->offset.value(), start);
    const auto record = model_.records.find((*found)->offset.value());
    if (record != model_.records.end()) {
      EXPECT_EQ((*found)->timestamp_ms, record->second.timestamp_ms);
    }
  }
  co_return true;
}

Task<bool> Workload::flush() {
  const std::int64_t end = log().log_end_offset().value();
  const Result<void> flushed = co_await log().flush();
  if (!flushed) co_return false;
  EXPECT_EQ(log().failure(), std::nullopt);
  model_.acknowledge(end, true);
  co_return true;
}

Task<bool> Workload::retention(bool alone) {
  const std::int64_t start = log().log_start_offset().value();
  const std::uint64_t size = log().size_bytes();
  const std::int64_t now_ms = shard_.clock().wall_ms();
  model_.coming_start = log().durable_offset().value();
  tell();
  const Result<std::size_t> dropped = co_await log().apply_retention();
  if (!dropped) co_return log().failure().has_value() && may_fail_;
  model_.settle_start(log().log_start_offset().value());
  if (alone) check_retention(start, size, now_ms);
  co_return true;
}

/// What is gone was due, and of what was due no more than one segment is still there.
void Workload::check_retention(std::int64_t start_before, std::uint64_t size_before,
                               std::int64_t now_ms) {
  const LogConfig& config = log().config();
  const std::int64_t start = log().log_start_offset().value();
  if (config.cleanup_compact) return;  // sizes are compaction's
  const bool by_size = config.retention_bytes >= 0;
  if (by_size) {
    const auto most = static_cast<std::uint64_t>(config.retention_bytes);
    if (start > start_before) {
      EXPECT_GE(log().size_bytes(), std::min(size_before, most));
    }
    EXPECT_LT(log().size_bytes(), most + config.segment_bytes);
  }
  if (config.retention_ms < 0) {
    if (!by_size) EXPECT_EQ(start, start_before);
    return;
  }
  for (auto at = model_.batches.lower_bound(start_before);
       at != model_.batches.end() && at->first < start && !by_size; ++at) {
    const auto header = read_batch_header(*at->second.bytes);
    EXPECT_GT(now_ms - header->max_timestamp, config.retention_ms) << "dropped too early";
  }
  std::uint64_t due_bytes = 0;
  for (auto at = model_.batches.lower_bound(start); at != model_.batches.end(); ++at) {
    const auto header = read_batch_header(*at->second.bytes);
    if (now_ms - header->max_timestamp <= config.retention_ms) break;
    due_bytes += at->second.bytes->size();
  }
  EXPECT_LE(due_bytes, 2 * config.segment_bytes) << "records are kept beyond their time";
}

Task<bool> Workload::advance_start() {
  const std::int64_t start = log().log_start_offset().value();
  const std::int64_t end = log().durable_offset().value();
  const Offset to{
      start + static_cast<std::int64_t>(
                  random(static_cast<std::uint64_t>(std::min<std::int64_t>(end - start, 40)) + 1))};
  const auto beyond = co_await log().advance_start(Offset{end + 1});
  if (!log().failure()) EXPECT_FALSE(beyond.has_value());
  model_.coming_start = std::max(model_.coming_start, to.value());
  tell();
  const Result<void> moved = co_await log().advance_start(to);
  if (!moved) co_return false;
  EXPECT_EQ(log().log_start_offset(), std::max(to, Offset{model_.told_start}));
  model_.settle_start(log().log_start_offset().value());
  co_return true;
}

/// Deletions while batches come: every acknowledgement looks at the start that readers are told.
Task<bool> Workload::delete_beside() {
  struct Beside {
    static Task<void> append(Workload& self, bool& appended) {
      for (int i = 0; i < 6 && appended; ++i) {
        appended = co_await self.append();
        self.tell();
        co_await self.shard_.sleep_until(self.shard_.clock().now_ns() + 20'000);
        self.tell();
      }
    }
    static Task<void> drop(Workload& self, bool& dropped) {
      dropped =
          self.random(2) == 0 ? co_await self.advance_start() : co_await self.retention(false);
      self.tell();
    }
  };
  bool appended = true;
  bool dropped = true;
  io::TaskGroup both(shard_);
  both.start(Beside::append(*this, appended));
  both.start(Beside::drop(*this, dropped));
  co_await both.wait();
  co_return appended&& dropped;
}

Task<bool> Workload::compact() {
  const std::uint64_t map_bytes = random(4) == 0 ? 480 : std::uint64_t{1} << 20;
  model_.replicated = log().durable_offset().value();
  const CompactionState state = log().compaction_state(kNoBound);
  model_.note_attempt(state.first_uncleanable.value(), shard_.clock().wall_ms());
  tell();
  Pace pace(shard_, {});
  const Result<CompactionReport> report =
      co_await log().compact(pace, {.map_bytes_max = map_bytes});
  tell();
  if (!report && report.error().code == Errc::overloaded) co_return co_await restart();
  co_return report.has_value();
}

/// As a follower does that diverged: above the high watermark that compaction was told.
Task<bool> Workload::cut() {
  const std::int64_t start = log().log_start_offset().value();
  const std::int64_t low = std::max(start, model_.replicated);
  const std::int64_t end = log().log_end_offset().value();
  if (low >= end) co_return true;
  const std::int64_t at = std::max(
      low, end - static_cast<std::int64_t>(random(static_cast<std::uint64_t>(end - low) + 1)));
  const std::int64_t ends_at = model_.end_when_cut(at);
  if (ends_at < low) co_return true;
  const Result<void> lowered = co_await checkpoint_site(site_, Offset{ends_at});
  if (!lowered) co_return false;
  model_.begin_cut(at);
  tell();
  const Result<void> done = co_await log().truncate_suffix(Offset{at});
  if (!done) co_return false;
  EXPECT_EQ(log().log_end_offset().value(), ends_at);
  model_.settle(ends_at);
  co_return true;
}

}  // namespace keelson::test
