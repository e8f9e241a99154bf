// plugins/broker/client/kafka_client.h: asks one broker, one request after the other.
//
// For the commands that ask a running broker. Versions are negotiated once, on connecting: of each
// API the highest that both sides know.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/logger.h"
#include "plugins/broker/client/connection.h"
#include "plugins/kafka/header.h"

namespace keelson::broker {

/// Kafka's name of an error code, such as TOPIC_ALREADY_EXISTS; the number where it has none here.
std::string kafka_error_name(std::int16_t code);
/// The broker's own sentence, or the name of the code where it has said nothing.
std::string explain_error(std::int16_t code, const std::optional<std::string>& message);

class KafkaClient {
 public:
  static constexpr std::int16_t kAnyVersion = std::numeric_limits<std::int16_t>::max();

  /// `timeout_ms` is for connecting and for each request.
  [[nodiscard]] static engine::Task<ClientResult<std::unique_ptr<KafkaClient>>> connect(
      engine::io::Shard& shard, std::string server, std::int64_t timeout_ms);

  /// Sends `request`, whose views stay valid until the answer. Errors: the connection's; an API
  /// that the broker does not offer; an answer that cannot be read. `version_max` keeps to what the
  /// caller fills in.
  template <class Response, class Request>
  [[nodiscard]] engine::Task<ClientResult<Response>> ask(Request request,
                                                         std::int16_t version_max = kAnyVersion);

  const std::string& server() const { return connection_.name(); }

 private:
  KafkaClient(engine::io::Shard& shard, std::int64_t timeout_ms) : connection_(shard, timeout_ms) {}

  engine::Task<ClientResult<void>> negotiate();
  template <class Response, class Request>
  engine::Task<ClientResult<Response>> ask_in(Request request, std::int16_t version);
  ClientResult<std::int16_t> version_of(const kafka::messages::ApiInfo& api,
                                        std::int16_t version_max) const;

  ClientConnection connection_;
  std::int32_t next_correlation_id_ = 1;
  std::map<std::int16_t, std::pair<std::int16_t, std::int16_t>> offered_;  // by API: min, max
};

template <class Response, class Request>
engine::Task<ClientResult<Response>> KafkaClient::ask(Request request, std::int16_t version_max) {
  const ClientResult<std::int16_t> version =
      version_of(*kafka::messages::api_info(Request::kApiKey), version_max);
  if (!version) co_return std::unexpected(version.error());
  co_return co_await ask_in<Response>(std::move(request), *version);
}

template <class Response, class Request>
engine::Task<ClientResult<Response>> KafkaClient::ask_in(Request request, std::int16_t version) {
  static_assert(Request::kApiKey == Response::kApiKey);
  const kafka::messages::ApiInfo& api = *kafka::messages::api_info(Request::kApiKey);
  const std::int32_t correlation_id = next_correlation_id_++;
  wire::Writer writer;
  writer.begin_frame();
  kafka::encode_request_header(writer, {&api, version, correlation_id, "keelson"});
  const engine::Result<void> encoded = request.encode(writer, version);
  if (!encoded) {
    co_return std::unexpected(
        engine::concat("the broker's version of ", api.name, " cannot say what is asked"));
  }
  writer.end_frame();
  const engine::Bytes bytes = writer.contiguous();
  std::vector<std::byte> frame(bytes.begin(), bytes.end());
  const ClientResult<std::vector<std::byte>> answer =
      co_await connection_.exchange(std::move(frame));
  if (!answer) co_return std::unexpected(answer.error());
  wire::Reader reader{engine::Bytes(*answer)};
  const engine::Result<std::int32_t> id = kafka::decode_response_header(reader, api, version);
  engine::Result<Response> response = engine::fail(engine::Errc::corrupt);
  if (id && *id == correlation_id) response = Response::decode(reader, version);
  if (!response) {
    co_return std::unexpected(engine::concat("the answer of ", server(), " to ", api.name,
                                             " version ", version, " cannot be read"));
  }
  co_return std::move(*response);
}

}  // namespace keelson::broker
