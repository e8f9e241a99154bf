#include "engine/io/sync.h"

namespace keelson::engine::io {

namespace detail {

void WaiterList::add(Waiter& waiter) {
  waiter.list = this;
  waiter.previous = tail_;
  waiter.following = nullptr;
  (tail_ == nullptr ? head_ : tail_->following) = &waiter;
  tail_ = &waiter;
}

void WaiterList::remove(Waiter& waiter) {
  (waiter.previous == nullptr ? head_ : waiter.previous->following) = waiter.following;
  (waiter.following == nullptr ? tail_ : waiter.following->previous) = waiter.previous;
  waiter.list = nullptr;
}

void WaiterList::release(Waiter& waiter, bool released) {
  remove(waiter);
  waiter.shard->timers().disarm(waiter);
  waiter.released = released;
  if (waiter.on_release != nullptr) {
    waiter.on_release(waiter);
  } else {
    waiter.shard->schedule(waiter.handle);
  }
}

void WaiterList::release_all() {
  while (head_ != nullptr) release(*head_, true);
}

}  // namespace detail

namespace {

void suspend(detail::Waiter& waiter, detail::WaiterList& list, Shard& shard,
             std::coroutine_handle<> awaiting, std::int64_t deadline_ns) {
  waiter.handle = awaiting;
  waiter.shard = &shard;
  list.add(waiter);
  if (deadline_ns == kNoDeadline) return;
  waiter.on_due = [](Timer& self) {
    auto& late = static_cast<detail::Waiter&>(self);
    late.list->release(late, false);
  };
  shard.timers().arm(waiter, deadline_ns);
}

}  // namespace

void Event::Awaiter::await_suspend(std::coroutine_handle<> awaiting) {
  suspend(*this, event.waiters_, event.shard_, awaiting, until_ns);
}

void Semaphore::Awaiter::await_suspend(std::coroutine_handle<> awaiting) {
  suspend(*this, semaphore.waiters_, semaphore.shard_, awaiting, until_ns);
}

void Semaphore::give(std::uint64_t units) {
  available_ += units;
  while (!waiters_.empty() && waiters_.front()->amount <= available_) {
    detail::Waiter& first = *waiters_.front();
    available_ -= first.amount;
    waiters_.release(first, true);
  }
}

namespace {

/// In the frame of each running task of a group: the thread knows them all. Nobody else may hold a
/// frame that a simulated kill leaves where it was, and the leak checker would take it for lost.
class Running {
 public:
  Running() : next_(first_) {
    if (next_ != nullptr) next_->previous_ = this;
    first_ = this;
  }
  Running(const Running&) = delete;
  ~Running() {
    (previous_ != nullptr ? previous_->next_ : first_) = next_;
    if (next_ != nullptr) next_->previous_ = previous_;
  }

 private:
  static thread_local Running* first_;

  Running* previous_ = nullptr;
  Running* next_;
};

thread_local Running* Running::first_ = nullptr;

}  // namespace

struct TaskGroup::Runner {
  struct promise_type {
    Runner get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }  // frees itself
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };
};

TaskGroup::Runner TaskGroup::run(TaskGroup& group, Task<void> task) {
  {
    const Running running;
    co_await task;
  }
  if (--group.running_ == 0) group.done_.set();
}

void TaskGroup::start(Task<void> task) {
  done_.reset();
  ++running_;
  run(*this, std::move(task));
}

}  // namespace keelson::engine::io
