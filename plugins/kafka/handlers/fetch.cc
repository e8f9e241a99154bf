// Fetch: records from offsets on, with a long poll and incremental sessions.
#include <algorithm>
#include <utility>

#include "plugins/kafka/handlers/handlers.h"
#include "plugins/kafka/topic_lookup.h"

namespace keelson::kafka {

using engine::Task;
using messages::FetchRequest;
using messages::FetchResponse;

namespace {

constexpr std::int16_t kFirstIdVersion = 13;
constexpr std::int16_t kFirstZstdVersion = 10;
constexpr std::int16_t kFirstStorageErrorVersion = 6;
// A response is made whole before it is sent. This much keeps the client busy while the next is
// made; 8 MiB at a time were slower over 8 partitions, 2 MiB cost more CPU (bench/README.md).
constexpr std::int32_t kResponseBytesMax = std::int32_t{4} << 20;

/// One partition to be answered: where it is, or why not.
struct Wanted {
  SessionPartition* asked = nullptr;
  ApiErrc error = ApiErrc::none;
  PartitionKey key;
};

std::vector<SessionPartition> read_partitions(const FetchRequest& request) {
  std::vector<SessionPartition> partitions;
  for (const auto& topic : request.topics) {
    for (const auto& partition : topic.partitions) {
      SessionPartition& asked = partitions.emplace_back();
      asked.topic = {std::string(topic.topic), topic.topic_id};
      asked.partition = partition.partition;
      asked.offset = partition.fetch_offset;
      asked.current_leader_epoch = partition.current_leader_epoch;
      asked.last_fetched_epoch = partition.last_fetched_epoch;
      asked.bytes_max = partition.partition_max_bytes;
    }
  }
  return partitions;
}

/// Brings the session up to date with an incremental request.
void update_session(FetchSession& session, const FetchRequest& request,
                    std::vector<SessionPartition> asked) {
  for (const auto& topic : request.forgotten_topics_data) {
    const FetchTopicKey key{std::string(topic.topic), topic.topic_id};
    for (const std::int32_t partition : topic.partitions) {
      session.partitions.forget(key, partition);
    }
  }
  for (SessionPartition& one : asked) session.partitions.update(std::move(one));
}

std::vector<Wanted> locate(const ClusterView& view, BrokerId self, bool by_id,
                           const std::vector<SessionPartition*>& asked) {
  std::vector<Wanted> wanted;
  wanted.reserve(asked.size());
  for (SessionPartition* one : asked) {
    Wanted& here = wanted.emplace_back();
    here.asked = one;
    const auto topic = find_topic(view, by_id, one->topic.name, one->topic.id);
    if (!topic) {
      here.error = topic.error();
      continue;
    }
    const auto key = find_partition(**topic, one->partition, self);
    if (!key) {
      here.error = key.error();
    } else if (one->bytes_max < 0) {
      here.error = ApiErrc::invalid_request;
    } else {
      here.key = *key;
    }
  }
  return wanted;
}

FetchResponse::PartitionData to_response(std::int32_t partition, FetchAnswer& answer,
                                         std::int16_t version) {
  FetchResponse::PartitionData data;
  data.partition_index = partition;
  data.error_code = to_code(answer.error);
  if (answer.error == ApiErrc::kafka_storage_error && version < kFirstStorageErrorVersion) {
    data.error_code = to_code(ApiErrc::not_leader_or_follower);
  }
  data.high_watermark = answer.high_watermark;
  data.last_stable_offset = answer.last_stable_offset;
  data.log_start_offset = answer.log_start_offset;
  if (answer.diverging) {
    data.diverging_epoch.epoch = answer.diverging->epoch.value();
    data.diverging_epoch.end_offset = answer.diverging->end_offset.value();
  }
  data.aborted_transactions.reset();
  if (answer.aborted_transactions) {
    auto& list = data.aborted_transactions.emplace();
    for (const engine::log::AbortedTransaction& aborted : *answer.aborted_transactions) {
      auto& one = list.emplace_back();
      one.producer_id = aborted.producer_id.value();
      one.first_offset = aborted.first_offset.value();
    }
  }
  data.records = std::move(answer.records);
  return data;
}

void add_to_response(FetchResponse& response, const FetchTopicKey& topic,
                     FetchResponse::PartitionData data) {
  if (response.responses.empty() || response.responses.back().topic != topic.name ||
      response.responses.back().topic_id != topic.id) {
    auto& added = response.responses.emplace_back();
    added.topic = topic.name;
    added.topic_id = topic.id;
  }
  response.responses.back().partitions.push_back(std::move(data));
}

FetchResponse refuse_all(ApiErrc error) {
  FetchResponse response;
  response.error_code = to_code(error);
  return response;
}

/// Asks the replicator for what is here; the others have their error.
Task<std::vector<FetchAnswer>> fetch_partitions(RequestContext& context,
                                                const FetchRequest& request,
                                                const std::vector<Wanted>& wanted) {
  FetchCall call;
  call.max_wait_ms = request.max_wait_ms;
  call.min_bytes = request.min_bytes;
  const std::int32_t bytes_max = std::min(request.max_bytes, context.limits.fetch_bytes_max);
  call.bytes_max = std::max(0, std::min(bytes_max, std::max(kResponseBytesMax, call.min_bytes)));
  call.read_committed = request.isolation_level == 1;
  call.zstd_allowed = context.version() >= kFirstZstdVersion;
  bool refused = false;
  for (const Wanted& one : wanted) {
    if (one.error != ApiErrc::none) {
      refused = true;
      continue;
    }
    call.partitions.push_back({one.key, engine::Offset{one.asked->offset},
                               engine::LeaderEpoch{one.asked->current_leader_epoch},
                               engine::LeaderEpoch{one.asked->last_fetched_epoch},
                               one.asked->bytes_max});
  }
  if (refused) call.max_wait_ms = 0;  // an error is not to be waited with
  if (wanted.empty()) {
    // Nothing to fetch: wait as asked, so that a client without an assignment does not spin.
    const std::int64_t wait_ns = std::int64_t{std::max(0, request.max_wait_ms)} * 1'000'000;
    co_await context.connection.cancelled.wait_until(context.shard().clock().now_ns() + wait_ns);
    co_return std::vector<FetchAnswer>{};
  }
  std::vector<FetchAnswer> fetched;
  if (!call.partitions.empty()) {
    fetched = co_await context.services.replicator.fetch(context.shard(), std::move(call),
                                                         context.connection.cancelled);
  }
  std::vector<FetchAnswer> answers(wanted.size());
  std::size_t next = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].error == ApiErrc::none) {
      answers[i] = std::move(fetched[next++]);
    } else {
      answers[i].error = wanted[i].error;
      answers[i].aborted_transactions.emplace();  // as Kafka: null only where a log was asked
    }
  }
  co_return answers;
}

}  // namespace

