#include "plugins/storage/adoption.h"

#include <algorithm>
#include <limits>
#include <span>
#include <unordered_map>
#include <utility>

#include "engine/io/file.h"
#include "engine/log/data_directory.h"
#include "engine/log/leader_epoch_file.h"
#include "engine/log/producer_snapshot.h"
#include "engine/logger.h"
#include "plugins/storage/kafka_metadata_log.h"

namespace keelson::storage {

using engine::concat;
using engine::Errc;
using engine::LeaderEpoch;
using engine::Result;
using engine::Task;
using engine::io::Shard;

namespace {

constexpr std::size_t kEpochFileBytesMax = std::size_t{1} << 20;
constexpr std::size_t kSnapshotBytesMax = std::size_t{256} << 20;
constexpr std::int64_t kProducerIdMax = std::numeric_limits<std::int64_t>::max();
constexpr std::string_view kSnapshotEnding = ".snapshot";

/// Of a log that nobody opened yet. Files that cannot be read or believed say nothing.
struct LogHints {
  LeaderEpoch epoch{0};
  engine::ProducerId producer_id = engine::kNoProducerId;  // the largest
};

Task<LogHints> look_into(Shard& shard, std::string dir) {
  LogHints hints;
  const Result<std::string> epochs =
      co_await engine::io::read_file(shard, dir + "/leader-epoch-checkpoint", kEpochFileBytesMax);
  if (epochs) {
    const auto entries = engine::log::parse_leader_epochs(*epochs);
    if (entries && !entries->empty()) hints.epoch = std::max(hints.epoch, entries->back().epoch);
  }
  const Result<std::vector<engine::io::DirEntry>> files = co_await engine::io::list_dir(shard, dir);
  if (!files) co_return hints;
  for (const engine::io::DirEntry& file : *files) {
    if (!file.name.ends_with(kSnapshotEnding)) continue;
    const Result<std::string> content =
        co_await engine::io::read_file(shard, concat(dir, "/", file.name), kSnapshotBytesMax);
    if (!content) continue;
    const auto producers = engine::log::parse_producer_snapshot(std::as_bytes(std::span(*content)));
    if (!producers) continue;
    for (const engine::log::ProducerSnapshotEntry& producer : *producers) {
      hints.producer_id = std::max(hints.producer_id, producer.producer_id);
    }
  }
  co_return hints;
}

/// As Kafka makes its own topics: their records are found by key for ever.
bool is_compacted_by_name(std::string_view topic) {
  return topic == "__consumer_offsets" || topic == "__transaction_state";
}

AdoptedMetadata::Topic topic_of_folder(const StoredLog& log) {
  AdoptedMetadata::Topic topic{log.topic, log.key.topic_id, {}, {}};
  if (is_compacted_by_name(log.topic)) {
    topic.settings["cleanup.policy"] = {"compact", 0};
  } else {
    topic.settings["retention.ms"] = {"-1", 0};
  }
  return topic;
}

}  // namespace

Task<Result<std::optional<AdoptedMetadata>>> read_adoption(Shard& shard, std::string data_dir,
                                                           const std::vector<StoredLog>& stored,
                                                           std::int64_t known_position) {
  const std::string metadata_dir = concat(data_dir, "/", kKafkaMetadataName);
  Result<std::optional<AdoptedMetadata>> metadata =
      co_await read_kafka_metadata(shard, metadata_dir);
  if (!metadata) co_return std::unexpected(metadata.error());
  const std::int64_t end = *metadata ? (*metadata)->end_position : 0;
  if (end <= known_position) co_return std::optional<AdoptedMetadata>{};
  AdoptedMetadata found = *metadata ? std::move(**metadata) : AdoptedMetadata{};

  std::unordered_map<engine::Uuid, std::size_t> by_id;
  for (std::size_t i = 0; i < found.topics.size(); ++i) by_id[found.topics[i].id] = i;
  for (const StoredLog& log : stored) {
    auto known = by_id.find(log.key.topic_id);
    if (known == by_id.end()) {
      if (found.complete || found.removed_topics.contains(log.key.topic_id)) continue;
      known = by_id.emplace(log.key.topic_id, found.topics.size()).first;
      found.topics.push_back(topic_of_folder(log));
      found.findings.push_back(concat("the settings of topic ", log.topic, " are not known: ",
                                      is_compacted_by_name(log.topic)
                                          ? "it counts as compacted"
                                          : "nothing of it expires until its retention.ms is set"));
    }
    AdoptedMetadata::Topic& topic = found.topics[known->second];
    const std::string name = engine::log::format_log_name(log.topic, log.key.partition);
    const LogHints hints = co_await look_into(shard, concat(data_dir, "/", name));
    if (!found.complete) topic.partitions.try_emplace(log.key.partition, hints.epoch);
    const auto partition = topic.partitions.find(log.key.partition);
    if (partition != topic.partitions.end()) {
      partition->second = std::max(partition->second, hints.epoch);
    }
    const std::int64_t highest = std::min(hints.producer_id.value(), kProducerIdMax - 1);
    found.next_producer_id = std::max(found.next_producer_id, engine::ProducerId{highest + 1});
  }
  co_return std::optional<AdoptedMetadata>(std::move(found));
}

}  // namespace keelson::storage
