#include <algorithm>

#include "plugins/offsets/consumer_assignors.h"

namespace keelson::offsets {
namespace {

using Entry = std::pair<const std::string, AssignableMember>;

bool is_before(const Entry* a, const Entry* b) {
  const auto& left = a->second.instance_id;
  const auto& right = b->second.instance_id;
  if (left && right) return *left < *right;
  if (left || right) return left.has_value();
  return a->first < b->first;
}

}  // namespace

Assignments assign_range(const AssignmentInput& input) {
  std::vector<const Entry*> order;
  std::map<engine::Uuid, std::vector<const Entry*>> subscribers;
  Assignments assignments;
  for (const Entry& member : input.members) {
    order.push_back(&member);
    assignments[member.first];
  }
  std::sort(order.begin(), order.end(), is_before);
  for (const Entry* member : order) {
    for (const engine::Uuid& topic : member->second.topics) subscribers[topic].push_back(member);
  }
  for (const auto& [topic, members] : subscribers) {
    const auto count = static_cast<std::int32_t>(members.size());
    const std::int32_t partitions = input.topics.at(topic).partition_count;
    std::int32_t next = 0;
    for (std::int32_t i = 0; i < count; ++i) {
      const std::int32_t share = partitions / count + (i < partitions % count ? 1 : 0);
      if (share == 0) break;
      const Entry* const member = members[static_cast<std::size_t>(i)];
      std::set<std::int32_t>& given = assignments[member->first][topic];
      for (const std::int32_t end = next + share; next < end; ++next) {
        given.insert(given.end(), next);
      }
    }
  }
  return assignments;
}

Assignor find_assignor(std::string_view name) {
  if (name == "uniform") return assign_uniform;
  if (name == "range") return assign_range;
  return nullptr;
}

}  // namespace keelson::offsets
