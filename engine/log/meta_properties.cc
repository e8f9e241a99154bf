#include "engine/log/meta_properties.h"

#include <cassert>
#include <utility>

#include "engine/log/strict_text.h"
#include "engine/logger.h"

namespace keelson::engine::log {
namespace {

constexpr std::string_view kBlank = " \t\f";

std::string_view without_leading_blanks(std::string_view text) {
  const std::size_t start = text.find_first_not_of(kBlank);
  return start == std::string_view::npos ? std::string_view{} : text.substr(start);
}

/// Java escapes ':', '=', '#' and '!' in values; \t and the like have no place in an id.
std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t index = 0; index < text.size(); ++index) {
    if (text[index] == '\\') {
      ++index;
      if (index == text.size() ||
          std::string_view(":=#!\\ ").find(text[index]) == std::string_view::npos) {
        return std::nullopt;
      }
    }
    out += text[index];
  }
  return out;
}

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view(":=#!\\ ").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

struct Setting {
  std::string_view key;
  std::string_view value;  // still escaped
};

/// `line` at the first '=', ':' or blank; blanks around a separator belong to it.
Setting split(std::string_view line) {
  const std::size_t end = line.find_first_of("=: \t\f");
  if (end == std::string_view::npos) return {line, {}};
  std::string_view rest = without_leading_blanks(line.substr(end));
  if (!rest.empty() && (rest[0] == '=' || rest[0] == ':')) rest.remove_prefix(1);
  return {line.substr(0, end), without_leading_blanks(rest)};
}

/// Notes `value` in `field`, which was empty so far.
bool set_text(std::optional<std::string>& field, std::string_view value) {
  if (field) return false;
  field = unescape(value);
  return field && !field->empty();
}

bool set_number(std::optional<std::int32_t>& field, std::string_view value) {
  if (field) return false;
  field = parse_decimal<std::int32_t>(value);
  return field && *field >= 0;
}

}  // namespace

std::string encode_meta_properties(const MetaProperties& properties) {
  assert(properties.node_id && properties.cluster_id);
  std::string out = concat("#\nnode.id=", *properties.node_id, '\n');
  if (properties.directory_id) {
    out += concat("directory.id=", escape(*properties.directory_id), '\n');
  }
  out += concat("version=1\ncluster.id=", escape(*properties.cluster_id), '\n');
  for (const std::string& line : properties.other_lines) out += concat(line, '\n');
  return out;
}

Result<MetaProperties> parse_meta_properties(std::string_view text) {
  MetaProperties properties;
  std::optional<std::int32_t> version;
  std::optional<std::int32_t> broker_id;
  while (!text.empty()) {
    std::optional<std::string_view> taken = take_line(text);
    std::string_view whole = taken ? *taken : std::exchange(text, {});
    if (whole.ends_with('\r')) whole.remove_suffix(1);
    if (whole.find('\r') != std::string_view::npos) return fail(Errc::corrupt);
    const std::string_view line = without_leading_blanks(whole);
    if (line.empty() || line[0] == '#' || line[0] == '!') continue;
    if (line.ends_with('\\')) return fail(Errc::corrupt);

    const auto [key, value] = split(line);
    bool accepted = true;
    if (key == "version") {
      accepted = set_number(version, value) && *version <= 1;
    } else if (key == "cluster.id") {
      accepted = set_text(properties.cluster_id, value);
    } else if (key == "node.id") {
      accepted = set_number(properties.node_id, value);
    } else if (key == "broker.id") {
      accepted = set_number(broker_id, value);
    } else if (key == "directory.id") {
      accepted = set_text(properties.directory_id, value);
    } else {
      properties.other_lines.emplace_back(whole);
    }
    if (!accepted) return fail(Errc::corrupt);
  }
  if (!version) return fail(Errc::corrupt);
  if (*version == 0) {
    if (properties.node_id) return fail(Errc::corrupt);
    properties.node_id = broker_id;
  } else if (!properties.node_id || !properties.cluster_id || broker_id) {
    return fail(Errc::corrupt);
  }
  return properties;
}

}  // namespace keelson::engine::log
