// engine/log/file_lock.h: one at a time, within a shard; released at the end of the scope.
#pragma once

#include <utility>

#include "engine/io/sync.h"
#include "engine/task.h"

namespace keelson::engine::log {

class FileLock {
 public:
  /// `one` is a semaphore of a single unit that outlives the lock.
  static Task<FileLock> take(io::Semaphore& one) {
    co_await one.take(1);
    co_return FileLock(one);
  }
  FileLock(FileLock&& other) noexcept : one_(std::exchange(other.one_, nullptr)) {}
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock() {
    if (one_ != nullptr) one_->give(1);
  }

 private:
  explicit FileLock(io::Semaphore& one) : one_(&one) {}
  io::Semaphore* one_;
};

}  // namespace keelson::engine::log
