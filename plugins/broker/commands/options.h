// plugins/broker/commands/options.h: what several commands take from the command line.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "plugins/registry/config/config.h"

namespace CLI {
class App;
}

namespace keelson::broker {

/// Exit codes: 0 success, 1 it could not be done, 2 wrong use or configuration.
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

/// Where a broker's configuration comes from.
struct ConfigOptions {
  std::vector<std::string> files;  // --config, later ones win
  std::vector<std::string> sets;   // --set name=value
  std::string data;                // --data
  std::string listen;              // --listen HOST:PORT
  bool adopt = false;              // --adopt
};

void add_config_options(CLI::App& command, ConfigOptions& options);

/// Reads files, environment and command line into one configuration. Prints what is wrong, all of
/// it, to standard error and returns kExitUsage.
std::expected<Config, int> load_config(const ConfigOptions& options);

enum class Output : std::uint8_t { text, json };
void add_output_option(CLI::App& command, Output& output);

/// Of every command that asks a running broker (server_command.h).
struct ServerOptions {
  std::string server = "127.0.0.1:9092";
  std::int64_t timeout_ms = 30'000;
  Output output = Output::text;
};

/// Says why it could not be done, behind what was printed before. Returns kExitFailed.
int report_failure(const std::string& why);

/// Text as a JSON string, with its quotes.
std::string to_json_string(std::string_view text);

}  // namespace keelson::broker
