// engine/io/timer_queue.h: what happens when, for one shard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace keelson::engine::io {

/// Something due at a time. Lives with its owner; disarmed by TimerQueue::disarm() or by running.
struct Timer {
  static constexpr std::size_t kNotArmed = static_cast<std::size_t>(-1);

  std::int64_t deadline_ns = 0;
  void (*on_due)(Timer& self) = nullptr;  // the timer is disarmed before the call
  std::size_t heap_index = kNotArmed;
  std::uint64_t sequence = 0;  // equal deadlines run in the order they were armed

  bool armed() const { return heap_index != kNotArmed; }
};

/// A binary heap of timers: arm and disarm in O(log n), nothing allocated per timer once grown.
class TimerQueue {
 public:
  void arm(Timer& timer, std::int64_t deadline_ns);
  /// Does nothing where the timer is not armed.
  void disarm(Timer& timer);
  /// Runs the timers due at `now_ns`; those armed meanwhile wait for the next call.
  std::size_t run_due(std::int64_t now_ns);
  std::optional<std::int64_t> next_deadline_ns() const;

 private:
  bool before(const Timer& left, const Timer& right) const;
  void place(Timer& timer, std::size_t index);
  void sift_up(std::size_t index);
  void sift_down(std::size_t index);

  // The top bit of Timer::heap_index: the rest is a place in due_.
  static constexpr std::size_t kInDue = ~(static_cast<std::size_t>(-1) >> 1);

  std::vector<Timer*> heap_;
  std::vector<Timer*> due_;  // taken off by the run_due() under way; null: disarmed or run
  std::uint64_t next_sequence_ = 0;
};

}  // namespace keelson::engine::io
