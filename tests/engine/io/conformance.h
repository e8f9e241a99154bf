// tests/engine/io/conformance.h: what every backend is put through, and where backends come from.
//
// A backend joins the suite with one more entry in backend_sources() (conformance.cc).
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "engine/io/backend.h"
#include "engine/io/shard.h"
#include "engine/task.h"
#include "engine/types.h"

// ASSERT_* returns, which a coroutine cannot.
#define CO_ASSERT(condition)                    \
  do {                                          \
    if (!(condition)) {                         \
      ADD_FAILURE() << "not true: " #condition; \
      co_return;                                \
    }                                           \
  } while (false)

namespace keelson::engine::io {

/// One shard on one backend, for one test.
class TestBed {
 public:
  virtual ~TestBed() = default;
  virtual Shard& shard() = 0;
  /// An empty directory that the backend's metadata operations can use.
  virtual std::string directory() = 0;
  /// Runs `task` and what it spawned to the end.
  virtual void run(Task<void> task) = 0;
  /// False where time, threads or sockets are simulated: tests of real ones are skipped.
  virtual bool is_native() const = 0;
};

struct BackendSource {
  std::string name;
  /// Null, with the reason, where this machine has no such backend.
  std::function<std::unique_ptr<TestBed>(std::string& skip_reason)> make;

  friend std::ostream& operator<<(std::ostream& out, const BackendSource& source) {
    return out << source.name;
  }
};

std::vector<BackendSource> backend_sources();

class Conformance : public testing::TestWithParam<BackendSource> {
 protected:
  void SetUp() override {
    std::string reason;
    bed_ = GetParam().make(reason);
    if (bed_ == nullptr) GTEST_SKIP() << reason;
  }
  Shard& shard() { return bed_->shard(); }
  std::string path(const std::string& name) { return bed_->directory() + "/" + name; }

  std::unique_ptr<TestBed> bed_;
};

// One operation each: the result, or -errno.
Task<std::int64_t> read_once(Shard& shard, int fd, std::uint64_t position, MutableBytes into);
Task<std::int64_t> write_once(Shard& shard, int fd, std::uint64_t position, Bytes bytes,
                              bool durable);
Task<std::int64_t> accept_once(Shard& shard, int listener);
Task<std::int64_t> connect_once(Shard& shard, int fd);
Task<std::int64_t> receive_once(Shard& shard, int fd, MutableBytes into);
Task<std::int64_t> send_once(Shard& shard, int fd, Bytes bytes);
Task<std::int64_t> fs_once(Shard& shard, FsCode code, std::string path, std::string other = {});

/// Both ends of a TCP connection, and its listener, which is closed already.
struct Connection {
  int client = -1;
  int server = -1;
};
Task<Connection> connect_pair(Shard& shard);

/// Bytes that depend on their position, so that a shifted or repeated block shows.
std::vector<std::byte> pattern(std::size_t bytes, std::uint64_t seed);

}  // namespace keelson::engine::io
