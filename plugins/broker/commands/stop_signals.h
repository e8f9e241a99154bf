// plugins/broker/commands/stop_signals.h: SIGTERM and SIGINT as a request to stop.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <mutex>
#include <thread>

namespace keelson::broker {

/// The first signal asks for a clean stop, whenever it comes: start-up included. The second ends
/// the process at once, as a crash would; nothing acknowledged is lost, the next start recovers.
class StopSignals {
 public:
  /// Make one, before any other thread: they all inherit that these signals are not theirs.
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;

  bool requested() const {
    const std::scoped_lock lock(mutex_);
    return requested_;
  }
  /// Returns once a stop is asked for.
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return requested_; });
  }

 private:
  void listen();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool requested_ = false;
  bool ending_ = false;
  std::thread listener_;
};

}  // namespace keelson::broker
