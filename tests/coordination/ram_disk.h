// tests/coordination/ram_disk.h: one shard whose files are strings, for tests that cut and flip.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/backend.h"
#include "engine/io/shard.h"

namespace keelson::test {

/// Completes everything in the next poll(), in order. A failing operation is chosen by number.
class RamDisk final : public engine::io::Backend {
 public:
  std::map<std::string, std::shared_ptr<std::string>> files;

  std::uint64_t changes = 0;                 // operations that change something, so far
  std::optional<std::uint64_t> fail_change;  // the one with this number fails, once...
  bool fail_for_good = false;                // ...or so do all after it
  int fail_errno = EIO;
  std::size_t torn_bytes = 0;  // of the failing write, this much is done

  const engine::io::BackendInfo& info() const override { return info_; }
  void submit(engine::io::Operation& operation) override { operations_.push_back(&operation); }
  void submit(engine::io::FsOperation& operation) override { fs_.push_back(&operation); }
  void cancel(engine::io::Operation&) override {}
  std::size_t poll(std::optional<std::int64_t>) override {
    std::size_t count = 0;
    for (auto now = std::exchange(operations_, {}); auto* operation : now) {
      operation->result = run(*operation);
      operation->on_complete(*operation);
      ++count;
    }
    for (auto now = std::exchange(fs_, {}); auto* operation : now) {
      operation->result = run(*operation);
      operation->on_complete(*operation);
      ++count;
    }
    return count;
  }
  void wake() override {}
  void close(int fd) override { open_.erase(fd); }
  void shutdown(int) override {}
  engine::Result<int> listen(engine::io::Endpoint&, int) override {
    return engine::fail(engine::Errc::unsupported);
  }
  engine::Result<int> connect_socket(const engine::io::Endpoint&) override {
    return engine::fail(engine::Errc::unsupported);
  }
  engine::Result<engine::io::Endpoint> peer(int) override {
    return engine::fail(engine::Errc::unsupported);
  }

 private:
  bool failing() {
    const std::uint64_t number = changes++;
    return fail_change && (number == *fail_change || (fail_for_good && number > *fail_change));
  }

  std::int64_t run(engine::io::Operation& operation) {
    std::string& content = *open_.at(operation.fd);
    if (operation.code == engine::io::OpCode::sync_data) return failing() ? -fail_errno : 0;
    const iovec& buffer = operation.buffers[0];
    if (operation.code == engine::io::OpCode::read) {
      if (operation.position_bytes >= content.size()) return 0;
      const std::size_t bytes =
          std::min<std::size_t>(buffer.iov_len, content.size() - operation.position_bytes);
      std::memcpy(buffer.iov_base, content.data() + operation.position_bytes, bytes);
      return static_cast<std::int64_t>(bytes);
    }
    const bool fails = failing();
    const std::size_t bytes = fails ? std::min(torn_bytes, buffer.iov_len) : buffer.iov_len;
    if (bytes > 0) {
      if (content.size() < operation.position_bytes + bytes) {
        content.resize(operation.position_bytes + bytes);
      }
      std::memcpy(content.data() + operation.position_bytes, buffer.iov_base, bytes);
    }
    return fails ? -fail_errno : static_cast<std::int64_t>(bytes);
  }

  std::int64_t run(engine::io::FsOperation& operation) {
    using engine::io::FsCode;
    const auto found = files.find(operation.path);
    switch (operation.code) {
      case FsCode::open: {
        if (found == files.end() && !operation.flags.create) return -ENOENT;
        if (operation.flags.create && failing()) return -fail_errno;
        std::shared_ptr<std::string>& file = files[operation.path];
        if (file == nullptr) file = std::make_shared<std::string>();
        if (operation.flags.truncate) file->clear();
        open_[++last_fd_] = file;
        return last_fd_;
      }
      case FsCode::read_file:
        if (found == files.end()) return -ENOENT;
        if (found->second->size() > operation.size_bytes) return -EFBIG;
        operation.content = *found->second;
        return 0;
      case FsCode::stat:
        if (found == files.end()) return -ENOENT;
        operation.stat.size_bytes = found->second->size();
        return 0;
      case FsCode::unlink:
        if (found == files.end()) return -ENOENT;
        if (failing()) return -fail_errno;
        files.erase(found);
        return 0;
      case FsCode::rename:
        if (found == files.end()) return -ENOENT;
        if (failing()) return -fail_errno;
        files[operation.other_path] = found->second;
        files.erase(operation.path);
        return 0;
      case FsCode::truncate:
        if (failing()) return -fail_errno;
        open_.at(operation.fd)->resize(operation.size_bytes);
        return 0;
      case FsCode::sync_dir: return failing() ? -fail_errno : 0;
      default: return -ENOSYS;
    }
  }

  const engine::io::BackendInfo info_{.name = "ram", .reason = "a test"};
  std::vector<engine::io::Operation*> operations_;
  std::vector<engine::io::FsOperation*> fs_;
  std::map<int, std::shared_ptr<std::string>> open_;
  int last_fd_ = 0;
};

class StillClock final : public engine::io::Clock {
 public:
  std::int64_t now_ns() const override { return now; }
  std::int64_t wall_ms() const override { return now / 1'000'000; }
  std::int64_t now = 1;
};

class SeededRng final : public engine::io::Rng {
 public:
  explicit SeededRng(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t next() override { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

class KeepingLogger final : public engine::Logger {
 public:
  void write(engine::LogLevel level, std::string_view, std::string_view line) override {
    if (level >= engine::LogLevel::warning) lines += std::string(line) + "\n";
  }
  bool enabled(engine::LogLevel) const override { return true; }
  std::string lines;
};

/// A shard on a RamDisk. run() drives it until the task has ended; time passes only when nothing
/// else is to be done.
struct RamShard {
  explicit RamShard(std::uint64_t seed = 1) : rng(seed) {}

  template <class T>
  T run(engine::Task<T> task) {
    std::optional<T> result;
    shard.spawn(keep(std::move(task), result));
    drive([&] { return result.has_value(); });
    return std::move(*result);
  }
  void run(engine::Task<void> task) {
    bool done = false;
    shard.spawn(keep_void(std::move(task), done));
    drive([&] { return done; });
  }
  /// Until no spawned task is left.
  void settle() {
    drive([&] { return shard.live_tasks() == 0; });
  }

  RamDisk disk;
  StillClock clock;
  SeededRng rng;
  KeepingLogger logger;
  engine::io::Shard shard{0, 1, {disk, clock, rng, logger}};

 private:
  template <class T>
  static engine::Task<void> keep(engine::Task<T> task, std::optional<T>& result) {
    result.emplace(co_await task);
  }
  static engine::Task<void> keep_void(engine::Task<void> task, bool& done) {
    co_await task;
    done = true;
  }
  template <class Done>
  void drive(Done done) {
    while (!done()) {
      const bool turned = shard.turn();
      const bool polled = disk.poll(0) > 0;
      if (turned || polled) continue;
      const std::optional<std::int64_t> next = shard.next_deadline_ns();
      if (!next) std::abort();  // nothing will ever happen
      clock.now = std::max(clock.now, *next);
    }
  }
};

}  // namespace keelson::test
