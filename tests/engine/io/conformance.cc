#include "tests/engine/io/conformance.h"

#include <cstring>
#include <optional>
#include <utility>

#include "engine/io/awaitables.h"
#include "engine/io/posix/clock.h"
#include "engine/io/posix/rng.h"
#include "engine/io/probe.h"
#include "engine/io/sim/sim_world.h"
#include "engine/io/threads/threads_backend.h"
#include "engine/io/uring/uring_backend.h"
#include "tests/support/temp_dir.h"

namespace keelson::engine::io {
namespace {

/// A shard that runs on the test's own thread.
class NativeBed final : public TestBed {
 public:
  explicit NativeBed(CommitPrimitive commit) { info_.commit = commit; }

  bool use(Result<std::unique_ptr<Backend>> made, std::string& skip_reason) {
    if (!made) {
      skip_reason = "errno " + std::to_string(made.error().sys_errno);
      return false;
    }
    backend_ = std::move(*made);
    shard_.emplace(0, 1, ShardParts{*backend_, clock_, rng_, logger_});
    return true;
  }

  Shard& shard() override { return *shard_; }
  std::string directory() override { return dir_.path(); }
  void run(Task<void> task) override {
    shard_->spawn(std::move(task));
    shard_->request_stop();
    shard_->run();
  }
  bool is_native() const override { return true; }

  const Clock& clock() const { return clock_; }
  const BackendInfo& info() const { return info_; }

 private:
  test::TempDir dir_;
  PosixClock clock_;
  SystemRng rng_;
  NullLogger logger_;
  BackendInfo info_;
  std::unique_ptr<Backend> backend_;
  std::optional<Shard> shard_;
};

std::unique_ptr<TestBed> make_uring(CommitPrimitive commit, std::string& skip_reason) {
  const UringProbe probe = probe_uring();
  if (!probe.available) {
    skip_reason = probe.reason;
    return nullptr;
  }
  auto bed = std::make_unique<NativeBed>(commit);
  if (!bed->use(UringBackend::create(bed->clock(), bed->info()), skip_reason)) return nullptr;
  return bed;
}

std::unique_ptr<TestBed> make_threads(CommitPrimitive commit, std::string& skip_reason) {
  auto bed = std::make_unique<NativeBed>(commit);
  if (!bed->use(ThreadsBackend::create(bed->clock(), bed->info()), skip_reason)) return nullptr;
  return bed;
}

/// The shard of a world's only machine.
class SimBed final : public TestBed {
 public:
  SimBed() { node_.disk().put("/tmp/bed/.keep", ""); }

  Shard& shard() override { return node_.shard(); }
  std::string directory() override { return "/tmp/bed"; }
  void run(Task<void> task) override {
    constexpr std::int64_t kHourNs = 3'600'000'000'000;
    shard().spawn(std::move(task));
    EXPECT_TRUE(
        world_.run_until([&] { return shard().live_tasks() == 0; }, world_.now_ns() + kHourNs));
  }
  bool is_native() const override { return false; }

 private:
  SimWorld world_{testing::UnitTest::GetInstance()->random_seed() + 1u};
  SimNode& node_ = world_.start_node("only");
};

}  // namespace

std::vector<BackendSource> backend_sources() {
  constexpr auto kDsync = CommitPrimitive::write_dsync;
  constexpr auto kThenSync = CommitPrimitive::write_then_sync;
  return {
      {"uring", [](std::string& reason) { return make_uring(kDsync, reason); }},
      {"uring_write_then_sync", [](std::string& reason) { return make_uring(kThenSync, reason); }},
      {"threads", [](std::string& reason) { return make_threads(kDsync, reason); }},
      {"threads_write_then_sync",
       [](std::string& reason) { return make_threads(kThenSync, reason); }},
      {"sim", [](std::string&) { return std::make_unique<SimBed>(); }},
  };
}

Task<std::int64_t> read_once(Shard& shard, int fd, std::uint64_t position, MutableBytes into) {
  const iovec buffer{into.data(), into.size()};
  IoAwaiter operation{shard};
  operation.code = OpCode::read;
  operation.fd = fd;
  operation.buffers = &buffer;
  operation.buffer_count = 1;
  operation.position_bytes = position;
  co_return co_await operation;
}

Task<std::int64_t> write_once(Shard& shard, int fd, std::uint64_t position, Bytes bytes,
                              bool durable) {
  const iovec buffer{const_cast<std::byte*>(bytes.data()), bytes.size()};
  IoAwaiter operation{shard};
  operation.code = OpCode::write;
  operation.durable = durable;
  operation.fd = fd;
  operation.buffers = &buffer;
  operation.buffer_count = 1;
  operation.position_bytes = position;
  co_return co_await operation;
}

Task<std::int64_t> accept_once(Shard& shard, int listener) {
  IoAwaiter operation{shard};
  operation.code = OpCode::accept;
  operation.fd = listener;
  co_return co_await operation;
}

Task<std::int64_t> connect_once(Shard& shard, int fd) {
  IoAwaiter operation{shard};
  operation.code = OpCode::connect;
  operation.fd = fd;
  co_return co_await operation;
}

namespace {

Task<std::int64_t> transfer_once(Shard& shard, OpCode code, int fd, iovec buffer) {
  IoAwaiter operation{shard};
  operation.code = code;
  operation.fd = fd;
  operation.buffers = &buffer;
  operation.buffer_count = 1;
  co_return co_await operation;
}

Task<void> accept_into(Shard& shard, int listener, int& server) {
  const std::int64_t accepted = co_await accept_once(shard, listener);
  server = static_cast<int>(accepted);
}

}  // namespace

Task<std::int64_t> receive_once(Shard& shard, int fd, MutableBytes into) {
  return transfer_once(shard, OpCode::receive, fd, {into.data(), into.size()});
}

Task<std::int64_t> send_once(Shard& shard, int fd, Bytes bytes) {
  return transfer_once(shard, OpCode::send, fd,
                       {const_cast<std::byte*>(bytes.data()), bytes.size()});
}

Task<std::int64_t> fs_once(Shard& shard, FsCode code, std::string path, std::string other) {
  FsAwaiter operation{shard};
  operation.code = code;
  operation.path = std::move(path);
  operation.other_path = std::move(other);
  co_return co_await operation;
}

Task<Connection> connect_pair(Shard& shard) {
  Connection connection;
  Endpoint endpoint{"127.0.0.1", 0};
  const Result<int> listener = shard.backend().listen(endpoint, 16);
  if (!listener) co_return connection;
  const Result<int> client = shard.backend().connect_socket(endpoint);
  if (client) {
    Task<std::int64_t> connecting = connect_once(shard, *client);
    const std::int64_t connected = co_await connecting;
    if (connected == 0) connection.client = *client;
    // The handshake is the kernel's: the connection waits in the backlog.
    co_await accept_into(shard, *listener, connection.server);
  }
  shard.backend().close(*listener);
  co_return connection;
}

std::vector<std::byte> pattern(std::size_t bytes, std::uint64_t seed) {
  std::vector<std::byte> result(bytes);
  for (std::size_t i = 0; i < bytes; i += 8) {
    const std::uint64_t word = (seed + i + 1) * 0x9e3779b97f4a7c15ULL;
    std::memcpy(result.data() + i, &word, std::min<std::size_t>(8, bytes - i));
  }
  return result;
}

}  // namespace keelson::engine::io
