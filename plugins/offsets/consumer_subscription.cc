#include "plugins/offsets/consumer_subscription.h"

#include <cstdint>

#include "engine/byte_order.h"

namespace keelson::offsets {

std::optional<std::vector<std::string>> subscribed_topics(engine::Bytes metadata) {
  constexpr std::size_t kHeaderBytes = 6;
  if (metadata.size() < kHeaderBytes) return std::nullopt;
  if (engine::load_big_endian<std::int16_t>(metadata.data()) < 0) return std::nullopt;
  const auto count = engine::load_big_endian<std::int32_t>(metadata.data() + 2);
  engine::Bytes rest = metadata.subspan(kHeaderBytes);
  if (count < 0 || static_cast<std::size_t>(count) > rest.size() / 2) return std::nullopt;

  std::vector<std::string> topics;
  topics.reserve(static_cast<std::size_t>(count));
  for (std::int32_t i = 0; i < count; ++i) {
    if (rest.size() < 2) return std::nullopt;
    const auto length = engine::load_big_endian<std::int16_t>(rest.data());
    rest = rest.subspan(2);
    if (length < 0 || static_cast<std::size_t>(length) > rest.size()) return std::nullopt;
    const auto bytes = static_cast<std::size_t>(length);
    topics.emplace_back(reinterpret_cast<const char*>(rest.data()), bytes);
    rest = rest.subspan(bytes);
  }
  return topics;
}

}  // namespace keelson::offsets
