#include "coordination/controller/values.h"

#include <algorithm>

#include "coordination/controller/topic_names.h"
#include "coordination/store/byte_cursor.h"
#include "coordination/store/versioned_map.h"

namespace keelson::coordination {
namespace {

constexpr std::uint16_t kValueVersion = 1;
constexpr std::size_t kHostBytesMax = 1024;

ByteWriter begin() {
  ByteWriter out;
  out.number(kValueVersion);
  return out;
}

bool read_version(ByteReader& in) { return in.number<std::uint16_t>() == kValueVersion; }

void write_brokers(ByteWriter& out, const std::vector<BrokerId>& brokers) {
  out.number(static_cast<std::uint32_t>(brokers.size()));
  for (const BrokerId broker : brokers) out.number(broker);
}

bool read_brokers(ByteReader& in, std::vector<BrokerId>& brokers) {
  const std::uint32_t count = in.count(sizeof(BrokerId));
  if (count > kReplicasMax) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto broker = in.number<BrokerId>();
    if (broker < 0) return false;
    if (std::find(brokers.begin(), brokers.end(), broker) != brokers.end()) return false;
    brokers.push_back(broker);
  }
  return in.ok();
}

void write_settings(ByteWriter& out, const Settings& settings) {
  out.number(static_cast<std::uint32_t>(settings.size()));
  for (const auto& [name, value] : settings) {
    out.text(name);
    out.text(value);
  }
}

bool read_settings(ByteReader& in, Settings& settings) {
  const std::uint32_t count = in.count(/*bytes_each=*/8);
  for (std::uint32_t i = 0; i < count; ++i) {
    std::string name{in.text(kValueBytesMax)};
    std::string value{in.text(kValueBytesMax)};
    if (!in.ok() || name.empty()) return false;
    if (!settings.emplace(std::move(name), std::move(value)).second) return false;
  }
  return in.ok();
}

}  // namespace

std::string encode(const TopicValue& value) {
  ByteWriter out = begin();
  out.text(value.name);
  out.number(static_cast<std::uint8_t>(value.internal ? 1 : 0));
  out.number(value.partition_count);
  write_settings(out, value.settings);
  return out.take();
}

std::optional<TopicValue> decode_topic(std::string_view bytes) {
  ByteReader in{bytes};
  if (!read_version(in)) return std::nullopt;
  TopicValue value;
  value.name = in.text(kTopicNameBytesMax);
  const auto internal = in.number<std::uint8_t>();
  value.internal = internal == 1;
  value.partition_count = in.number<std::int32_t>();
  if (!read_settings(in, value.settings) || !in.at_end() || internal > 1) return std::nullopt;
  if (!check_topic_name(value.name)) return std::nullopt;
  if (value.partition_count < 1 || value.partition_count > kPartitionsPerTopicMax) {
    return std::nullopt;
  }
  return value;
}

std::string encode(const PartitionView& value) {
  ByteWriter out = begin();
  out.number(value.leader);
  out.number(value.leader_epoch.value());
  out.number(value.partition_epoch);
  write_brokers(out, value.replicas);
  write_brokers(out, value.in_sync_replicas);
  return out.take();
}

std::optional<PartitionView> decode_partition(std::string_view bytes) {
  ByteReader in{bytes};
  if (!read_version(in)) return std::nullopt;
  PartitionView value;
  value.leader = in.number<BrokerId>();
  value.leader_epoch = engine::LeaderEpoch{in.number<std::int32_t>()};
  value.partition_epoch = in.number<std::int32_t>();
  if (!read_brokers(in, value.replicas) || !read_brokers(in, value.in_sync_replicas)) {
    return std::nullopt;
  }
  if (!in.at_end() || value.replicas.empty()) return std::nullopt;
  if (value.leader < kNoBroker || value.leader_epoch.value() < 0 || value.partition_epoch < 0) {
    return std::nullopt;
  }
  const auto is_replica = [&](BrokerId broker) {
    return std::find(value.replicas.begin(), value.replicas.end(), broker) != value.replicas.end();
  };
  if (value.leader != kNoBroker && !is_replica(value.leader)) return std::nullopt;
  if (!std::all_of(value.in_sync_replicas.begin(), value.in_sync_replicas.end(), is_replica)) {
    return std::nullopt;
  }
  return value;
}

std::string encode(const Settings& value) {
  ByteWriter out = begin();
  write_settings(out, value);
  return out.take();
}

std::optional<Settings> decode_settings(std::string_view bytes) {
  ByteReader in{bytes};
  Settings value;
  if (!read_version(in) || !read_settings(in, value) || !in.at_end()) return std::nullopt;
  return value;
}

std::string encode(const BrokerValue& value) {
  ByteWriter out = begin();
  out.uuid(value.incarnation);
  out.number(value.broker.id);
  out.text(value.broker.rack);
  out.number(static_cast<std::uint32_t>(value.broker.endpoints.size()));
  for (const BrokerEndpoint& endpoint : value.broker.endpoints) {
    out.text(endpoint.listener);
    out.text(endpoint.host);
    out.number(endpoint.port);
  }
  return out.take();
}

std::optional<BrokerValue> decode_broker(std::string_view bytes) {
  ByteReader in{bytes};
  if (!read_version(in)) return std::nullopt;
  BrokerValue value;
  value.incarnation = in.uuid();
  value.broker.id = in.number<BrokerId>();
  value.broker.rack = in.text(kHostBytesMax);
  const std::uint32_t count = in.count(/*bytes_each=*/10);
  for (std::uint32_t i = 0; i < count; ++i) {
    BrokerEndpoint endpoint;
    endpoint.listener = in.text(kHostBytesMax);
    endpoint.host = in.text(kHostBytesMax);
    endpoint.port = in.number<std::uint16_t>();
    value.broker.endpoints.push_back(std::move(endpoint));
  }
  if (!in.at_end() || value.broker.id < 0) return std::nullopt;
  return value;
}

std::string encode(const LeaderValue& value) {
  ByteWriter out = begin();
  out.number(value.broker);
  out.uuid(value.incarnation);
  return out.take();
}

std::optional<LeaderValue> decode_leader(std::string_view bytes) {
  ByteReader in{bytes};
  if (!read_version(in)) return std::nullopt;
  LeaderValue value;
  value.broker = in.number<BrokerId>();
  value.incarnation = in.uuid();
  if (!in.at_end() || value.broker < 0) return std::nullopt;
  return value;
}

std::string encode(const engine::Uuid& value) {
  ByteWriter out = begin();
  out.uuid(value);
  return out.take();
}

std::optional<engine::Uuid> decode_topic_id(std::string_view bytes) {
  ByteReader in{bytes};
  if (!read_version(in)) return std::nullopt;
  const engine::Uuid value = in.uuid();
  if (!in.at_end() || value.is_zero()) return std::nullopt;
  return value;
}

std::string encode_number(std::int64_t value) {
  ByteWriter out = begin();
  out.number(value);
  return out.take();
}

std::optional<std::int64_t> decode_number(std::string_view bytes) {
  ByteReader in{bytes};
  if (!read_version(in)) return std::nullopt;
  const auto value = in.number<std::int64_t>();
  if (!in.at_end() || value < 0) return std::nullopt;
  return value;
}

}  // namespace keelson::coordination
