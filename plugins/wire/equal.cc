#include "plugins/wire/equal.h"

namespace keelson::wire {

bool equal(const engine::SliceList& left, const engine::SliceList& right) {
  if (engine::total_bytes(left) != engine::total_bytes(right)) return false;
  std::size_t right_index = 0;
  std::size_t right_start = 0;
  for (const engine::Slice& slice : left) {
    engine::Bytes rest = slice.bytes;
    while (!rest.empty()) {
      const engine::Bytes other = right[right_index].bytes.subspan(right_start);
      const std::size_t common = std::min(rest.size(), other.size());
      if (!std::ranges::equal(rest.first(common), other.first(common))) return false;
      rest = rest.subspan(common);
      right_start += common;
      if (common == other.size()) {
        ++right_index;
        right_start = 0;
      }
    }
  }
  return true;
}

}  // namespace keelson::wire
