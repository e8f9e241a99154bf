#include "plugins/offsets/consumer_classic.h"

#include <algorithm>
#include <map>
#include <utility>

#include "plugins/offsets/messages/consumer_protocol_assignment.h"
#include "plugins/offsets/messages/consumer_protocol_subscription.h"
#include "plugins/offsets/record_codec.h"

namespace keelson::offsets {
namespace {

/// Later versions only add at the end.
template <class Message>
std::optional<std::pair<Message, std::int16_t>> read(engine::Bytes bytes) {
  const auto prefixed = split(bytes);
  if (!prefixed || prefixed->number < Message::kMinVersion) return std::nullopt;
  const std::int16_t version = std::min(prefixed->number, Message::kMaxVersion);
  auto message = decode_body<Message>(prefixed->body, version);
  if (!message) return std::nullopt;
  return std::pair{std::move(*message), version};
}

/// By id, for topics that are there.
template <class List>
PartitionSet to_set(const List& topics, const ClusterView& view) {
  PartitionSet set;
  for (const auto& topic : topics) {
    const TopicView* const known = view.find(topic.topic);
    if (known == nullptr || topic.partitions.empty()) continue;
    set[known->id].insert(topic.partitions.begin(), topic.partitions.end());
  }
  return set;
}

}  // namespace

std::optional<ClassicSubscription> read_subscription(engine::Bytes bytes, const ClusterView& view) {
  auto found = read<messages::ConsumerProtocolSubscription>(bytes);
  if (!found) return std::nullopt;
  ClassicSubscription subscription;
  subscription.version = found->second;
  subscription.topics = std::move(found->first.topics);
  subscription.rack_id = std::move(found->first.rack_id);
  for (const auto& [topic, partitions] : to_set(found->first.owned_partitions, view)) {
    subscription.owned.push_back({topic, {partitions.begin(), partitions.end()}});
  }
  return subscription;
}

std::optional<std::vector<std::string>> subscribed_topics(engine::Bytes bytes) {
  auto found = read<messages::ConsumerProtocolSubscription>(bytes);
  if (!found) return std::nullopt;
  return std::move(found->first.topics);
}

std::optional<ClassicAssignment> read_assignment(engine::Bytes bytes, const ClusterView& view) {
  if (bytes.empty()) return ClassicAssignment{};
  const auto found = read<messages::ConsumerProtocolAssignment>(bytes);
  if (!found) return std::nullopt;
  const auto& user_data = found->first.user_data;
  return ClassicAssignment{to_set(found->first.assigned_partitions, view),
                           user_data && !user_data->empty()};
}

MemberBytes write_assignment(const PartitionEpochs& partitions, const ClusterView& view,
                             std::int16_t version) {
  messages::ConsumerProtocolAssignment assignment;
  assignment.user_data.reset();
  for (const auto& [topic, numbers] : partitions) {
    const TopicView* const known = view.find(topic);
    if (known == nullptr) continue;
    auto& added = assignment.assigned_partitions.emplace_back();
    added.topic = known->name;
    for (const auto& [partition, epoch] : numbers) added.partitions.push_back(partition);
  }
  return encode_message(assignment, version, version).value_or(MemberBytes{});
}

}  // namespace keelson::offsets
