// engine/log/read_ahead.h: what a reader that goes through a log will ask for next.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "engine/slice.h"
#include "engine/types.h"

namespace keelson::engine::log {

class ReadAheadBudget;

/// Batches of one segment that were read, and checked, before anybody asked. One thread.
struct ReadAhead {
  ReadAhead(ReadAheadBudget& owner, Offset first, std::uint64_t size_bytes)
      : budget(owner), from(first), bytes(size_bytes) {}
  ReadAhead(const ReadAhead&) = delete;
  ~ReadAhead() { drop(); }

  bool ready() const { return !batches.empty(); }
  /// Gives the memory back; whoever comes reads the disk.
  void drop();

  ReadAheadBudget& budget;
  const Offset from;
  Offset end;           // behind the last of the batches
  std::uint64_t bytes;  // charged
  SliceList batches;    // empty until they are read
};

/// Bounds what all logs of a shard have read ahead. The oldest goes where a new one needs room.
class ReadAheadBudget {
 public:
  explicit ReadAheadBudget(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  /// Room for `bytes` from `from` on; null where those under way take all there is.
  std::shared_ptr<ReadAhead> begin(Offset from, std::uint64_t bytes);
  std::uint64_t bytes() const { return bytes_; }

 private:
  friend struct ReadAhead;

  const std::uint64_t bytes_max_;
  std::uint64_t bytes_ = 0;
  std::deque<std::weak_ptr<ReadAhead>> order_;  // the oldest first
};

}  // namespace keelson::engine::log
