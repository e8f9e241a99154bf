// engine/slice.h: bytes that somebody else keeps alive.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/types.h"

namespace keelson::engine {

/// A range of immutable bytes and a share in their memory. The share may be dropped on any thread.
struct Slice {
  std::shared_ptr<const void> owner;
  Bytes bytes;
};

/// Slices to be taken one after the other as one run of bytes.
using SliceList = std::vector<Slice>;

inline std::size_t total_bytes(const SliceList& slices) {
  std::size_t bytes = 0;
  for (const Slice& slice : slices) bytes += slice.bytes.size();
  return bytes;
}

}  // namespace keelson::engine
