// plugins/offsets/topic_regex.h: subscriptions by pattern, in RE2's syntax.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace re2 {
class RE2;
}

namespace keelson::offsets {

class TopicRegex {
 public:
  static constexpr std::size_t kPatternBytesMax = std::size_t{16}
                                                  << 10;  // and a record's key has 32 KiB
  static constexpr std::int64_t kProgramBytesMax = std::int64_t{1} << 20;  // of memory, compiled

  explicit TopicRegex(std::string_view pattern);
  ~TopicRegex();
  TopicRegex(const TopicRegex&) = delete;

  /// Not a pattern, or one that is too large; the reason for a person. Empty where it is good.
  const std::string& error() const { return error_; }
  /// The whole name, not a part of it. Takes time linear in the name. Only where error() is empty.
  bool matches(std::string_view topic) const;

 private:
  std::unique_ptr<re2::RE2> compiled_;
  std::string error_;
};

}  // namespace keelson::offsets
