// coordination/store/byte_cursor.h: building and taking apart the values and frames kept here.
//
// Integers are big-endian; text is a 4-byte length and that many bytes. Reading is total: after the
// first thing that does not fit, every read gives zero or nothing and ok() is false for good.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/byte_order.h"
#include "engine/types.h"
#include "engine/uuid.h"

namespace keelson::coordination {

class ByteWriter {
 public:
  template <std::integral T>
  void number(T value) {
    std::byte raw[sizeof(T)];
    engine::store_big_endian(raw, value);
    out_.append(reinterpret_cast<const char*>(raw), sizeof raw);
  }
  void text(std::string_view text) {
    number(static_cast<std::uint32_t>(text.size()));
    out_ += text;
  }
  void uuid(const engine::Uuid& uuid) {
    out_.append(reinterpret_cast<const char*>(uuid.bytes.data()), uuid.bytes.size());
  }
  std::size_t size() const { return out_.size(); }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && rest_.empty(); }
  std::size_t remaining() const { return rest_.size(); }

  template <std::integral T>
  T number() {
    const std::string_view raw = bytes(sizeof(T));
    if (raw.size() != sizeof(T)) return 0;
    return engine::load_big_endian<T>(reinterpret_cast<const std::byte*>(raw.data()));
  }
  /// A view into what is read.
  std::string_view text(std::size_t bytes_max) {
    const auto length = number<std::uint32_t>();
    if (length > bytes_max) {
      ok_ = false;
      return {};
    }
    return bytes(length);
  }
  /// A count of things that take at least `bytes_each`: never more than can be there.
  std::uint32_t count(std::size_t bytes_each) {
    const auto value = number<std::uint32_t>();
    if (value > rest_.size() / bytes_each) {
      ok_ = false;
      return 0;
    }
    return value;
  }
  engine::Uuid uuid() {
    engine::Uuid result;
    const std::string_view raw = bytes(result.bytes.size());
    for (std::size_t i = 0; i < raw.size(); ++i) result.bytes[i] = static_cast<std::byte>(raw[i]);
    return result;
  }

 private:
  std::string_view bytes(std::size_t count) {
    if (!ok_ || count > rest_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace keelson::coordination
