// plugins/offsets/register_offsets.h: makes this folder's plugins known.
#pragma once

#include "plugins/offsets/offset_settings.h"
#include "plugins/registry/registry.h"

namespace keelson::offsets {

/// `offset_store.log`. Needs replicator, controller and log_store.
void register_offsets(Registry& registry);

/// The broker's settings that are about groups and offsets.
OffsetSettings offset_settings(const BrokerSettings& settings);

}  // namespace keelson::offsets
