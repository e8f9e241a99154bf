// Produce: each shard appends to the partitions that it owns, and the answers come back together.
//
// A request with a time limit is held apart from the one who waits for its answer: at the limit
// the answer goes, while the appends go on and keep the request's memory until they have ended.
#include <cassert>
#include <utility>

#include "replication/single_replicator.h"
#include "replication/single_state.h"

namespace keelson::replication {

using engine::Task;
using engine::io::call_on;
using engine::io::Gate;
using engine::io::Shard;
using engine::io::TaskGroup;

namespace {
/// How many requests of a shard may go on behind their answer. What a connection may have under way
/// no longer bounds them; beyond this, answers wait for the drive and connections fill up again.
constexpr std::size_t kLateRequestsMax = 4096;
}  // namespace

/// Made and given up on the shard that the request came to.
struct SingleReplicator::ProduceWork {
  ProduceWork(Shard& home, std::vector<Share> of_shards, ProduceCall asked)
      : call(std::move(asked)),
        shares(std::move(of_shards)),
        answers(call.partitions.size()),
        running(shares.size()),
        ended(home) {
    for (ProduceAnswer& answer : answers) answer.error = ApiErrc::request_timed_out;
  }

  const ProduceCall call;
  std::vector<Share> shares;
  /// Each belongs to the owner shard of its partition until the share has ended. "Timed out" until
  /// the partition has answered.
  std::vector<ProduceAnswer> answers;
  std::size_t running;  // shares
  bool late = false;    // answered before it ended
  engine::io::Event ended;
};

/// `partition` was entered for this.
Task<void> SingleReplicator::append_held(Partition& partition, ProducePartition produced,
                                         const ProduceCall& call, std::int64_t now_ms,
                                         ProduceAnswer& answer) {
  const Gate::Pass pass(partition.gate());
  answer = co_await append_produced(partition, produced, call, now_ms);
}

Task<void> SingleReplicator::produce_on(const Share& share, const ProduceCall& call,
                                        std::vector<ProduceAnswer>& answers) {
  Shard& owner = parts_.shards.at(share.shard);
  ShardState& state = state_of(share.shard);
  const std::int64_t now_ms = owner.clock().wall_ms();
  TaskGroup group(owner);
  for (std::size_t i = 0; i < share.count; ++i) {
    const ProducePartition& produced = call.partitions[share[i]];
    ProduceAnswer& answer = answers[share[i]];
    Partition* const partition = state.find(produced.key);
    if (partition == nullptr || !partition->gate().enter()) {
      answer.error = state.reason_missing(produced.key);
      continue;
    }
    // Begun at once: requests of a connection append in the order they came.
    Task<void> append = append_held(*partition, produced, call, now_ms, answer);
    if (share.count == 1) {
      co_await append;
    } else {
      group.start(std::move(append));
    }
  }
  co_await group.wait();
}

/// One shard's part of a request, which may go on when the answer has gone.
Task<void> SingleReplicator::run_share(Shard& home, std::shared_ptr<ProduceWork> work,
                                       std::size_t index) {
  Share& share = work->shares[index];
  const auto append = [&] { return produce_on(share, work->call, work->answers); };
  co_await call_on(home, parts_.shards.at(share.shard), append);
  share.ended = true;
  if (--work->running > 0) co_return;
  work->ended.set();
  if (work->late) --state_of(home.index()).late_requests;
}

/// Answers at the call's time limit, for every partition what is known by then.
Task<std::vector<ProduceAnswer>> SingleReplicator::produce(Shard& home, ProduceCall call) {
  std::vector<Share> shares = split(call.partitions);
  if (shares.empty()) co_return std::vector<ProduceAnswer>{};
  const bool limited = call.acks == Acks::all && call.timeout_ms > 0;
  assert(!limited || call.memory != nullptr);
  const std::int64_t deadline_ns =
      limited ? home.clock().now_ns() + std::int64_t{call.timeout_ms} * 1'000'000
              : engine::io::kNoDeadline;
  const auto work = std::make_shared<ProduceWork>(home, std::move(shares), std::move(call));
  ShardState& state = state_of(home.index());
  for (std::size_t i = 0; i < work->shares.size(); ++i) {
    state.requests.start(run_share(home, work, i));
  }
  bool ended = co_await work->ended.wait_until(deadline_ns);
  if (!ended && state.late_requests >= kLateRequestsMax) ended = co_await work->ended.wait();
  if (ended) co_return std::move(work->answers);

  struct Known {
    static Task<void> copy(const ProduceWork& work, const Share& share,
                           std::vector<ProduceAnswer>& answers) {
      for (std::size_t i = 0; i < share.count; ++i) answers[share[i]] = work.answers[share[i]];
      co_return;
    }
  };
  work->late = true;
  ++state.late_requests;
  std::vector<ProduceAnswer> answers(work->answers.size());
  for (const Share& share : work->shares) {
    const auto copy = [&] { return Known::copy(*work, share, answers); };
    co_await call_on(home, share.ended ? home : parts_.shards.at(share.shard), copy);
  }
  co_return answers;
}

}  // namespace keelson::replication
