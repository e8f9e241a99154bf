// plugins/registry/config/listener_config.h: an address to serve on.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/registry/config/config_value.h"
#include "plugins/registry/config/origin.h"

namespace keelson {

struct HostPort {
  std::string host;  // a name or address, without brackets; empty: every interface
  std::uint16_t port = 0;

  friend bool operator==(const HostPort&, const HostPort&) = default;
};

/// "127.0.0.1:9092", "[::1]:9092", ":9092", "broker-1.example:0" (a free port).
[[nodiscard]] std::optional<HostPort> read_host_port(std::string_view text);

struct ListenerConfig {
  std::string name = "PLAINTEXT";  // unique
  std::string protocol = "kafka";  // an instance of kind protocol
  HostPort bind;
  std::optional<HostPort> advertise = {};  // nothing: what was bound
  std::map<std::string, ConfigValue, std::less<>> options =
      {};  // "tls.cert_file", "authenticators"
  Origin origin = {};
};

/// From Kafka's `listeners` and `advertised.listeners`; the reason where they cannot be read.
[[nodiscard]] std::expected<std::vector<ListenerConfig>, std::string> read_kafka_listeners(
    const std::vector<std::string>& listeners, const std::vector<std::string>& advertised);

}  // namespace keelson
