// Keys and values of __consumer_offsets, and the embedded consumer protocol. Input: a byte that
// chooses among all messages, a byte for the version, then the record.
//   record_fuzz -rss_limit_mb=512 -malloc_limit_mb=64 CORPUS fuzz/plugins/offsets/corpus/record
#include <type_traits>

#include "fuzz/plugins/wire/message_fuzz.h"
#include "plugins/offsets/messages/all_messages.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keelson;
  const engine::Bytes input = std::as_bytes(std::span(data, size));
  if (input.size() < 2) return 0;
  int index = 0;
  offsets::messages::for_each_message([&]<class Message>(std::type_identity<Message>) {
    if (index++ == data[0]) wire::fuzz_message<Message>(input.subspan(2), data[1]);
  });
  return 0;
}
