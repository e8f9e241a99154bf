// engine/io/sync.h: waiting for each other within one shard: Event, Gate, Semaphore.
//
// All live on one shard and are not thread-safe. Waiters resume through the shard's ready queue,
// never inside the call that released them.
#pragma once

#include <cassert>
#include <coroutine>
#include <cstdint>
#include <limits>
#include <utility>

#include "engine/error.h"
#include "engine/io/shard.h"
#include "engine/io/timer_queue.h"

namespace keelson::engine::io {

namespace detail {

/// Somebody in a doubly linked list who waits, with an optional deadline: a suspended coroutine,
/// or a callback where `on_release` is set.
struct Waiter : Timer {
  void (*on_release)(Waiter& self) = nullptr;
  Waiter* previous = nullptr;
  Waiter* following = nullptr;
  Shard* shard = nullptr;
  class WaiterList* list = nullptr;
  std::coroutine_handle<> handle;
  std::uint64_t amount = 0;
  bool released = false;
};

class WaiterList {
 public:
  ~WaiterList() { assert(head_ == nullptr); }
  bool empty() const { return head_ == nullptr; }
  Waiter* front() const { return head_; }
  void add(Waiter& waiter);
  void remove(Waiter& waiter);
  /// Takes the waiter off and resumes it in a later turn.
  void release(Waiter& waiter, bool released);
  void release_all();

 private:
  Waiter* head_ = nullptr;
  Waiter* tail_ = nullptr;
};

}  // namespace detail

inline constexpr std::int64_t kNoDeadline = std::numeric_limits<std::int64_t>::max();

/// Wakes all that wait. Set stays set until reset(); notify() wakes without setting.
class Event {
 public:
  explicit Event(Shard& shard) : shard_(shard) {}
  Event(const Event&) = delete;

  void set() {
    set_ = true;
    waiters_.release_all();
  }
  void reset() { set_ = false; }
  bool is_set() const { return set_; }
  /// Wakes those that wait now.
  void notify() { waiters_.release_all(); }
  bool has_waiters() const { return !waiters_.empty(); }

  /// A callback in place of a waiting coroutine, for one who waits on many events at once. Called
  /// once, inside set() or notify(), off the list already; it must only note that it was called.
  struct Subscription : detail::Waiter {
    Subscription() = default;
    Subscription(const Subscription&) = delete;  // listed by address
    ~Subscription() { cancel(); }
    void cancel() {
      if (list != nullptr) list->remove(*this);
    }
  };
  /// `subscription.on_release` is set; it must not be listed already.
  void subscribe(Subscription& subscription) {
    assert(subscription.list == nullptr && subscription.on_release != nullptr);
    subscription.shard = &shard_;
    waiters_.add(subscription);
  }

  /// Awaitable: true when set or notified, false when the clock passed `deadline_ns` first.
  auto wait_until(std::int64_t deadline_ns) { return Awaiter{*this, deadline_ns}; }
  auto wait() { return wait_until(kNoDeadline); }

 private:
  struct Awaiter : detail::Waiter {
    Awaiter(Event& event, std::int64_t deadline) : event(event), until_ns(deadline) {}
    bool await_ready() {
      released = event.set_;
      return released || until_ns <= event.shard_.clock().now_ns();
    }
    void await_suspend(std::coroutine_handle<> awaiting);
    bool await_resume() const { return released; }
    Event& event;
    std::int64_t until_ns;
  };

  Shard& shard_;
  detail::WaiterList waiters_;
  bool set_ = false;
};

/// Counts units of something scarce: memory, slots. Waiters are served in order, so a large
/// demand is not starved by small ones.
class Semaphore {
 public:
  Semaphore(Shard& shard, std::uint64_t units) : shard_(shard), total_(units), available_(units) {}
  Semaphore(const Semaphore&) = delete;

  /// What there is when nobody holds any: more than this cannot be taken.
  std::uint64_t total() const { return total_; }
  std::uint64_t available() const { return available_; }
  /// Takes `units` at once or not at all; does not pass those that wait.
  bool try_take(std::uint64_t units) {
    if (!waiters_.empty() || available_ < units) return false;
    available_ -= units;
    return true;
  }
  /// Awaitable: takes `units`, waiting where needed; false where `deadline_ns` passed first.
  auto take(std::uint64_t units, std::int64_t deadline_ns = kNoDeadline) {
    return Awaiter{*this, units, deadline_ns};
  }
  void give(std::uint64_t units);

 private:
  struct Awaiter : detail::Waiter {
    Awaiter(Semaphore& owner, std::uint64_t units, std::int64_t deadline)
        : semaphore(owner), until_ns(deadline) {
      amount = units;
    }
    bool await_ready() {
      released = semaphore.try_take(amount);
      return released || until_ns <= semaphore.shard_.clock().now_ns();
    }
    void await_suspend(std::coroutine_handle<> awaiting);
    bool await_resume() {
      if (!released) semaphore.give(0);  // those behind may fit where this one did not
      return released;
    }
    Semaphore& semaphore;
    std::int64_t until_ns;
  };

  Shard& shard_;
  detail::WaiterList waiters_;
  const std::uint64_t total_;
  std::uint64_t available_;
};

/// Holds the door for work under way: enter() before, leave() after; close() refuses new work and
/// waits for what is inside.
class Gate {
 public:
  explicit Gate(Shard& shard) : empty_(shard) {}
  Gate(const Gate&) = delete;

  /// False once the gate is closing: do not start.
  bool enter() {
    if (closing_) return false;
    ++inside_;
    return true;
  }
  void leave() {
    assert(inside_ > 0);
    if (--inside_ == 0 && closing_) empty_.set();
  }
  bool closing() const { return closing_; }
  std::size_t inside() const { return inside_; }

  /// Waits until all have left. Idempotent.
  Task<void> close() {
    closing_ = true;
    if (inside_ > 0) co_await empty_.wait();
  }

  /// leave() at the end of a scope; enter() was called before.
  class Pass {
   public:
    explicit Pass(Gate& gate) : gate_(&gate) {}
    Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (gate_ != nullptr) gate_->leave();
    }

   private:
    Gate* gate_;
  };

 private:
  Event empty_;
  std::size_t inside_ = 0;
  bool closing_ = false;
};

/// Several tasks at once, and a wait for all of them. Lives until wait() has returned.
class TaskGroup {
 public:
  explicit TaskGroup(Shard& shard) : done_(shard) {}
  TaskGroup(const TaskGroup&) = delete;
  ~TaskGroup() { assert(running_ == 0); }

  /// Runs `task` at once, inside this call, until it first waits: tasks started one after the other
  /// have begun in that order.
  void start(Task<void> task);
  /// Resumes when every started task has ended.
  Task<void> wait() {
    while (running_ > 0) co_await done_.wait();
  }

 private:
  struct Runner;
  static Runner run(TaskGroup& group, Task<void> task);

  Event done_;
  std::size_t running_ = 0;
};

}  // namespace keelson::engine::io