Task<Answered<FetchResponse>> handle_fetch(RequestContext& context, FetchRequest request) {
  FetchSessionCache& sessions = context.fetch_sessions;
  const std::int64_t now_ns = context.shard().clock().now_ns();
  std::vector<SessionPartition> named = read_partitions(request);
  const bool by_id = context.version() >= kFirstIdVersion;
  std::shared_ptr<FetchSession> session;
  bool incremental = false;

  const bool wants_none = request.session_epoch == kFinalFetchEpoch;
  const bool wants_new = request.session_epoch == kFullFetchEpoch;
  if (wants_none || wants_new) {
    if (request.session_id != kNoSession) sessions.close(request.session_id);
    if (wants_new && !named.empty()) session = sessions.open(now_ns);
    if (session) {
      session->by_id = by_id;
      for (SessionPartition& one : named) session->partitions.update(std::move(one));
    }
  } else {
    session = sessions.find(request.session_id);
    if (!session) co_return refuse_all(ApiErrc::fetch_session_id_not_found);
    if (session->in_use || session->next_epoch != request.session_epoch) {
      co_return refuse_all(ApiErrc::invalid_fetch_session_epoch);
    }
    if (session->by_id != by_id) {
      co_return refuse_all(ApiErrc::fetch_session_topic_id_error);
    }
    incremental = true;
    session->next_epoch = FetchSessionCache::epoch_after(session->next_epoch);
    update_session(*session, request, std::move(named));
  }

  std::vector<SessionPartition*> asked;
  if (session) {
    session->last_used_ns = now_ns;
    session->in_use = true;
    for (SessionPartition& one : session->partitions) asked.push_back(&one);
  } else {
    for (SessionPartition& one : named) asked.push_back(&one);
  }
  const auto view = context.services.controller.view();
  const std::vector<Wanted> wanted = locate(*view, context.services.self, by_id, asked);
  std::vector<FetchAnswer> answers = co_await fetch_partitions(context, request, wanted);

  if (session) session->in_use = false;
  FetchResponse response;
  response.session_id = session ? session->id : kNoSession;
  std::vector<const SessionPartition*> with_records;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    SessionPartition& one = *wanted[i].asked;
    const bool records = !answers[i].records.empty();
    const bool news = one.note_sent(answers[i]);
    if (incremental && !news) continue;
    if (session && records) with_records.push_back(&one);
    add_to_response(response, one.topic, to_response(one.partition, answers[i], context.version()));
  }
  if (session) {
    // Those that had their turn go to the end of the line.
    auto next = session->partitions.begin();
    for (const SessionPartition* one : with_records) {
      while (&*next != one) ++next;
      session->partitions.move_to_end(next++);
    }
  }
  co_return response;
}

}  // namespace keelson::kafka
