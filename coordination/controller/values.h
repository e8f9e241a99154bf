// coordination/controller/values.h: what the controller's keys are worth, as bytes. No I/O.
//
// Every value begins with a version, 1 (2 bytes). Decoding is total: a value that is not exactly
// what encode_*() makes, or is out of range, is nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/uuid.h"
#include "plugins/registry/cluster.h"

namespace keelson::coordination {

inline constexpr std::int32_t kPartitionsPerTopicMax = 200'000;
inline constexpr std::size_t kReplicasMax = 1'000;

/// topics/{id}
struct TopicValue {
  std::string name;
  bool internal = false;
  std::int32_t partition_count = 0;
  Settings settings;
};
std::string encode(const TopicValue& value);
std::optional<TopicValue> decode_topic(std::string_view bytes);

/// partitions/{topic_id}/{p}
std::string encode(const PartitionView& value);
std::optional<PartitionView> decode_partition(std::string_view bytes);

/// configs/…
std::string encode(const Settings& value);
std::optional<Settings> decode_settings(std::string_view bytes);

/// brokers/{id}
struct BrokerValue {
  engine::Uuid incarnation;  // of the process that wrote it
  BrokerView broker;
};
std::string encode(const BrokerValue& value);
std::optional<BrokerValue> decode_broker(std::string_view bytes);

/// controller/leader
struct LeaderValue {
  BrokerId broker = kNoBroker;
  engine::Uuid incarnation;
};
std::string encode(const LeaderValue& value);
std::optional<LeaderValue> decode_leader(std::string_view bytes);

/// topic_names/{name}
std::string encode(const engine::Uuid& value);
std::optional<engine::Uuid> decode_topic_id(std::string_view bytes);

/// controller/epoch, producer_ids, creating/{id}: one number, not negative.
std::string encode_number(std::int64_t value);
std::optional<std::int64_t> decode_number(std::string_view bytes);

}  // namespace keelson::coordination
