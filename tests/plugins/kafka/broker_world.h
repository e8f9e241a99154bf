// tests/plugins/kafka/broker_world.h: the reference broker's plugins on a simulated machine, and a
// way to hand requests to a dispatcher above them without a connection in between.
#pragma once

#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "coordination/register_coordination.h"
#include "engine/io/sim/sim_world.h"
#include "engine/log/batch_builder.h"
#include "plugins/kafka/dispatcher.h"
#include "plugins/kafka/kafka_protocol.h"
#include "plugins/kafka/messages/create_topics.h"
#include "plugins/kafka/messages/fetch.h"
#include "plugins/kafka/messages/produce.h"
#include "plugins/offsets/register_offsets.h"
#include "plugins/registry/assembly.h"
#include "plugins/registry/config/config.h"
#include "plugins/storage/register_storage.h"
#include "replication/register_replication.h"

namespace keelson::test {

class BrokerWorld {
 public:
  explicit BrokerWorld(std::uint32_t shards = 1, std::vector<std::string> settings = {},
                       std::uint64_t seed = 1)
      : world(seed), node(world.start_node("broker", shards)) {
    for (std::uint32_t i = 0; i < shards; ++i) group.add(node.shard(i));
    node.disk().make_dir("/data", 0);
    node.disk().sync_everything();
    registry_ = std::make_unique<Registry>();
    storage::register_storage(*registry_);
    coordination::register_coordination(*registry_);
    replication::register_replication(*registry_);
    offsets::register_offsets(*registry_);
    kafka::register_kafka(*registry_);
    config_ = std::make_unique<Config>(load(std::move(settings), node.host()));
    host_ = std::make_unique<PluginHost>(
        PluginHost{group, logger_, config_->settings(), config_->listeners()});
    auto made = Assembly::make(*registry_, *config_, *host_);
    must(made.has_value(), "make");
    assembly_ = std::move(*made);
    must(world.run_task(group.at(0), assembly_->open()).has_value(), "open");
    must(world.run_task(group.at(0), assembly_->start()).has_value(), "start");
    services_ = std::make_unique<kafka::BrokerServices>(kafka::BrokerServices{
        group, *assembly_->all<ClusterController>().front(), *assembly_->all<Replicator>().front(),
        *assembly_->all<LogStore>().front(), *assembly_->all<GroupCoordinator>().front(),
        config_->settings(), config_->settings().node_id()});
    dispatcher_ = std::make_unique<kafka::Dispatcher>(*services_, limits, 1000);
    for (std::uint32_t i = 0; i < shards; ++i) {
      auto& place = places_.emplace_back(std::make_unique<Place>(group.at(i)));
      place->context.peer_host = "10.0.0.9";
    }
  }
  /// A clean stop must leave no task behind.
  ~BrokerWorld() {
    world.run_task(group.at(0), assembly_->shutdown(node.clock().now_ns() + 10'000'000'000));
    dispatcher_.reset();
    assembly_.reset();
    world.run_for(1'000'000'000);
    for (std::uint32_t i = 0; i < group.size(); ++i) {
      must(group.at(i).live_tasks() == 0, "tasks left behind");
    }
  }

  /// A request's bytes, without the size ahead of them.
  template <class Request>
  static std::string encode(const Request& request, std::int16_t version,
                            std::string_view client_id = "test") {
    kafka::RequestHeader header;
    header.api = kafka::messages::api_info(Request::kApiKey);
    header.version = version;
    header.correlation_id = 77;
    header.client_id = client_id;
    wire::Writer writer;
    kafka::encode_request_header(writer, header);
    must(request.encode(writer, version).has_value(), "encode");
    return flat(writer.take());
  }
  static std::string flat(const engine::SliceList& slices) {
    std::string bytes;
    for (const engine::Slice& slice : slices) {
      bytes.append(reinterpret_cast<const char*>(slice.bytes.data()), slice.bytes.size());
    }
    return bytes;
  }
  engine::Task<kafka::Reply> handle(std::string request, std::uint32_t shard = 0) {
    Place& place = *places_[shard];
    kafka::Frame frame;
    frame.grow(std::max<std::size_t>(request.size(), 1), place.budget);
    std::memcpy(frame.free_space().data(), request.data(), request.size());
    frame.filled(request.size());
    co_return co_await dispatcher_->handle(place.context, std::move(frame));
  }
  kafka::Reply raw(std::string request, std::uint32_t shard = 0) {
    std::optional<kafka::Reply> reply =
        world.try_run_task(group.at(shard), handle(std::move(request), shard), 120'000'000'000);
    must(reply.has_value(), "a request was not answered");
    return std::move(*reply);
  }
  template <class Response>
  static Response decode(const kafka::Reply& reply, std::int16_t version) {
    must(reply.action == kafka::Reply::Action::answer, "no answer");
    const std::string bytes = flat(reply.bytes);
    wire::Reader reader(std::as_bytes(std::span(bytes)).subspan(4));
    const auto correlation_id = kafka::decode_response_header(
        reader, *kafka::messages::api_info(Response::kApiKey), version);
    must(correlation_id == 77, "correlation id");
    auto response = Response::decode(reader, version);
    must(response.has_value() && reader.remaining_bytes() == 0, "decode");
    return std::move(*response);
  }
  template <class Response, class Request>
  Response call(const Request& request, std::int16_t version, std::uint32_t shard = 0) {
    return decode<Response>(raw(encode(request, version), shard), version);
  }

  void create_topic(const std::string& name, std::int32_t partitions = 1,
                    std::vector<std::pair<std::string, std::string>> settings = {}) {
    kafka::messages::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    for (const auto& [key, value] : settings) {
      auto& setting = topic.configs.emplace_back();
      setting.name = key;
      setting.value = value;
    }
    request.timeout_ms = 1000;
    const auto response = call<kafka::messages::CreateTopicsResponse>(request, 7);
    must(response.topics.at(0).error_code == 0, "create");
  }
  const TopicView& topic(std::string_view name) {
    view_ = services_->controller.view();
    const TopicView* const found = view_->find(name);
    must(found != nullptr, "topic");
    return *found;
  }
  engine::io::Event& cancelled(std::uint32_t shard = 0) { return places_[shard]->cancelled; }
  const kafka::BrokerServices& services() const { return *services_; }
  kafka::Dispatcher& dispatcher() { return *dispatcher_; }

  static void must(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "broker world: %s\n", what);
    std::abort();
  }

  kafka::HandlerLimits limits;
  engine::io::SimWorld world;
  engine::io::SimNode& node;
  engine::io::ShardGroup group;

 private:
  struct Place {
    explicit Place(engine::io::Shard& shard)
        : cancelled(shard),
          budget(shard, std::uint64_t{1} << 30),
          context{shard, cancelled, "PLAINTEXT", {}, 1, {}, {}} {}
    engine::io::Event cancelled;
    engine::io::Semaphore budget;
    kafka::ConnectionContext context;
  };
  static Config load(std::vector<std::string> settings, const std::string& host) {
    ConfigSources sources;
    sources.sets = std::move(settings);
    sources.sets.push_back("log.dirs=/data");
    sources.sets.push_back("listeners=PLAINTEXT://" + host + ":9092");
    auto config = Config::load(sources);
    if (!config) {
      for (const auto& problem : config.error())
        std::fprintf(stderr, "%s\n", problem.message.c_str());
      std::abort();
    }
    return *std::move(config);
  }

  engine::NullLogger logger_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<Config> config_;
  std::unique_ptr<PluginHost> host_;
  std::unique_ptr<Assembly> assembly_;
  std::unique_ptr<kafka::BrokerServices> services_;
  std::unique_ptr<kafka::Dispatcher> dispatcher_;
  std::vector<std::unique_ptr<Place>> places_;
  std::shared_ptr<const ClusterView> view_;
};

/// A batch of `records` records with values "v0", "v1" and so on.
inline std::vector<std::byte> batch_of(int records, std::string_view text = "v",
                                       engine::log::Codec codec = engine::log::Codec::none) {
  engine::log::BatchBuilder builder(codec);
  for (int i = 0; i < records; ++i) {
    const std::string value = std::string(text) + std::to_string(i);
    builder.add(1'000, std::nullopt, std::as_bytes(std::span(value)));
  }
  return builder.build();
}

}  // namespace keelson::test
