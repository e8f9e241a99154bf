#include "engine/io/shard.h"

#include <cassert>
#include <utility>

#include "engine/io/cross_shard.h"

namespace keelson::engine::io {

struct Shard::Detached {
  struct promise_type : LiveTask {
    promise_type(Shard& shard, Task<void>&) : shard(shard) {
      following = shard.live_head_;
      if (following != nullptr) following->previous = this;
      shard.live_head_ = this;
    }
    ~promise_type() {
      (previous == nullptr ? shard.live_head_ : previous->following) = following;
      if (following != nullptr) following->previous = previous;
    }
    Detached get_return_object() noexcept {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }  // frees itself
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }

    Shard& shard;
  };
  std::coroutine_handle<promise_type> handle;
};

Shard::Shard(std::uint32_t index, std::uint32_t count, ShardParts parts)
    : index_(index),
      count_(count),
      parts_(parts),
      inbox_(std::make_unique<CrossShardInbox>(*this)) {}

Shard::~Shard() { assert(live_tasks_ == 0); }

Shard::Detached Shard::run_detached(Shard& shard, Task<void> task) {
  co_await task;
  --shard.live_tasks_;
}

void Shard::spawn(Task<void> task) {
  if (quiet_) {
    // Before the task can answer whoever asked for it: that shard is not quiet until then, so the
    // count never says "all" while this task lives.
    quiet_ = false;
    group_->became_busy();
  }
  ++live_tasks_;
  schedule(run_detached(*this, std::move(task)).handle);
}

bool Shard::turn() {
  bool worked = inbox_->drain() > 0;
  if (next_deadline_ns()) worked |= timers_.run_due(clock().now_ns()) > 0;
  // Only what is ready now: a coroutine that keeps yielding must not starve the ring.
  for (std::size_t count = ready_.size(); count > 0; --count) {
    const std::coroutine_handle<> handle = ready_.front();
    ready_.pop_front();
    handle.resume();
    worked = true;
  }
  return run_rested() || worked;
}

/// One of them: between two of them the ring is looked at.
bool Shard::run_rested() {
  if (resting_.empty()) return false;
  if (!ready_.empty() && ++passed_over_ < kPassedOverMax) return true;
  passed_over_ = 0;
  const std::coroutine_handle<> handle = resting_.front();
  resting_.pop_front();
  handle.resume();
  return true;
}

void Shard::run() {
  while (true) {
    turn();
    if (may_return()) return;
    // One poll a turn, so that neither a coroutine that keeps yielding nor a peer that keeps
    // sending starves the backend. Nothing left to do: the same call submits and sleeps.
    const bool sleep = !has_ready() && inbox_->prepare_to_sleep();
    backend().poll(sleep ? next_deadline_ns() : std::optional<std::int64_t>(0));
    if (sleep) inbox_->awake();
  }
}

bool Shard::may_return() {
  if (live_tasks_ > 0 || has_ready()) return false;
  if (!stop_requested_.load(std::memory_order_acquire)) return false;
  if (group_ == nullptr) return true;
  if (!quiet_) {
    quiet_ = true;
    group_->became_quiet(*this);
  }
  return group_->all_quiet();
}

void Shard::request_stop() {
  stop_requested_.store(true, std::memory_order_release);
  parts_.backend.wake();
}

}  // namespace keelson::engine::io
