// fuzz/plugins/wire/message_fuzz.h: what must hold for a message decoded from any bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "engine/slice.h"
#include "plugins/wire/codec.h"

namespace keelson::wire {

inline void require(bool holds) {
  if (!holds) std::abort();
}

inline OwnedBytes flatten(const engine::SliceList& slices) {
  OwnedBytes bytes;
  for (const engine::Slice& slice : slices) {
    bytes.insert(bytes.end(), slice.bytes.begin(), slice.bytes.end());
  }
  return bytes;
}

/// What is decoded can be written, and what was written reads as the same. The bytes need not be
/// those of the input, which may hold unknown tags or long varints, but writing is deterministic.
template <class Message>
void fuzz_message(engine::Bytes input, std::int16_t version) {
  OwnedBytes bytes(input.begin(), input.end());
  Reader reader{engine::MutableBytes(bytes)};
  const auto message = Message::decode(reader, version);
  if (!message) {
    require(message.error().code == engine::Errc::corrupt ||
            message.error().code == engine::Errc::unsupported);
    return;
  }
  Writer first;
  require(message->encode(first, version).has_value());
  OwnedBytes written = flatten(first.take());
  Reader again{engine::MutableBytes(written)};
  const auto copy = Message::decode(again, version);
  require(copy.has_value() && again.remaining_bytes() == 0);
  require(*copy == *message);
  Writer second;
  require(copy->encode(second, version).has_value());
  require(flatten(second.take()) == written);
}

}  // namespace keelson::wire
