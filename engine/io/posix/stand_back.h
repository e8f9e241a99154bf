// engine/io/posix/stand_back.h: when a thread that computes beside shards sleeps.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "engine/io/backend.h"

namespace keelson::engine::io {

/// What the shards of this process have under way that somebody waits for. One for all of them and
/// for all threads that compute beside them: what they share is the machine. Any thread.
class Foreground {
 public:
  static constexpr std::int64_t kQuietNs = 100'000'000;

  /// For backends: as they take `operation`, and just before its on_complete.
  void note_submitted(const Operation& operation) {
    if (operation.durable) durable_writes_.fetch_add(1, std::memory_order_relaxed);
  }
  void note_finished(const Operation& operation) {
    if (operation.durable) durable_writes_.fetch_sub(1, std::memory_order_relaxed);
    // Stored where it changes only, so that many shards do not take the line from each other.
    if (operation.code == OpCode::receive && !request_came_.load(std::memory_order_relaxed)) {
      request_came_.store(true, std::memory_order_relaxed);
    }
  }

  bool has_durable_writes() const { return durable_writes_.load(std::memory_order_relaxed) > 0; }
  /// Whether a look in the kQuietNs before `now_ns`, or this one, found a durable write or that a
  /// socket had brought something. All who look see what one of them found.
  bool is_busy(std::int64_t now_ns) {
    const bool came = request_came_.load(std::memory_order_relaxed);
    if (came) request_came_.store(false, std::memory_order_relaxed);
    if (came || has_durable_writes()) {
      quiet_from_ns_.store(now_ns + kQuietNs, std::memory_order_relaxed);
    }
    return now_ns < quiet_from_ns_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::int32_t> durable_writes_{0};
  std::atomic<bool> request_came_{false};
  std::atomic<std::int64_t> quiet_from_ns_{0};
};

inline Foreground foreground;

/// The scheduler's idle class does not keep a computation out of everybody's way: it counts within
/// a control group or session only, and who belongs to another one, such as the kernel's threads
/// that complete durable writes, and clients of the same machine, waits for the end of a slice of
/// 1.4 ms or more (bench/README.md, "Compaction beside Kafka's cleaner"). A thread that sleeps
/// leaves the processor to whoever it may be. So it takes a breath every 0.3 ms while the
/// foreground is busy, and while durable writes are under way it sleeps, up to three quarters of
/// its time. One thread.
class StandBack {
 public:
  // Of work without a breath. They cost a fifth of the time, so there are none in quiet.
  static constexpr std::int64_t kStretchNs = 300'000;
  // Shorter ones are over before the thread has left the processor: in virtual machines to set a
  // timer takes some 10 us.
  static constexpr std::int64_t kBreathNs = 30'000;
  static constexpr std::int64_t kLookNs = 50'000;            // between two looks at the writes
  static constexpr std::int64_t kPatience = 3;               // sleep for each ns of work, at most
  static constexpr std::int64_t kPatienceNsMax = 3'000'000;  // at a time: a drive that hangs

  /// Work begins at `now_ns`.
  void begin(std::int64_t now_ns) { resumed_ns_ = worked_until_ns_ = now_ns; }

  /// Asked at `now_ns`, every few ten microseconds of work: how long to sleep, 0 for not. After a
  /// sleep woke() comes, and it is asked again.
  std::int64_t sleep_ns(std::int64_t now_ns, bool writes_under_way, bool is_busy) {
    patience_ns_ = std::min(patience_ns_ + (now_ns - worked_until_ns_) * kPatience, kPatienceNsMax);
    worked_until_ns_ = now_ns;
    if (writes_under_way && patience_ns_ > 0) return kLookNs;
    return is_busy && now_ns - resumed_ns_ >= kStretchNs ? kBreathNs : 0;
  }
  void woke(std::int64_t now_ns) {
    patience_ns_ -= now_ns - worked_until_ns_;
    begin(now_ns);
  }

 private:
  std::int64_t resumed_ns_ = 0;       // since when it has not slept
  std::int64_t worked_until_ns_ = 0;  // up to when work is counted in patience_ns_
  std::int64_t patience_ns_ = 0;      // what it may still sleep for the writes' sake
};

}  // namespace keelson::engine::io
