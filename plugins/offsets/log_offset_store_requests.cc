// What is asked of groups, brought to where they are.
#include <algorithm>
#include <utility>

#include "plugins/offsets/log_offset_store_hops.h"

namespace keelson::offsets {

using engine::Task;
using engine::io::call_on;
using engine::io::Event;
using engine::io::Shard;
using engine::io::TaskGroup;

// Requests that wait ------------------------------------------------------------------------------

namespace {

/// Wakes those that wait for `target` when the client goes.
struct Relay : Event::Subscription {
  explicit Relay(Event& target) : target(target) {
    on_release = [](engine::io::detail::Waiter& self) {
      static_cast<Relay&>(self).target.notify();
    };
  }
  Event& target;
};

Task<void> wait_for_either(Event& done, Event& cancelled) {
  if (done.is_set() || cancelled.is_set()) co_return;
  Relay relay(done);
  cancelled.subscribe(relay);
  co_await done.wait();
}

Task<void> abandon(Parked& parked) {
  parked.abandon();
  co_return;
}

Task<JoinGroupAnswer> begin(PartitionCoordinator& coordinator, JoinGroupCall call, Parked& parked) {
  return coordinator.join(std::move(call), parked);
}
Task<SyncGroupAnswer> begin(PartitionCoordinator& coordinator, SyncGroupCall call, Parked& parked) {
  return coordinator.sync(std::move(call), parked);
}

}  // namespace

template <class Answer, class Call>
Task<void> LogOffsetStore::run_parked(Shard& home, Place place, Call call, Parked& parked,
                                      Answer& answer, Event& done) {
  auto work = [&call, &parked](PartitionCoordinator& coordinator) {
    return begin(coordinator, std::move(call), parked);
  };
  const auto there = [this, &place, &answer, &work] {
    return on_coordinator<Answer>(place, answer, work);
  };
  answer = co_await call_on(home, parts_.shards.at(place.shard), there);
  done.set();
}

/// `answer` comes as the refusal where the group is not here.
template <class Answer, class Call>
Task<Answer> LogOffsetStore::park(Shard& home, Call call, Answer answer, Event& cancelled) {
  const std::optional<Place> place = locate(call.group_id);
  if (!place) co_return answer;
  Shard& owner = parts_.shards.at(place->shard);
  Parked parked(owner);
  Event done(home);
  TaskGroup running(home);
  running.start(run_parked<Answer, Call>(home, *place, std::move(call), parked, answer, done));
  co_await wait_for_either(done, cancelled);
  if (!done.is_set()) {
    const auto there = [&parked] { return abandon(parked); };
    co_await call_on(home, owner, there);
  }
  co_await running.wait();
  co_return answer;
}

Task<JoinGroupAnswer> LogOffsetStore::join(Shard& home, JoinGroupCall call, Event& cancelled) {
  JoinGroupAnswer refused;
  refused.error = call.group_id.empty() ? ApiErrc::invalid_group_id : ApiErrc::not_coordinator;
  refused.member_id = call.member_id;
  if (call.group_id.empty()) co_return refused;
  co_return co_await park(home, std::move(call), std::move(refused), cancelled);
}

Task<SyncGroupAnswer> LogOffsetStore::sync(Shard& home, SyncGroupCall call, Event& cancelled) {
  SyncGroupAnswer refused;
  refused.error = call.group_id.empty() ? ApiErrc::invalid_group_id : ApiErrc::not_coordinator;
  if (call.group_id.empty()) co_return refused;
  co_return co_await park(home, std::move(call), std::move(refused), cancelled);
}

// Requests that do not ----------------------------------------------------------------------------

namespace {

template <class T>
Task<T> ready(T value) {
  co_return value;
}

Task<void> nothing() { co_return; }

template <class Answer>
Answer refusal_for(const std::string& group_id) {
  Answer answer;
  answer.error = ApiErrc::not_coordinator;
  if constexpr (requires { answer.group_id; }) answer.group_id = group_id;
  return answer;
}

}  // namespace

Task<ApiErrc> LogOffsetStore::heartbeat(Shard& home, HeartbeatCall call) {
  if (call.group_id.empty()) co_return ApiErrc::invalid_group_id;
  const auto work = [&call](PartitionCoordinator& coordinator) {
    return ready(coordinator.heartbeat(call));
  };
  co_return co_await on_group(home, call.group_id, ApiErrc::not_coordinator, work);
}

Task<LeaveGroupAnswer> LogOffsetStore::leave(Shard& home, LeaveGroupCall call) {
  LeaveGroupAnswer refused;
  refused.error = call.group_id.empty() ? ApiErrc::invalid_group_id : ApiErrc::not_coordinator;
  if (call.group_id.empty()) co_return refused;
  const std::string group_id = call.group_id;
  auto work = [&call](PartitionCoordinator& coordinator) {
    return coordinator.leave(std::move(call));
  };
  co_return co_await on_group(home, group_id, std::move(refused), work);
}

Task<CommitOffsetsAnswer> LogOffsetStore::commit_offsets(Shard& home, CommitOffsetsCall call) {
  const std::string group_id = call.group_id;
  auto work = [&call](PartitionCoordinator& coordinator) {
    return coordinator.commit_offsets(std::move(call));
  };
  co_return co_await on_group(home, group_id, refusal_for<CommitOffsetsAnswer>(group_id), work);
}

Task<DeleteOffsetsAnswer> LogOffsetStore::delete_offsets(Shard& home, DeleteOffsetsCall call) {
  const std::string group_id = call.group_id;
  auto refused = refusal_for<DeleteOffsetsAnswer>(group_id);
  if (group_id.empty()) {
    refused.error = ApiErrc::invalid_group_id;
    co_return refused;
  }
  auto work = [&call](PartitionCoordinator& coordinator) {
    return coordinator.delete_offsets(std::move(call));
  };
  co_return co_await on_group(home, group_id, std::move(refused), work);
}

Task<ConsumerHeartbeatAnswer> LogOffsetStore::consumer_heartbeat(Shard& home,
                                                                 ConsumerHeartbeatCall call) {
  ConsumerHeartbeatAnswer refused;
  if (!parts_.settings.consumer_protocol) {
    refused.error = ApiErrc::unsupported_version;
    refused.message = "The consumer protocol is not among group.coordinator.rebalance.protocols.";
    co_return refused;
  }
  if (std::optional<ApiError> wrong = ConsumerGroup::check(call, parts_.settings.consumer)) {
    refused.error = wrong->code;
    refused.message = std::move(wrong->message);
    co_return refused;
  }
  refused.error = ApiErrc::not_coordinator;
  const std::string group_id = call.group_id;
  auto work = [&call](PartitionCoordinator& coordinator) {
    return coordinator.consumer_heartbeat(std::move(call));
  };
  co_return co_await on_group(home, group_id, std::move(refused), work);
}

Task<std::vector<DescribedConsumerGroup>> LogOffsetStore::describe_consumer_groups(
    Shard& home, std::vector<std::string> group_ids) {
  std::vector<DescribedConsumerGroup> answers;
  for (const std::string& group_id : group_ids) {
    const auto work = [&group_id](PartitionCoordinator& coordinator) {
      return ready(coordinator.describe_consumer(group_id));
    };
    DescribedConsumerGroup answer =
        co_await on_group(home, group_id, refusal_for<DescribedConsumerGroup>(group_id), work);
    answers.push_back(std::move(answer));
  }
  co_return answers;
}

Task<void> LogOffsetStore::fetch_group(Shard& home, FetchOffsetsCall::Group group,
                                       bool require_stable, FetchedOffsets& answer) {
  const std::string group_id = group.group_id;
  auto work = [&group, require_stable](PartitionCoordinator& coordinator) {
    return coordinator.fetch_offsets(std::move(group), require_stable);
  };
  answer = co_await on_group(home, group_id, refusal_for<FetchedOffsets>(group_id), work);
}

Task<std::vector<FetchedOffsets>> LogOffsetStore::fetch_offsets(Shard& home,
                                                                FetchOffsetsCall call) {
  std::vector<FetchedOffsets> answers(call.groups.size());
  TaskGroup running(home);
  for (std::size_t i = 0; i < call.groups.size(); ++i) {
    running.start(fetch_group(home, std::move(call.groups[i]), call.require_stable, answers[i]));
  }
  co_await running.wait();
  co_return answers;
}

Task<std::vector<DescribedGroup>> LogOffsetStore::describe_groups(
    Shard& home, std::vector<std::string> group_ids, bool unknown_is_error) {
  std::vector<DescribedGroup> answers;
  for (const std::string& group_id : group_ids) {
    const auto work = [&group_id, unknown_is_error](PartitionCoordinator& coordinator) {
      return ready(coordinator.describe(group_id, unknown_is_error));
    };
    DescribedGroup answer =
        co_await on_group(home, group_id, refusal_for<DescribedGroup>(group_id), work);
    answers.push_back(std::move(answer));
  }
  co_return answers;
}

Task<ListGroupsAnswer> LogOffsetStore::list_groups(Shard& home, ListGroupsCall call) {
  ListGroupsAnswer answer;
  const auto work = [&call, &answer](PartitionCoordinator& coordinator) {
    const ApiErrc error = coordinator.list(call, answer.groups);
    if (error != ApiErrc::none) answer.error = error;
    return nothing();
  };
  co_await on_all(home, work);
  if (answer.error != ApiErrc::none) answer.groups.clear();
  std::sort(answer.groups.begin(), answer.groups.end(),
            [](const ListedGroup& a, const ListedGroup& b) { return a.group_id < b.group_id; });
  co_return answer;
}

Task<void> LogOffsetStore::delete_one(Shard& home, DeletedGroup& answer) {
  const auto work = [&answer](PartitionCoordinator& coordinator) {
    return coordinator.delete_group(answer.group_id);
  };
  answer.error = co_await on_group(home, answer.group_id, ApiErrc::not_coordinator, work);
}

Task<std::vector<DeletedGroup>> LogOffsetStore::delete_groups(Shard& home,
                                                              std::vector<std::string> group_ids) {
  std::vector<DeletedGroup> answers;
  for (std::string& group_id : group_ids) answers.push_back({std::move(group_id)});
  TaskGroup running(home);
  for (DeletedGroup& answer : answers) running.start(delete_one(home, answer));
  co_await running.wait();
  co_return answers;
}

Task<GroupCounters> LogOffsetStore::counters(Shard& home) {
  GroupCounters sums;
  const auto work = [&sums](PartitionCoordinator& coordinator) {
    coordinator.count(sums);
    return nothing();
  };
  co_await on_all(home, work);
  co_return sums;
}

Task<void> LogOffsetStore::expire_offsets(Shard& home) {
  const auto work = [](PartitionCoordinator& coordinator) { return coordinator.expire_offsets(); };
  co_await on_all(home, work);
}

}  // namespace keelson::offsets
