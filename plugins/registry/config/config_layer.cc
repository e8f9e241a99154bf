#include "plugins/registry/config/config_layer.h"

#include <algorithm>

#include "engine/logger.h"
#include "plugins/registry/config/nearest_name.h"
#include "plugins/registry/settings/setting.h"

namespace keelson {

using engine::concat;

namespace {

constexpr std::string_view kVariablePrefix = "KEELSON__";
constexpr std::string_view kSections[] = {"broker", "kafka", "plugins"};

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + separator.size());
  }
}

std::string lower_case(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

bool is_section(std::string_view name) {
  return std::ranges::find(kSections, name) != std::end(kSections);
}

std::string nearest_set_name(std::string_view name) {
  NearestName nearest(name);
  for (const SettingDef& definition : broker_setting_table()) nearest.offer(definition.name);
  return std::string(nearest.found());
}

}  // namespace

std::string to_text(const ConfigPath& path) {
  std::string text;
  for (const std::string& part : path) {
    if (!text.empty()) text += '.';
    text += part;
  }
  return text;
}

std::expected<ConfigLayer, ConfigProblems> read_environment(
    const std::vector<std::pair<std::string, std::string>>& environment) {
  ConfigLayer layer;
  ConfigProblems problems;
  for (const auto& [name, value] : environment) {
    if (!name.starts_with(kVariablePrefix)) continue;
    const Origin origin{OriginKind::environment, name};
    ConfigPath path = split(lower_case(name.substr(kVariablePrefix.size())), "__");
    const bool whole = path.size() >= 2 && std::ranges::none_of(path, &std::string::empty);
    if (!whole || !is_section(path.front())) {
      problems.push_back({origin,
                          "must be KEELSON__KAFKA__…, KEELSON__BROKER__… or "
                          "KEELSON__PLUGINS__<instance>__…"});
      continue;
    }
    if (path.front() == "kafka") {
      for (std::size_t i = 1; i < path.size(); ++i) std::ranges::replace(path[i], '_', '.');
    }
    if (!layer.values.emplace(path, RawValue{value, true, origin}).second) {
      problems.push_back({origin, concat(to_text(path), " is set by another variable too")});
    }
  }
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return layer;
}

std::expected<ConfigLayer, ConfigProblems> read_sets(const std::vector<std::string>& sets) {
  ConfigLayer layer;
  ConfigProblems problems;
  for (const std::string& set : sets) {
    const std::size_t equals = set.find('=');
    const std::string name = set.substr(0, equals);
    const Origin origin{OriginKind::command_line, name};
    if (equals == set.npos || name.empty()) {
      problems.push_back({origin, "must be name=value"});
      continue;
    }
    ConfigPath path;
    if (find_broker_setting(name) != nullptr) {
      path = {"kafka", name};
    } else {
      path = split(name, ".");
      const bool whole = path.size() >= 2 && std::ranges::none_of(path, &std::string::empty);
      if (!whole || !is_section(path.front())) {
        problems.push_back({origin, concat("unknown setting \"", name, "\"",
                                           did_you_mean(nearest_set_name(name)))});
        continue;
      }
    }
    if (path.front() == "kafka") {
      path = {"kafka", to_text(ConfigPath(path.begin() + 1, path.end()))};
    }
    // Given twice, the last one holds, as on most command lines.
    layer.values.insert_or_assign(path, RawValue{set.substr(equals + 1), true, origin});
  }
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return layer;
}

}  // namespace keelson
