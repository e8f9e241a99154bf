// plugins/kafka/kafka_protocol.h: `protocol.kafka`: the broker's Kafka face.
#pragma once

#include <memory>
#include <vector>

#include "plugins/kafka/dispatcher.h"
#include "plugins/kafka/server/listener.h"
#include "plugins/registry/protocol.h"
#include "plugins/registry/registry.h"

namespace keelson::kafka {

/// What one listener is told to do. `bind.port` 0 takes any free port.
struct ListenerPlan {
  std::string name = "PLAINTEXT";
  engine::io::Endpoint bind;
  std::string advertised_host;        // empty: what it is bound to
  std::uint16_t advertised_port = 0;  // 0: the port it got
};

class KafkaProtocol final : public Protocol {
 public:
  KafkaProtocol(BrokerServices services, HandlerLimits limits, std::size_t fetch_sessions_max,
                ListenerLimits listener_limits, std::vector<ListenerPlan> plans);
  ~KafkaProtocol() override;

  engine::Task<ApiResult<void>> open() override;
  engine::Task<ApiResult<void>> start() override;
  engine::Task<void> drain(std::int64_t deadline_ns) override;
  engine::Task<void> stop() override;
  std::vector<BrokerEndpoint> endpoints() const override { return endpoints_; }

 private:
  BrokerServices services_;
  const ListenerLimits listener_limits_;
  std::vector<ListenerPlan> plans_;
  Dispatcher dispatcher_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<BrokerEndpoint> endpoints_;
};

void register_kafka(Registry& registry);

}  // namespace keelson::kafka
