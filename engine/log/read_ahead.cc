#include "engine/log/read_ahead.h"

#include <utility>

namespace keelson::engine::log {

void ReadAhead::drop() {
  batches.clear();
  budget.bytes_ -= std::exchange(bytes, 0);
}

std::shared_ptr<ReadAhead> ReadAheadBudget::begin(Offset from, std::uint64_t bytes) {
  // Those that were taken are gone already; those still being read are passed over.
  for (std::size_t looks = order_.size(); looks > 0; --looks) {
    const std::shared_ptr<ReadAhead> oldest = order_.front().lock();
    const bool is_read = oldest && oldest->ready();
    if (is_read && bytes_ + bytes <= bytes_max_) break;
    if (oldest && !is_read && oldest->bytes > 0) order_.push_back(order_.front());
    if (is_read) oldest->drop();
    order_.pop_front();
  }
  if (bytes_ + bytes > bytes_max_) return nullptr;
  bytes_ += bytes;
  auto ahead = std::make_shared<ReadAhead>(*this, from, bytes);
  order_.push_back(ahead);
  return ahead;
}

}  // namespace keelson::engine::log
