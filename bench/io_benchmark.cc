// Round trips through each backend: what one operation costs when nothing else is going on.
//
// Baseline in the same run: the same call made directly, without shard or backend. File benchmarks
// use $KEELSON_TEST_DIR, else /tmp; the numbers mean that file system.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/aligned_buffer.h"
#include "engine/io/awaitables.h"
#include "engine/io/cross_shard.h"
#include "engine/io/file.h"
#include "engine/io/probe.h"
#include "engine/io/runtime.h"
#include "engine/io/sync.h"
#include "tests/support/temp_dir.h"

namespace keelson::engine::io {
namespace {

constexpr std::int64_t kBatch = 256;         // operations for one call into the runtime
constexpr std::size_t kFileBytes = 4 << 20;  // zeroed before it is measured
constexpr std::uint64_t kBlocks = kFileBytes / kBlockBytes;

std::unique_ptr<Runtime> start(benchmark::State& state, std::uint32_t shards) {
  const auto choice = state.range(0) == 0 ? BackendChoice::uring : BackendChoice::threads;
  Result<std::unique_ptr<Runtime>> runtime = Runtime::start({.shards = shards, .backend = choice});
  if (!runtime) {
    state.SkipWithError("this machine has no such backend");
    return nullptr;
  }
  state.SetLabel((*runtime)->info().name);
  return std::move(*runtime);
}

void fill(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const std::vector<char> zeroes(kFileBytes);
  if (::pwrite(fd, zeroes.data(), zeroes.size(), 0) != static_cast<ssize_t>(kFileBytes)) {
    std::perror(path.c_str());
    std::abort();
  }
  ::fdatasync(fd);
  ::close(fd);
}

void must(bool good) {
  if (!good) std::abort();  // a benchmark of failures would look fast
}

Task<void> read_blocks(Shard& shard, std::string path, std::int64_t count) {
  Result<File> file = co_await File::open(shard, path, OpenFlags{});
  must(file.has_value());
  std::vector<std::byte> block(kBlockBytes);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t position = static_cast<std::uint64_t>(i) % kBlocks * kBlockBytes;
    const Result<std::size_t> read = co_await file->read_at(position, block);
    must(read == kBlockBytes);
  }
}

void ReadCached4K(benchmark::State& state) {
  const auto runtime = start(state, 1);
  if (runtime == nullptr) return;
  const test::TempDir dir;
  fill(dir / "file");
  while (state.KeepRunningBatch(kBatch)) {
    runtime->run(0, [&] { return read_blocks(runtime->shard(0), dir / "file", kBatch); });
  }
}
BENCHMARK(ReadCached4K)->Arg(0)->Arg(1)->UseRealTime();

void ReadCached4KDirectly(benchmark::State& state) {
  const test::TempDir dir;
  fill(dir / "file");
  const int fd = ::open((dir / "file").c_str(), O_RDONLY | O_CLOEXEC);
  std::vector<char> block(kBlockBytes);
  std::uint64_t i = 0;
  for (auto _ : state) {
    const auto position = static_cast<off_t>(i++ % kBlocks * kBlockBytes);
    must(::pread(fd, block.data(), block.size(), position) == kBlockBytes);
  }
  ::close(fd);
}
BENCHMARK(ReadCached4KDirectly)->UseRealTime();

Task<void> write_blocks(Shard& shard, std::string path, std::int64_t count) {
  Result<File> file =
      co_await File::open(shard, path, {.write = true, .create = true, .direct = true});
  must(file.has_value());
  AlignedBuffer block(kBlockBytes);
  std::memset(block.data(), 0x5a, kBlockBytes);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t position = static_cast<std::uint64_t>(i) % kBlocks * kBlockBytes;
    const Result<void> written = co_await file->write_at(position, block.bytes(), true);
    must(written.has_value());
  }
}

