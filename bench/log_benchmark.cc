// One log: appends, reads of what is in memory, and the index, on this machine's own backend.
//
// Appends are relaxed: the bytes reach the file before they are acknowledged, and no drive is
// waited for. 32 are under way at a time. Files are in $KEELSON_TEST_DIR, else /tmp.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/runtime.h"
#include "engine/log/batch_builder.h"
#include "engine/log/log.h"
#include "engine/log/log_context.h"
#include "engine/log/segment_index.h"
#include "tests/support/run_on_runtime.h"
#include "tests/support/temp_dir.h"

namespace keelson::engine::log {
namespace {

const LogIdentity kIdentity{make_uuid(1, 2), 0};
constexpr std::int64_t kAtOnce = 32;
constexpr std::int64_t kBatch = 1024;  // operations for one call into the runtime

void must(bool good) {
  if (!good) std::abort();  // a benchmark of failures would look fast
}

std::vector<std::byte> make_batch(std::size_t value_bytes) {
  BatchBuilder builder;
  const std::string value(value_bytes, 'v');
  builder.add(1'000, std::nullopt, std::as_bytes(std::span(value)));
  return builder.build();
}

/// A log in a directory of its own, on one shard.
struct OpenLog {
  OpenLog() {
    runtime->run(0, [this] { return open(); });
  }
  ~OpenLog() {
    runtime->run(0, [this] { return close(); });
  }
  Task<void> open() {
    context = std::make_unique<LogContext>(runtime->shard(0), LogLimits{.disk_reserve_bytes = 0});
    LogConfig config;
    config.durability = Durability::relaxed;
    Result<std::unique_ptr<Log>> opened =
        co_await Log::open(*context, dir / "log", kIdentity, config, {});
    must(opened.has_value());
    log = std::move(*opened);
  }
  Task<void> close() {
    const Result<void> closed = co_await log->close();
    must(closed.has_value());
    log.reset();
    context.reset();
  }
  Task<void> append_some(const std::vector<std::byte>& batch, std::int64_t count) {
    std::vector<std::byte> bytes = batch;
    for (std::int64_t i = 0; i < count; ++i) {
      const Result<AppendResult> appended = co_await log->append(bytes, LeaderEpoch{0});
      must(appended.has_value());
    }
  }
  Task<void> append(const std::vector<std::byte>& batch, std::int64_t count) {
    io::TaskGroup writers(runtime->shard(0));
    for (std::int64_t i = 0; i < kAtOnce; ++i) writers.start(append_some(batch, count / kAtOnce));
    co_await writers.wait();
  }
  Task<void> read(std::int64_t count) {
    const Offset end = log->log_end_offset();
    for (std::int64_t i = 0; i < count; ++i) {
      const Offset from = end + -(1 + i % 64);
      const Result<ReadResult> read = co_await log->read(from, end, {.bytes_max = 1});
      must(read && !read->batches.empty());
    }
  }

  const test::TempDir dir;
  const std::unique_ptr<io::Runtime> runtime = test::start_runtime({.shards = 1});
  std::unique_ptr<LogContext> context;
  std::unique_ptr<Log> log;
};

void Append(benchmark::State& state) {
  OpenLog open;
  const std::vector<std::byte> batch = make_batch(static_cast<std::size_t>(state.range(0)));
  while (state.KeepRunningBatch(kBatch)) {
    open.runtime->run(0, [&] { return open.append(batch, kBatch); });
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(Append)->Arg(100)->Arg(1 << 10)->Arg(16 << 10)->UseRealTime()->MeasureProcessCPUTime();

void ReadFromMemory(benchmark::State& state) {
  OpenLog open;
  const std::vector<std::byte> batch = make_batch(1'024);
  open.runtime->run(0, [&] { return open.append(batch, kBatch); });
  while (state.KeepRunningBatch(kBatch)) {
    open.runtime->run(0, [&] { return open.read(kBatch); });
  }
}
BENCHMARK(ReadFromMemory)->UseRealTime()->MeasureProcessCPUTime();

/// The sparse index of a segment of so many batches of 16 KiB.
SegmentIndex make_index(std::int64_t batches) {
  SegmentIndex index(Offset{0});
  for (std::int64_t i = 0; i < batches; ++i) {
    index.add({Offset{i * 10}, Offset{i * 10 + 9}, static_cast<std::uint64_t>(i) << 14, 1 << 14,
               1'000 + i});
  }
  return index;
}

void IndexLookup(benchmark::State& state) {
  const SegmentIndex index = make_index(state.range(0));
  std::uint64_t random = 1;
  for (auto _ : state) {
    random = random * 6'364'136'223'846'793'005ULL + 1;
    const auto offset =
        static_cast<std::int64_t>((random >> 33) % static_cast<std::uint64_t>(state.range(0) * 10));
    benchmark::DoNotOptimize(index.floor(Offset{offset}));
  }
}
BENCHMARK(IndexLookup)->Arg(1'000)->Arg(65'536);

void IndexAdd(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(make_index(kBatch));
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(IndexAdd);

}  // namespace
}  // namespace keelson::engine::log

BENCHMARK_MAIN();
