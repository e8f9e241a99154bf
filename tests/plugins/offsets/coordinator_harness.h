// tests/plugins/offsets/coordinator_harness.h: one shard on a clock of the test's, and a replicator
// in memory that can fail, delay and lose answers.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "engine/io/shard.h"
#include "engine/io/sync.h"
#include "engine/log/record_batch.h"
#include "plugins/offsets/partition_coordinator.h"
#include "plugins/registry/replicator.h"

namespace keelson::offsets::testing {

using engine::Task;
using engine::io::Shard;

struct TestClock final : engine::io::Clock {
  std::int64_t now_ns() const override { return at_ms * 1'000'000; }
  std::int64_t wall_ms() const override { return at_ms; }
  std::int64_t at_ms = 1'000'000;
};

struct TestRng final : engine::io::Rng {
  std::uint64_t next() override {
    return state = state * 6364136223846793005u + 1442695040888963407u;
  }
  std::uint64_t state = 1;
};

/// A backend that nobody asks for anything.
struct IdleBackend final : engine::io::Backend {
  const engine::io::BackendInfo& info() const override { return what; }
  void submit(engine::io::Operation&) override { std::abort(); }
  void submit(engine::io::FsOperation&) override { std::abort(); }
  void cancel(engine::io::Operation&) override {}
  std::size_t poll(std::optional<std::int64_t>) override { return 0; }
  void wake() override {}
  void close(int) override {}
  void shutdown(int) override {}
  engine::Result<int> listen(engine::io::Endpoint&, int) override {
    return engine::fail(engine::Errc::unsupported);
  }
  engine::Result<int> connect_socket(const engine::io::Endpoint&) override {
    return engine::fail(engine::Errc::unsupported);
  }
  engine::Result<engine::io::Endpoint> peer(int) override {
    return engine::fail(engine::Errc::unsupported);
  }
  engine::io::BackendInfo what;
};

/// One partition. Faults are for the next append, or for as long as they are set.
class MemoryReplicator final : public Replicator {
 public:
  explicit MemoryReplicator(Shard& shard) : released(shard) { released.set(); }

  Task<std::vector<ProduceAnswer>> produce(Shard&, ProduceCall call) override {
    ++appends;
    if (!released.is_set()) co_await released.wait();
    ProduceAnswer answer;
    const ApiErrc fault = std::exchange(next_fault, ApiErrc::none);
    answer.error = fault;
    const bool kept = fault == ApiErrc::none || std::exchange(lose_answer, false);
    if (kept) {
      std::vector<std::byte> batch(call.partitions[0].records.begin(),
                                   call.partitions[0].records.end());
      const auto header = engine::log::read_batch_header(batch);
      engine::log::stamp_batch(batch, engine::Offset{end}, engine::LeaderEpoch{0});
      answer.base_offset = end;
      end += header->record_count;
      const bool delayed = fault != ApiErrc::none && delay_lost;
      if (!delayed) show_late();
      (delayed ? late : log).push_back(std::move(batch));
    }
    std::vector<ProduceAnswer> answers;
    answers.push_back(std::move(answer));
    co_return answers;
  }
  Task<ApiResult<FetchAnswer>> read(Shard&, PartitionKey, engine::Offset offset,
                                    std::int32_t) override {
    if (read_fault != ApiErrc::none) co_return refuse(read_fault);
    FetchAnswer answer;
    answer.high_watermark = end;
    if (!late.empty()) {
      answer.high_watermark = engine::log::read_batch_header(late[0])->base_offset.value();
    }
    for (const auto& batch : log) {
      const auto header = engine::log::read_batch_header(batch);
      if (header->last_offset() < offset) continue;
      answer.records.push_back({nullptr, batch});
      if (answer.records.size() == 2) break;  // few at a time: loading must go on
    }
    co_return answer;
  }
  Task<ApiResult<OffsetAnswer>> list_offset(Shard&, PartitionKey, std::int64_t, bool,
                                            engine::LeaderEpoch) override {
    if (read_fault != ApiErrc::none) co_return refuse(read_fault);
    co_return OffsetAnswer{.offset = 0};
  }
  // What groups do not use.
  Task<std::vector<FetchAnswer>> fetch(Shard&, FetchCall, engine::io::Event&) override {
    co_return std::vector<FetchAnswer>{};
  }
  Task<ApiResult<engine::log::EpochEnd>> epoch_end(Shard&, PartitionKey, engine::LeaderEpoch,
                                                   engine::LeaderEpoch) override {
    co_return refuse(ApiErrc::unsupported_version);
  }
  Task<ApiResult<std::int64_t>> delete_records(Shard&, PartitionKey, std::int64_t) override {
    co_return refuse(ApiErrc::unsupported_version);
  }
  Task<ApiResult<std::vector<engine::log::Log::ProducerInfo>>> producers(Shard&,
                                                                         PartitionKey) override {
    co_return refuse(ApiErrc::unsupported_version);
  }
  Task<std::vector<PartitionSize>> sizes(Shard&,
                                         std::optional<std::vector<PartitionKey>>) override {
    co_return std::vector<PartitionSize>{};
  }

