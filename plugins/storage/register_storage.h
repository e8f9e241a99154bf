// plugins/storage/register_storage.h: makes this folder's plugins known.
#pragma once

#include "plugins/registry/registry.h"

namespace keelson::storage {

/// log_store.segment.
void register_storage(Registry& registry);

}  // namespace keelson::storage
