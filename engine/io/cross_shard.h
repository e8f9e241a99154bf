// engine/io/cross_shard.h: a request hops to another shard once and comes back once.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/io/shard.h"
#include "engine/task.h"

namespace keelson::engine::io {

/// A note from one shard to another; lives in the frame of the coroutine that waits for the answer.
struct ShardMessage {
  void (*deliver)(ShardMessage& self) = nullptr;  // on the receiving shard
  ShardMessage* next = nullptr;
};

/// The shards of one process (or simulated node), so that each can find the others.
/// Filled before any of them runs; constant afterwards. Outlives their run().
class ShardGroup {
 public:
  void add(Shard& shard) { shards_.push_back(&shard); }
  /// Tells the shards of each other. Call once, after the last add().
  void connect();
  Shard& at(std::uint32_t index) const { return *shards_[index]; }
  std::uint32_t size() const { return static_cast<std::uint32_t>(shards_.size()); }

  // For Shard::run(): how many were told to stop and have no task. A shard with a request under way
  // has a task, so once the count is size() nothing is under way anywhere and it stays there.
  void became_quiet(Shard& shard);
  void became_busy() { quiet_count_.fetch_sub(1); }
  bool all_quiet() const { return quiet_count_.load() == shards_.size(); }

 private:
  std::vector<Shard*> shards_;
  std::atomic<std::size_t> quiet_count_{0};
};

/// What other shards sent to this one: requests, and answers to its own.
///
/// Many producers, one consumer, lock-free, nothing allocated: a message is linked where it lies,
/// in the frame of the caller that waits for it. So there is always room for an answer, a call may
/// stay parked for as long as it likes (a long poll, a joining group member), and no two shards can
/// block each other. What bounds the queue is what bounds the callers: requests per connection.
class CrossShardInbox {
 public:
  explicit CrossShardInbox(Shard& owner) : owner_(owner) {}

  /// Any thread, a shard's or not. Messages of one sender are delivered in the order they were
  /// posted; a message may be gone as soon as it is delivered.
  void post(ShardMessage& message);

  // The owner's thread only.

  /// Delivers what has come; how many.
  std::size_t drain();
  /// Says that the owner is about to sleep; false where something has come meanwhile.
  bool prepare_to_sleep();
  void awake() { sleeping_.store(false, std::memory_order_relaxed); }
  bool has_mail() const { return newest_.load(std::memory_order_acquire) != nullptr; }

 private:
  Shard& owner_;
  alignas(64) std::atomic<ShardMessage*> newest_{nullptr};  // a stack; drain() turns it round
  std::atomic<bool> sleeping_{false};
};

namespace detail {

template <class R, class F>
struct RemoteCall : ShardMessage {
  RemoteCall(Shard& home, Shard& target, F function)
      : home(home), target(target), function(std::move(function)) {}

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> awaiting) {
    handle = awaiting;
    deliver = [](ShardMessage& self) {
      auto& call = static_cast<RemoteCall&>(self);
      call.target.spawn(work(call));
    };
    target.inbox().post(*this);
  }
  R await_resume() {
    if constexpr (!std::is_void_v<R>) return std::move(*value);
  }

  static Task<void> work(RemoteCall& call) {
    if constexpr (std::is_void_v<R>) {
      co_await call.function();
    } else {
      call.value.emplace(co_await call.function());
    }
    call.deliver = [](ShardMessage& self) {
      auto& answered = static_cast<RemoteCall&>(self);
      answered.home.schedule(answered.handle);
    };
    call.home.inbox().post(call);
  }

  struct Nothing {};
  Shard& home;
  Shard& target;
  F function;
  std::coroutine_handle<> handle;
  [[no_unique_address]] std::conditional_t<std::is_void_v<R>, Nothing, std::optional<R>> value;
};

template <class T>
struct TaskResult;
template <class T>
struct TaskResult<Task<T>> {
  using type = T;
};

}  // namespace detail

/// Runs `function()`, which returns a Task<R>, on `target`, and resumes the caller on `home`, the
/// shard it is on, with the result. `function` lives in the caller's frame until then; what it
/// refers to must be safe to use from the target's thread meanwhile. On the same shard it is a
/// plain await.
template <class F, class R = typename detail::TaskResult<std::invoke_result_t<F&>>::type>
Task<R> call_on(Shard& home, Shard& target, F function) {
  if (&home == &target) {
    co_return co_await function();
  }
  detail::RemoteCall<R, F> call{home, target, std::move(function)};
  co_return co_await call;
}

}  // namespace keelson::engine::io
