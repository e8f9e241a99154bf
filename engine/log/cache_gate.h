// engine/log/cache_gate.h: whether relaxed logs write to the page cache for now.
//
// Such a write is a copy on the shard's own thread. Two things close the way, and commits then go
// past the cache, where nobody sleeps: as much waits for its sync as the logs of a shard may have
// (so memory is bounded and a fast producer is held to the drive's speed), or the kernel has just
// held the thread back, as it does with those who make pages dirty while many are.
#pragma once

#include <cstdint>

namespace keelson::engine::log {

class CacheGate {
 public:
  /// A copy that takes longer was no mere copy.
  static constexpr std::int64_t kHeldBackNs = 5'000'000;
  static constexpr std::int64_t kClosedNs = 1'000'000'000;

  explicit CacheGate(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  bool is_open(std::uint64_t bytes, std::int64_t now_ns) const {
    return now_ns >= closed_until_ns_ && bytes <= bytes_max_ &&
           unsynced_bytes_ <= bytes_max_ - bytes;
  }
  /// `bytes` were written there from `begun_ns` to `ended_ns`.
  void wrote(std::uint64_t bytes, std::int64_t begun_ns, std::int64_t ended_ns) {
    unsynced_bytes_ += bytes;
    if (ended_ns - begun_ns > kHeldBackNs) closed_until_ns_ = ended_ns + kClosedNs;
  }
  /// They need no more: synced, or their log has failed.
  void settled(std::uint64_t bytes) { unsynced_bytes_ -= bytes; }
  /// Half of what may wait does: syncs are not to be put off.
  bool is_filling() const { return unsynced_bytes_ > bytes_max_ / 2; }
  std::uint64_t unsynced_bytes() const { return unsynced_bytes_; }

 private:
  const std::uint64_t bytes_max_;
  std::uint64_t unsynced_bytes_ = 0;
  std::int64_t closed_until_ns_ = 0;
};

}  // namespace keelson::engine::log
