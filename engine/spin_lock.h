// engine/spin_lock.h: a lock for a few instructions.
#pragma once

#include <atomic>

namespace keelson::engine {

/// For what is held so briefly, and so seldom at once, that to sleep would cost more than to wait.
/// Nothing that may block is done under it. Not for threads of the scheduler's idle class: one that
/// is put off while it holds the lock gets the processor back only when nobody waits any more.
class SpinLock {
 public:
  class Holder {
   public:
    explicit Holder(SpinLock& lock) : lock_(lock) {
      while (lock_.busy_.test_and_set(std::memory_order_acquire)) {
      }
    }
    Holder(const Holder&) = delete;
    ~Holder() { lock_.busy_.clear(std::memory_order_release); }

   private:
    SpinLock& lock_;
  };

 private:
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
};

}  // namespace keelson::engine
