// plugins/storage/kafka_metadata.h: what the records of Kafka's own metadata log say. No I/O.
//
// `__cluster_metadata-0` and its snapshots hold record batches (engine/log/record_batch.h). A
// record's value, after three unsigned varints (frame version 1, record type, its version):
//
//   type                    version  body (flexible: compact lengths, tagged fields at the end)
//    2 topic                0        name, topic id
//    3 partition            0-2      number i32, topic id, replicas, isr, removing, adding (arrays
//                                    of i32), leader i32, leader epoch i32, partition epoch i32, …
//    4 config               0        kind i8 (2 topic, 4 broker, 32 group), resource, name, value;
//                                    a null value removes
//    5 partition change     0-2      number i32, topic id; tag 1: leader i32. Each one with a
//                                    leader but -2 raises the leader epoch by one
//    9 remove topic         0        topic id
//   15 producer ids         0        broker i32, broker epoch i64, next producer id i64
//   23, 24, 25              0        begin, end, abort of a transaction: all that stands between
//                                    the first two counts, or none of it
// Other types say nothing that is needed here. (Source: a Kafka 4.3.1 log and its own dump.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/types.h"
#include "engine/uuid.h"
#include "plugins/registry/log_store.h"

namespace keelson::storage {

/// Takes batches in order and tells what is so after them. Total: no input asserts, throws, or
/// takes memory out of proportion to its size.
class KafkaMetadata {
 public:
  /// Applies the whole, sound batches at the start of `bytes` and returns how many bytes those are.
  /// Batches below next_offset() are passed over. The rest is half a batch, or no batch at all.
  std::size_t feed(engine::Bytes bytes);

  /// The state is that of a snapshot up to `offset`, exclusive: a log goes on from there.
  void end_snapshot(std::int64_t offset);

  std::int64_t next_offset() const { return next_offset_; }
  /// Records that a later version wrote, or that contradict themselves: passed over.
  std::size_t misunderstood() const { return misunderstood_; }

  /// Without `complete` and findings. An open transaction counts as aborted.
  AdoptedMetadata result() const;

 private:
  struct Topic {
    std::string name;
    std::map<std::int32_t, engine::LeaderEpoch> partitions;
  };
  using ResourceKey = std::pair<std::int8_t, std::string>;
  struct Held {
    std::vector<std::byte> value;
    std::int64_t offset = 0;
  };

  bool take_batch(engine::Bytes batch);
  void take_record(engine::Bytes value, std::int64_t offset);
  /// False where the body is not what the type and version promise.
  bool apply(std::uint32_t type, std::uint32_t version, engine::Bytes body, std::int64_t offset);
  bool apply_partition(engine::Bytes body);
  bool apply_partition_change(engine::Bytes body);
  bool apply_config(engine::Bytes body, std::int64_t offset);
  bool remove_topic(engine::Bytes body);

  std::int64_t next_offset_ = 0;
  std::size_t misunderstood_ = 0;
  std::optional<std::vector<Held>> transaction_;  // records of an open one
  std::map<engine::Uuid, Topic> topics_;
  std::set<engine::Uuid> removed_;
  std::map<ResourceKey, AdoptedMetadata::Settings> settings_;
  std::int64_t next_producer_id_ = 0;
};

}  // namespace keelson::storage
