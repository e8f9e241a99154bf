// engine/io/runtime.h: starts the shards of a process and lets ordinary threads call into them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "engine/io/backend.h"
#include "engine/io/cross_shard.h"
#include "engine/io/shard.h"
#include "engine/logger.h"
#include "engine/task.h"

namespace keelson::engine::io {

enum class BackendChoice : std::uint8_t {
  automatic,  // uring where it works, else threads with the reason in BackendInfo
  uring,      // or no start
  threads,
};

struct RuntimeOptions {
  std::uint32_t shards = 1;  // at least 1
  BackendChoice backend = BackendChoice::automatic;
  bool pin = false;  // shard i to the i-th processor this process may use, round robin
  /// Where the data will be: direct I/O alignment and the commit primitive are measured there.
  /// Empty: 4096 bytes and RWF_DSYNC, unmeasured.
  std::string data_dir_for_probe;
  std::size_t file_threads_per_shard = 4;  // threads backend: helpers for files, as needed
  Logger* logger = nullptr;                // outlives the runtime; null drops the lines
};

namespace detail {

/// A thread that waits for a shard. Lives on that thread's stack.
class Handover {
 public:
  void wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return is_done_; });
  }
  void finish() {
    // Notified under the lock: the waiter frees this as soon as it can take it.
    const std::scoped_lock lock(mutex_);
    is_done_ = true;
    done_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  bool is_done_ = false;
};

template <class R, class F>
struct BlockingCall : ShardMessage {
  BlockingCall(Shard& shard, F& function) : shard(shard), function(function) {}

  static Task<void> work(BlockingCall& call) {
    if constexpr (std::is_void_v<R>) {
      co_await call.function();
    } else {
      Task<R> task = call.function();
      call.value.emplace(co_await task);
    }
    call.handover.finish();
  }

  struct Nothing {};
  Shard& shard;
  F& function;
  Handover handover;
  [[no_unique_address]] std::conditional_t<std::is_void_v<R>, Nothing, std::optional<R>> value;
};

}  // namespace detail

/// N shards, each on a thread and backend of its own, connected as a group. All methods are for
/// threads that are not shards, any number of them at once, save stop().
class Runtime {
 public:
  /// Returns when every shard runs. Starts nothing where it fails.
  /// Errors: unsupported where `backend` is uring and the machine has none, with its errno (see
  ///         probe_uring() for the reason in words); io where descriptors or threads ran out;
  ///         invalid_argument for no shards.
  [[nodiscard]] static Result<std::unique_ptr<Runtime>> start(RuntimeOptions options);
  Runtime(const Runtime&) = delete;
  ~Runtime();  // stop()

  std::uint32_t size() const { return group_.size(); }
  /// For handing to tasks; only `index`, `count` and call_on() are of use elsewhere.
  Shard& shard(std::uint32_t index) { return group_.at(index); }
  ShardGroup& group() { return group_; }
  const BackendInfo& info() const { return info_; }

  /// Runs `function()`, which returns a Task<R>, on a shard and waits for its end. `function` and
  /// what it refers to stay valid for that long, so a capturing lambda that calls a coroutine
  /// is fine here (one that is a coroutine too). Not after stop().
  template <class F, class R = typename detail::TaskResult<std::invoke_result_t<F&>>::type>
  R run(std::uint32_t shard_index, F&& function) {
    detail::BlockingCall<R, std::remove_reference_t<F>> call{shard(shard_index), function};
    post(call);
    call.handover.wait();
    if constexpr (!std::is_void_v<R>) return std::move(*call.value);
  }

  /// Lets every shard end once it has no task, and waits for that. Whoever owns long-running tasks
  /// ends them first. Idempotent; one thread.
  void stop();

 private:
  class Member;  // one shard's thread and what it is made of

  Runtime() = default;
  template <class R, class F>
  void post(detail::BlockingCall<R, F>& call) {
    call.deliver = [](ShardMessage& self) {
      auto& delivered = static_cast<detail::BlockingCall<R, F>&>(self);
      delivered.shard.spawn(detail::BlockingCall<R, F>::work(delivered));
    };
    refuse_on_a_shard();
    call.shard.inbox().post(call);
  }
  /// Asserts: a shard that waits for a shard blocks its own work, and itself for ever.
  void refuse_on_a_shard() const;

  BackendInfo info_;
  ShardGroup group_;
  std::vector<std::unique_ptr<Member>> members_;
  bool stopped_ = false;
};

}  // namespace keelson::engine::io
