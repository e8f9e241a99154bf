// engine/io/posix/doorbell.h: how another thread ends a shard's sleep.
#pragma once

#include <atomic>

namespace keelson::engine::io {

/// An eventfd and the two flags that keep it quiet while its owner is awake: a ring costs a
/// syscall only where the owner sleeps.
///
/// The owner calls prepare_to_sleep(), then looks once more at whatever others fill, then sleeps
/// on fd() and calls awake(). Others fill first, then ring() or nudge(). Every access below is
/// sequentially consistent, so either the owner's look finds it or the other side sees the sleeper.
///
/// The descriptor is never read: watch it edge-triggered. Each ring adds 1 to a 64-bit counter.
class Doorbell {
 public:
  Doorbell();
  Doorbell(const Doorbell&) = delete;
  ~Doorbell();

  /// Negative, as -errno, where the system has no descriptor left.
  int fd() const { return fd_; }

  /// Ends the current or the next sleep. Any thread.
  void ring();
  /// Ends the current sleep, if there is one. Any thread.
  void nudge();

  /// Owner: false where ring() was called since the last sleep; then do not sleep.
  bool prepare_to_sleep();
  /// Owner: after the sleep, or instead of it.
  void awake();

 private:
  void write_event();

  int fd_;
  std::atomic<bool> rung_{false};
  std::atomic<bool> sleeping_{false};
};

}  // namespace keelson::engine::io
