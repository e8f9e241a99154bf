#include "engine/io/posix/background_pool.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <system_error>

#include "engine/io/give_way.h"
#include "engine/io/posix/clock.h"
#include "engine/io/posix/signals.h"
#include "engine/io/posix/stand_back.h"

namespace keelson::engine::io {
namespace {

/// Of the calling thread, on Linux. Refused: it only competes more.
void take_rank(BackgroundThread::Rank rank) {
  constexpr int kLowNice = 5;
  const sched_param none{};
  switch (rank) {
    case BackgroundThread::Rank::low: (void)::setpriority(PRIO_PROCESS, 0, kLowNice); break;
    case BackgroundThread::Rank::idle: (void)::sched_setscheduler(0, SCHED_IDLE, &none); break;
  }
}

thread_local StandBack stand_back;

void let_others_run() {
  const PosixClock clock;
  const auto wanted_ns = [&clock] {
    const std::int64_t now_ns = clock.now_ns();
    return stand_back.sleep_ns(now_ns, foreground.has_durable_writes(), foreground.is_busy(now_ns));
  };
  std::int64_t sleep_ns = wanted_ns();
  // Any system call does, for on its way back the kernel looks who waits. Not sched_yield(): that
  // puts one that nobody waits for far behind the next who comes.
  if (sleep_ns == 0) (void)::getppid();
  for (; sleep_ns > 0; sleep_ns = wanted_ns()) {
    const timespec nap{0, sleep_ns};
    (void)::nanosleep(&nap, nullptr);
    stand_back.woke(clock.now_ns());
  }
}

}  // namespace

BackgroundThread::~BackgroundThread() {
  assert(queued_.empty() && finished_.empty());
  if (!thread_.joinable()) return;
  stopping_.store(true);
  calls_.fetch_add(1);
  calls_.notify_one();
  thread_.join();
}

bool BackgroundThread::start() {
  const BlockedSignals blocked;  // the thread inherits it: signals are for the program's threads
  try {
    thread_ = std::thread([this] { serve(); });
    return true;
  } catch (const std::system_error&) {
    return false;  // the limit of threads is reached
  }
}

void BackgroundThread::submit(FsOperation& operation) {
  // No thread to be had: the shard does the work itself, late but done.
  if (!thread_.joinable() && !start()) return run(operation);
  queued_.push(operation);
  calls_.fetch_add(1);
  calls_.notify_one();
}

void BackgroundThread::serve() {
  take_rank(rank_);
  (void)::prctl(PR_SET_TIMERSLACK, 1);  // a sleep ends when it is over, not within 50 us
  set_give_way(let_others_run);
  while (true) {
    const std::uint32_t seen = calls_.load();
    FsOperationList work;
    if (queued_.take_all(work) > 0) {
      while (FsOperation* const operation = work.pop_front()) run(*operation);
    } else if (stopping_.load()) {
      return;
    } else {
      calls_.wait(seen);
    }
  }
}

void BackgroundThread::run(FsOperation& operation) {
  stand_back.begin(PosixClock().now_ns());
  operation.computation(operation.subject);
  operation.result = 0;
  finished_.push(operation);  // not ours from here on
  bell_.nudge();
}

void BackgroundPool::submit(FsOperation& operation) {
  if (turns_left_ > 0) {
    --turns_left_;
    return pressed_.submit(operation);
  }
  if (under_way_++ == 0) waiting_since_ns_ = clock_.now_ns();
  idle_.submit(operation);
}

void BackgroundPool::take_finished(FsOperationList& operations) {
  pressed_.take_finished(operations);
  const std::size_t finished = idle_.take_finished(operations);
  if (finished == 0) return;
  under_way_ -= finished;
  const std::int64_t now_ns = clock_.now_ns();
  if (now_ns - waiting_since_ns_ > kTooLongNs) {
    turns_left_ = next_turns_;
    next_turns_ = std::min(next_turns_ * 2, kPressedTurnsMax);
  } else {
    next_turns_ = kPressedTurnsMin;
  }
  waiting_since_ns_ = now_ns;
}

}  // namespace keelson::engine::io
