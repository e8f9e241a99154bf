// plugins/offsets/consumer_classic.h: what consumers of the classic protocol tell each other
// through the group: subscriptions and assignments, as a version (2 bytes) and a body each
// (schema/).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/types.h"
#include "plugins/offsets/consumer_member.h"
#include "plugins/registry/cluster.h"

namespace keelson::offsets {

inline constexpr const char* kConsumerProtocolType = "consumer";

struct ClassicSubscription {
  std::int16_t version = 0;
  std::vector<std::string> topics;
  std::vector<TopicPartitions> owned;  // of topics that are there; empty before version 1
  std::optional<std::string> rack_id;
};

/// Nothing where the bytes are none: members may send what they like.
std::optional<ClassicSubscription> read_subscription(engine::Bytes bytes, const ClusterView& view);

/// Its topics alone, whether they are there or not.
std::optional<std::vector<std::string>> subscribed_topics(engine::Bytes bytes);

struct ClassicAssignment {
  PartitionSet partitions;     // of topics that are there
  bool has_user_data = false;  // from an assignor of its own kind to itself
};

/// No bytes at all are no partitions. Nothing where the bytes are none.
std::optional<ClassicAssignment> read_assignment(engine::Bytes bytes, const ClusterView& view);

/// In the version of the member's subscription.
MemberBytes write_assignment(const PartitionEpochs& partitions, const ClusterView& view,
                             std::int16_t version);

}  // namespace keelson::offsets
