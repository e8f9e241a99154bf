#include "plugins/broker/console_logger.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <utility>

namespace keelson::broker {
namespace {

spdlog::level::level_enum to_spdlog(engine::LogLevel level) {
  switch (level) {
    case engine::LogLevel::debug: return spdlog::level::debug;
    case engine::LogLevel::info: return spdlog::level::info;
    case engine::LogLevel::warning: return spdlog::level::warn;
    case engine::LogLevel::error: return spdlog::level::err;
  }
  std::unreachable();
}

}  // namespace

ConsoleLogger::ConsoleLogger(engine::LogLevel level)
    : level_(level),
      sink_(std::make_shared<spdlog::logger>("keelson",
                                             std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
  sink_->set_level(to_spdlog(level));
  sink_->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  sink_->flush_on(spdlog::level::debug);
}

ConsoleLogger::~ConsoleLogger() = default;

void ConsoleLogger::write(engine::LogLevel level, std::string_view component,
                          std::string_view line) {
  sink_->log(to_spdlog(level), "[{}] {}", component, line);
}

}  // namespace keelson::broker
