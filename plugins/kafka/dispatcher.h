// plugins/kafka/dispatcher.h: from a frame to the handler of its API and back to bytes.
#pragma once

#include <memory>
#include <vector>

#include "plugins/kafka/request_context.h"
#include "plugins/kafka/server/connection.h"

namespace keelson::kafka {

/// Whether a handler stands behind the API. What is not served is not advertised, and a request for
/// it closes the connection, as for an unknown key.
bool is_served(messages::ApiKey key);

/// One for all connections of a broker. Any shard.
class Dispatcher final : public RequestHandler {
 public:
  Dispatcher(BrokerServices services, HandlerLimits limits, std::size_t fetch_sessions_max);
  ~Dispatcher() override;

  bool may_overlap(engine::Bytes frame) const override;
  engine::Task<Reply> handle(ConnectionContext& connection, Frame frame) override;

 private:
  const BrokerServices services_;
  const HandlerLimits limits_;
  std::vector<std::unique_ptr<FetchSessionCache>> sessions_;  // by shard; each its shard's only
};

}  // namespace keelson::kafka
