#include "plugins/kafka/dispatcher.h"

#include <algorithm>
#include <array>
#include <utility>

#include "engine/byte_order.h"
#include "engine/counters.h"
#include "plugins/kafka/handlers/handlers.h"

namespace keelson::kafka {

using engine::Result;
using engine::Task;
using messages::ApiKey;

namespace {

using RunRequest = Task<Reply> (*)(RequestContext& context, wire::Reader& reader);

template <class Request, class Response,
          Task<Answered<Response>> (*handler)(RequestContext&, Request)>
Task<Reply> run(RequestContext& context, wire::Reader& reader) {
  Result<Request> request = Request::decode(reader, context.version());
  if (!request) co_return Reply{};  // malformed: close
  Answered<Response> answered = co_await handler(context, std::move(*request));
  Reply reply{.action = answered.action, .bytes = {}};
  if (answered.action != Reply::Action::answer) co_return reply;
  wire::Writer writer;
  writer.begin_frame();
  encode_response_header(writer, *context.header.api, context.version(),
                         context.header.correlation_id);
  const Result<void> encoded = answered.response.encode(writer, context.version());
  if (!encoded) {
    context.shard().logger().write(
        engine::LogLevel::error, "kafka",
        engine::concat("an answer of ", context.header.api->name, " v", context.version(),
                       " cannot be written; the connection is closed"));
    co_return Reply{};
  }
  writer.end_frame();
  if (!writer.ok()) co_return Reply{};
  reply.bytes = writer.take();
  co_return reply;
}

template <auto handler>
struct RunOf;
template <class Request, class Response,
          Task<Answered<Response>> (*handler)(RequestContext&, Request)>
struct RunOf<handler> {
  static constexpr RunRequest value = &run<Request, Response, handler>;
};

struct Entry {
  ApiKey key;
  RunRequest run;
};

constexpr Entry kEntries[] = {
    {ApiKey::produce, RunOf<handle_produce>::value},
    {ApiKey::fetch, RunOf<handle_fetch>::value},
    {ApiKey::list_offsets, RunOf<handle_list_offsets>::value},
    {ApiKey::metadata, RunOf<handle_metadata>::value},
    {ApiKey::offset_commit, RunOf<handle_offset_commit>::value},
    {ApiKey::offset_fetch, RunOf<handle_offset_fetch>::value},
    {ApiKey::find_coordinator, RunOf<handle_find_coordinator>::value},
    {ApiKey::join_group, RunOf<handle_join_group>::value},
    {ApiKey::heartbeat, RunOf<handle_heartbeat>::value},
    {ApiKey::leave_group, RunOf<handle_leave_group>::value},
    {ApiKey::sync_group, RunOf<handle_sync_group>::value},
    {ApiKey::describe_groups, RunOf<handle_describe_groups>::value},
    {ApiKey::list_groups, RunOf<handle_list_groups>::value},
    {ApiKey::api_versions, RunOf<handle_api_versions>::value},
    {ApiKey::create_topics, RunOf<handle_create_topics>::value},
    {ApiKey::delete_topics, RunOf<handle_delete_topics>::value},
    {ApiKey::delete_records, RunOf<handle_delete_records>::value},
    {ApiKey::init_producer_id, RunOf<handle_init_producer_id>::value},
    {ApiKey::offset_for_leader_epoch, RunOf<handle_offset_for_leader_epoch>::value},
    {ApiKey::describe_configs, RunOf<handle_describe_configs>::value},
    {ApiKey::alter_configs, RunOf<handle_alter_configs>::value},
    {ApiKey::describe_log_dirs, RunOf<handle_describe_log_dirs>::value},
    {ApiKey::create_partitions, RunOf<handle_create_partitions>::value},
    {ApiKey::delete_groups, RunOf<handle_delete_groups>::value},
    {ApiKey::elect_leaders, RunOf<handle_elect_leaders>::value},
    {ApiKey::incremental_alter_configs, RunOf<handle_incremental_alter_configs>::value},
    {ApiKey::list_partition_reassignments, RunOf<handle_list_partition_reassignments>::value},
    {ApiKey::offset_delete, RunOf<handle_offset_delete>::value},
    {ApiKey::describe_cluster, RunOf<handle_describe_cluster>::value},
    {ApiKey::describe_producers, RunOf<handle_describe_producers>::value},
    {ApiKey::list_config_resources, RunOf<handle_list_config_resources>::value},
    {ApiKey::consumer_group_heartbeat, RunOf<handle_consumer_group_heartbeat>::value},
    {ApiKey::consumer_group_describe, RunOf<handle_consumer_group_describe>::value},
    {ApiKey::describe_topic_partitions, RunOf<handle_describe_topic_partitions>::value},
};

RunRequest find_run(ApiKey key) {
  static constexpr auto by_key = [] {
    std::array<RunRequest, 128> table{};
    for (const Entry& entry : kEntries) table[static_cast<std::size_t>(entry.key)] = entry.run;
    return table;
  }();
  const auto index = static_cast<std::size_t>(key);
  return index < by_key.size() ? by_key[index] : nullptr;
}

/// The answer to an ApiVersions request of a version that we do not know: version 0, and the
/// range that we do (KIP-511).
Reply answer_unknown_version(const RequestHeader& header) {
  messages::ApiVersionsResponse response;
  response.error_code = to_code(ApiErrc::unsupported_version);
  auto& own = response.api_keys.emplace_back();
  own.api_key = static_cast<std::int16_t>(header.api->key);
  own.min_version = header.api->min_version;
  own.max_version = header.api->max_version;
  wire::Writer writer;
  writer.begin_frame();
  encode_response_header(writer, *header.api, 0, header.correlation_id);
  const Result<void> encoded = response.encode(writer, 0);
  if (!encoded) return {};
  writer.end_frame();
  return {.action = Reply::Action::answer, .bytes = writer.take()};
}

}  // namespace

bool is_served(ApiKey key) { return find_run(key) != nullptr; }

Dispatcher::Dispatcher(BrokerServices services, HandlerLimits limits,
                       std::size_t fetch_sessions_max)
    : services_(services), limits_(limits) {
  const std::uint32_t count = services_.shards.size();
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::size_t slots = (fetch_sessions_max + count - 1) / count;
    sessions_.push_back(
        std::make_unique<FetchSessionCache>(i, count, slots, services_.shards.at(i).rng()));
  }
}

Dispatcher::~Dispatcher() = default;

bool Dispatcher::may_overlap(engine::Bytes frame) const {
  if (frame.size() < sizeof(std::int16_t)) return false;
  return engine::load_big_endian<std::int16_t>(frame.data()) ==
         static_cast<std::int16_t>(ApiKey::produce);
}

Task<Reply> Dispatcher::handle(ConnectionContext& connection, Frame frame) {
  engine::tally(engine::Counter::requests);
  wire::Reader reader(frame.bytes());
  const Result<RequestHeader> header = decode_request_header(reader);
  if (!header) co_return Reply{};
  if (!header->is_version_known()) co_return answer_unknown_version(*header);
  const RunRequest run_request = find_run(header->api->key);
  if (run_request == nullptr) co_return Reply{};
  RequestContext context{.services = services_,
                         .limits = limits_,
                         .fetch_sessions = *sessions_[connection.shard.index()],
                         .connection = connection,
                         .header = *header,
                         .frame = std::move(frame),
                         .kept_frame = nullptr};
  co_return co_await run_request(context, reader);
}

}  // namespace keelson::kafka
