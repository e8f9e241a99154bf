// bench/histogram.h: latencies in logarithmic buckets, for percentiles.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace keelson::bench {

/// Counts of durations in ns. 64 buckets to each doubling: a percentile is at most 1.6 % too high.
class Histogram {
 public:
  void add(std::int64_t value_ns) {
    ++counts_[bucket_of(value_ns < 0 ? 0 : static_cast<std::uint64_t>(value_ns))];
    ++total_;
  }

  std::uint64_t total() const { return total_; }

  /// The upper edge of the bucket that holds the value of rank `share` (0 to 1), in ns.
  std::int64_t percentile(double share) const {
    const auto rank = static_cast<std::uint64_t>(share * static_cast<double>(total_));
    std::uint64_t seen = 0;
    for (std::size_t bucket = 0; bucket < counts_.size(); ++bucket) {
      seen += counts_[bucket];
      if (seen > rank || (seen == total_ && total_ > 0)) return upper_edge(bucket);
    }
    return 0;
  }

 private:
  static constexpr unsigned kLinearBits = 6;
  static constexpr std::size_t kBuckets = (64 - kLinearBits + 1) << kLinearBits;

  static std::size_t bucket_of(std::uint64_t value) {
    const auto width = static_cast<unsigned>(std::bit_width(value));
    if (width <= kLinearBits) return value;
    const unsigned shift = width - kLinearBits - 1;
    return (static_cast<std::size_t>(shift) << kLinearBits) + (value >> shift);
  }
  static std::int64_t upper_edge(std::size_t bucket) {
    if (bucket < (std::size_t{2} << kLinearBits)) return static_cast<std::int64_t>(bucket);
    const std::size_t shift = (bucket >> kLinearBits) - 1;
    const std::uint64_t mantissa = bucket - (shift << kLinearBits);
    return static_cast<std::int64_t>(((mantissa + 1) << shift) - 1);
  }

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t total_ = 0;
};

}  // namespace keelson::bench
