// The fetch side of SingleReplicator: one pass over the shards, and the long poll.
#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "replication/single_state.h"

namespace keelson::replication {

using engine::Task;
using engine::io::call_on;
using engine::io::Event;
using engine::io::Gate;
using engine::io::Shard;

/// A long poll: asleep on every shard that owns one of its partitions, until the first of them sees
/// an append, the deadline passes or the caller withdraws. Shared by the sleepers, so the answer
/// need not wait for the slowest of them to hear that it is over.
struct SingleReplicator::FetchWait {
  struct Watched {
    PartitionKey key;
    engine::Offset seen_below;  // what could be read when it was looked at
  };
  struct Sleeper {
    explicit Sleeper(Shard& shard) : shard(shard), wake(shard) {}
    Shard& shard;
    Event wake;  // the owner shard's thread only, as all of this
    std::vector<Watched> watched;
  };

  FetchWait(Shard& home, bool read_committed) : read_committed(read_committed), woken(home) {}
  const bool read_committed;
  Event woken;  // home
  std::vector<std::unique_ptr<Sleeper>> sleepers;
};

namespace {

/// Sets another event when its own is notified.
struct Relay : Event::Subscription {
  explicit Relay(Event& target) : target(target) {
    on_release = [](engine::io::detail::Waiter& self) { static_cast<Relay&>(self).target.set(); };
  }
  Event& target;
};

/// A partition is watched while its gate is held: it cannot go away under the relay.
struct Watch {
  Watch(Partition& partition, Event& target) : pass(partition.gate()), relay(target) {}
  Gate::Pass pass;
  Relay relay;
};

}  // namespace

/// Has the logs read what the request will come to, from its partition number `next` of the share
/// on, as far as there is room. Where to go on next time.
std::size_t SingleReplicator::expect_more(ShardState& state, const Share& share, std::size_t next,
                                          const FetchCall& call, std::int64_t bytes_left) {
  for (; next < share.count; ++next) {
    const FetchPartition& wanted = call.partitions[share[next]];
    Partition* const partition = state.find(wanted.key);
    if (partition == nullptr || wanted.bytes_max <= 0) continue;
    if (bytes_left <= 0) break;
    engine::log::ReadLimits limits;
    limits.bytes_max =
        static_cast<std::uint64_t>(std::min<std::int64_t>(bytes_left, wanted.bytes_max));
    if (!expect_fetched(*partition, wanted, call.read_committed, limits)) break;
  }
  return next;
}

Task<void> SingleReplicator::fetch_on(const Share& share, FetchCall& call,
                                      std::vector<FetchAnswer>& answers, std::int64_t& bytes_left,
                                      bool& nothing_yet) {
  ShardState& state = state_of(share.shard);
  std::size_t expected = 0;
  for (std::size_t i = 0; i < share.count; ++i) {
    expected = expect_more(state, share, std::max(expected, i + 1), call, bytes_left);
    const FetchPartition& wanted = call.partitions[share[i]];
    FetchAnswer& answer = answers[share[i]];
    Partition* const partition = state.find(wanted.key);
    if (partition == nullptr || !partition->gate().enter()) {
      answer = {};
      answer.error = state.reason_missing(wanted.key);
      continue;
    }
    const Gate::Pass pass(partition->gate());
    engine::log::ReadLimits limits;
    limits.bytes_max = static_cast<std::uint64_t>(
        std::max<std::int64_t>(0, std::min<std::int64_t>(bytes_left, wanted.bytes_max)));
    limits.at_least_one_batch = nothing_yet;
    limits.less_will_do = true;
    answer =
        co_await read_fetched(*partition, wanted, call.read_committed, call.zstd_allowed, limits);
    const std::size_t bytes = engine::total_bytes(answer.records);
    if (bytes > 0) nothing_yet = false;
    bytes_left -= static_cast<std::int64_t>(bytes);
  }
}

/// True where the answer should go out now: enough bytes, an error, or a diverging epoch.
Task<bool> SingleReplicator::fetch_once(Shard& home, FetchCall& call,
                                        const std::vector<Share>& shares,
                                        std::vector<FetchAnswer>& answers) {
  std::int64_t bytes_left = call.bytes_max;
  bool nothing_yet = true;
  // One shard after the other: each is given what the ones before it left of the limit.
  for (const Share& share : shares) {
    const auto work = [&] { return fetch_on(share, call, answers, bytes_left, nothing_yet); };
    co_await call_on(home, parts_.shards.at(share.shard), work);
  }
  std::int64_t bytes = 0;
  bool settled = false;
  for (const FetchAnswer& answer : answers) {
    bytes += static_cast<std::int64_t>(engine::total_bytes(answer.records));
    settled |= answer.error != ApiErrc::none || answer.diverging.has_value();
  }
  // More than bytes_max never comes together, so nobody waits for it.
  co_return settled || bytes >= std::min(call.min_bytes, std::max(0, call.bytes_max));
}

Task<void> SingleReplicator::wait_on(std::size_t index, std::shared_ptr<FetchWait> wait) {
  FetchWait::Sleeper& sleeper = *wait->sleepers[index];
  ShardState& state = state_of(sleeper.shard.index());
  std::deque<Watch> watches;
  for (const FetchWait::Watched& watched : sleeper.watched) {
    if (sleeper.wake.is_set()) break;
    Partition* const partition = state.find(watched.key);
    // A log that failed is watched like any other: nothing will come, and to be woken at once
    // would turn the wait into a busy loop.
    if (partition == nullptr ||
        partition->readable_below(wait->read_committed) > watched.seen_below ||
        !partition->gate().enter()) {
      sleeper.wake.set();  // it moved between the read and now
      break;
    }
    Watch& watch = watches.emplace_back(*partition, sleeper.wake);
    partition->log().moved().subscribe(watch.relay);
  }
  co_await sleeper.wake.wait();
}

Task<void> SingleReplicator::wait_from(Shard& home, std::size_t index,
                                       std::shared_ptr<FetchWait> wait) {
  const auto work = [this, index, wait] { return wait_on(index, wait); };
  co_await call_on(home, wait->sleepers[index]->shard, work);
  wait->woken.set();
}

Task<void> SingleReplicator::cancel_on(Shard& home, std::size_t index,
                                       std::shared_ptr<FetchWait> wait) {
  struct Work {
    static Task<void> run(FetchWait::Sleeper& sleeper) {
      sleeper.wake.set();
      co_return;
    }
  };
  FetchWait::Sleeper& sleeper = *wait->sleepers[index];
  const auto work = [&sleeper] { return Work::run(sleeper); };
  co_await call_on(home, sleeper.shard, work);
}

Task<std::vector<FetchAnswer>> SingleReplicator::fetch(Shard& home, FetchCall call,
                                                       Event& cancelled) {
  const std::vector<Share> shares = split(call.partitions);
  std::vector<FetchAnswer> answers(call.partitions.size());
  const std::int64_t deadline_ns =
      home.clock().now_ns() + std::int64_t{std::max(0, call.max_wait_ms)} * 1'000'000;
  while (true) {
    const bool settled = co_await fetch_once(home, call, shares, answers);
    if (settled || call.partitions.empty() || cancelled.is_set() ||
        home.clock().now_ns() >= deadline_ns) {
      co_return answers;
    }
    const auto wait = std::make_shared<FetchWait>(home, call.read_committed);
    for (const Share& share : shares) {
      FetchWait::Sleeper& sleeper = *wait->sleepers.emplace_back(
          std::make_unique<FetchWait::Sleeper>(parts_.shards.at(share.shard)));
      sleeper.watched.reserve(share.count);
      for (std::size_t i = 0; i < share.count; ++i) {
        const FetchAnswer& answer = answers[share[i]];
        sleeper.watched.push_back({call.partitions[share[i]].key,
                                   engine::Offset{call.read_committed ? answer.last_stable_offset
                                                                      : answer.high_watermark}});
      }
    }
    for (std::size_t i = 0; i < shares.size(); ++i) home.spawn(wait_from(home, i, wait));
    Relay withdrawn(wait->woken);
    cancelled.subscribe(withdrawn);
    co_await wait->woken.wait_until(deadline_ns);
    withdrawn.cancel();
    for (std::size_t i = 0; i < shares.size(); ++i) home.spawn(cancel_on(home, i, wait));
  }
}

}  // namespace keelson::replication