  /// Lost appends come to be read; at the latest when one behind them is durable.
  void show_late() {
    for (auto& batch : late) log.push_back(std::move(batch));
    late.clear();
  }

  std::vector<std::vector<std::byte>> log;
  std::vector<std::vector<std::byte>> late;  // in the log, not to be read yet
  std::int64_t end = 0;
  int appends = 0;
  ApiErrc next_fault = ApiErrc::none;
  bool lose_answer = false;  // with a fault: the append happens all the same
  bool delay_lost = false;   // and cannot be read for a while
  ApiErrc read_fault = ApiErrc::none;
  engine::io::Event released;  // reset() holds appends back
};

/// A coordinator over a log that outlives it.
class CoordinatorHarness {
 public:
  CoordinatorHarness() { start(); }
  ~CoordinatorHarness() { stop(); }

  void start() {
    coordinator = std::make_unique<PartitionCoordinator>(
        PartitionCoordinatorParts{.shard = shard,
                                  .replicator = replicator,
                                  .key = {},
                                  .settings = settings,
                                  .view = [this] { return view(); },
                                  .consumer_times = [this](const std::string&) { return times; }});
    coordinator->start();
    turn();
  }
  void stop() {
    if (!coordinator) return;
    run(coordinator->stop());
    coordinator.reset();
    turn();
  }
  void restart() {
    stop();
    start();
  }
  void turn() {
    while (shard.turn()) {
    }
  }
  void pass(std::int64_t milliseconds) {
    const std::int64_t end_ms = clock.at_ms + milliseconds;
    while (clock.at_ms < end_ms) {
      clock.at_ms = std::min(clock.at_ms + 500, end_ms);
      turn();
    }
  }
  /// Starts a task; its value comes when it has one.
  template <class T>
  std::shared_ptr<std::optional<T>> begin(Task<T> task) {
    auto slot = std::make_shared<std::optional<T>>();
    shard.spawn(keep(std::move(task), slot));
    turn();
    return slot;
  }
  template <class T>
  T run(Task<T> task) {
    auto slot = begin(std::move(task));
    return std::move(slot->value());
  }
  void run(Task<void> task) {
    shard.spawn(std::move(task));
    turn();
  }

  CommitOffsetsCall commit_call(std::int64_t offset, std::string topic = "t") {
    CommitOffsetsCall call;
    call.group_id = "g";
    call.topics.push_back({std::move(topic), topic_id, {{0, offset, engine::LeaderEpoch{3}, "m"}}});
    return call;
  }
  ApiErrc commit(std::int64_t offset, std::string topic = "t") {
    return run(coordinator->commit_offsets(commit_call(offset, std::move(topic)))).error;
  }
  FetchedOffsets fetch(bool all = false) {
    FetchOffsetsCall::Group call{"g", {}, -1, {}};
    if (!all) call.topics = {{"t", topic_id, {0}}};
    return run(coordinator->fetch_offsets(std::move(call), false));
  }
  std::int64_t fetch_one() { return fetch().topics.at(0).partitions.at(0).offset; }
  std::vector<ListedGroup> list(ListGroupsCall call = {}) {
    std::vector<ListedGroup> groups;
    coordinator->list(call, groups);
    return groups;
  }

  /// Topics `t`, of the id `topic_id`, and those of `more_topics`.
  std::shared_ptr<const ClusterView> view() const {
    auto made = std::make_shared<ClusterView>();
    made->version = view_version;
    const auto add = [&](std::string name, engine::Uuid id, std::size_t partitions) {
      auto topic = std::make_shared<TopicView>();
      topic->name = name;
      topic->id = id;
      topic->partitions.resize(partitions);
      made->topics_by_id[id] = topic;
      made->topics[std::move(name)] = std::move(topic);
    };
    add("t", topic_id, topic_partitions);
    for (const auto& [name, partitions] : more_topics) {
      add(name, engine::make_uuid(7, std::hash<std::string>{}(name)), partitions);
    }
    return made;
  }

  std::uint64_t view_version = 1;
  std::size_t topic_partitions = 4;
  std::map<std::string, std::size_t> more_topics;
  ConsumerGroupTimes times;
  TestClock clock;
  TestRng rng;
  IdleBackend backend;
  engine::NullLogger logger;
  Shard shard{0, 1, {backend, clock, rng, logger}};
  OffsetSettings settings;
  engine::Uuid topic_id = engine::make_uuid(1, 2);
  MemoryReplicator replicator{shard};
  std::unique_ptr<PartitionCoordinator> coordinator;

 private:
  template <class T>
  static Task<void> keep(Task<T> task, std::shared_ptr<std::optional<T>> slot) {
    slot->emplace(co_await task);
  }
};

}  // namespace keelson::offsets::testing
