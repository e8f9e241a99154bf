// engine/log/append_big_endian.h: integers at the end of a file's content that is being built.
#pragma once

#include <concepts>
#include <string>

#include "engine/byte_order.h"

namespace keelson::engine::log {

template <std::integral T>
void append_big_endian(std::string& out, T value) {
  std::byte bytes[sizeof(T)];
  store_big_endian(bytes, value);
  out.append(reinterpret_cast<const char*>(bytes), sizeof bytes);
}

}  // namespace keelson::engine::log
