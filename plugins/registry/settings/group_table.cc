// Settings of single groups (source: Kafka 4.3.1, GroupConfig).
#include "plugins/registry/settings/table_parts.h"

namespace keelson {
using namespace settings_tables;

namespace {

constexpr SettingDef kGroupSettings[] = {
    {"consumer.assignment.interval.ms", kInt, "1000", 0, kMax, "", kClusterWide, kInForce,
     "Least time between two assignments of this group."},
    {"consumer.heartbeat.interval.ms", kInt, "5000", 1, kMax, "", kClusterWide, kInForce,
     "Time between heartbeats of this group's members."},
    {"consumer.session.timeout.ms", kInt, "45000", 1, kMax, "", kClusterWide, kInForce,
     "Session time-out of this group's members."},
    {"share.assignment.interval.ms", kInt, "1000", 0, kMax, "", kClusterWide, kNoEffect,
     "Least time between two assignments of this group."},
    {"share.auto.offset.reset", kString, "latest", kMin, kMax, "", kClusterWide, kNoEffect,
     "Where a share group begins: latest, earliest, or by_duration:PnDTnHnMnS."},
    {"share.delivery.count.limit", kInt, "5", 2, kMax, "", kClusterWide, kNoEffect,
     "Deliveries of a record before it is given up."},
    {"share.heartbeat.interval.ms", kInt, "5000", 1, kMax, "", kClusterWide, kNoEffect,
     "Time between heartbeats of this group's members."},
    {"share.isolation.level", kString, "read_uncommitted", kMin, kMax,
     "read_committed,read_uncommitted", kClusterWide, kNoEffect,
     "Whether records of open and aborted transactions are delivered."},
    {"share.partition.max.record.locks", kInt, "2000", 100, kMax, "", kClusterWide, kNoEffect,
     "Records of a share partition that may be locked."},
    {"share.record.lock.duration.ms", kInt, "30000", 1000, kMax, "", kClusterWide, kNoEffect,
     "How long a record stays locked for its consumer."},
    {"share.renew.acknowledge.enable", kBool, "true", kMin, kMax, "", kClusterWide, kNoEffect,
     "Whether a consumer may extend the lock of a record."},
    {"share.session.timeout.ms", kInt, "45000", 1, kMax, "", kClusterWide, kNoEffect,
     "Session time-out of this group's members."},
    {"streams.assignment.interval.ms", kInt, "1000", 0, kMax, "", kClusterWide, kNoEffect,
     "Least time between two assignments of this group."},
    {"streams.heartbeat.interval.ms", kInt, "5000", 1, kMax, "", kClusterWide, kNoEffect,
     "Time between heartbeats of this group's members."},
    {"streams.initial.rebalance.delay.ms", kInt, "3000", 0, kMax, "", kClusterWide, kNoEffect,
     "Wait for more members before this group's first assignment."},
    {"streams.num.standby.replicas", kInt, "0", 0, kMax, "", kClusterWide, kInForce,
     "Standby copies of this group's state."},
    {"streams.session.timeout.ms", kInt, "45000", 1, kMax, "", kClusterWide, kNoEffect,
     "Session time-out of this group's members."},
};

struct Pair {
  std::string_view group;
  std::string_view broker;
};
constexpr Pair kPairs[] = {
    {"consumer.assignment.interval.ms", "group.consumer.assignment.interval.ms"},
    {"consumer.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms"},
    {"consumer.session.timeout.ms", "group.consumer.session.timeout.ms"},
    {"share.assignment.interval.ms", "group.share.assignment.interval.ms"},
    {"share.delivery.count.limit", "group.share.delivery.count.limit"},
    {"share.heartbeat.interval.ms", "group.share.heartbeat.interval.ms"},
    {"share.partition.max.record.locks", "group.share.partition.max.record.locks"},
    {"share.record.lock.duration.ms", "group.share.record.lock.duration.ms"},
    {"share.session.timeout.ms", "group.share.session.timeout.ms"},
    {"streams.assignment.interval.ms", "group.streams.assignment.interval.ms"},
    {"streams.heartbeat.interval.ms", "group.streams.heartbeat.interval.ms"},
    {"streams.initial.rebalance.delay.ms", "group.streams.initial.rebalance.delay.ms"},
    {"streams.num.standby.replicas", "group.streams.num.standby.replicas"},
    {"streams.session.timeout.ms", "group.streams.session.timeout.ms"},
};

}  // namespace

std::span<const SettingDef> group_setting_table() { return kGroupSettings; }

std::string_view group_setting_synonym(std::string_view group_setting) {
  for (const Pair& pair : kPairs) {
    if (pair.group == group_setting) return pair.broker;
  }
  return {};
}

}  // namespace keelson
