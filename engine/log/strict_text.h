// engine/log/strict_text.h: reading small text files that only programs write: any oddity shows.
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string_view>

namespace keelson::engine::log {

/// Takes the next line, without its newline, off the front of `text`; nothing where no newline is
/// left: a file that ends within a line was cut.
inline std::optional<std::string_view> take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

/// Takes what stands before the first `separator` off the front of `text`, and the separator.
inline std::optional<std::string_view> take_until(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(end + 1);
  return part;
}

/// All of `text` as a decimal number; no sign but '-', no space.
template <std::signed_integral T>
std::optional<T> parse_decimal(std::string_view text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

}  // namespace keelson::engine::log
