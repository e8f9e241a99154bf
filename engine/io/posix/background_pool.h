// engine/io/posix/background_pool.h: the threads that compute for one shard beside it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/io/posix/helper_pool.h"

namespace keelson::engine::io {

/// Runs FsCode::compute operations. Normally on a thread of the scheduler's idle class, which
/// whoever wakes puts off at once: one of the normal class, even the last in rank, keeps the
/// processor for its slice of some 3 ms (Linux 6.6 on), and requests wait behind it. But an idle
/// one gets hardly anything of a machine that is always busy, so after a computation that took too
/// long the next ones run on a thread that only stands back.
class BackgroundPool {
 public:
  /// Both outlive the pool; as in HelperPool.
  BackgroundPool(Doorbell& bell, const Clock& clock);

  void submit(FsOperation& operation);
  void take_finished(OperationList& operations, FsOperationList& fs_operations);
  bool has_finished() const { return idle_.has_finished() || pressed_.has_finished(); }

 private:
  static constexpr std::int64_t kTooLongNs = 100'000'000;
  static constexpr std::size_t kPressedTurns = 256;  // computations, of some milliseconds each

  const Clock& clock_;
  HelperPool idle_;
  HelperPool pressed_;
  std::size_t under_way_ = 0;          // of idle_
  std::int64_t waiting_since_ns_ = 0;  // for the oldest of those, or a later one
  std::size_t turns_left_ = 0;         // of pressed_
};

}  // namespace keelson::engine::io
