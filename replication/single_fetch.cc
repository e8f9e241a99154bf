// The fetch side of SingleReplicator: one pass over the shards, and the long poll.
#include <algorithm>
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
    engine::Offset seen_high_watermark;
  };
  struct Sleeper {
    explicit Sleeper(Shard& shard) : wake(shard) {}
    Event wake;  // the owner shard's thread only, as all of this
    std::vector<Watched> watched;
  };

  explicit FetchWait(Shard& home) : woken(home) {}
  Event woken;                                     // home
  std::vector<std::unique_ptr<Sleeper>> by_shard;  // null where nothing is watched
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

Task<void> SingleReplicator::fetch_on(std::uint32_t shard, FetchCall& call, const Indexes& indexes,
                                      std::vector<FetchAnswer>& answers, std::int64_t& bytes_left,
                                      bool& nothing_yet) {
  for (const std::size_t index : indexes) {
    const FetchPartition& wanted = call.partitions[index];
    FetchAnswer& answer = answers[index];
    Partition* const partition = state_of(shard).find(wanted.key);
    if (partition == nullptr || !partition->gate().enter()) {
      answer = {};
      answer.error = ApiErrc::unknown_topic_or_partition;
      continue;
    }
    const Gate::Pass pass(partition->gate());
    engine::log::ReadLimits limits;
    limits.bytes_max = static_cast<std::uint64_t>(
        std::max<std::int64_t>(0, std::min<std::int64_t>(bytes_left, wanted.bytes_max)));
    limits.at_least_one_batch = nothing_yet && wanted.bytes_max > 0;
    answer =
        co_await read_fetched(*partition, wanted, call.read_committed, call.zstd_allowed, limits);
    const std::size_t bytes = engine::total_bytes(answer.records);
    if (bytes > 0) nothing_yet = false;
    bytes_left -= static_cast<std::int64_t>(bytes);
  }
}

/// True where the answer should go out now: enough bytes, an error, or a diverging epoch.
Task<bool> SingleReplicator::fetch_once(Shard& home, FetchCall& call,
                                        const std::vector<Indexes>& by_shard,
                                        std::vector<FetchAnswer>& answers) {
  std::int64_t bytes_left = call.bytes_max;
  bool nothing_yet = true;
  // One shard after the other: each is given what the ones before it left of the limit.
  for (std::uint32_t shard = 0; shard < by_shard.size(); ++shard) {
    if (by_shard[shard].empty()) continue;
    const auto work = [&, shard] {
      return fetch_on(shard, call, by_shard[shard], answers, bytes_left, nothing_yet);
    };
    co_await call_on(home, parts_.shards.at(shard), work);
  }
  std::int64_t bytes = 0;
  bool settled = false;
  for (const FetchAnswer& answer : answers) {
    bytes += static_cast<std::int64_t>(engine::total_bytes(answer.records));
    settled |= answer.error != ApiErrc::none || answer.diverging.has_value();
  }
  co_return settled || bytes >= call.min_bytes;
}

Task<void> SingleReplicator::wait_on(std::uint32_t shard, std::shared_ptr<FetchWait> wait) {
  FetchWait::Sleeper& sleeper = *wait->by_shard[shard];
  std::vector<std::unique_ptr<Watch>> watches;
  watches.reserve(sleeper.watched.size());
  for (const FetchWait::Watched& watched : sleeper.watched) {
    Partition* const partition = state_of(shard).find(watched.key);
    if (partition == nullptr || partition->high_watermark() > watched.seen_high_watermark ||
        partition->log().failure() || !partition->gate().enter()) {
      sleeper.wake.set();  // it moved between the read and now
      break;
    }
    watches.push_back(std::make_unique<Watch>(*partition, sleeper.wake));
    partition->log().moved().subscribe(watches.back()->relay);
  }
  co_await sleeper.wake.wait();
}

Task<void> SingleReplicator::wait_from(Shard& home, std::uint32_t shard,
                                       std::shared_ptr<FetchWait> wait) {
  const auto work = [this, shard, wait] { return wait_on(shard, wait); };
  co_await call_on(home, parts_.shards.at(shard), work);
  wait->woken.set();
}

Task<void> SingleReplicator::cancel_on(Shard& home, Shard& shard, std::shared_ptr<FetchWait> wait) {
  struct Work {
    static Task<void> run(FetchWait& wait, std::uint32_t index) {
      wait.by_shard[index]->wake.set();
      co_return;
    }
  };
  const auto work = [&wait, index = shard.index()] { return Work::run(*wait, index); };
  co_await call_on(home, shard, work);
}

Task<std::vector<FetchAnswer>> SingleReplicator::fetch(Shard& home, FetchCall call,
                                                       Event& cancelled) {
  const std::vector<Indexes> by_shard = split(call.partitions);
  std::vector<FetchAnswer> answers(call.partitions.size());
  const std::int64_t deadline_ns =
      home.clock().now_ns() + std::int64_t{std::max(0, call.max_wait_ms)} * 1'000'000;
  while (true) {
    const bool settled = co_await fetch_once(home, call, by_shard, answers);
    if (settled || call.partitions.empty() || cancelled.is_set() ||
        home.clock().now_ns() >= deadline_ns) {
      co_return answers;
    }
    const auto wait = std::make_shared<FetchWait>(home);
    wait->by_shard.resize(by_shard.size());
    for (std::uint32_t shard = 0; shard < by_shard.size(); ++shard) {
      if (by_shard[shard].empty()) continue;
      wait->by_shard[shard] = std::make_unique<FetchWait::Sleeper>(parts_.shards.at(shard));
      for (const std::size_t index : by_shard[shard]) {
        wait->by_shard[shard]->watched.push_back(
            {call.partitions[index].key, engine::Offset{answers[index].high_watermark}});
      }
    }
    for (std::uint32_t shard = 0; shard < by_shard.size(); ++shard) {
      if (!by_shard[shard].empty()) home.spawn(wait_from(home, shard, wait));
    }
    Relay withdrawn(wait->woken);
    cancelled.subscribe(withdrawn);
    co_await wait->woken.wait_until(deadline_ns);
    withdrawn.cancel();
    for (std::uint32_t shard = 0; shard < by_shard.size(); ++shard) {
      if (by_shard[shard].empty()) continue;
      home.spawn(cancel_on(home, parts_.shards.at(shard), wait));
    }
  }
}

}  // namespace keelson::replication
