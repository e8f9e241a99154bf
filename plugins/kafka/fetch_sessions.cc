#include "plugins/kafka/fetch_sessions.h"

#include <iterator>
#include <limits>
#include <string_view>
#include <utility>

namespace keelson::kafka {

void SessionPartition::update_from(const SessionPartition& asked) {
  offset = asked.offset;
  current_leader_epoch = asked.current_leader_epoch;
  last_fetched_epoch = asked.last_fetched_epoch;
  bytes_max = asked.bytes_max;
}

bool SessionPartition::note_sent(const FetchAnswer& answer) {
  bool news = !answer.records.empty() || answer.diverging.has_value() ||
              answer.high_watermark != sent_high_watermark ||
              answer.log_start_offset != sent_log_start_offset;
  sent_high_watermark = answer.high_watermark;
  sent_log_start_offset = answer.log_start_offset;
  if (answer.error != ApiErrc::none) {
    sent_high_watermark = -1;  // so that the end of the error is news
    news = true;
  }
  return news;
}

std::size_t SessionPartitions::Hash::hash(Name name) {
  const std::size_t topic =
      std::hash<std::string_view>{}(name.topic.name) ^ std::hash<engine::Uuid>{}(name.topic.id);
  return topic * 31 + static_cast<std::size_t>(name.partition);
}

void SessionPartitions::update(SessionPartition asked) {
  const auto known = by_name_.find(Name{asked.topic, asked.partition});
  if (known != by_name_.end()) {
    (*known)->update_from(asked);
    return;
  }
  list_.push_back(std::move(asked));
  by_name_.insert(std::prev(list_.end()));
}

void SessionPartitions::forget(const FetchTopicKey& topic, std::int32_t partition) {
  const auto known = by_name_.find(Name{topic, partition});
  if (known == by_name_.end()) return;
  const List::iterator gone = *known;
  by_name_.erase(known);
  list_.erase(gone);
}

std::int32_t FetchSessionCache::epoch_after(std::int32_t epoch) {
  return epoch == std::numeric_limits<std::int32_t>::max() ? 1 : epoch + 1;
}

std::shared_ptr<FetchSession> FetchSessionCache::find(std::int32_t id) const {
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second;
}

std::shared_ptr<FetchSession> FetchSessionCache::open(std::int64_t now_ns) {
  if (sessions_.size() >= slots_max_) {
    auto oldest = sessions_.begin();
    for (auto it = sessions_.begin(); it != sessions_.end(); ++it) {
      if (it->second->last_used_ns < oldest->second->last_used_ns) oldest = it;
    }
    if (oldest == sessions_.end() || now_ns - oldest->second->last_used_ns < kKeepNs) {
      return nullptr;
    }
    sessions_.erase(oldest);
  }
  auto session = std::make_shared<FetchSession>();
  do {
    // Positive, not 0, and of this shard.
    const auto random = static_cast<std::int32_t>(rng_.next() & 0x3fffffff);
    const auto count = static_cast<std::int32_t>(shard_count_);
    session->id = random / count * count + static_cast<std::int32_t>(shard_index_) + count;
  } while (sessions_.contains(session->id));
  session->last_used_ns = now_ns;
  sessions_.emplace(session->id, session);
  return session;
}

}  // namespace keelson::kafka
