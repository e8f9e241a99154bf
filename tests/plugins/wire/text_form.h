// tests/plugins/wire/text_form.h: messages as JSON, in the form of the golden files.
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/slice.h"
#include "engine/types.h"
#include "engine/uuid.h"
#include "plugins/wire/message.h"

namespace keelson::wire {

/// Compact JSON: bytes as hex, uuids as Kafka prints them, strings as they are.
class TextForm {
 public:
  void open(char bracket) {
    text_ += bracket;
    first_ = true;
  }
  void close(char bracket) {
    text_ += bracket;
    first_ = false;
  }
  void next() {
    if (!first_) text_ += ',';
    first_ = false;
  }
  void name(std::string_view name) {
    next();
    text_.append("\"").append(name).append("\":");
  }
  void null() { text_ += "null"; }
  void value(bool value) { text_ += value ? "true" : "false"; }
  template <std::integral T>
  void value(T value) {
    text_ += std::to_string(value);
  }
  void value(double value) {
    std::array<char, 32> buffer;
    text_.append(buffer.data(), std::to_chars(buffer.begin(), buffer.end(), value).ptr);
  }
  void value(const engine::Uuid& value) { this->value(std::string_view(to_string(value))); }
  void value(std::string_view value) { text_.append("\"").append(value).append("\""); }
  void value(const std::string& value) { this->value(std::string_view(value)); }
  void value(engine::Bytes bytes) {
    text_ += '"';
    append_hex(bytes);
    text_ += '"';
  }
  void value(engine::MutableBytes bytes) { value(engine::Bytes(bytes)); }
  void value(const OwnedBytes& bytes) { value(engine::Bytes(bytes)); }
  void value(const engine::SliceList& slices) {
    text_ += '"';
    for (const engine::Slice& slice : slices) append_hex(slice.bytes);
    text_ += '"';
  }
  std::string take() { return std::move(text_); }

 private:
  void append_hex(engine::Bytes bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (const std::byte byte : bytes) {
      text_ += kDigits[std::to_integer<unsigned>(byte) >> 4];
      text_ += kDigits[std::to_integer<unsigned>(byte) & 15];
    }
  }

  std::string text_;
  bool first_ = true;
};

}  // namespace keelson::wire
