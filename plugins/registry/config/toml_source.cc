// The only file that knows the TOML library.
#include <stdexcept>

namespace {
/// Thrown inside the library where its own assertions fail: version 3.3 has some that a file can
/// reach ("[" and a newline), and what follows them reads past the end.
struct TomlAssertion : std::logic_error {
  TomlAssertion() : std::logic_error("toml") {}
};
[[noreturn]] void throw_toml_assertion() { throw TomlAssertion(); }
}  // namespace

#define TOML_ASSERT(expr) ((expr) ? static_cast<void>(0) : throw_toml_assertion())
#define TOML_EXCEPTIONS 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>

#include "engine/logger.h"
#include "plugins/registry/config/config_layer.h"
#include "plugins/registry/config/config_value.h"

namespace keelson {

using engine::concat;

namespace {

constexpr std::size_t kTextBytesMax = 4'194'304;
constexpr int kDepthMax = 32;  // tables in tables

class Flattener {
 public:
  Flattener(std::string_view name, std::string_view text, ConfigLayer& layer,
            ConfigProblems& problems)
      : name_(name), layer_(layer), problems_(problems) {
    while (true) {
      const std::size_t end = text.find('\n');
      lines_.push_back(text.substr(0, end));
      if (end == text.npos) break;
      text.remove_prefix(end + 1);
    }
  }

  void add_table(const toml::table& table, const ConfigPath& path) {
    if (path.size() > kDepthMax) return complain(table, "tables are nested too deeply");
    if (!path.empty()) layer_.tables.emplace(path, origin_of(table));
    for (const auto& [key, node] : table) {
      ConfigPath below = path;
      below.emplace_back(key.str());
      add_node(node, below, key.source());
    }
  }

 private:
  void add_node(const toml::node& node, const ConfigPath& path, const toml::source_region& key) {
    if (const toml::table* table = node.as_table()) return add_table(*table, path);
    if (const toml::array* array = node.as_array()) return add_array(*array, path, key);
    if (std::optional<ConfigValue> value = scalar(node)) {
      layer_.values.emplace(path, RawValue{*std::move(value), false, origin_of_key(key)});
      return;
    }
    complain(node, concat("\"", to_text(path), "\": dates and times are not used here"));
  }

  void add_array(const toml::array& array, const ConfigPath& path, const toml::source_region& key) {
    if (!array.empty() && array.is_homogeneous(toml::node_type::table)) {
      std::size_t number = 0;
      for (const toml::node& element : array) {
        ConfigPath below = path;
        below.push_back(std::to_string(number++));
        add_table(*element.as_table(), below);
      }
      return;
    }
    std::vector<std::string> elements;
    for (const toml::node& element : array) {
      const std::optional<ConfigValue> value = scalar(element);
      if (!value) {
        return complain(element, concat("\"", to_text(path), "\": a list holds single values"));
      }
      elements.push_back(to_text(*value));
    }
    layer_.values.emplace(path, RawValue{std::move(elements), false, origin_of_key(key)});
  }

  static std::optional<ConfigValue> scalar(const toml::node& node) {
    if (const auto* text = node.as_string()) return ConfigValue{text->get()};
    if (const auto* number = node.as_integer()) return ConfigValue{number->get()};
    if (const auto* number = node.as_floating_point()) return ConfigValue{number->get()};
    if (const auto* flag = node.as_boolean()) return ConfigValue{flag->get()};
    return std::nullopt;
  }

  Origin origin_at(const toml::source_position& position) const {
    return {OriginKind::file, name_, position.line, position.column};
  }
  Origin origin_of(const toml::node& node) const { return origin_at(node.source().begin); }
  /// Where the whole dotted name begins: the library gives the place of its last part.
  Origin origin_of_key(const toml::source_region& key) const {
    Origin origin = origin_at(key.begin);
    if (origin.line == 0 || origin.line > lines_.size()) return origin;
    const std::string_view before = lines_[origin.line - 1].substr(0, origin.column - 1);
    const bool ascii = std::ranges::all_of(before, [](char c) { return (c & 0x80) == 0; });
    if (!ascii) return origin;  // columns count characters
    const std::size_t opened = before.find_last_of("{,");
    const std::size_t from = opened == before.npos ? 0 : opened + 1;
    const std::size_t first = before.find_first_not_of(" \t", from);
    if (first != before.npos) origin.column = static_cast<std::uint32_t>(first + 1);
    return origin;
  }
  void complain(const toml::node& node, std::string message) {
    problems_.push_back({origin_of(node), std::move(message)});
  }

  std::string name_;
  std::vector<std::string_view> lines_;
  ConfigLayer& layer_;
  ConfigProblems& problems_;
};

/// Whether the library gives up on `text` by an assertion.
bool fails_assertion(std::string_view text) {
  try {
    (void)toml::parse(text);
  } catch (const toml::parse_error&) {
  } catch (const TomlAssertion&) {
    return true;
  }
  return false;
}

/// The first line, from 1, with which the library gives up.
std::uint32_t line_of_assertion(std::string_view text) {
  std::vector<std::size_t> ends;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') ends.push_back(i + 1);
  }
  const auto found = std::ranges::partition_point(
      ends, [text](std::size_t end) { return !fails_assertion(text.substr(0, end)); });
  return static_cast<std::uint32_t>(found - ends.begin()) + 1;
}

std::expected<toml::table, ConfigProblem> parse(std::string_view name, std::string_view text) {
  const auto problem = [name](std::uint32_t line, std::uint32_t column, std::string message) {
    return std::unexpected(
        ConfigProblem{{OriginKind::file, std::string(name), line, column}, std::move(message)});
  };
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    std::string message(error.description());
    if (message.find("redefine") != message.npos) {
      message += "; quote names with dots that begin alike: \"max.connections\" = …";
    }
    const toml::source_position at = error.source().begin;
    return problem(at.line, at.column, std::move(message));
  } catch (const TomlAssertion&) {
    return problem(line_of_assertion(text), 1, "this line is not TOML");
  }
}

}  // namespace

std::expected<ConfigLayer, ConfigProblems> parse_toml(std::string_view name,
                                                      std::string_view text) {
  ConfigLayer layer;
  ConfigProblems problems;
  if (text.size() > kTextBytesMax) {
    problems.push_back({{OriginKind::file, std::string(name), 1, 1}, "the file is above 4 MiB"});
    return std::unexpected(std::move(problems));
  }
  const std::expected<toml::table, ConfigProblem> table = parse(name, text);
  if (!table) {
    problems.push_back(table.error());
    return std::unexpected(std::move(problems));
  }
  Flattener(name, text, layer, problems).add_table(*table, {});
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return layer;
}

}  // namespace keelson
