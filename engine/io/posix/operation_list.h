// engine/io/posix/operation_list.h: operations in a row, linked through themselves.
#pragma once

#include <utility>

#include "engine/io/backend.h"

namespace keelson::engine::io {

/// First in, first out, linked through `next`. Holds, does not own.
template <class Op>
class LinkedList {
 public:
  bool empty() const { return head_ == nullptr; }
  Op* front() const { return head_; }

  void push_back(Op& operation) {
    operation.next = nullptr;
    (head_ == nullptr ? head_ : tail_->next) = &operation;
    tail_ = &operation;
  }

  Op* pop_front() {
    Op* const first = head_;
    if (first != nullptr) head_ = std::exchange(first->next, nullptr);
    return first;
  }

  /// Takes `operation` out; false where it is not in here. Linear.
  bool remove(Op& operation) {
    Op* previous = nullptr;
    for (Op* here = head_; here != nullptr; previous = here, here = here->next) {
      if (here != &operation) continue;
      (previous == nullptr ? head_ : previous->next) = here->next;
      if (tail_ == here) tail_ = previous;
      here->next = nullptr;
      return true;
    }
    return false;
  }

  /// Everything, leaving this empty.
  LinkedList take() { return std::exchange(*this, LinkedList{}); }

 private:
  Op* head_ = nullptr;
  Op* tail_ = nullptr;
};

using OperationList = LinkedList<Operation>;
using FsOperationList = LinkedList<FsOperation>;

}  // namespace keelson::engine::io
