// plugins/broker/console_logger.h: log lines on standard error.
#pragma once

#include <memory>
#include <string>

#include "engine/logger.h"

namespace spdlog {
class logger;
}

namespace keelson::broker {

/// Any thread; a line is one write.
class ConsoleLogger final : public engine::Logger {
 public:
  explicit ConsoleLogger(engine::LogLevel level);
  ~ConsoleLogger() override;
  void write(engine::LogLevel level, std::string_view component, std::string_view line) override;
  bool enabled(engine::LogLevel level) const override { return level >= level_; }

 private:
  engine::LogLevel level_;
  std::shared_ptr<spdlog::logger> sink_;
};

}  // namespace keelson::broker
