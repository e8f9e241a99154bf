// tests/engine/log/stderr_logger.h: the lines of a simulated broker, where somebody wants them.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "engine/logger.h"

namespace keelson::test {

/// On stderr, where KEELSON_TEST_LOG is set.
class StderrLogger final : public engine::Logger {
 public:
  void write(engine::LogLevel, std::string_view component, std::string_view line) override {
    if (!on_) return;
    std::fprintf(stderr, "[%.*s] %.*s\n", static_cast<int>(component.size()), component.data(),
                 static_cast<int>(line.size()), line.data());
  }
  bool enabled(engine::LogLevel) const override { return on_; }

 private:
  const bool on_ = std::getenv("KEELSON_TEST_LOG") != nullptr;
};
inline StderrLogger test_logger;

}  // namespace keelson::test
