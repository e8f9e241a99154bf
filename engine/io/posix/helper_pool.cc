#include "engine/io/posix/helper_pool.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include <cassert>
#include <system_error>

#include "engine/io/posix/file_operations.h"
#include "engine/io/posix/signals.h"

namespace keelson::engine::io {
namespace {

/// Of the calling thread. Refused: it only competes more.
void take_rank(ThreadRank rank) {
  constexpr int kLowNice = 5;  // a quarter of a processor beside one of normal rank
  if (rank == ThreadRank::low) (void)::setpriority(PRIO_PROCESS, 0, kLowNice);
  const sched_param none{};
  if (rank == ThreadRank::idle) (void)::sched_setscheduler(0, SCHED_IDLE, &none);
}

template <class Op>
void push_finished(std::atomic<Op*>& stack, Op& operation) {
  Op* head = stack.load(std::memory_order_relaxed);
  do {
    operation.next = head;
  } while (!stack.compare_exchange_weak(head, &operation));  // sequentially consistent: Doorbell
}

template <class Op>
std::size_t take_all(std::atomic<Op*>& stack, LinkedList<Op>& into) {
  if (stack.load(std::memory_order_relaxed) == nullptr) return 0;
  std::size_t count = 0;
  Op* newest = stack.exchange(nullptr, std::memory_order_acquire);
  Op* oldest = nullptr;
  while (newest != nullptr) {
    Op* const below = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = below;
  }
  while (oldest != nullptr) {
    Op* const following = oldest->next;
    into.push_back(*oldest);
    oldest = following;
    ++count;
  }
  return count;
}

}  // namespace

HelperPool::HelperPool(Doorbell& bell, CommitPrimitive commit, Limits limits)
    : bell_(bell), commit_(commit), limits_(limits) {
  assert(limits.threads_max > 0 && limits.metadata_threads_max > 0);
  threads_.reserve(limits.threads_max);
}

HelperPool::~HelperPool() {
  {
    const std::scoped_lock lock(mutex_);
    assert(queued_.empty() && queued_fs_.empty());
    stopping_ = true;
  }
  work_or_stop_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  assert(!has_finished());
}

void HelperPool::submit(Operation& operation) {
  std::unique_lock lock(mutex_);
  queued_.push_back(operation);
  added(lock);
}

void HelperPool::submit(FsOperation& operation) {
  std::unique_lock lock(mutex_);
  queued_fs_.push_back(operation);
  added(lock);
}

void HelperPool::added(std::unique_lock<std::mutex>& lock) {
  ++queued_count_;
  if (queued_count_ > idle_count_ && threads_.size() < limits_.threads_max && !start_thread() &&
      threads_.empty()) {
    // No thread to be had: the shard does the work itself, late but done.
    --queued_count_;
    if (Operation* operation = queued_.pop_front()) return run_one(lock, *operation);
    return run_one(lock, *queued_fs_.pop_front());
  }
  lock.unlock();
  work_or_stop_.notify_one();
}

bool HelperPool::start_thread() {
  const BlockedSignals blocked;  // the thread inherits it: signals are for the program's threads
  try {
    threads_.emplace_back([this] { serve(); });
    return true;
  } catch (const std::system_error&) {
    return false;  // the limit of threads is reached
  }
}

void HelperPool::serve() {
  take_rank(limits_.rank);
  std::unique_lock lock(mutex_);
  while (true) {
    if (Operation* operation = queued_.pop_front()) {
      --queued_count_;
      run_one(lock, *operation);
    } else if (!queued_fs_.empty() && metadata_running_ < limits_.metadata_threads_max) {
      --queued_count_;
      ++metadata_running_;
      run_one(lock, *queued_fs_.pop_front());
      --metadata_running_;
    } else if (stopping_) {
      return;
    } else {
      ++idle_count_;
      work_or_stop_.wait(lock);
      --idle_count_;
    }
  }
}

void HelperPool::run_one(std::unique_lock<std::mutex>& lock, Operation& operation) {
  lock.unlock();
  operation.result = run_file_operation(operation, commit_);
  push_finished(finished_, operation);  // not ours from here on
  bell_.nudge();
  lock.lock();
}

void HelperPool::run_one(std::unique_lock<std::mutex>& lock, FsOperation& operation) {
  lock.unlock();
  run_fs_operation(operation);
  push_finished(finished_fs_, operation);
  bell_.nudge();
  lock.lock();
}

std::size_t HelperPool::take_finished(OperationList& operations, FsOperationList& fs_operations) {
  take_all(finished_, operations);
  return take_all(finished_fs_, fs_operations);
}

}  // namespace keelson::engine::io
