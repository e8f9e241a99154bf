// Whole requests as they come behind the frame size: header, then the body that it announces.
//   request_frame_fuzz -rss_limit_mb=512 -malloc_limit_mb=64 CORPUS
//   fuzz/plugins/kafka/corpus/request_frame
#include <string_view>
#include <type_traits>

#include "fuzz/plugins/wire/message_fuzz.h"
#include "plugins/kafka/header.h"
#include "plugins/kafka/messages/all_messages.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keelson;
  wire::OwnedBytes bytes(size);
  std::copy_n(std::as_bytes(std::span(data, size)).begin(), size, bytes.begin());
  wire::Reader reader{engine::MutableBytes(bytes)};
  const auto header = kafka::decode_request_header(reader);
  if (!header || !header->is_version_known()) return 0;

  wire::Writer writer;
  kafka::encode_request_header(writer, *header);
  wire::Reader again(writer.contiguous());
  const auto copy = kafka::decode_request_header(again);
  wire::require(copy && copy->api == header->api && copy->client_id == header->client_id);
  kafka::messages::for_each_message([&]<class Message>(std::type_identity<Message>) {
    if constexpr (Message::kName.ends_with("Request")) {
      if (Message::kApiKey == static_cast<std::int16_t>(header->api->key)) {
        wire::require(header->api->knows(header->version));
        const auto message = Message::decode(reader, header->version);
        wire::require(message || message.error().code == engine::Errc::corrupt);
      }
    }
  });
  return 0;
}
