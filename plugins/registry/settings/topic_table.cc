// Topic settings (source: Kafka 4.3.1, TopicConfig and LogConfig).
#include "plugins/registry/settings/table_parts.h"

namespace keelson {
using namespace settings_tables;

namespace {

constexpr auto kAny = kClusterWide;  // a topic's settings can all be changed

constexpr SettingDef kTopicSettings[] = {
    {"cleanup.policy", kList, "delete", kMin, kMax, "compact,delete", kAny, kInForce,
     "What happens to old segments: deleted, compacted, both, or neither."},
    {"compression.gzip.level", kInt, "-1", -1, 9, "", kAny, kInForce,
     "Level used when the broker writes gzip; -1 is the codec's own."},
    {"compression.lz4.level", kInt, "9", 1, 17, "", kAny, kInForce,
     "Level used when the broker writes lz4."},
    {"compression.type", kString, "producer", kMin, kMax, kCodecs, kAny, kInForce,
     "Codec that batches are stored with; producer keeps each as it came."},
    {"compression.zstd.level", kInt, "3", -131072, 22, "", kAny, kInForce,
     "Level used when the broker writes zstd."},
    {"delete.retention.ms", kLong, "86400000", 0, kMax, "", kAny, kInForce,
     "How long a compacted log keeps tombstones and transaction markers."},
    {"file.delete.delay.ms", kLong, "60000", 0, kMax, "", kAny, kInForce,
     "Wait between taking a segment out of the log and removing its files."},
    {"flush.messages", kLong, kMaxLongText, 1, kMax, "", kAny, kNoEffect,
     "Records between forced syncs; keelson.durability decides here."},
    {"flush.ms", kLong, kMaxLongText, 0, kMax, "", kAny, kNoEffect,
     "Time between forced syncs; keelson.durability decides here."},
    {"follower.replication.throttled.replicas", kList, "", kMin, kMax, "", kAny, kNoEffect,
     "Replicas, as partition:broker or *, whose catching up is throttled at the follower."},
    {"index.interval.bytes", kInt, "4096", 0, kMax, "", kAny, kInForce,
     "Bytes of log between two entries of the offset index."},
    {"keelson.durability", kString, "durable", kMin, kMax, "durable,relaxed", kAny, kInForce,
     "When a write is acknowledged: on stable storage, or already when written."},
    {"leader.replication.throttled.replicas", kList, "", kMin, kMax, "", kAny, kNoEffect,
     "Replicas, as partition:broker or *, that the leader serves at the throttled rate."},
    {"local.retention.bytes", kLong, "-2", -2, kMax, "", kAny, kNoEffect,
     "Size kept on local disk under tiered storage; -2 takes retention.bytes."},
    {"local.retention.ms", kLong, "-2", -2, kMax, "", kAny, kNoEffect,
     "Age kept on local disk under tiered storage; -2 takes retention.ms."},
    {"max.compaction.lag.ms", kLong, kMaxLongText, 1, kMax, "", kAny, kInForce,
     "Longest time a record of a compacted topic may stay uncompacted."},
    {"max.message.bytes", kInt, "1048588", 0, kMax, "", kAny, kInForce,
     "Largest batch taken, as stored, header included."},
    {"message.timestamp.after.max.ms", kLong, "3600000", 0, kMax, "", kAny, kInForce,
     "How far a record's timestamp may be ahead of the broker's clock."},
    {"message.timestamp.before.max.ms", kLong, kMaxLongText, 0, kMax, "", kAny, kInForce,
     "How far a record's timestamp may be behind the broker's clock."},
    {"message.timestamp.type", kString, "CreateTime", kMin, kMax, "CreateTime,LogAppendTime", kAny,
     kInForce, "Whose time a record carries: the producer's or the broker's."},
    {"min.cleanable.dirty.ratio", kDouble, "0.5", 0, 1, "", kAny, kInForce,
     "Share of uncompacted bytes above which a log is compacted."},
    {"min.compaction.lag.ms", kLong, "0", 0, kMax, "", kAny, kInForce,
     "Shortest time a record stays as it was written before compaction."},
    {"min.insync.replicas", kInt, "1", 1, kMax, "", kAny, kInForce,
     "Replicas that must have a record before acks=all is answered."},
    {"preallocate", kBool, "false", kMin, kMax, "", kAny, kNoEffect,
     "Reserve a segment's space when it is made; segments are always prepared here."},
    {"remote.log.copy.disable", kBool, "false", kMin, kMax, "", kAny, kNoEffect,
     "Stop copying segments to tiered storage and read what is there."},
    {"remote.log.delete.on.disable", kBool, "false", kMin, kMax, "", kAny, kNoEffect,
     "Delete a topic's tiered data when tiered storage is switched off for it."},
    {"remote.storage.enable", kBool, "false", kMin, kMax, "", kAny, kNoEffect,
     "Keep old segments in tiered storage; refused while the broker has none."},
    {"retention.bytes", kLong, "-1", kMin, kMax, "", kAny, kInForce,
     "Size of a partition above which its oldest segments go; -1 is no bound."},
    {"retention.ms", kLong, "604800000", -1, kMax, "", kAny, kInForce,
     "Age above which segments go; -1 is no bound."},
    {"segment.bytes", kInt, "1073741824", 1'048'576, kMax, "", kAny, kInForce,
     "Size at which a new segment is begun."},
    {"segment.index.bytes", kInt, "10485760", 4, kMax, "", kAny, kInForce,
     "Largest size of a segment's offset index; a full index begins a new segment."},
    {"segment.jitter.ms", kLong, "0", 0, kMax, "", kAny, kInForce,
     "Random part taken off segment.ms, so that logs do not roll together."},
    {"segment.ms", kLong, "604800000", 1, kMax, "", kAny, kInForce,
     "Age at which a new segment is begun, full or not."},
    {"unclean.leader.election.enable", kBool, "false", kMin, kMax, "", kAny, kClusterOnly,
     "Whether a replica that may lack records can become leader."},
};

constexpr std::int64_t kMsPerMinute = 60'000;
constexpr std::int64_t kMsPerHour = 3'600'000;

constexpr SettingSynonym kRetention[] = {{"log.retention.ms"},
                                         {"log.retention.minutes", kMsPerMinute},
                                         {"log.retention.hours", kMsPerHour}};
constexpr SettingSynonym kRoll[] = {{"log.roll.ms"}, {"log.roll.hours", kMsPerHour}};
constexpr SettingSynonym kJitter[] = {{"log.roll.jitter.ms"},
                                      {"log.roll.jitter.hours", kMsPerHour}};
constexpr SettingSynonym kFlush[] = {{"log.flush.interval.ms"},
                                     {"log.flush.scheduler.interval.ms"}};

struct Pair {
  std::string_view topic;
  SettingSynonym broker;
};
constexpr Pair kPairs[] = {
    {"cleanup.policy", {"log.cleanup.policy"}},
    {"compression.gzip.level", {"compression.gzip.level"}},
    {"compression.lz4.level", {"compression.lz4.level"}},
    {"compression.type", {"compression.type"}},
    {"compression.zstd.level", {"compression.zstd.level"}},
    {"delete.retention.ms", {"log.cleaner.delete.retention.ms"}},
    {"file.delete.delay.ms", {"log.segment.delete.delay.ms"}},
    {"flush.messages", {"log.flush.interval.messages"}},
    {"index.interval.bytes", {"log.index.interval.bytes"}},
    {"keelson.durability", {"keelson.log.durability"}},
    {"local.retention.bytes", {"log.local.retention.bytes"}},
    {"local.retention.ms", {"log.local.retention.ms"}},
    {"max.compaction.lag.ms", {"log.cleaner.max.compaction.lag.ms"}},
    {"max.message.bytes", {"message.max.bytes"}},
    {"message.timestamp.after.max.ms", {"log.message.timestamp.after.max.ms"}},
    {"message.timestamp.before.max.ms", {"log.message.timestamp.before.max.ms"}},
    {"message.timestamp.type", {"log.message.timestamp.type"}},
    {"min.cleanable.dirty.ratio", {"log.cleaner.min.cleanable.ratio"}},
    {"min.compaction.lag.ms", {"log.cleaner.min.compaction.lag.ms"}},
    {"min.insync.replicas", {"min.insync.replicas"}},
    {"preallocate", {"log.preallocate"}},
    {"retention.bytes", {"log.retention.bytes"}},
    {"segment.bytes", {"log.segment.bytes"}},
    {"segment.index.bytes", {"log.index.size.max.bytes"}},
    {"unclean.leader.election.enable", {"unclean.leader.election.enable"}},
};

}  // namespace

std::span<const SettingDef> topic_setting_table() { return kTopicSettings; }

std::span<const SettingSynonym> topic_setting_synonyms(std::string_view topic_setting) {
  if (topic_setting == "retention.ms") return kRetention;
  if (topic_setting == "segment.ms") return kRoll;
  if (topic_setting == "segment.jitter.ms") return kJitter;
  if (topic_setting == "flush.ms") return kFlush;
  for (const Pair& pair : kPairs) {
    if (pair.topic == topic_setting) return {&pair.broker, 1};
  }
  return {};
}

std::span<const SettingSynonym> broker_setting_synonyms(std::string_view broker_setting) {
  static constexpr SettingSynonym kDirs[] = {{"log.dirs"}, {"log.dir"}};
  static constexpr SettingSynonym kNode[] = {{"node.id"}, {"broker.id"}};
  if (broker_setting == "log.retention.ms") return kRetention;
  if (broker_setting == "log.roll.ms") return kRoll;
  if (broker_setting == "log.roll.jitter.ms") return kJitter;
  if (broker_setting == "log.flush.interval.ms") return kFlush;
  if (broker_setting == "log.dirs") return kDirs;
  if (broker_setting == "node.id") return kNode;
  return {};
}

}  // namespace keelson
