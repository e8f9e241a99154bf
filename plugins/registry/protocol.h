// plugins/registry/protocol.h: kind `protocol`: a wire format and its listeners.
#pragma once

#include <vector>

#include "plugins/registry/cluster.h"
#include "plugins/registry/plugin.h"

namespace keelson {

/// open() binds its listeners, so that ports are known; start() accepts.
class Protocol : public Plugin {
 public:
  static constexpr const char* kKind = "protocol";

  /// What clients are to be told; known after open().
  virtual std::vector<BrokerEndpoint> endpoints() const = 0;
};

}  // namespace keelson
