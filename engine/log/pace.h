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
  // Work between two turns of the shard's others, who wait for it once for each of their own waits.
  std::int64_t slice_ns = 50'000;
  std::uint64_t slice_bytes = std::uint64_t{256} << 10;  // the same, whatever the clock says
  double bytes_per_second = std::numeric_limits<double>::max();  // read and written together
};

/// One for all the work of a kind on a shard, which does one thing at a time. One thread.
class Pace {
 public:
  Pace(io::Shard& shard, PaceLimits limits) : shard_(shard), limits_(limits) {}
  Pace(const Pace&) = delete;

  /// From now on; who waits for the old rate need not.
  void set_limits(PaceLimits limits) {
    limits_ = limits;
    due_ns_ = 0;
  }

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
    co_await shard_.rest();
    began_ns_ = shard_.clock().now_ns();
    bytes_ = looked_at_ = 0;
  }
  /// Counts `bytes` read or written, and waits as long as they are above the rate, or until the
  /// work is to end.
  Task<void> charge(std::uint64_t bytes);
  /// Waits for `duration_ns`, or until the work is to end.
  Task<void> pause(std::int64_t duration_ns);

 private:
  static constexpr std::uint64_t kLookBytes = 4096;  // between two looks at the clock

  Task<void> wait_until(const std::int64_t& until_ns);

  io::Shard& shard_;
  PaceLimits limits_;
  std::function<bool()> stop_;
  std::uint64_t bytes_ = 0;
  std::uint64_t looked_at_ = 0;
  std::int64_t began_ns_ = 0;
  std::int64_t due_ns_ = 0;  // when what was charged so far is paid for
};

inline Task<void> Pace::charge(std::uint64_t bytes) {
  const double cost_ns = static_cast<double>(bytes) / std::max(limits_.bytes_per_second, 1.0) * 1e9;
  const std::int64_t now_ns = shard_.clock().now_ns();
  due_ns_ = std::max(due_ns_, now_ns) + static_cast<std::int64_t>(std::min(cost_ns, 1e15));
  constexpr std::int64_t kWorthWaitingNs = 1'000'000;
  if (due_ns_ - now_ns >= kWorthWaitingNs) co_await wait_until(due_ns_);
  began_ns_ = shard_.clock().now_ns();
  bytes_ = looked_at_ = 0;
}

inline Task<void> Pace::pause(std::int64_t duration_ns) {
  const std::int64_t until_ns = shard_.clock().now_ns() + duration_ns;
  co_await wait_until(until_ns);
}

/// `until_ns` may change meanwhile.
inline Task<void> Pace::wait_until(const std::int64_t& until_ns) {
  constexpr std::int64_t kNapNs = 20'000'000;  // how late a stop or a change is noticed
  for (std::int64_t now_ns = shard_.clock().now_ns(); now_ns < until_ns && !stopped();
       now_ns = shard_.clock().now_ns()) {
    co_await shard_.sleep_until(std::min(until_ns, now_ns + kNapNs));
  }
}

}  // namespace keelson::engine::log
