// plugins/kafka/header.h: what stands before the body of requests and responses.
//
//   request   int16 api key, int16 version, int32 correlation id, string? client id (always with an
//             int16 length), and tagged fields where the version of the API is flexible
//   response  int32 correlation id, and tagged fields where the version is flexible; never for
//             ApiVersions, whose reader cannot yet know what the broker speaks
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/error.h"
#include "plugins/kafka/messages/api_table.h"
#include "plugins/wire/reader.h"
#include "plugins/wire/writer.h"

namespace keelson::kafka {

struct RequestHeader {
  const messages::ApiInfo* api = nullptr;  // never null once decoded
  std::int16_t version = 0;
  std::int32_t correlation_id = 0;
  std::optional<std::string_view> client_id;  // any bytes; points into the frame

  /// False only for ApiVersions, which must be answered whatever its version is.
  bool is_version_known() const { return api->knows(version); }
};

/// Reads the header and leaves `reader` at the body.
///
/// Errors: unsupported: the key is unknown, or the version, unless the API is ApiVersions.
///         corrupt: cut or malformed. Close the connection on either, as Kafka does.
[[nodiscard]] engine::Result<RequestHeader> decode_request_header(wire::Reader& reader);

/// For a client: `version` must be one that `api` knows.
void encode_request_header(wire::Writer& writer, const RequestHeader& header);

void encode_response_header(wire::Writer& writer, const messages::ApiInfo& api,
                            std::int16_t version, std::int32_t correlation_id);

/// For a client: reads the header, returns the correlation id. Errors: corrupt.
[[nodiscard]] engine::Result<std::int32_t> decode_response_header(wire::Reader& reader,
                                                                  const messages::ApiInfo& api,
                                                                  std::int16_t version);

}  // namespace keelson::kafka
