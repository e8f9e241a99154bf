// plugins/kafka/fetch_sessions.h: incremental fetches (KIP-227): the broker remembers what a
// client fetches, so that requests and responses name only what changed.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/io/backend.h"
#include "plugins/registry/replicator.h"

namespace keelson::kafka {

inline constexpr std::int32_t kNoSession = 0;
inline constexpr std::int32_t kFullFetchEpoch = 0;    // opens a session
inline constexpr std::int32_t kFinalFetchEpoch = -1;  // no session, or its end

/// A topic as the client named it: from Fetch v13 on by id, before by name.
struct FetchTopicKey {
  std::string name;  // empty where the id names it
  engine::Uuid id;   // zero where the name does

  friend auto operator<=>(const FetchTopicKey&, const FetchTopicKey&) = default;
};

/// One partition of a fetch, as asked; in a session together with what was last answered.
struct SessionPartition {
  FetchTopicKey topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::int32_t current_leader_epoch = -1;
  std::int32_t last_fetched_epoch = -1;
  std::int32_t bytes_max = 0;

  // Of the last answer; an incremental response leaves out what did not change.
  std::int64_t sent_high_watermark = -1;
  std::int64_t sent_log_start_offset = -1;

  /// Takes over what the client asks now.
  void update_from(const SessionPartition& asked);
  /// Whether `answer` tells anything new. Remembers it as sent.
  bool note_sent(const FetchAnswer& answer);
};

/// The partitions of a session. In the order of the client's first mention; one that was answered
/// with records goes to the end, so that none starves behind the others.
class SessionPartitions {
 public:
  using List = std::list<SessionPartition>;

  SessionPartitions() = default;
  SessionPartitions(const SessionPartitions&) = delete;  // the index points into the list

  /// Adds `asked`, or brings what is there up to date with it.
  void update(SessionPartition asked);
  /// Drops it, if it is there.
  void forget(const FetchTopicKey& topic, std::int32_t partition);
  /// `one` is an element of this list.
  void move_to_end(List::iterator one) { list_.splice(list_.end(), list_, one); }

  List::iterator begin() { return list_.begin(); }
  List::iterator end() { return list_.end(); }
  std::size_t size() const { return list_.size(); }

 private:
  struct Name {
    const FetchTopicKey& topic;
    std::int32_t partition;
  };
  static Name name_of(List::iterator one) { return {one->topic, one->partition}; }
  static Name name_of(Name name) { return name; }
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const auto& one) const { return hash(name_of(one)); }
    static std::size_t hash(Name name);
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const auto& left, const auto& right) const {
      return name_of(left).partition == name_of(right).partition &&
             name_of(left).topic == name_of(right).topic;
    }
  };

  List list_;
  std::unordered_set<List::iterator, Hash, Equal> by_name_;
};

struct FetchSession {
  std::int32_t id = kNoSession;
  std::int32_t next_epoch = 1;
  bool by_id = false;
  bool in_use = false;  // a fetch of it is under way; its partitions must stay
  std::int64_t last_used_ns = 0;
  SessionPartitions partitions;
};

/// The sessions of one shard's connections. One thread. A slot that was used within kKeepNs is not
/// taken from its owner; where all are in use a client fetches without a session.
class FetchSessionCache {
 public:
  static constexpr std::int64_t kKeepNs = 120'000'000'000;  // 120 s, as Kafka's

  /// `shard_index` of `shard_count` keeps the ids of shards apart: a client reconnects anywhere.
  FetchSessionCache(std::uint32_t shard_index, std::uint32_t shard_count, std::size_t slots_max,
                    engine::io::Rng& rng)
      : shard_index_(shard_index), shard_count_(shard_count), slots_max_(slots_max), rng_(rng) {}

  /// A new session, or null where there is no room.
  std::shared_ptr<FetchSession> open(std::int64_t now_ns);
  std::shared_ptr<FetchSession> find(std::int32_t id) const;
  void close(std::int32_t id) { sessions_.erase(id); }
  std::size_t size() const { return sessions_.size(); }

  /// The epoch after `epoch`: wraps from 2^31-1 to 1.
  static std::int32_t epoch_after(std::int32_t epoch);

 private:
  const std::uint32_t shard_index_;
  const std::uint32_t shard_count_;
  const std::size_t slots_max_;
  engine::io::Rng& rng_;
  std::unordered_map<std::int32_t, std::shared_ptr<FetchSession>> sessions_;
};

}  // namespace keelson::kafka
