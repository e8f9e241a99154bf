#include "tests/sim/support/sim_consumer.h"

#include <algorithm>
#include <utility>

#include "engine/log/record_batch.h"
#include "engine/log/record_reader.h"
#include "engine/logger.h"
#include "plugins/kafka/messages/list_offsets.h"
#include "plugins/registry/replicator.h"

namespace keelson::test {

using engine::concat;
using engine::Task;
using kafka::messages::FetchRequest;
using kafka::messages::FetchResponse;
using kafka::messages::ListOffsetsRequest;
using kafka::messages::ListOffsetsResponse;

namespace {

constexpr std::int16_t kFetchVersion = 17;
constexpr std::int16_t kListOffsetsVersion = 10;

}  // namespace

std::int64_t read_fetched(History& history, const PartitionName& name, std::int64_t position,
                          const engine::SliceList& batches,
                          std::vector<History::SeenRecord>* kept) {
  std::vector<std::byte> flat;
  for (const engine::Slice& slice : batches) {
    flat.insert(flat.end(), slice.bytes.begin(), slice.bytes.end());
  }
  engine::Bytes rest = flat;
  while (rest.size() >= engine::log::kBatchHeaderBytes) {
    const auto header = engine::log::read_batch_header(rest);
    if (!header) {
      history.violation(concat("H1 ", name, ": no batch where offset ", position, " should be"));
      return position;
    }
    if (header->size_bytes() > rest.size()) break;  // the last may be cut
    const engine::Bytes batch = rest.first(header->size_bytes());
    rest = rest.subspan(batch.size());
    if (!engine::log::crc_matches(batch)) {
      history.violation(concat("H1 ", name, ": wrong checksum at ", header->base_offset.value()));
      return position;
    }
    engine::log::RecordReader reader(batch);
    while (true) {
      const auto record = reader.next();
      if (!record) {
        history.violation(
            concat("H1 ", name, ": unreadable batch at ", header->base_offset.value()));
        return position;
      }
      if (!*record) break;
      const std::int64_t offset = (*record)->offset.value();
      if (offset < position) continue;
      History::SeenRecord seen{offset, {}};
      if (const auto value = (*record)->value) {
        seen.value.assign(reinterpret_cast<const char*>(value->data()), value->size());
      }
      if (kept == nullptr) {
        history.seen(name, position, seen);
      } else {
        kept->push_back(std::move(seen));
      }
      position = offset + 1;
    }
  }
  return position;
}

Task<std::optional<std::int64_t>> list_offset(Workload& load, SimClient& client, Topic topic,
                                              std::int32_t partition, std::int64_t timestamp_ms) {
  const PartitionName name = topic->partition(partition);
  const History::Floors before = load.history.floors(name);
  ListOffsetsRequest request;
  request.replica_id = -1;
  auto& asked = request.topics.emplace_back();
  asked.name = topic->name;
  auto& one = asked.partitions.emplace_back();
  one.partition_index = partition;
  one.timestamp = timestamp_ms;
  const auto answer = co_await client.call<ListOffsetsResponse>(request, kListOffsetsVersion);
  if (!answer) co_return std::nullopt;
  const auto& found = answer->topics.at(0).partitions.at(0);
  // By name: what a topic of the same name says is nothing to this one.
  if (found.error_code != 0 || topic->deleting) co_return std::nullopt;
  if (timestamp_ms == kLatestTime) load.history.told_end(name, before, found.offset);
  if (timestamp_ms == kEarliestTime) load.history.told_start(name, before, found.offset);
  co_return found.offset;
}

Task<std::optional<std::int64_t>> find_place(Workload& load, SimClient& client, Topic topic,
                                             std::int32_t partition, std::int64_t position) {
  const auto start = co_await list_offset(load, client, topic, partition, kEarliestTime);
  if (!start) co_return std::nullopt;
  if (*start > position) co_return start;
  const auto end = co_await list_offset(load, client, topic, partition, kLatestTime);
  if (!end || topic->deleting) co_return std::nullopt;
  if (!topic->relaxed) {
    load.history.violation(concat("H1 ", topic->partition(partition), ": offset ", position,
                                  " is out of range, the log goes from ", *start, " to ", *end));
  }
  co_return std::min(position, *end);
}

Task<bool> read_whole(Workload& load, Topic topic, std::int32_t partition) {
  const PartitionName name = topic->partition(partition);
  SimClient client(load.shard, load.broker, "final-reader");
  const auto end = co_await list_offset(load, client, topic, partition, kLatestTime);
  if (!end) co_return false;
  auto start = co_await list_offset(load, client, topic, partition, kEarliestTime);
  if (!start) co_return false;
  std::vector<History::SeenRecord> records;
  std::int64_t position = *start;
  while (position < *end) {
    FetchRequest request;
    request.max_wait_ms = 100;
    request.min_bytes = 1;
    request.max_bytes = 1 << 20;
    auto& fetched = request.topics.emplace_back();
    fetched.topic_id = topic->id;
    auto& one = fetched.partitions.emplace_back();
    one.partition = partition;
    one.fetch_offset = position;
    one.partition_max_bytes = 1 << 18;
    const auto answer = co_await client.call<FetchResponse>(request, kFetchVersion);
    if (!answer || answer->error_code != 0 || answer->responses.empty()) break;
    const auto& data = answer->responses.at(0).partitions.at(0);
    if (data.error_code == code(ApiErrc::offset_out_of_range)) {
      // Retention took it since the start was told: from the new start on.
      const auto moved = co_await list_offset(load, client, topic, partition, kEarliestTime);
      if (!moved || *moved <= position) break;
      *start = position = *moved;
      records.clear();
      continue;
    }
    if (data.error_code != 0 || !data.records) break;
    const std::int64_t next = read_fetched(load.history, name, position, *data.records, &records);
    if (next == position) break;
    position = next;
  }
  client.disconnect();
  if (position < *end) co_return false;
  // Records may have come after `end` was told.
  load.history.final_log(name, *start, std::max(*end, position), records);
  co_return true;
}

SimConsumer::SimConsumer(Workload& load, std::string name, Topic topic, ConsumerOptions options)
    : load_(load),
      topic_(std::move(topic)),
      options_(options),
      client_(load.shard, load.broker, std::move(name)) {
  for (std::int32_t i = 0; i < topic_->partitions; ++i) positions_[i] = -1;
}

FetchRequest SimConsumer::make_request() {
  FetchRequest request;
  request.max_wait_ms = options_.max_wait_ms;
  request.min_bytes = 1;
  request.max_bytes = 1 << 20;
  const bool incremental = options_.session && session_epoch_ > 0;
  request.session_id = incremental ? session_id_ : 0;
  request.session_epoch = options_.session ? session_epoch_ : -1;
  if (!incremental) told_.clear();
  FetchRequest::FetchTopic topic;
  topic.topic_id = topic_->id;
  for (const auto& [index, position] : positions_) {
    const auto known = told_.find(index);
    if (position < 0 || (known != told_.end() && known->second == position)) continue;
    told_[index] = position;
    auto& one = topic.partitions.emplace_back();
    one.partition = index;
    one.fetch_offset = position;
    one.partition_max_bytes = options_.partition_bytes_max;
  }
  if (!topic.partitions.empty()) request.topics.push_back(std::move(topic));
  return request;
}

Task<void> SimConsumer::take(FetchResponse response,
                             std::map<std::int32_t, History::Floors> before) {
  const std::uint64_t losses = load_.losses;
  for (const auto& topic : response.responses) {
    for (const auto& data : topic.partitions) {
      if (topic_->relaxed && losses != load_.losses) co_return;
      const std::int32_t index = data.partition_index;
      const PartitionName name = topic_->partition(index);
      std::int64_t& position = positions_.at(index);
      if (data.error_code == code(ApiErrc::offset_out_of_range)) {
        const auto place = co_await find_place(load_, client_, topic_, index, position);
        if (place) position = *place;
        continue;
      }
      if (data.error_code != 0) {
        const bool gone = data.error_code == code(ApiErrc::unknown_topic_id) ||
                          data.error_code == code(ApiErrc::unknown_topic_or_partition) ||
                          data.error_code == code(ApiErrc::inconsistent_topic_id);
        if (!gone && !is_transient(data.error_code)) {
          load_.history.violation(concat("Fetch of ", name, " answers ", data.error_code));
        }
        continue;
      }
      load_.history.told(name, before.at(index), data.high_watermark, data.log_start_offset);
      if (data.records) {
        const std::int64_t before_read = position;
        position = read_fetched(load_.history, name, position, *data.records);
        // A relaxed topic that lost its end may leave a reader above it, with nothing to read.
        if (position > before_read && position > data.high_watermark) {
          load_.history.violation(concat("H3 ", name, ": read to ", position,
                                         " above the high watermark ", data.high_watermark));
        }
      }
    }
  }
}

Task<void> SimConsumer::run() {
  while (!load_.stopping && !topic_->deleting) {
    const bool connected = co_await client_.connect();
    if (!connected) {
      session_epoch_ = 0;
      co_await load_.pause(20, 100);
      continue;
    }
    bool ready = true;
    for (auto& [index, position] : positions_) {
      if (position >= 0) continue;
      const auto start = co_await list_offset(load_, client_, topic_, index, kEarliestTime);
      if (start) position = *start;
      if (!start) ready = false;
    }
    if (!ready) {
      co_await load_.pause(20, 100);
      continue;
    }
    std::map<std::int32_t, History::Floors> before;
    for (const auto& [index, position] : positions_) {
      before[index] = load_.history.floors(topic_->partition(index));
    }
    const FetchRequest request = make_request();
    auto answer = co_await client_.call<FetchResponse>(request, kFetchVersion);
    if (!answer || answer->error_code != 0) {
      session_epoch_ = 0;
      co_await load_.pause(10, 50);
      continue;
    }
    session_id_ = answer->session_id;
    ++session_epoch_;
    if (session_id_ == 0) session_epoch_ = 0;
    co_await take(*std::move(answer), std::move(before));
    co_await load_.pause(1, 30);
  }
  client_.disconnect();
}

}  // namespace keelson::test
