// engine/logger.h: where the libraries send their log lines. They print nothing themselves.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace keelson::engine {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

/// Takes log lines from any thread. An implementation must not block for long.
class Logger {
 public:
  virtual ~Logger() = default;
  /// `component` is a short lower-case name ("log", "net"); `line` has no newline at its end.
  virtual void write(LogLevel level, std::string_view component, std::string_view line) = 0;
  /// False where a line of that level would be dropped, so that building it can be skipped.
  virtual bool enabled(LogLevel level) const = 0;
};

/// Drops everything. For tests and for embedders that want silence.
class NullLogger final : public Logger {
 public:
  void write(LogLevel, std::string_view, std::string_view) override {}
  bool enabled(LogLevel) const override { return false; }
};

namespace detail {
inline void append_text(std::string& out, std::string_view text) { out += text; }
inline void append_text(std::string& out, char text) { out += text; }
template <std::integral T>
  requires(!std::same_as<T, char>)
void append_text(std::string& out, T number) {
  out += std::to_string(number);
}
}  // namespace detail

/// The parts one after the other: text as it is, integers in decimal.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string out;
  (detail::append_text(out, parts), ...);
  return out;
}

}  // namespace keelson::engine
