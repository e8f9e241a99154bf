#include "plugins/broker/plugins.h"

#include "coordination/register_coordination.h"
#include "plugins/kafka/kafka_protocol.h"
#include "plugins/offsets/register_offsets.h"
#include "plugins/storage/register_storage.h"
#include "replication/register_replication.h"

namespace keelson::broker {

Registry builtin_plugins() {
  Registry registry;
  storage::register_storage(registry);
  coordination::register_coordination(registry);
  replication::register_replication(registry);
  offsets::register_offsets(registry);
  kafka::register_kafka(registry);
  return registry;
}

}  // namespace keelson::broker
