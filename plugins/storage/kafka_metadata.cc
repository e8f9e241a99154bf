#include "plugins/storage/kafka_metadata.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "engine/log/record_batch.h"
#include "engine/log/record_reader.h"
#include "plugins/wire/reader.h"

namespace keelson::storage {

using engine::Bytes;
using engine::LeaderEpoch;
using engine::Uuid;
using engine::log::BatchHeader;
using wire::Reader;

namespace {

constexpr std::uint32_t kFrameVersion = 1;
constexpr std::int32_t kNoLeaderChange = -2;
constexpr std::int64_t kOffsetMax = std::numeric_limits<std::int64_t>::max() - 1;

enum RecordType : std::uint32_t {
  topic_record = 2,
  partition_record = 3,
  config_record = 4,
  partition_change_record = 5,
  remove_topic_record = 9,
  producer_ids_record = 15,
  begin_transaction_record = 23,
  end_transaction_record = 24,
  abort_transaction_record = 25,
};

enum ConfigKind : std::int8_t { topic_config = 2, broker_config = 4, group_config = 32 };

/// Highest version whose body is known; nothing for types that are not needed.
std::optional<std::uint32_t> known_version(std::uint32_t type) {
  switch (type) {
    case partition_record:
    case partition_change_record: return 2;
    case topic_record:
    case config_record:
    case remove_topic_record:
    case producer_ids_record:
    case begin_transaction_record:
    case end_transaction_record:
    case abort_transaction_record: return 0;
    default: return std::nullopt;
  }
}

void skip_brokers(Reader& reader) {
  const std::optional<std::uint32_t> count =
      reader.array_count(Reader::compact, sizeof(std::int32_t), 1);
  for (std::uint32_t i = 0; i < count.value_or(0) && reader.ok(); ++i) {
    (void)reader.integer<std::int32_t>();
  }
}

}  // namespace

std::size_t KafkaMetadata::feed(Bytes bytes) {
  std::size_t taken = 0;
  while (true) {
    const Bytes rest = bytes.subspan(taken);
    const engine::Result<BatchHeader> header = engine::log::read_batch_header(rest);
    if (!header || header->size_bytes() > rest.size()) return taken;
    if (!take_batch(rest.first(header->size_bytes()))) return taken;
    taken += header->size_bytes();
  }
}

bool KafkaMetadata::take_batch(Bytes batch) {
  if (!engine::log::crc_matches(batch)) return false;
  const BatchHeader header = *engine::log::read_batch_header(batch);
  const std::int64_t base = header.base_offset.value();
  if (header.last_offset_delta < 0 || base < 0 || base > kOffsetMax - header.last_offset_delta) {
    return false;
  }
  if (header.next_offset().value() <= next_offset_) return true;
  if (!header.is_control()) {
    engine::log::RecordReader reader(batch);
    while (true) {
      const engine::Result<std::optional<engine::log::Record>> record = reader.next();
      if (!record) return false;
      if (!*record) break;
      const std::int64_t offset = (*record)->offset.value();
      if ((*record)->value && offset >= next_offset_) take_record(*(*record)->value, offset);
    }
  }
  next_offset_ = header.next_offset().value();
  return true;
}

void KafkaMetadata::take_record(Bytes value, std::int64_t offset) {
  Reader reader(value);
  const std::uint32_t frame = reader.unsigned_varint();
  const std::uint32_t type = reader.unsigned_varint();
  const std::uint32_t version = reader.unsigned_varint();
  if (!reader.ok() || frame != kFrameVersion) {
    ++misunderstood_;
    return;
  }
  const std::optional<std::uint32_t> known = known_version(type);
  if (!known) return;
  if (version > *known) {
    ++misunderstood_;
    return;
  }
  const Bytes body = value.last(reader.remaining_bytes());
  if (type == begin_transaction_record || type == abort_transaction_record) {
    transaction_.reset();
    if (type == begin_transaction_record) transaction_.emplace();
  } else if (type == end_transaction_record) {
    // Taken out first: what is held goes through here once more.
    const std::optional<std::vector<Held>> held = std::exchange(transaction_, std::nullopt);
    if (!held) return;
    for (const Held& record : *held) take_record(record.value, record.offset);
  } else if (transaction_) {
    transaction_->push_back({{value.begin(), value.end()}, offset});
  } else if (!apply(type, version, body, offset)) {
    ++misunderstood_;
  }
}

bool KafkaMetadata::apply(std::uint32_t type, std::uint32_t version, Bytes body,
                          std::int64_t offset) {
  (void)version;  // later versions of these only add behind what is read
  switch (type) {
    case topic_record: {
      Reader reader(body);
      const std::string_view name = reader.string(Reader::compact);
      const Uuid id = reader.uuid();
      if (!reader.ok() || id.is_zero()) return false;
      topics_[id] = Topic{std::string(name), {}};
      removed_.erase(id);
      return true;
    }
    case partition_record: return apply_partition(body);
    case partition_change_record: return apply_partition_change(body);
    case config_record: return apply_config(body, offset);
    case remove_topic_record: return remove_topic(body);
    case producer_ids_record: {
      Reader reader(body);
      (void)reader.integer<std::int32_t>();
      (void)reader.integer<std::int64_t>();
      const auto next = reader.integer<std::int64_t>();
      if (!reader.ok() || next < 0) return false;
      next_producer_id_ = std::max(next_producer_id_, next);
      return true;
    }
    default: return true;
  }
}

bool KafkaMetadata::apply_partition(Bytes body) {
  Reader reader(body);
  const auto number = reader.integer<std::int32_t>();
  const Uuid id = reader.uuid();
  for (int lists = 0; lists < 4; ++lists) skip_brokers(reader);
  (void)reader.integer<std::int32_t>();  // leader
  const auto epoch = reader.integer<std::int32_t>();
  const auto topic = topics_.find(id);
  if (!reader.ok() || number < 0 || epoch < 0 || topic == topics_.end()) return false;
  topic->second.partitions[number] = LeaderEpoch{epoch};
  return true;
}

bool KafkaMetadata::apply_partition_change(Bytes body) {
  constexpr std::uint32_t kLeaderTag = 1;
  Reader reader(body);
  const auto number = reader.integer<std::int32_t>();
  const Uuid id = reader.uuid();
  std::int32_t leader = kNoLeaderChange;
  reader.tagged_fields([&](Reader& field, std::uint32_t tag) {
    if (tag != kLeaderTag) return false;
    leader = field.integer<std::int32_t>();
    return true;
  });
  const auto topic = topics_.find(id);
  if (!reader.ok() || topic == topics_.end()) return false;
  const auto partition = topic->second.partitions.find(number);
  if (partition == topic->second.partitions.end()) return false;
  if (leader == kNoLeaderChange) return true;
  const std::int32_t epoch = partition->second.value();
  if (epoch == std::numeric_limits<std::int32_t>::max()) return false;
  partition->second = LeaderEpoch{epoch + 1};
  return true;
}

bool KafkaMetadata::apply_config(Bytes body, std::int64_t offset) {
  Reader reader(body);
  const auto kind = reader.integer<std::int8_t>();
  const std::string_view resource = reader.string(Reader::compact);
  const std::string_view name = reader.string(Reader::compact);
  const std::optional<std::string_view> value = reader.nullable_string(Reader::compact);
  if (!reader.ok()) return false;
  const auto place = settings_.try_emplace({kind, std::string(resource)}).first;
  if (value) {
    place->second[std::string(name)] = {std::string(*value), offset};
  } else {
    place->second.erase(std::string(name));
    if (place->second.empty()) settings_.erase(place);
  }
  return true;
}

bool KafkaMetadata::remove_topic(Bytes body) {
  Reader reader(body);
  const Uuid id = reader.uuid();
  const auto topic = topics_.find(id);
  if (!reader.ok() || topic == topics_.end()) return false;
  settings_.erase({topic_config, topic->second.name});
  topics_.erase(topic);
  removed_.insert(id);
  return true;
}

void KafkaMetadata::end_snapshot(std::int64_t offset) {
  next_offset_ = offset;
  transaction_.reset();
  for (auto& [resource, settings] : settings_) {
    for (auto& [name, setting] : settings) setting.position = std::max<std::int64_t>(offset, 1) - 1;
  }
}

AdoptedMetadata KafkaMetadata::result() const {
  AdoptedMetadata result;
  result.end_position = next_offset_;
  result.removed_topics = removed_;
  result.next_producer_id = engine::ProducerId{next_producer_id_};
  for (const auto& [id, topic] : topics_) {
    const auto settings = settings_.find({topic_config, topic.name});
    result.topics.push_back(
        {topic.name, id, topic.partitions,
         settings == settings_.end() ? AdoptedMetadata::Settings{} : settings->second});
  }
  for (const auto& [resource, settings] : settings_) {
    const auto& [kind, name] = resource;
    if (kind == group_config) result.group_settings[name] = settings;
    if (kind != broker_config) continue;
    if (name.empty()) {
      result.broker_defaults = settings;
      continue;
    }
    BrokerId id = kNoBroker;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    const bool whole = error == std::errc{} && end == name.data() + name.size();
    if (whole && id >= 0) result.broker_settings[id] = settings;
  }
  return result;
}

}  // namespace keelson::storage
