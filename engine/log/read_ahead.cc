#include "engine/log/read_ahead.h"

#include <utility>

namespace keelson::engine::log {

ReadAhead::ReadAhead(ReadAheadBudget& owner, Offset first, std::uint64_t size_bytes)
    : budget(owner), from(first), bytes(size_bytes) {
  place_ = budget.order_.insert(budget.order_.end(), this);
  budget.bytes_ += bytes;
}

void ReadAhead::drop() {
  batches.clear();
  if (bytes == 0) return;
  budget.order_.erase(place_);
  budget.bytes_ -= std::exchange(bytes, 0);
}

std::shared_ptr<ReadAhead> ReadAheadBudget::begin(Offset from, std::uint64_t bytes) {
  for (auto at = order_.begin(); at != order_.end() && bytes_ + bytes > bytes_max_;) {
    ReadAhead& oldest = **at++;
    if (oldest.ready()) oldest.drop();  // those still being read write to their memory
  }
  if (bytes == 0 || bytes_ + bytes > bytes_max_) return nullptr;
  return std::make_shared<ReadAhead>(*this, from, bytes);
}

}  // namespace keelson::engine::log
