// replication/register_replication.h: makes this folder's plugins known.
#pragma once

#include "plugins/registry/registry.h"

namespace keelson::replication {

/// replicator.single.
void register_replication(Registry& registry);

}  // namespace keelson::replication
