// engine/io/posix/background_pool.h: the threads that compute for one shard beside it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "engine/io/backend.h"
#include "engine/io/posix/doorbell.h"
#include "engine/io/posix/operation_stack.h"

namespace keelson::engine::io {

/// One thread that runs what it is given, in order. It has no lock, for whoever waited for one that
/// it holds would wait until the scheduler lets it go on.
class BackgroundThread {
 public:
  enum class Rank : std::uint8_t {
    low,   // stands back: nice 5, a quarter of a processor beside one thread of normal rank
    idle,  // runs when nobody else wants to: SCHED_IDLE
  };

  /// Starts when first needed. `bell` is nudged when something is finished; it outlives the thread.
  BackgroundThread(Doorbell& bell, Rank rank) : bell_(bell), rank_(rank) {}
  BackgroundThread(const BackgroundThread&) = delete;  // the thread holds its address
  /// Ends the thread. Nothing may be under way.
  ~BackgroundThread();

  void submit(FsOperation& operation);
  /// As HelperPool::take_finished(); how many there were.
  std::size_t take_finished(FsOperationList& operations) { return finished_.take_all(operations); }
  bool has_finished() const { return !finished_.empty(); }

 private:
  bool start();
  void serve();
  void run(FsOperation& operation);

  Doorbell& bell_;
  const Rank rank_;
  std::thread thread_;
  OperationStack<FsOperation> queued_;
  OperationStack<FsOperation> finished_;
  std::atomic<std::uint32_t> calls_{0};  // the thread sleeps on it
  std::atomic<bool> stopping_{false};
};

/// Runs FsCode::compute operations. Normally on a thread of the scheduler's idle class, which
/// whoever wakes in its group puts off at once (for the others: stand_back.h): one of the normal
/// class, even the last in rank, keeps the processor for its slice of some 3 ms (Linux 6.6 on), and
/// requests wait behind it. But an idle one gets hardly anything of a machine that is always busy,
/// so after a computation that took too long the next few run on a thread that only stands back.
class BackgroundPool {
 public:
  static constexpr std::int64_t kTooLongNs = 100'000'000;
  // Computations, of some milliseconds each, and each of them holds up requests: few at first,
  // twice as many each time that the idle thread gets nothing again.
  static constexpr std::size_t kPressedTurnsMin = 8;
  static constexpr std::size_t kPressedTurnsMax = 256;

  /// Both outlive the pool.
  BackgroundPool(Doorbell& bell, const Clock& clock)
      : clock_(clock),
        idle_(bell, BackgroundThread::Rank::idle),
        pressed_(bell, BackgroundThread::Rank::low) {}

  void submit(FsOperation& operation);
  void take_finished(FsOperationList& operations);
  bool has_finished() const { return idle_.has_finished() || pressed_.has_finished(); }

 private:
  const Clock& clock_;
  BackgroundThread idle_;
  BackgroundThread pressed_;
  std::size_t under_way_ = 0;          // of idle_
  std::int64_t waiting_since_ns_ = 0;  // for the oldest of those, or a later one
  std::size_t turns_left_ = 0;         // of pressed_
  std::size_t next_turns_ = kPressedTurnsMin;
};

}  // namespace keelson::engine::io
