// engine/log/read_ahead.h: what a reader that goes through a log will ask for next.
#pragma once

#include <cstdint>
#include <list>
#include <memory>

#include "engine/slice.h"
#include "engine/types.h"

namespace keelson::engine::log {

struct ReadAhead;

/// Bounds what all logs of a shard have read ahead. The oldest goes where a new one needs room.
/// Outlives what it gave. One thread.
class ReadAheadBudget {
 public:
  explicit ReadAheadBudget(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  /// Room for `bytes` from `from` on; null where those still being read take all there is.
  std::shared_ptr<ReadAhead> begin(Offset from, std::uint64_t bytes);
  std::uint64_t bytes() const { return bytes_; }

 private:
  friend struct ReadAhead;

  const std::uint64_t bytes_max_;
  std::uint64_t bytes_ = 0;
  std::list<ReadAhead*> order_;  // those that are charged, the oldest first
};

/// Batches of one segment that were read, and checked, before anybody asked.
struct ReadAhead {
  ReadAhead(ReadAheadBudget& owner, Offset first, std::uint64_t size_bytes);
  ReadAhead(const ReadAhead&) = delete;  // the budget has its address
  ~ReadAhead() { drop(); }

  bool ready() const { return !batches.empty(); }
  /// Gives the memory back; whoever comes reads the disk.
  void drop();

  ReadAheadBudget& budget;
  const Offset from;
  Offset end;           // behind the last of the batches
  std::uint64_t bytes;  // charged; 0 once dropped
  SliceList batches;    // empty until they are read

 private:
  std::list<ReadAhead*>::iterator place_;
};

}  // namespace keelson::engine::log
