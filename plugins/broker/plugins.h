// plugins/broker/plugins.h: the plugins that this program is made of.
#pragma once

#include "plugins/registry/registry.h"

namespace keelson::broker {

/// The only place that names concrete plugins.
Registry builtin_plugins();

}  // namespace keelson::broker
