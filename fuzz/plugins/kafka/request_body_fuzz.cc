// Bodies of requests. Input: int16 API key, int16 version, body.
//   request_body_fuzz -rss_limit_mb=512 -malloc_limit_mb=64 CORPUS
//   fuzz/plugins/kafka/corpus/request_body
#include <string_view>
#include <type_traits>

#include "fuzz/plugins/wire/message_fuzz.h"
#include "plugins/kafka/messages/all_messages.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keelson;
  const engine::Bytes input = std::as_bytes(std::span(data, size));
  if (input.size() < 4) return 0;
  const auto key = engine::load_big_endian<std::int16_t>(input.data());
  const auto version = engine::load_big_endian<std::int16_t>(input.data() + 2);
  kafka::messages::for_each_message([&]<class Message>(std::type_identity<Message>) {
    if constexpr (Message::kName.ends_with("Request")) {
      if (Message::kApiKey == key) wire::fuzz_message<Message>(input.subspan(4), version);
    }
  });
  return 0;
}
