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
        share_ended(shares.size()),
        answers(call.partitions.size()),
        running(shares.size()),
        ended(home) {
    for (ProduceAnswer& answer : answers) answer.error = ApiErrc::request_timed_out;
  }

  const ProduceCall call;
  const std::vector<Share> shares;
  std::vector<bool> share_ended;
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

Task<void> SingleReplicator::produce_from(Shard& home, const Share& share, const ProduceCall& call,
                                          std::vector<ProduceAnswer>& answers) {
  const auto work = [&] { return produce_on(share, call, answers); };
  co_await call_on(home, parts_.shards.at(share.shard), work);
}

Task<std::vector<ProduceAnswer>> SingleReplicator::produce(Shard& home, ProduceCall call) {
  std::vector<Share> shares = split(call.partitions);
  if (call.acks == Acks::all && call.timeout_ms > 0) {
    assert(call.memory != nullptr);
    co_return co_await produce_within(home, std::move(shares), std::move(call));
  }
  std::vector<ProduceAnswer> answers(call.partitions.size());
  if (shares.size() == 1) {
    co_await produce_from(home, shares.front(), call, answers);
    co_return answers;
  }
  TaskGroup group(home);
  for (const Share& share : shares) group.start(produce_from(home, share, call, answers));
  co_await group.wait();
  co_return answers;
}

Task<void> SingleReplicator::run_share(Shard& home, std::shared_ptr<ProduceWork> work,
                                       std::size_t index) {
  co_await produce_from(home, work->shares[index], work->call, work->answers);
  work->share_ended[index] = true;
  if (--work->running > 0) co_return;
  work->ended.set();
  if (work->late) --state_of(home.index()).late_requests;
}

/// Answers at the call's time limit, for every partition what is known by then.
Task<std::vector<ProduceAnswer>> SingleReplicator::produce_within(Shard& home,
                                                                  std::vector<Share> shares,
                                                                  ProduceCall call) {
  struct Work {
    static Task<void> copy(const ProduceWork& work, const Share& share,
                           std::vector<ProduceAnswer>& answers) {
      for (std::size_t i = 0; i < share.count; ++i) answers[share[i]] = work.answers[share[i]];
      co_return;
    }
  };
  const std::int64_t deadline_ns =
      home.clock().now_ns() + std::int64_t{call.timeout_ms} * 1'000'000;
  const auto work = std::make_shared<ProduceWork>(home, std::move(shares), std::move(call));
  ShardState& state = state_of(home.index());
  for (std::size_t i = 0; i < work->shares.size(); ++i) {
    state.requests.start(run_share(home, work, i));
  }
  bool ended = co_await work->ended.wait_until(deadline_ns);
  if (!ended && state.late_requests >= kLateRequestsMax) ended = co_await work->ended.wait();
  if (ended) co_return std::move(work->answers);

  work->late = true;
  ++state.late_requests;
  std::vector<ProduceAnswer> answers(work->answers.size());
  for (std::size_t i = 0; i < work->shares.size(); ++i) {
    const Share& share = work->shares[i];
    const auto copy = [&] { return Work::copy(*work, share, answers); };
    Shard& known_on = work->share_ended[i] ? home : parts_.shards.at(share.shard);
    co_await call_on(home, known_on, copy);
  }
  co_return answers;
}

}  // namespace keelson::replication
