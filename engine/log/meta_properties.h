// engine/log/meta_properties.h: `meta.properties`, which cluster, node and directory this is.
//
// Java properties. Version 1: version, cluster.id, node.id, directory.id; version 0 says broker.id
// for node.id and may lack the other ids (source: Kafka MetaProperties).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"

namespace keelson::engine::log {

struct MetaProperties {
  std::optional<std::string> cluster_id;
  std::optional<std::int32_t> node_id;
  std::optional<std::string> directory_id;  // base64 uuid
  std::vector<std::string> other_lines;     // settings this build does not know, as they stood
  friend bool operator==(const MetaProperties&, const MetaProperties&) = default;
};

/// Version 1, with `other_lines` at the end. The node and cluster ids are set: version 1 must have
/// them, and what came from a file of version 0 may lack them.
std::string encode_meta_properties(const MetaProperties& properties);

/// Comments and blank lines are dropped, as Java does when it writes the file again. Errors:
/// corrupt: no version or an unknown one, a known key twice or ill-formed, a line that goes on in
/// the next, a character escaped that needs none of our keys.
[[nodiscard]] Result<MetaProperties> parse_meta_properties(std::string_view text);

}  // namespace keelson::engine::log
