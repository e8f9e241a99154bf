// engine/io/shard.h: one thread with its own work, timers, inbox and backend.
//
// A shard owns what is made on it: partitions, connections, buffers. Other shards reach it only
// through call_on() (engine/io/cross_shard.h). Nothing here is safe from another thread unless its
// comment says so.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "engine/io/backend.h"
#include "engine/io/timer_queue.h"
#include "engine/logger.h"
#include "engine/task.h"

namespace keelson::engine::io {

class CrossShardInbox;
class ShardGroup;

/// What a shard is made of. All outlive the shard.
struct ShardParts {
  Backend& backend;
  const Clock& clock;
  Rng& rng;
  Logger& logger;
};

class Shard {
 public:
  /// `index` counts from 0 among `count` shards of one process (or simulated node).
  Shard(std::uint32_t index, std::uint32_t count, ShardParts parts);
  ~Shard();
  Shard(const Shard&) = delete;  // Operations, timers and tasks hold its address.
  Shard& operator=(const Shard&) = delete;

  std::uint32_t index() const { return index_; }
  std::uint32_t count() const { return count_; }
  Backend& backend() { return parts_.backend; }
  const Clock& clock() const { return parts_.clock; }
  Rng& rng() { return parts_.rng; }
  Logger& logger() { return parts_.logger; }
  CrossShardInbox& inbox() { return *inbox_; }

  /// Resumes `handle` in this or the next turn, after what was scheduled before it.
  void schedule(std::coroutine_handle<> handle) { ready_.push_back(handle); }

  /// Starts `task` in a later turn and owns it until it ends.
  void spawn(Task<void> task);
  /// Whether a coroutine waits for its turn.
  bool has_ready() const { return !ready_.empty() || !resting_.empty(); }
  /// Tasks spawned and not ended.
  std::size_t live_tasks() const { return live_tasks_; }

  /// Runs what is ready, due and delivered, without sleeping. True where there was something.
  bool turn();
  /// When the next timer is due, by Clock::now_ns(); nothing where there is none.
  std::optional<std::int64_t> next_deadline_ns() const { return timers_.next_deadline_ns(); }

  /// turn() and sleep until request_stop() was called and no spawned task lives. In a group, of
  /// which every shard must be told: until that is so of all of them, because a task that still
  /// ends elsewhere may need an answer from here. No shard or backend of a group may be destroyed
  /// before run() has returned on all.
  void run();
  /// Any thread. Tasks must be told to end by their owners; this only lets run() return after.
  void request_stop();
  /// For ShardGroup::connect().
  void join(ShardGroup& group) { group_ = &group; }

  TimerQueue& timers() { return timers_; }

  /// Awaitable: resumes when Clock::now_ns() reaches `deadline_ns`. Not cancellable; for a wait
  /// that can be, see Event::wait_until().
  auto sleep_until(std::int64_t deadline_ns) { return SleepAwaiter{*this, deadline_ns}; }
  auto sleep_for_ms(std::int64_t milliseconds) {
    return sleep_until(clock().now_ns() + milliseconds * 1'000'000);
  }
  /// Awaitable: lets everything else that is ready run first. For long loops.
  auto yield() { return YieldAwaiter{*this}; }
  /// Awaitable: the same for background work: lets also what those lead to run first, as long as
  /// something is ready, but not for more than kPassedOverMax turns.
  auto rest() { return RestAwaiter{*this}; }

 private:
  struct SleepAwaiter : Timer {
    SleepAwaiter(Shard& shard, std::int64_t deadline_ns) : shard(shard), until_ns(deadline_ns) {}
    bool await_ready() const { return until_ns <= shard.clock().now_ns(); }
    void await_suspend(std::coroutine_handle<> awaiting) {
      handle = awaiting;
      on_due = [](Timer& self) {
        auto& sleeper = static_cast<SleepAwaiter&>(self);
        sleeper.shard.schedule(sleeper.handle);
      };
      shard.timers().arm(*this, until_ns);
    }
    void await_resume() const {}
    Shard& shard;
    std::int64_t until_ns;
    std::coroutine_handle<> handle;
  };
  struct YieldAwaiter {
    Shard& shard;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) { shard.schedule(awaiting); }
    void await_resume() const {}
  };
  struct RestAwaiter {
    Shard& shard;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) { shard.resting_.push_back(awaiting); }
    void await_resume() const {}
  };
  struct Detached;  // the coroutine that owns a spawned task
  /// Spawned tasks are listed, so that those a simulated crash abandons stay reachable.
  struct LiveTask {
    LiveTask* previous = nullptr;
    LiveTask* following = nullptr;
  };
  static Detached run_detached(Shard& shard, Task<void> task);
  bool may_return();
  bool run_rested();

  /// A turn with work is some microseconds, so background work gets on while the shard is busy.
  static constexpr std::uint32_t kPassedOverMax = 32;

  const std::uint32_t index_;
  const std::uint32_t count_;
  ShardParts parts_;
  std::deque<std::coroutine_handle<>> ready_;
  std::deque<std::coroutine_handle<>> resting_;
  std::uint32_t passed_over_ = 0;  // turns in which resting_ was not looked at
  TimerQueue timers_;
  std::unique_ptr<CrossShardInbox> inbox_;
  std::size_t live_tasks_ = 0;
  LiveTask* live_head_ = nullptr;
  std::atomic<bool> stop_requested_{false};
  ShardGroup* group_ = nullptr;
  bool quiet_ = false;  // counted by group_ as stopped and without tasks
};

}  // namespace keelson::engine::io
