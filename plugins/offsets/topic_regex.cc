#include "plugins/offsets/topic_regex.h"

#include <re2/re2.h>

#include <cassert>

#include "engine/logger.h"

namespace keelson::offsets {

TopicRegex::TopicRegex(std::string_view pattern) {
  if (pattern.size() > kPatternBytesMax) {
    error_ = engine::concat("it has ", pattern.size(), " bytes, more than ", kPatternBytesMax);
    return;
  }
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kProgramBytesMax);
  options.set_never_capture(true);
  compiled_ = std::make_unique<re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (!compiled_->ok()) error_ = compiled_->error();
}

TopicRegex::~TopicRegex() = default;

bool TopicRegex::matches(std::string_view topic) const {
  assert(error_.empty());
  return re2::RE2::FullMatch(re2::StringPiece(topic.data(), topic.size()), *compiled_);
}

}  // namespace keelson::offsets
