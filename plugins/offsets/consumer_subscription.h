// plugins/offsets/consumer_subscription.h: the topics a classic consumer subscribes to.
//
//   off size field
//     0  2   version; what follows is the same in all of them
//     2  4   topic count
//     6  …   topics: length (2), UTF-8 name
//     …  …   more, not read here
// Big-endian (source: Kafka 4.3.1, ConsumerProtocolSubscription.json).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/types.h"

namespace keelson::offsets {

inline constexpr const char* kConsumerProtocolType = "consumer";

/// Nothing where the bytes are not a subscription: members may send what they like.
std::optional<std::vector<std::string>> subscribed_topics(engine::Bytes metadata);

}  // namespace keelson::offsets
