#include "engine/io/posix/helper_pool.h"

#include <signal.h>

#include <cassert>
#include <system_error>

#include "engine/io/posix/file_operations.h"
#include "engine/io/posix/signals.h"

namespace keelson::engine::io {

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

void HelperPool::ask_for_memory() {
  {
    const std::scoped_lock lock(mutex_);
    if (memory_asked_ || (threads_.empty() && !start_thread())) return;
    memory_asked_ = true;
  }
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
    } else if (memory_asked_) {
      lock.unlock();
      prepare_huge_page();
      lock.lock();
      memory_asked_ = false;
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
  finished_.push(operation);  // not ours from here on
  bell_.nudge();
  lock.lock();
}

void HelperPool::run_one(std::unique_lock<std::mutex>& lock, FsOperation& operation) {
  lock.unlock();
  run_fs_operation(operation);
  finished_fs_.push(operation);
  bell_.nudge();
  lock.lock();
}

void HelperPool::take_finished(OperationList& operations, FsOperationList& fs_operations) {
  finished_.take_all(operations);
  finished_fs_.take_all(fs_operations);
}

}  // namespace keelson::engine::io
