// Settings that Kafka has not.
#include "plugins/registry/settings/table_parts.h"

namespace keelson::settings_tables {

namespace {

constexpr SettingDef kSettings[] = {
    {"keelson.cache.bytes", kLong, "16777216", 1'048'576, kMax, "", kReadOnly, kInForce,
     "Memory for recently written and read chunks of logs, all shards together."},
    {"keelson.drain.timeout.ms", kLong, "30000", 0, 3'600'000, "", kReadOnly, kInForce,
     "How long accepted work may take to finish when the broker is told to stop."},
    {"keelson.io.backend", kString, "auto", kMin, kMax, "auto,uring,threads", kReadOnly, kInForce,
     "How files and sockets are driven; auto takes io_uring where the system allows it."},
    {"keelson.log.durability", kString, "durable", kMin, kMax, "durable,relaxed", kClusterWide,
     kInForce, "Default of the topics' keelson.durability."},
    {"keelson.pending.bytes", kLong, "16777216", 1'048'576, kMax, "", kReadOnly, kInForce,
     "Memory for requests taken in and not yet answered, all shards together."},
    {"keelson.shards", kInt, "0", 0, 1024, "", kReadOnly, kInForce,
     "Threads that each own a share of the partitions; 0 is one for each processor."},
};

}  // namespace

std::span<const SettingDef> broker_own_settings() { return kSettings; }

}  // namespace keelson::settings_tables
