#include "plugins/kafka/header.h"

namespace keelson::kafka {
namespace {

using engine::Errc;
using engine::Result;

bool response_header_is_flexible(const messages::ApiInfo& api, std::int16_t version) {
  return api.key != messages::ApiKey::api_versions && api.is_flexible(version);
}

}  // namespace

Result<RequestHeader> decode_request_header(wire::Reader& reader) {
  RequestHeader header;
  const auto key = reader.integer<std::int16_t>();
  header.version = reader.integer<std::int16_t>();
  header.correlation_id = reader.integer<std::int32_t>();
  header.client_id = reader.nullable_string(wire::Reader::classic);
  if (!reader.ok()) return engine::fail(Errc::corrupt);

  header.api = messages::api_info(key);
  if (header.api == nullptr) return engine::fail(Errc::unsupported);
  if (!header.is_version_known() && header.api->key != messages::ApiKey::api_versions) {
    return engine::fail(Errc::unsupported);
  }
  if (header.api->is_flexible(header.version)) {
    // In a body a count that is negative as an int32 is no tags; here Kafka closes the connection.
    wire::Reader ahead = reader;
    if (static_cast<std::int32_t>(ahead.unsigned_varint()) < 0) reader.fail();
    reader.skip_tagged_fields();
  }
  if (!reader.ok()) return engine::fail(Errc::corrupt);
  return header;
}

void encode_request_header(wire::Writer& writer, const RequestHeader& header) {
  writer.integer(static_cast<std::int16_t>(header.api->key));
  writer.integer(header.version);
  writer.integer(header.correlation_id);
  if (header.client_id) {
    writer.string(wire::Writer::classic, *header.client_id);
  } else {
    writer.null_string(wire::Writer::classic);
  }
  if (header.api->is_flexible(header.version)) writer.unsigned_varint(0);
}

void encode_response_header(wire::Writer& writer, const messages::ApiInfo& api,
                            std::int16_t version, std::int32_t correlation_id) {
  writer.integer(correlation_id);
  if (response_header_is_flexible(api, version)) writer.unsigned_varint(0);
}

Result<std::int32_t> decode_response_header(wire::Reader& reader, const messages::ApiInfo& api,
                                            std::int16_t version) {
  const auto correlation_id = reader.integer<std::int32_t>();
  if (response_header_is_flexible(api, version)) reader.skip_tagged_fields();
  if (!reader.ok()) return engine::fail(Errc::corrupt);
  return correlation_id;
}

}  // namespace keelson::kafka
