// plugins/kafka/handlers/group_parts.h: what the handlers of both group protocols share.
#pragma once

#include <cstdint>
#include <string>

#include "plugins/kafka/request_context.h"

namespace keelson::kafka {

// describe, read, delete and their kin: what may be done to a group (AclOperation bits 3, 6, 8).
inline constexpr std::int32_t kGroupOperations = 1 << 3 | 1 << 6 | 1 << 8;

/// A member's address as groups show it.
inline std::string host_of(const ConnectionContext& connection) {
  return "/" + connection.peer_host;
}

}  // namespace keelson::kafka
