#include "plugins/registry/config/listener_config.h"

#include <algorithm>

#include "engine/logger.h"
#include "plugins/registry/settings/setting_value.h"

namespace keelson {

using engine::concat;

std::optional<HostPort> read_host_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[');
  if (bracketed) {
    if (!host.ends_with(']')) return std::nullopt;
    host = host.substr(1, host.size() - 2);
    if (host.empty()) return std::nullopt;
  }
  const auto belongs = [bracketed](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || (bracketed && (c == ':' || c == '%'));
  };
  if (!std::ranges::all_of(host, belongs)) return std::nullopt;
  const std::string_view digits = text.substr(colon + 1);
  const bool all_digits = std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
  const std::optional<std::int64_t> port = read_integer(digits);
  if (!all_digits || !port || *port > 65535) return std::nullopt;
  return HostPort{std::string(host), static_cast<std::uint16_t>(*port)};
}

std::expected<std::vector<ListenerConfig>, std::string> read_kafka_listeners(
    const std::vector<std::string>& listeners, const std::vector<std::string>& advertised) {
  struct Named {
    std::string name;
    HostPort address;
  };
  const auto split = [](std::string_view text) -> std::optional<Named> {
    const std::size_t mark = text.find("://");
    if (mark == text.npos || mark == 0) return std::nullopt;
    const std::optional<HostPort> address = read_host_port(text.substr(mark + 3));
    if (!address) return std::nullopt;
    return Named{std::string(text.substr(0, mark)), *address};
  };

  std::vector<ListenerConfig> result;
  for (const std::string& text : listeners) {
    std::optional<Named> named = split(text);
    if (!named) {
      return std::unexpected(concat("listeners: \"", text, "\" must be NAME://host:port"));
    }
    if (std::ranges::find(result, named->name, &ListenerConfig::name) != result.end()) {
      return std::unexpected(concat("listeners: \"", named->name, "\" is there twice"));
    }
    ListenerConfig listener;
    listener.name = std::move(named->name);
    listener.bind = std::move(named->address);
    result.push_back(std::move(listener));
  }
  for (const std::string& text : advertised) {
    std::optional<Named> named = split(text);
    if (!named || named->address.host.empty() || named->address.host == "0.0.0.0") {
      return std::unexpected(concat("advertised.listeners: \"", text,
                                    "\" must be NAME://host:port, with a host to connect to"));
    }
    const auto listener = std::ranges::find(result, named->name, &ListenerConfig::name);
    if (listener == result.end()) {
      return std::unexpected(
          concat("advertised.listeners: there is no listener \"", named->name, "\""));
    }
    listener->advertise = std::move(named->address);
  }
  return result;
}

}  // namespace keelson
