#include "coordination/controller/controller_standard.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "coordination/controller/values.h"
#include "engine/io/random_uuid.h"

namespace keelson::coordination {

using engine::Task;

namespace {
constexpr std::int64_t kProducerIdBlock = 1'000;  // source: Kafka, ProducerIdsBlock
constexpr int kAttemptsMax = 16;

template <class T>
std::unexpected<ApiError> stopped() {
  return refuse(ApiErrc::broker_not_available, "the broker is stopping");
}
}  // namespace

ControllerStandard::ControllerStandard(Parts parts, ControllerOptions options)
    : parts_(parts),
      options_(std::move(options)),
      turn_(parts.shard, 1),
      gate_(parts.shard),
      view_(std::make_shared<const ClusterView>()) {}

ControllerStandard::~ControllerStandard() = default;

Task<void> ControllerStandard::drain(std::int64_t deadline_ns) {
  (void)deadline_ns;  // a change is short, and half a change is worse than a late stop
  co_await gate_.close();
}

Task<void> ControllerStandard::stop() {
  co_await gate_.close();
  if (stale_) co_return;
  while (!created_.empty()) {
    const std::size_t before = created_.size();
    const StepResult cleared = co_await commit({}, {});
    if (!cleared || created_.size() >= before) break;  // only less protection at the next start
  }
  stale_ = true;
}

Task<ApiResult<void>> ControllerStandard::register_broker(BrokerView self) {
  if (!gate_.enter()) co_return stopped<void>();
  const engine::io::Gate::Pass pass{gate_};
  (void)co_await turn_.take(1);
  ApiResult<void> done = co_await register_here(std::move(self));
  turn_.give(1);
  co_return done;
}

Task<ApiResult<void>> ControllerStandard::register_here(BrokerView self) {
  if (self.id != options_.broker_id) {
    co_return refuse(ApiErrc::invalid_request, "a broker registers itself only");
  }
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const ApiResult<void> usable = co_await ready();
    if (!usable) co_return usable;
    const auto found = state_.brokers.find(self.id);
    const KeyVersion version = found == state_.brokers.end() ? 0 : found->second.second;
    std::vector<Compare> compares{{keys_.broker(self.id), version}};
    std::vector<KeyWrite> writes{{.key = keys_.broker(self.id),
                                  .value = encode(BrokerValue{incarnation_, self}),
                                  .leased = true}};
    const StepResult written = co_await commit(std::move(compares), std::move(writes));
    if (!written) co_return std::unexpected(written.error());
    if (written->step != Step::done) continue;  // to write it once more does no harm
    state_.brokers[self.id] = {self, written->version};
    std::shared_ptr<ClusterView> next = next_view();
    next->brokers.clear();
    for (const auto& [id, broker] : state_.brokers) next->brokers.push_back(broker.first);
    co_return co_await apply_and_show(std::move(next));
  }
  co_return refuse(ApiErrc::request_timed_out, "the coordinator refuses again and again");
}

// The public methods differ in what they do on shard 0 only. The lambdas are no coroutines: they
// return the task that is one, and live in this frame until it has ended.

namespace {

/// Holds the gate and the turn around `work()`, on shard 0.
template <class T, class F>
Task<ApiResult<T>> in_turn(engine::io::Gate& gate, engine::io::Semaphore& turn, F work) {
  if (!gate.enter()) co_return stopped<T>();
  const engine::io::Gate::Pass pass{gate};
  (void)co_await turn.take(1);
  ApiResult<T> done = co_await work();
  turn.give(1);
  co_return done;
}

}  // namespace

Task<ApiResult<std::shared_ptr<const TopicView>>> ControllerStandard::create_topic(
    engine::io::Shard& home, NewTopic topic, bool validate_only) {
  auto work = [&] { return create_here(std::move(topic), validate_only); };
  auto there = [&] { return in_turn<TopicPointer>(gate_, turn_, work); };
  co_return co_await engine::io::call_on(home, parts_.shard, there);
}

Task<ApiResult<void>> ControllerStandard::delete_topic(engine::io::Shard& home, engine::Uuid id) {
  auto work = [&] { return delete_here(id); };
  auto there = [&] { return in_turn<void>(gate_, turn_, work); };
  co_return co_await engine::io::call_on(home, parts_.shard, there);
}

Task<ApiResult<void>> ControllerStandard::create_partitions(
    engine::io::Shard& home, std::string topic, std::int32_t count,
    std::optional<std::vector<std::vector<BrokerId>>> assignment, bool validate_only) {
  auto work = [&] {
    return grow_here(std::move(topic), count, std::move(assignment), validate_only);
  };
  auto there = [&] { return in_turn<void>(gate_, turn_, work); };
  co_return co_await engine::io::call_on(home, parts_.shard, there);
}

Task<ApiResult<void>> ControllerStandard::alter_settings(engine::io::Shard& home,
                                                         ConfigResource resource, std::string name,
                                                         std::vector<SettingChange> changes,
                                                         bool replace_all, bool validate_only) {
  auto work = [&] {
    return alter_here(resource, std::move(name), std::move(changes), replace_all, validate_only);
  };
  auto there = [&] { return in_turn<void>(gate_, turn_, work); };
  co_return co_await engine::io::call_on(home, parts_.shard, there);
}

Task<ApiResult<engine::ProducerId>> ControllerStandard::next_producer_id(engine::io::Shard& home) {
  auto work = [this] { return producer_id_here(); };
  auto there = [&] { return in_turn<engine::ProducerId>(gate_, turn_, work); };
  co_return co_await engine::io::call_on(home, parts_.shard, there);
}

Task<ApiResult<engine::ProducerId>> ControllerStandard::producer_id_here() {
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    if (producer_id_next_ < producer_id_end_) co_return engine::ProducerId{producer_id_next_++};
    const ApiResult<void> usable = co_await ready();
    if (!usable) co_return std::unexpected(usable.error());
    const std::int64_t first = std::max(state_.producer_ids.value, options_.first_producer_id);
    if (first > std::numeric_limits<std::int64_t>::max() - kProducerIdBlock) {
      co_return refuse(ApiErrc::unknown_server_error, "every producer id has been given");
    }
    const std::int64_t end = first + kProducerIdBlock;
    std::vector<Compare> compares{{keys_.producer_ids(), state_.producer_ids.version}};
    std::vector<KeyWrite> writes{{.key = keys_.producer_ids(), .value = encode_number(end)}};
    const StepResult written = co_await commit(std::move(compares), std::move(writes));
    if (!written) co_return std::unexpected(written.error());
    // Where it is not known whether the block is ours, another one is taken.
    if (written->step != Step::done) continue;
    state_.producer_ids = NumberEntry{end, written->version};
    producer_id_next_ = first;
    producer_id_end_ = end;
  }
  co_return refuse(ApiErrc::request_timed_out, "the coordinator refuses again and again");
}

bool ControllerStandard::knows_broker(BrokerId id) const {
  return id == options_.broker_id || state_.brokers.contains(id);
}

engine::Uuid ControllerStandard::new_id() {
  while (true) {
    const engine::Uuid id = engine::io::random_uuid(parts_.shard.rng());
    if (!state_.topics.contains(id)) return id;
  }
}

void ControllerStandard::log(engine::LogLevel level, std::string_view line) const {
  parts_.shard.logger().write(level, "controller", line);
}

}  // namespace keelson::coordination
