// engine/log/pace.h: keeps background work of a shard in small slices and below a rate.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>

#include "engine/io/shard.h"
#include "engine/task.h"

namespace keelson::engine::log {

struct PaceLimits {
  std::int64_t slice_ns = 200'000;  // work between two turns of the shard's others
  std::uint64_t slice_bytes = std::uint64_t{256} << 10;  // the same, whatever the clock says
  double bytes_per_second = std::numeric_limits<double>::max();  // read and written together
};

/// One for all the work of a kind on a shard, which does one thing at a time. One thread.
class Pace {
 public:
  Pace(io::Shard& shard, PaceLimits limits) : shard_(shard), limits_(limits) {}
  Pace(const Pace&) = delete;

  /// Asked between slices: true where the work is to end soon. Until the next call.
  void set_stop(std::function<bool()> stop) { stop_ = std::move(stop); }
  const std::function<bool()>& stop() const { return stop_; }
  bool stopped() const { return stop_ && stop_(); }

  /// Counts `bytes` of work done. True where the slice is spent: then rest().
  bool spent(std::uint64_t bytes) {
    bytes_ += bytes;
    if (bytes_ < looked_at_ + kLookBytes) return false;
    looked_at_ = bytes_;
    return bytes_ >= limits_.slice_bytes || shard_.clock().now_ns() - began_ns_ >= limits_.slice_ns;
  }
  /// Lets the shard do everything else that is ready.
  Task<void> rest() {
    co_await shard_.yield();
    began_ns_ = shard_.clock().now_ns();
    bytes_ = looked_at_ = 0;
  }
  /// Counts `bytes` read or written, and waits as long as they are above the rate, or until the
  /// work is to end.
  Task<void> charge(std::uint64_t bytes);

 private:
  static constexpr std::uint64_t kLookBytes = 4096;  // between two looks at the clock

  io::Shard& shard_;
  const PaceLimits limits_;
  std::function<bool()> stop_;
  std::uint64_t bytes_ = 0;
  std::uint64_t looked_at_ = 0;
  std::int64_t began_ns_ = 0;
  std::int64_t due_ns_ = 0;  // when what was charged so far is paid for
};

inline Task<void> Pace::charge(std::uint64_t bytes) {
  constexpr std::int64_t kNapMs = 20;  // how late a stop is noticed
  constexpr std::int64_t kMillisecond = 1'000'000;
  const double cost_ns = static_cast<double>(bytes) / std::max(limits_.bytes_per_second, 1.0) * 1e9;
  const std::int64_t now_ns = shard_.clock().now_ns();
  due_ns_ = std::max(due_ns_, now_ns) + static_cast<std::int64_t>(std::min(cost_ns, 1e15));
  while (due_ns_ - shard_.clock().now_ns() >= kMillisecond && !stopped()) {
    const std::int64_t left_ms = (due_ns_ - shard_.clock().now_ns()) / kMillisecond;
    co_await shard_.sleep_for_ms(std::clamp<std::int64_t>(left_ms, 1, kNapMs));
  }
  began_ns_ = shard_.clock().now_ns();
  bytes_ = looked_at_ = 0;
}

}  // namespace keelson::engine::log
