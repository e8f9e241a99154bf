#include "engine/io/timer_queue.h"

#include <cassert>
#include <utility>

namespace keelson::engine::io {

bool TimerQueue::before(const Timer& left, const Timer& right) const {
  if (left.deadline_ns != right.deadline_ns) return left.deadline_ns < right.deadline_ns;
  return left.sequence < right.sequence;
}

void TimerQueue::place(Timer& timer, std::size_t index) {
  heap_[index] = &timer;
  timer.heap_index = index;
}

void TimerQueue::sift_up(std::size_t index) {
  Timer& moving = *heap_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (!before(moving, *heap_[parent])) break;
    place(*heap_[parent], index);
    index = parent;
  }
  place(moving, index);
}

void TimerQueue::sift_down(std::size_t index) {
  Timer& moving = *heap_[index];
  while (true) {
    std::size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
    if (!before(*heap_[child], moving)) break;
    place(*heap_[child], index);
    index = child;
  }
  place(moving, index);
}

void TimerQueue::arm(Timer& timer, std::int64_t deadline_ns) {
  assert(!timer.armed());
  timer.deadline_ns = deadline_ns;
  timer.sequence = next_sequence_++;
  timer.heap_index = heap_.size();
  heap_.push_back(&timer);
  sift_up(timer.heap_index);
}

void TimerQueue::disarm(Timer& timer) {
  if (!timer.armed()) return;
  const std::size_t index = std::exchange(timer.heap_index, Timer::kNotArmed);
  if ((index & kInDue) != 0) {
    due_[index & ~kInDue] = nullptr;
    return;
  }
  Timer* const last = heap_.back();
  heap_.pop_back();
  if (last == &timer) return;
  place(*last, index);
  sift_up(index);
  sift_down(last->heap_index);
}

std::size_t TimerQueue::run_due(std::int64_t now_ns) {
  // All are taken off before the first runs: one that is armed meanwhile for an earlier time would
  // otherwise stand in front of those that were here first, perhaps every time.
  assert(due_.empty());
  while (!heap_.empty() && heap_.front()->deadline_ns <= now_ns) {
    Timer& first = *heap_.front();
    disarm(first);
    first.heap_index = kInDue | due_.size();
    due_.push_back(&first);
  }
  std::size_t ran = 0;
  for (std::size_t i = 0; i < due_.size(); ++i) {
    Timer* const timer = due_[i];
    if (timer == nullptr) continue;  // disarmed by one that ran before
    disarm(*timer);
    timer->on_due(*timer);
    ++ran;
  }
  due_.clear();
  return ran;
}

std::optional<std::int64_t> TimerQueue::next_deadline_ns() const {
  if (heap_.empty()) return std::nullopt;
  return heap_.front()->deadline_ns;
}

}  // namespace keelson::engine::io
