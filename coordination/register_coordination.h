// coordination/register_coordination.h: what this folder adds to a registry.
#pragma once

#include "plugins/registry/registry.h"

namespace keelson::coordination {

/// coordinator.local, coordinator.memory, controller.standard.
void register_coordination(Registry& registry);

}  // namespace keelson::coordination
