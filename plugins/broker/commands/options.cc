#include "plugins/broker/commands/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

namespace keelson::broker {
namespace {

std::expected<std::string, std::string> read_whole_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::unexpected("cannot read " + path);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

std::vector<std::pair<std::string, std::string>> read_environment() {
  std::vector<std::pair<std::string, std::string>> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    variables.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

}  // namespace

void add_config_options(CLI::App& command, ConfigOptions& options) {
  command.add_option("--data", options.data, "Data directory (log.dirs)");
  command.add_option("--listen", options.listen, "Address to serve on, HOST:PORT (listeners)");
  command.add_option("--config", options.files, "TOML file; may be given again, later ones win")
      ->check(CLI::ExistingFile);
  command
      .add_option("--set", options.sets,
                  "name=value: a broker setting by Kafka's name, or a "
                  "dotted path such as plugins.log.disk_reserve=1GiB")
      ->allow_extra_args(false);
  command.add_flag("--adopt", options.adopt,
                   "Serve a data directory that Apache Kafka wrote, from now on");
}

std::expected<Config, int> load_config(const ConfigOptions& options) {
  ConfigSources sources;
  for (const std::string& path : options.files) {
    const auto text = read_whole_file(path);
    if (!text) {
      std::cerr << "keelson: " << text.error() << '\n';
      return std::unexpected(kExitUsage);
    }
    sources.files.push_back({path, *text});
  }
  sources.environment = read_environment();
  sources.read_file = read_whole_file;
  sources.sets = options.sets;
  if (!options.data.empty()) sources.sets.push_back("log.dirs=" + options.data);
  if (!options.listen.empty()) sources.sets.push_back("listeners=PLAINTEXT://" + options.listen);
  if (options.adopt) sources.sets.push_back("plugins.log.adopt=true");
  auto config = Config::load(sources);
  if (!config) {
    std::cerr << to_text(config.error()) << '\n';
    return std::unexpected(kExitUsage);
  }
  return std::move(*config);
}

void add_output_option(CLI::App& command, Output& output) {
  command.add_option("--output", output, "text or json")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Output>{{"text", Output::text}, {"json", Output::json}}));
}

int report_failure(const std::string& why) {
  std::cout << std::flush;
  std::cerr << "keelson: " << why << '\n';
  return kExitFailed;
}

std::string to_json_string(std::string_view text) { return nlohmann::json(text).dump(); }

}  // namespace keelson::broker
