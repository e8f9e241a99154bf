// engine/log/name_lock.h: keeps the names of a log's files still while somebody opens them.
//
// Compaction puts new files in the place of old ones of the same name. Whoever finds its way by
// name (segment, index, entries, transactions) holds a share meanwhile; renaming waits until all
// shares are back, and new ones wait for it. A share is never held across a wait for something that
// the renamer holds (LogImpl::retention_lock_). One shard.
#pragma once

#include <cassert>
#include <cstddef>
#include <utility>

#include "engine/io/sync.h"
#include "engine/task.h"

namespace keelson::engine::log {

class NameLock {
 public:
  explicit NameLock(io::Shard& shard) : changed_(shard) {}
  NameLock(const NameLock&) = delete;

  /// A share given back at the end of the scope.
  class Share {
   public:
    explicit Share(NameLock& lock) : lock_(&lock) {}
    Share(Share&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)) {}
    Share& operator=(Share&&) = delete;
    ~Share() {
      if (lock_ == nullptr) return;
      assert(lock_->shares_ > 0);
      if (--lock_->shares_ == 0) lock_->changed_.notify();
    }

   private:
    NameLock* lock_;
  };

  bool try_share() {
    if (renaming_) return false;
    ++shares_;
    return true;
  }
  /// Takes a share, waiting where names are being changed: then make a Share of it.
  Task<void> share() {
    while (!try_share()) co_await changed_.wait();
  }

  /// One renamer at a time. Nobody has a share at its end.
  Task<void> begin_renaming() {
    assert(!renaming_);
    renaming_ = true;
    while (shares_ > 0) co_await changed_.wait();
  }
  void end_renaming() {
    assert(renaming_ && shares_ == 0);
    renaming_ = false;
    changed_.notify();
  }

 private:
  io::Event changed_;
  std::size_t shares_ = 0;
  bool renaming_ = false;
};

}  // namespace keelson::engine::log