void WriteDurable4K(benchmark::State& state) {
  const auto runtime = start(state, 1);
  if (runtime == nullptr) return;
  const test::TempDir dir;
  if (!probe_direct_io(dir.path()).supported) return state.SkipWithError("no O_DIRECT");
  fill(dir / "file");
  while (state.KeepRunningBatch(kBatch)) {
    runtime->run(0, [&] { return write_blocks(runtime->shard(0), dir / "file", kBatch); });
  }
}
BENCHMARK(WriteDurable4K)->Arg(0)->Arg(1)->UseRealTime();

Task<bool> transfer(Shard& shard, OpCode code, int fd, std::byte& byte) {
  const iovec buffer{&byte, 1};
  IoAwaiter operation{shard};
  operation.code = code;
  operation.fd = fd;
  operation.buffers = &buffer;
  operation.buffer_count = 1;
  const std::int64_t result = co_await operation;
  co_return result == 1;
}

Task<std::int64_t> connection_step(Shard& shard, OpCode code, int fd) {
  IoAwaiter operation{shard};
  operation.code = code;
  operation.fd = fd;
  co_return co_await operation;
}

Task<void> answer(Shard& shard, int listener, std::int64_t count) {
  const std::int64_t accepted = co_await connection_step(shard, OpCode::accept, listener);
  must(accepted >= 0);
  const int fd = static_cast<int>(accepted);
  std::byte byte{};
  for (std::int64_t i = 0; i < count; ++i) {
    const bool received = co_await transfer(shard, OpCode::receive, fd, byte);
    const bool sent = co_await transfer(shard, OpCode::send, fd, byte);
    must(received && sent);
  }
  shard.backend().close(fd);
}

Task<void> ask(Shard& shard, Endpoint endpoint, std::int64_t count) {
  const Result<int> fd = shard.backend().connect_socket(endpoint);
  must(fd.has_value());
  const std::int64_t connected = co_await connection_step(shard, OpCode::connect, *fd);
  must(connected == 0);
  std::byte byte{};
  for (std::int64_t i = 0; i < count; ++i) {
    const bool sent = co_await transfer(shard, OpCode::send, *fd, byte);
    const bool received = co_await transfer(shard, OpCode::receive, *fd, byte);
    must(sent && received);
  }
  shard.backend().close(*fd);
}

Task<void> ping_pong(Shard& client, Shard& server, std::int64_t count) {
  Endpoint endpoint{"127.0.0.1", 0};
  const Result<int> listener = server.backend().listen(endpoint, 4);  // a plain syscall
  must(listener.has_value());
  TaskGroup both(client);
  both.start(call_on(client, server,
                     [&server, fd = *listener, count] { return answer(server, fd, count); }));
  both.start(ask(client, endpoint, count));
  co_await both.wait();
  server.backend().close(*listener);
}

/// One byte there and back: both ends on one shard, or each on its own.
void TcpPingPong(benchmark::State& state) {
  const auto shards = static_cast<std::uint32_t>(state.range(1));
  const auto runtime = start(state, shards);
  if (runtime == nullptr) return;
  while (state.KeepRunningBatch(kBatch)) {
    runtime->run(0,
                 [&] { return ping_pong(runtime->shard(0), runtime->shard(shards - 1), kBatch); });
  }
}
BENCHMARK(TcpPingPong)->ArgsProduct({{0, 1}, {1, 2}})->UseRealTime();

Task<int> nothing() { co_return 1; }

Task<void> call_often(Shard& home, Shard& target, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const int answered = co_await call_on(home, target, [] { return nothing(); });
    must(answered == 1);
  }
}

/// One call at a time, so that both shards fall asleep between: the dearest case.
void CallOnAnotherShard(benchmark::State& state) {
  const auto runtime = start(state, 2);
  if (runtime == nullptr) return;
  while (state.KeepRunningBatch(kBatch)) {
    runtime->run(0, [&] { return call_often(runtime->shard(0), runtime->shard(1), kBatch); });
  }
}
BENCHMARK(CallOnAnotherShard)->Arg(0)->Arg(1)->UseRealTime();

}  // namespace
}  // namespace keelson::engine::io

BENCHMARK_MAIN();
