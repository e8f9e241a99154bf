#include "plugins/kafka/kafka_protocol.h"

#include <cerrno>
#include <utility>

namespace keelson::kafka {

using engine::Task;

KafkaProtocol::KafkaProtocol(BrokerServices services, HandlerLimits limits,
                             std::size_t fetch_sessions_max, ListenerLimits listener_limits,
                             std::vector<ListenerPlan> plans)
    : services_(services),
      listener_limits_(listener_limits),
      plans_(std::move(plans)),
      dispatcher_(services, limits, fetch_sessions_max) {}

KafkaProtocol::~KafkaProtocol() = default;

namespace {

std::string explain_bind(const engine::io::Endpoint& bind, int sys_errno) {
  const std::string where = engine::concat(bind.host, ":", bind.port);
  switch (sys_errno) {
    case EADDRINUSE:
      return engine::concat(where,
                            " is in use: stop the program that listens there, or choose "
                            "another port with --listen");
    case EADDRNOTAVAIL: return engine::concat(bind.host, " is not an address of this machine");
    case EACCES:
      return engine::concat("not allowed to listen on ", where, ": choose a port above 1023");
    case EINVAL: return engine::concat(bind.host, " is not a numeric IPv4 or IPv6 address");
    default: return engine::concat("cannot listen on ", where, ", errno ", sys_errno);
  }
}

}  // namespace

Task<ApiResult<void>> KafkaProtocol::open() {
  for (ListenerPlan& plan : plans_) {
    auto listener = std::make_unique<Listener>(services_.shards, dispatcher_, listener_limits_);
    engine::io::Endpoint bound = plan.bind;
    const engine::Result<void> listening = listener->bind(bound);
    if (!listening) {
      co_return refuse(ApiErrc::broker_not_available,
                       explain_bind(plan.bind, listening.error().sys_errno));
    }
    listeners_.push_back(std::move(listener));
    BrokerEndpoint& endpoint = endpoints_.emplace_back();
    endpoint.listener = plan.name;
    endpoint.host = plan.advertised_host.empty() ? bound.host : plan.advertised_host;
    endpoint.port = plan.advertised_port == 0 ? bound.port : plan.advertised_port;
  }
  co_return ApiResult<void>{};
}

Task<ApiResult<void>> KafkaProtocol::start() {
  // Clients find themselves in Metadata from their first request on.
  BrokerView self;
  self.id = services_.self;
  self.endpoints = endpoints_;
  self.rack = services_.settings.find_text("broker.rack").value_or(std::string{});
  ApiResult<void> registered = co_await services_.controller.register_broker(std::move(self));
  if (!registered) co_return registered;
  for (const auto& listener : listeners_) listener->start();
  co_return ApiResult<void>{};
}

Task<void> KafkaProtocol::drain(std::int64_t deadline_ns) {
  for (const auto& listener : listeners_) co_await listener->stop(deadline_ns);
}

Task<void> KafkaProtocol::stop() {
  for (const auto& listener : listeners_) co_await listener->stop(0);
  for (const auto& listener : listeners_) co_await listener->wait_for_memory();
  listeners_.clear();
}

namespace {

constexpr std::uint64_t kRequestMemoryMin = std::uint64_t{2} << 20;  // a shard's

ListenerLimits read_listener_limits(const BrokerSettings& settings, std::uint32_t shards) {
  ListenerLimits limits;
  limits.request_memory_bytes = std::max<std::uint64_t>(
      kRequestMemoryMin,
      static_cast<std::uint64_t>(settings.get_integer("keelson.pending.bytes")) / shards);
  const auto count = [&](const char* name) {
    return static_cast<std::uint32_t>(settings.get_integer(name));
  };
  if (settings.is_set("socket.listen.backlog.size")) {
    limits.backlog = static_cast<int>(settings.get_integer("socket.listen.backlog.size"));
  }
  limits.connections_max = count("max.connections");
  limits.connections_per_ip_max = count("max.connections.per.ip");
  limits.idle_ms_max = settings.get_integer("connections.max.idle.ms");
  limits.connection.frame_bytes_max = count("socket.request.max.bytes");
  return limits;
}

HandlerLimits read_handler_limits(const BrokerSettings& settings) {
  HandlerLimits limits;
  limits.auto_create_topics = settings.get_bool("auto.create.topics.enable");
  limits.fetch_bytes_max = static_cast<std::int32_t>(settings.get_integer("fetch.max.bytes"));
  limits.partitions_per_page_max =
      static_cast<std::int32_t>(settings.get_integer("max.request.partition.size.limit"));
  limits.transaction_timeout_ms_max =
      static_cast<std::int32_t>(settings.get_integer("transaction.max.timeout.ms"));
  return limits;
}

ApiResult<std::unique_ptr<KafkaProtocol>> make_kafka(const Deps& deps, const ConfigView&) {
  const PluginHost& host = deps.host();
  std::vector<ListenerPlan> plans;
  for (const ListenerConfig& listener : host.listeners) {
    if (listener.protocol != deps.instance()) continue;
    ListenerPlan& plan = plans.emplace_back();
    plan.name = listener.name;
    plan.bind = {listener.bind.host.empty() ? "0.0.0.0" : listener.bind.host, listener.bind.port};
    if (plan.bind.host == "localhost") plan.bind.host = "127.0.0.1";
    if (listener.advertise) {
      plan.advertised_host = listener.advertise->host;
      plan.advertised_port = listener.advertise->port;
    } else if (plan.bind.host == "0.0.0.0" || plan.bind.host == "::") {
      return refuse(ApiErrc::invalid_config,
                    engine::concat("listener ", listener.name,
                                   " serves every interface: set what "
                                   "clients shall connect to (advertised.listeners)"));
    }
  }
  const BrokerServices services{host.shards,
                                deps.get<ClusterController>(),
                                deps.get<Replicator>(),
                                deps.get<LogStore>(),
                                deps.get<GroupCoordinator>(),
                                host.settings,
                                host.settings.node_id()};
  const auto sessions = static_cast<std::size_t>(
      host.settings.get_integer("max.incremental.fetch.session.cache.slots"));
  return std::make_unique<KafkaProtocol>(services, read_handler_limits(host.settings), sessions,
                                         read_listener_limits(host.settings, host.shards.size()),
                                         std::move(plans));
}

}  // namespace

void register_kafka(Registry& registry) {
  FactoryParts parts;
  parts.name = "kafka";
  parts.version = "1";
  parts.doc = "Kafka's protocol on TCP";
  parts.needs = {require<ClusterController>(), require<Replicator>(), require<LogStore>(),
                 require<GroupCoordinator>()};
  registry.add(plugin_factory<Protocol>(std::move(parts), make_kafka));
}

}  // namespace keelson::kafka
