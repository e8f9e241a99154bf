// engine/io/posix/operation_stack.h: operations on their way from one thread to another.
#pragma once

#include <atomic>
#include <cstddef>

#include "engine/io/posix/operation_list.h"

namespace keelson::engine::io {

/// Any thread pushes, without a lock and without waiting; one takes all there are. Linked through
/// `next`. Holds, does not own. All accesses but the last are sequentially consistent: Doorbell.
template <class Op>
class OperationStack {
 public:
  bool empty() const { return newest_.load() == nullptr; }

  void push(Op& operation) {
    Op* below = newest_.load(std::memory_order_relaxed);
    do {
      operation.next = below;
    } while (!newest_.compare_exchange_weak(below, &operation));
  }

  /// Moves them to the end of `into`, oldest first. How many.
  std::size_t take_all(LinkedList<Op>& into) {
    if (newest_.load(std::memory_order_relaxed) == nullptr) return 0;
    Op* newest = newest_.exchange(nullptr, std::memory_order_acquire);
    Op* oldest = nullptr;
    while (newest != nullptr) {
      Op* const below = newest->next;
      newest->next = oldest;
      oldest = newest;
      newest = below;
    }
    std::size_t count = 0;
    for (; oldest != nullptr; ++count) {
      Op* const following = oldest->next;
      into.push_back(*oldest);
      oldest = following;
    }
    return count;
  }

 private:
  std::atomic<Op*> newest_{nullptr};
};

}  // namespace keelson::engine::io
