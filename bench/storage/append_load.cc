// bench/storage/append_load.cc: appends to logs of the engine alone; prints a line of JSON for
// each run.
//
//   append_load --dir DIR --run SIZE:DEPTH:BYTES… [--logs N] [--relaxed] [--backend B]
//               [--segment BYTES --steady]
//
// One shard. DEPTH appends are under way at any time, spread over the logs; each is a batch of
// SIZE bytes, BYTES in all. Space is prepared as in the broker, within the measured time. --steady:
// the logs are first filled up to their retention limit, and what is measured is appended at that
// limit.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "bench/histogram.h"
#include "engine/io/runtime.h"
#include "engine/io/sync.h"
#include "engine/log/batch_builder.h"
#include "engine/log/log.h"
#include "engine/log/log_context.h"

namespace keelson::bench {
namespace {

using engine::Task;
using engine::io::Shard;
using engine::log::Log;

struct Pattern {
  std::size_t size = 0;
  std::size_t depth = 0;
  std::uint64_t bytes = 0;
};

struct Options {
  std::string dir;
  std::vector<Pattern> patterns;
  std::size_t logs = 1;
  std::uint64_t segment_bytes = std::uint64_t{1} << 30;
  bool relaxed = false;
  bool steady = false;
  std::string backend = "auto";
};

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "append_load: %s\n", why.c_str());
  std::exit(1);
}

template <class T>
T must(engine::Result<T> result, const char* what) {
  if (!result) {
    die(std::string(what) + ": " + std::string(engine::to_string(result.error().code)) +
        ", errno " + std::to_string(result.error().sys_errno));
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// A batch of one record, `size` bytes in all.
std::vector<std::byte> make_batch(std::size_t size) {
  std::size_t value_bytes = size > 100 ? size - 100 : 1;
  while (true) {
    std::vector<std::byte> value(value_bytes);
    for (std::size_t i = 0; i < value.size(); ++i) value[i] = static_cast<std::byte>(i * 131);
    engine::log::BatchBuilder builder;
    builder.add(1, std::nullopt, value);
    std::vector<std::byte> batch = builder.build();
    if (batch.size() >= size) return batch;
    value_bytes += size - batch.size();
  }
}

struct Run {
  Shard& shard;
  std::uint64_t left;  // appends not begun yet
  Histogram latency;
  std::uint64_t done = 0;
};

Task<void> append_until_done(Run& run, Log& log, std::vector<std::byte> batch) {
  while (run.left > 0) {
    --run.left;
    const std::int64_t begun_ns = run.shard.clock().now_ns();
    must(co_await log.append(batch, engine::LeaderEpoch{0}), "append");
    run.latency.add(run.shard.clock().now_ns() - begun_ns);
    ++run.done;
  }
}

constexpr std::uint64_t kSegmentsKept = 1;

/// Appends until files of dropped segments are used again.
Task<void> fill(Log& log, const Options& options) {
  const std::vector<std::byte> batch = make_batch(std::size_t{256} << 10);
  const std::uint64_t count = options.segment_bytes * (kSegmentsKept + 3) / batch.size();
  for (std::uint64_t i = 0; i < count; ++i) {
    std::vector<std::byte> next = batch;
    must(co_await log.append(next, engine::LeaderEpoch{0}), "append");
  }
}

using Logs = std::vector<std::unique_ptr<Log>>;

Task<void> measure(Shard& shard, Logs& logs, Pattern pattern) {
  const std::vector<std::byte> batch = make_batch(pattern.size);
  // A log's first append makes its segment: not what is measured. It is a little larger, so that
  // the others do not end on blocks, as a client's batches do not either.
  for (const std::unique_ptr<Log>& log : logs) {
    std::vector<std::byte> first = make_batch(pattern.size + 700);
    must(co_await log->append(first, engine::LeaderEpoch{0}), "append");
  }
  Run run{.shard = shard, .left = std::max<std::uint64_t>(1, pattern.bytes / batch.size())};
  const std::int64_t start_ns = shard.clock().now_ns();
  engine::io::TaskGroup group(shard);
  for (std::size_t i = 0; i < std::max(pattern.depth, logs.size()); ++i) {
    group.start(append_until_done(run, *logs[i % logs.size()], batch));
  }
  co_await group.wait();
  const double seconds = static_cast<double>(shard.clock().now_ns() - start_ns) / 1e9;
  const double bytes = static_cast<double>(run.done * batch.size());
  std::printf(
      "{\"appends\": %llu, \"seconds\": %.6f, \"per_s\": %.1f, \"mb_per_s\": %.3f, "
      "\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f}\n",
      static_cast<unsigned long long>(run.done), seconds, static_cast<double>(run.done) / seconds,
      bytes / seconds / 1e6, static_cast<double>(run.latency.percentile(0.5)) / 1e3,
      static_cast<double>(run.latency.percentile(0.99)) / 1e3,
      static_cast<double>(run.latency.percentile(0.999)) / 1e3);
}

Task<int> run_all(Shard& shard, const Options& options) {
  engine::log::LogContext context(shard, {.retain_at_roll = options.steady});
  engine::log::LogConfig config;
  if (options.relaxed) config.durability = engine::log::Durability::relaxed;
  config.segment_bytes = options.segment_bytes;
  config.file_delete_delay_ms = 100;
  if (options.steady) {
    config.retention_bytes = static_cast<std::int64_t>(options.segment_bytes * kSegmentsKept);
  }
  Logs logs;
  for (std::size_t i = 0; i < options.logs; ++i) {
    engine::log::LogIdentity identity;
    identity.id.bytes[15] = static_cast<std::byte>(i + 1);
    identity.partition = static_cast<std::int32_t>(i);
    engine::Result<std::unique_ptr<Log>> opened = co_await Log::open(
        context, options.dir + "/bench-" + std::to_string(i), identity, config, {});
    logs.push_back(must(std::move(opened), "open"));
  }
  if (options.steady) {
    for (const std::unique_ptr<Log>& log : logs) co_await fill(*log, options);
    co_await shard.sleep_for_ms(300);
  }
  for (const Pattern& pattern : options.patterns) co_await measure(shard, logs, pattern);
  for (const std::unique_ptr<Log>& log : logs) must(co_await log->close(), "close");
  co_return 0;
}

/// "SIZE:DEPTH:BYTES".
Pattern parse_pattern(const std::string& text) {
  unsigned long long size = 0;
  unsigned long long depth = 0;
  unsigned long long bytes = 0;
  char rest = 0;
  const int found = std::sscanf(text.c_str(), "%llu:%llu:%llu%c", &size, &depth, &bytes, &rest);
  if (found != 3 || size == 0 || depth == 0) die("not SIZE:DEPTH:BYTES: " + text);
  return {.size = size, .depth = depth, .bytes = bytes};
}

}  // namespace
}  // namespace keelson::bench

