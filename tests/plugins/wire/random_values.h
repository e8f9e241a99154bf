// tests/plugins/wire/random_values.h: seeded content for messages.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "engine/slice.h"
#include "engine/types.h"
#include "engine/uuid.h"
#include "plugins/wire/message.h"

namespace keelson::wire {

/// Makes values from a seed, and keeps alive what views among them point to.
class RandomValues {
 public:
  explicit RandomValues(std::uint64_t seed) : engine_(seed) {}

  bool one_in(unsigned count) { return engine_() % count == 0; }
  bool boolean() { return one_in(2); }
  /// The length of an array.
  std::size_t count() { return one_in(50) ? 200 : engine_() % 4; }

  /// Any integer; the ends of the range and small ones more often than chance would.
  template <std::integral T>
  T integer() {
    switch (engine_() % 6) {
      case 0: return std::numeric_limits<T>::min();
      case 1: return std::numeric_limits<T>::max();
      case 2: return static_cast<T>(engine_() % 3) - 1;
      default: return static_cast<T>(engine_());
    }
  }
  double float64() { return static_cast<double>(integer<std::int64_t>()) / 8; }
  engine::Uuid uuid() {
    engine::Uuid value;
    for (std::byte& byte : value.bytes) byte = static_cast<std::byte>(engine_());
    return value;
  }
  /// Lengths on both sides of where a varint takes a second byte.
  std::string_view string() {
    std::string& text = texts_.emplace_back(length(), '\0');
    for (char& byte : text) byte = static_cast<char>(engine_());
    return text;
  }

  void fill_bytes(OwnedBytes& target) {
    const std::string_view text = string();
    target.assign(as_bytes(text).begin(), as_bytes(text).end());
  }
  void fill_bytes(engine::Bytes& target) { target = as_bytes(string()); }
  void fill_bytes(engine::MutableBytes& target) {
    string();
    target = std::as_writable_bytes(std::span(texts_.back()));
  }
  void fill_bytes(engine::SliceList& target) {
    target.clear();
    for (std::size_t i = engine_() % 3; i > 0; --i) {
      const auto owner = std::make_shared<const std::string>(string());
      target.push_back({owner, as_bytes(*owner)});
    }
  }

 private:
  static engine::Bytes as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
  std::size_t length() {
    if (one_in(100)) return 16'383 + engine_() % 3;
    return one_in(10) ? 126 + engine_() % 4 : engine_() % 12;
  }

  std::mt19937_64 engine_;
  std::deque<std::string> texts_;
};

}  // namespace keelson::wire
