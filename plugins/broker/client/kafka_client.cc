#include "plugins/broker/client/kafka_client.h"

#include <algorithm>

#include "plugins/kafka/messages/api_versions.h"

namespace keelson::broker {

using engine::concat;
using engine::Task;
using kafka::messages::ApiInfo;
using kafka::messages::ApiVersionsRequest;
using kafka::messages::ApiVersionsResponse;

Task<ClientResult<std::unique_ptr<KafkaClient>>> KafkaClient::connect(engine::io::Shard& shard,
                                                                      std::string server,
                                                                      std::int64_t timeout_ms) {
  const ClientResult<ServerAddress> address = parse_server_address(server);
  if (!address) co_return std::unexpected(address.error());
  std::unique_ptr<KafkaClient> client(new KafkaClient(shard, timeout_ms));
  const ClientResult<void> connected = co_await client->connection_.connect(*address);
  if (!connected) co_return std::unexpected(connected.error());
  const ClientResult<void> negotiated = co_await client->negotiate();
  if (!negotiated) co_return std::unexpected(negotiated.error());
  co_return std::move(client);
}

/// Version 0 is understood by every broker, and says all that is needed.
Task<ClientResult<void>> KafkaClient::negotiate() {
  const ClientResult<ApiVersionsResponse> versions =
      co_await ask_in<ApiVersionsResponse>(ApiVersionsRequest{}, 0);
  if (!versions) co_return std::unexpected(versions.error());
  if (versions->error_code != 0) {
    co_return std::unexpected(
        concat(server(), " refuses: ", kafka_error_name(versions->error_code)));
  }
  for (const auto& api : versions->api_keys) {
    offered_[api.api_key] = {api.min_version, api.max_version};
  }
  co_return ClientResult<void>{};
}

ClientResult<std::int16_t> KafkaClient::version_of(const ApiInfo& api,
                                                   std::int16_t version_max) const {
  const auto offered = offered_.find(static_cast<std::int16_t>(api.key));
  if (offered == offered_.end()) {
    return std::unexpected(concat(server(), " does not offer ", api.name));
  }
  const auto [min, max] = offered->second;
  const std::int16_t version = std::min({max, api.max_stable_version, version_max});
  if (version < std::max(min, api.min_version)) {
    return std::unexpected(concat(server(), " speaks versions ", min, " to ", max, " of ", api.name,
                                  ", this program ", api.min_version, " to ",
                                  api.max_stable_version));
  }
  return version;
}

std::string explain_error(std::int16_t code, const std::optional<std::string>& message) {
  const std::string name = kafka_error_name(code);
  return message && !message->empty() ? concat(*message, " (", name, ")") : name;
}

}  // namespace keelson::broker
