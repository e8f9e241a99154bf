// coordination/controller/controller_commit.cc: how a change gets written, applied and shown.
#include <algorithm>
#include <utility>

#include "coordination/controller/controller_standard.h"
#include "coordination/controller/values.h"

namespace keelson::coordination {

using engine::Errc;
using engine::Result;
using engine::Task;

namespace {
constexpr int kReadAttemptsMax = 8;
constexpr std::size_t kCreatedMarksPerCommit = 16;
}  // namespace

Task<ApiResult<void>> ControllerStandard::ready() {
  if (stale_) {
    const ApiResult<void> read = co_await read_again();
    if (!read) co_return read;
  }
  if (view_behind_) {
    const ApiResult<void> applied = co_await apply_and_show(whole_view());
    view_behind_ = !applied;
    // One topic that cannot be opened must not keep an operator from deleting it.
    if (!applied)
      log(engine::LogLevel::warning, "not all is in effect: " + applied.error().message);
  }
  co_return ApiResult<void>{};
}

Task<ControllerStandard::StepResult> ControllerStandard::commit(std::vector<Compare> compares,
                                                                std::vector<KeyWrite> writes) {
  compares.push_back(Compare{keys_.leader(), state_.leader_version});
  // Marks of topics whose logs are made go along with whatever is written next.
  std::size_t marks = 0;
  const std::size_t room = kWritesPerCommitMax - std::min(writes.size(), kWritesPerCommitMax);
  while (marks < created_.size() && marks < std::min(room, kCreatedMarksPerCommit)) {
    const engine::Uuid& id = created_[created_.size() - 1 - marks];
    const std::string key = keys_.creating(id);
    ++marks;
    const bool written = std::any_of(writes.begin(), writes.end(),
                                     [&](const KeyWrite& write) { return write.key == key; });
    if (!written) writes.push_back(KeyWrite{.key = key, .value = std::nullopt});
  }
  const Result<KeyVersion> written =
      co_await parts_.coordinator.commit(std::move(compares), std::move(writes));
  if (written) {
    for (; marks > 0; --marks) {
      state_.creating.erase(created_.back());
      created_.pop_back();
    }
    co_return Written{Step::done, *written};
  }
  switch (written.error().code) {
    case Errc::conflict:
    case Errc::outcome_unknown: break;
    case Errc::invalid_argument:
      co_return refuse(ApiErrc::policy_violation, "the change is too large for the coordinator");
    case Errc::no_space:
      co_return refuse(ApiErrc::kafka_storage_error,
                       "there is no space for a change of the cluster's metadata");
    default:
      stale_ = true;
      co_return refuse(ApiErrc::kafka_storage_error,
                       engine::concat("the cluster's metadata cannot be changed: ",
                                      engine::to_string(written.error().code)));
  }
  stale_ = true;
  const ApiResult<void> read = co_await read_again();
  if (!read) co_return std::unexpected(read.error());
  co_return Written{written.error().code == Errc::conflict ? Step::refused : Step::unknown};
}

Task<ApiResult<void>> ControllerStandard::read_all() {
  Result<std::vector<KeyValue>> listed = engine::fail(Errc::timed_out);
  for (int attempt = 0; !listed && attempt < kReadAttemptsMax; ++attempt) {
    listed = co_await parts_.coordinator.list(keys_.prefix());
    if (!listed && listed.error().code != Errc::timed_out) break;
  }
  if (!listed) {
    co_return refuse(ApiErrc::kafka_storage_error,
                     engine::concat("the cluster's metadata cannot be read: ",
                                    engine::to_string(listed.error().code)));
  }
  std::expected<ClusterState, std::string> state = read_state(keys_, *listed, &state_);
  if (!state) {
    log(engine::LogLevel::error, state.error());
    co_return refuse(ApiErrc::kafka_storage_error, "the cluster's metadata: " + state.error());
  }
  state_ = std::move(*state);
  co_return ApiResult<void>{};
}

Task<ApiResult<void>> ControllerStandard::read_again() {
  const ApiResult<void> read = co_await read_all();
  if (!read) co_return read;
  const std::optional<LeaderValue> leader = decode_leader(state_.leader);
  if (state_.leader_version == 0 || !leader || leader->incarnation != incarnation_) {
    co_return refuse(ApiErrc::not_controller, "another broker has become the controller");
  }
  stale_ = false;
  view_behind_ = true;
  co_return ApiResult<void>{};
}

Task<ApiResult<void>> ControllerStandard::tell_listeners(std::shared_ptr<const ClusterView> before,
                                                         std::shared_ptr<const ClusterView> after) {
  for (Listener* listener : listeners_) {
    ApiResult<void> applied = co_await listener->apply(before, after);
    if (!applied) co_return applied;
  }
  co_return ApiResult<void>{};
}

Task<ApiResult<void>> ControllerStandard::apply_and_show(std::shared_ptr<const ClusterView> next) {
  const std::shared_ptr<const ClusterView> before = view();
  const ApiResult<void> applied = co_await tell_listeners(before, next);
  if (!applied) co_return applied;
  show(std::move(next));
  co_return ApiResult<void>{};
}

std::shared_ptr<ClusterView> ControllerStandard::next_view() const {
  auto next = std::make_shared<ClusterView>(*view());  // shares every TopicView
  ++next->version;
  return next;
}

std::shared_ptr<const ClusterView> ControllerStandard::whole_view() const {
  auto next = std::make_shared<ClusterView>();
  const std::shared_ptr<const ClusterView> before = view();
  next->version = before->version + 1;
  next->cluster_id = parts_.log_store.cluster_id();
  next->controller = options_.broker_id;
  for (const auto& [id, broker] : state_.brokers) next->brokers.push_back(broker.first);
  next->broker_defaults = state_.broker_defaults.settings;
  for (const auto& [id, entry] : state_.broker_settings) {
    if (!entry.settings.empty()) next->broker_settings[id] = entry.settings;
  }
  for (const auto& [name, entry] : state_.group_settings) {
    if (!entry.settings.empty()) next->group_settings[name] = entry.settings;
  }
  next->topics_by_id.reserve(state_.topics.size());
  for (const auto& [id, entry] : state_.topics) {
    TopicPointer topic = shown(entry.view);
    next->topics[topic->name] = topic;
    next->topics_by_id[id] = std::move(topic);
  }
  return next;
}

ControllerStandard::TopicPointer ControllerStandard::shown(TopicPointer topic) const {
  std::shared_ptr<TopicView> changed;
  for (const PartitionKey& lost : lost_logs_) {
    if (lost.topic_id != topic->id) continue;
    if (changed == nullptr) changed = std::make_shared<TopicView>(*topic);
    const auto number = static_cast<std::size_t>(lost.partition);
    if (number >= changed->partitions.size()) continue;
    changed->partitions[number].leader = kNoBroker;
  }
  if (changed != nullptr) return changed;
  return topic;
}

void ControllerStandard::show(std::shared_ptr<const ClusterView> next) {
  view_.store(std::move(next), std::memory_order_release);
}

}  // namespace keelson::coordination
