#include "plugins/broker/commands/item_printer.h"

#include <iostream>

namespace keelson::broker {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

/// The length of the UTF-8 character at the start of `text`, 0 where there is none (RFC 3629).
std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned second = at(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool beyond = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  return overlong || beyond ? 0 : length;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string to_json(const Item& item) {
  return item.dump(-1, ' ', false, Item::error_handler_t::replace);
}

bool is_plain(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '=') return false;
  }
  return true;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\n': out += "\\n"; continue;
      case '\r': out += "\\r"; continue;
      case '\t': out += "\\t"; continue;
      case '\\': out += "\\\\"; continue;
      case '"': out += "\\\""; continue;
      default: break;
    }
    if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

void put_bytes(Item& item, const std::string& name, engine::Bytes bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (is_utf8(text)) {
    item[name] = std::string(text);
    return;
  }
  std::string hex;
  for (const std::byte byte : bytes) {
    hex += kHex[static_cast<unsigned>(byte) >> 4];
    hex += kHex[static_cast<unsigned>(byte) & 15];
  }
  item[name + "_hex"] = std::move(hex);
}

void ItemPrinter::print(std::string_view type, const Item& item, int indent) {
  if (output_ == Output::json) {
    Item line = {{"type", std::string(type)}};
    line.update(item);
    std::cout << to_json(line) << '\n';
    return;
  }
  std::cout << std::string(static_cast<std::size_t>(indent), ' ') << type;
  for (const auto& [key, value] : item.items()) {
    std::cout << ' ' << key << '=';
    if (!value.is_string()) {
      std::cout << to_json(value);
      continue;
    }
    const auto& text = value.get_ref<const std::string&>();
    if (is_plain(text)) {
      std::cout << text;
    } else {
      std::cout << '"' << escape(text) << '"';
    }
  }
  std::cout << '\n';
}

bool ItemPrinter::wanted() const { return std::cout.good(); }

}  // namespace keelson::broker
