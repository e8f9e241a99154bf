// What a produced batch costs before it is appended. Batches of about 16 KiB (Kafka's default
// batch.size) and of 1 MiB, records of 100 B and 1 KiB, half of whose bytes are random.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <vector>

#include "engine/crc32c.h"
#include "engine/log/batch_builder.h"
#include "engine/log/batch_validation.h"
#include "engine/log/record_reader.h"

namespace keelson::engine::log {
namespace {

constexpr std::int64_t kNow = 1'700'000'000'000;

std::vector<std::byte> make_batch(Codec codec, std::size_t record_bytes, std::size_t plain_bytes) {
  std::mt19937_64 random(1);
  std::vector<std::byte> value(record_bytes);
  BatchBuilder builder(codec);
  while (builder.uncompressed_bytes() + record_bytes <= plain_bytes) {
    for (std::size_t index = 0; index < value.size(); ++index) {
      const std::uint64_t bits = random();
      value[index] = index % 32 < 16 ? static_cast<std::byte>(bits) : std::byte{'a'};
    }
    builder.add(kNow, std::nullopt, value);
  }
  return builder.build();
}

/// Rates count plain bytes, so that codecs compare.
void report(benchmark::State& state, const std::vector<std::byte>& batch, std::size_t plain_bytes,
            std::int32_t records) {
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(plain_bytes));
  state.counters["records/s"] = benchmark::Counter(static_cast<double>(records),
                                                   benchmark::Counter::kIsIterationInvariantRate);
  state.counters["stored_bytes"] = static_cast<double>(batch.size());
}

// Arguments: codec id, record bytes, plain batch bytes.
void validate(benchmark::State& state) {
  const auto plain_bytes = static_cast<std::size_t>(state.range(2));
  std::vector<std::byte> batch = make_batch(static_cast<Codec>(state.range(0)),
                                            static_cast<std::size_t>(state.range(1)), plain_bytes);
  LogConfig config;
  config.max_message_bytes = 2 << 20;
  std::int32_t records = 0;
  for (auto _ : state) {
    const auto valid = validate_batch(batch, config, kNow, BatchOrigin::client);
    if (!valid) {
      state.SkipWithError(valid.error().message.c_str());
      return;
    }
    records = valid->header.record_count;
  }
  report(state, batch, plain_bytes, records);
}

void read_records(benchmark::State& state) {
  const auto plain_bytes = static_cast<std::size_t>(state.range(2));
  const std::vector<std::byte> batch = make_batch(
      static_cast<Codec>(state.range(0)), static_cast<std::size_t>(state.range(1)), plain_bytes);
  std::int32_t records = 0;
  for (auto _ : state) {
    RecordReader reader(batch);
    records = 0;
    while (true) {
      const auto record = reader.next();
      if (!record || !*record) break;
      ++records;
    }
  }
  report(state, batch, plain_bytes, records);
}

void crc(benchmark::State& state) {
  const std::vector<std::byte> bytes(static_cast<std::size_t>(state.range(0)), std::byte{7});
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(bytes));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

constexpr int kNone = static_cast<int>(Codec::none);
constexpr int kGzip = static_cast<int>(Codec::gzip);
constexpr int kSnappy = static_cast<int>(Codec::snappy);
constexpr int kLz4 = static_cast<int>(Codec::lz4);
constexpr int kZstd = static_cast<int>(Codec::zstd);

BENCHMARK(validate)
    ->ArgNames({"codec", "record", "batch"})
    ->ArgsProduct({{kNone, kGzip, kSnappy, kLz4, kZstd}, {100, 1024}, {16 << 10, 1 << 20}});
BENCHMARK(read_records)
    ->ArgNames({"codec", "record", "batch"})
    ->ArgsProduct({{kNone, kLz4, kZstd}, {100, 1024}, {16 << 10}});
BENCHMARK(crc)->Arg(61)->Arg(1 << 10)->Arg(16 << 10)->Arg(1 << 20);

}  // namespace
}  // namespace keelson::engine::log