int main(int argc, char** argv) {
  using namespace keelson;
  bench::Options options;
  std::vector<std::string> patterns;
  CLI::App app("Appends to logs of the engine alone.");
  app.add_option("--dir", options.dir)->required()->check(CLI::ExistingDirectory);
  app.add_option("--run", patterns, "SIZE:DEPTH:BYTES, in turn on the same logs")->required();
  app.add_option("--logs", options.logs)->check(CLI::PositiveNumber);
  app.add_flag("--relaxed", options.relaxed);
  app.add_option("--segment", options.segment_bytes, "segment.bytes");
  app.add_flag("--steady", options.steady, "at the retention limit");
  app.add_option("--backend", options.backend)->check(CLI::IsMember({"auto", "uring", "threads"}));
  CLI11_PARSE(app, argc, argv);
  for (const std::string& pattern : patterns) {
    options.patterns.push_back(bench::parse_pattern(pattern));
  }
  engine::io::RuntimeOptions runtime_options;
  runtime_options.data_dir_for_probe = options.dir;
  if (options.backend == "uring") runtime_options.backend = engine::io::BackendChoice::uring;
  if (options.backend == "threads") runtime_options.backend = engine::io::BackendChoice::threads;
  auto runtime = engine::io::Runtime::start(std::move(runtime_options));
  if (!runtime) bench::die("the runtime does not start");
  return (*runtime)->run(0, [&] { return bench::run_all((*runtime)->shard(0), options); });
}
