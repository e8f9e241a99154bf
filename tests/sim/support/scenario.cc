#include "tests/sim/support/scenario.h"

#include <cstdio>
#include <utility>

#include "engine/logger.h"

namespace keelson::test {

using engine::concat;
using engine::Task;
using engine::log::Codec;

namespace {

constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kHealedWithin = 30 * kSecond;
constexpr std::size_t kTopicsMax = 6;

}  // namespace

Scenario::Scenario(std::uint64_t seed, engine::Logger& logger, bool verbose)
    : seed_(seed),
      verbose_(verbose),
      world_(seed),
      rng_(seed ^ 0x5ce4a210),
      client_node_(world_.start_node("clients")) {
  world_.set_logger(logger);
  const auto shards = static_cast<std::uint32_t>(1 + rng_.below(3));
  broker_ = std::make_unique<SimBroker>(world_, logger, shards, broker_settings());
  load_ = std::make_unique<Workload>(client_node_.shard(),
                                     engine::io::Endpoint{broker_->node().host(), SimBroker::kPort},
                                     rng_.next());
  load_->wall_base_ms = broker_->node().clock().wall_ms();
  say(concat("seed ", seed, ", ", shards, " shards"));
}

void Scenario::say(const std::string& line) {
  if (!verbose_) return;
  std::fprintf(stderr, "%10.3f ms  %s\n", static_cast<double>(now_ns()) / 1e6, line.c_str());
}

std::vector<std::string> Scenario::broker_settings() {
  const auto text = [&](std::int64_t low, std::int64_t high) {
    return std::to_string(rng_.between(low, high));
  };
  return {
      "plugins.log.disk_reserve=1MiB",
      "offsets.topic.num.partitions=" + text(1, 3),
      "offsets.topic.segment.bytes=" + text(1 << 20, 2 << 20),
      "group.initial.rebalance.delay.ms=" + text(0, 100),
      "log.retention.check.interval.ms=" + text(100, 1'000),
      "log.initial.task.delay.ms=" + text(10, 500),
      "log.flush.offset.checkpoint.interval.ms=" + text(200, 3'000),
      "keelson.cache.bytes=" + text(1 << 20, 4 << 20),
  };
}

TopicSettings Scenario::topic_settings(bool relaxed) {
  TopicSettings settings{{"message.timestamp.after.max.ms", "9223372036854775807"}};
  const auto number = [&](const char* name, std::int64_t low, std::int64_t high) {
    settings.emplace_back(name, std::to_string(rng_.between(low, high)));
  };
  if (relaxed) settings.emplace_back("keelson.durability", "relaxed");
  if (rng_.coin()) number("segment.ms", 50, 1'000);
  if (rng_.coin()) number("segment.index.bytes", 16, 400);
  number("index.interval.bytes", 0, 2'000);
  number("file.delete.delay.ms", 0, 500);
  if (rng_.below(4) == 0) settings.emplace_back("message.timestamp.type", "LogAppendTime");
  if (rng_.below(4) == 0) settings.emplace_back("compression.type", "lz4");
  return settings;
}

Task<void> Scenario::counted(Workload& load, Task<void> task) {
  co_await task;
  --load.running;
}

void Scenario::spawn(Task<void> task) {
  ++load_->running;
  client_node_.shard().spawn(counted(*load_, std::move(task)));
}

void Scenario::make_topics() {
  const std::uint64_t count = 1 + rng_.below(3);
  for (std::uint64_t i = 0; i < count; ++i) {
    auto topic = std::make_shared<SimTopic>();
    topic->name = concat("topic-", next_topic_++);
    topic->partitions = static_cast<std::int32_t>(1 + rng_.below(3));
    topic->relaxed = rng_.below(4) == 0;
    load_->topics.push_back(topic);
    const auto made = world_.try_run_task(
        client_node_.shard(), create_topic(*load_, topic, topic_settings(topic->relaxed),
                                           client_node_.clock().now_ns() + kHealedWithin));
    if (!made || !*made) load_->history.violation("H12 a topic could not be created");
    say(concat(topic->relaxed ? "relaxed " : "durable ", topic->name, " ",
               engine::to_string(topic->id), ", ", topic->partitions, " partitions"));
  }
}

void Scenario::start_producer(Topic topic, std::int32_t partition) {
  constexpr Codec kCodecs[] = {Codec::none,   Codec::none, Codec::gzip,
                               Codec::snappy, Codec::lz4,  Codec::zstd};
  ProducerOptions options;
  options.codec = kCodecs[rng_.below(std::size(kCodecs))];
  options.idempotent = rng_.below(4) != 0;
  const std::uint64_t acks = rng_.below(10);
  options.acks = acks == 0 && !options.idempotent  ? std::int16_t{0}
                 : acks < 3 && !options.idempotent ? std::int16_t{1}
                                                   : std::int16_t{-1};
  options.window = options.idempotent ? 1 + rng_.below(5) : 1;
  options.padding_bytes_max = rng_.below(6) == 0 ? 9'000 : 20 + rng_.below(400);
  options.pause_ms_max = rng_.between(5, 120);
  options.batch_records_max = rng_.between(1, 6);
  Client& client = clients_.emplace_back();
  client.producer =
      std::make_unique<SimProducer>(*load_, next_producer_++, std::move(topic), partition, options);
  spawn(client.producer->run());
}

void Scenario::start_clients() {
  for (const Topic& topic : load_->topics) {
    for (std::int32_t i = 0; i < topic->partitions; ++i) start_producer(topic, i);
    const std::uint64_t readers = 1 + rng_.below(2);
    for (std::uint64_t i = 0; i < readers; ++i) {
      ConsumerOptions options;
      options.session = rng_.below(3) != 0;
      options.max_wait_ms = static_cast<std::int32_t>(rng_.between(10, 500));
      options.partition_bytes_max = static_cast<std::int32_t>(rng_.between(200, 8'000));
      Client& client = clients_.emplace_back();
      client.consumer = std::make_unique<SimConsumer>(*load_, concat("consumer-", clients_.size()),
                                                      topic, options);
      spawn(client.consumer->run());
    }
  }
  const std::uint64_t groups = rng_.below(3);
  for (std::uint64_t i = 0; i < groups; ++i) {
    const Topic topic = load_->topics[rng_.below(load_->topics.size())];
    const std::string group = concat("group-", i);
    groups_.emplace_back(group, topic);
    const std::uint64_t members = 1 + rng_.below(3);
    for (std::uint64_t j = 0; j < members; ++j) {
      MemberOptions options;
      options.session_timeout_ms = 6'000;
      options.rebalance_timeout_ms = static_cast<std::int32_t>(rng_.between(500, 5'000));
      options.commit_every_ms = rng_.between(20, 400);
      Client& client = clients_.emplace_back();
      client.member =
          std::make_unique<SimMember>(*load_, group, concat("member-", i, "-", j), topic, options);
      spawn(client.member->run());
    }
  }
}

Task<void> Scenario::recreate(Scenario& self, Topic old) {
  const std::int64_t deadline_ns = self.client_node_.shard().clock().now_ns() + 20 * kHealedWithin;
  const bool gone = co_await delete_topic(*self.load_, old, deadline_ns);
  if (!gone || self.load_->stopping) co_return;
  auto topic = std::make_shared<SimTopic>();
  topic->name = old->name;
  topic->partitions = static_cast<std::int32_t>(1 + self.rng_.below(3));
  topic->relaxed = self.rng_.below(4) == 0;
  const bool made =
      co_await create_topic(*self.load_, topic, self.topic_settings(topic->relaxed), deadline_ns);
  if (!made || self.load_->stopping) {
    if (made) self.load_->topics.push_back(topic);
    co_return;
  }
  self.load_->topics.push_back(topic);
  self.say(concat("again ", topic->name, " ", engine::to_string(topic->id)));
  for (std::int32_t i = 0; i < topic->partitions; ++i) self.start_producer(topic, i);
}

void Scenario::administer() {
  const Topic topic = load_->topics[rng_.below(load_->topics.size())];
  if (topic->deleting) return;
  const auto partition =
      static_cast<std::int32_t>(rng_.below(static_cast<std::uint64_t>(topic->partitions)));
  const PartitionName name = topic->partition(partition);
  switch (rng_.below(6)) {
    case 0: {
      const std::int64_t end = load_->history.floors(name).high_watermark;
      if (end == 0) return;
      const std::int64_t below = rng_.between(0, end);
      say(concat("DeleteRecords ", name, " below ", below));
      spawn(delete_records(*load_, topic, partition, below));
      return;
    }
    case 1: {
      if (load_->topics.size() >= kTopicsMax || rng_.coin()) return;
      say(concat("delete and re-create ", topic->name, " ", engine::to_string(topic->id)));
      spawn(recreate(*this, topic));
      return;
    }
    case 2: {
      for (std::int32_t i = 0; i < topic->partitions; ++i) {
        load_->history.retention_on(topic->partition(i));
      }
      const bool by_time = rng_.coin();
      const std::int64_t limit = by_time ? rng_.between(100, 3'000) : rng_.between(500, 20'000);
      const char* const setting = by_time ? "retention.ms" : "retention.bytes";
      say(concat(setting, " of ", topic->name, " is ", limit));
      spawn(alter_topic(*load_, topic, setting, std::to_string(limit)));
      return;
    }
    case 3:
      spawn(alter_topic(*load_, topic, "segment.ms", std::to_string(rng_.between(20, 2'000))));
      return;
    default: return;
  }
}

bool Scenario::read_everything() {
  bool whole = true;
  for (const Topic& topic : load_->topics) {
    if (!topic->created || topic->deleting) continue;
    for (std::int32_t i = 0; i < topic->partitions; ++i) {
      const auto read =
          world_.try_run_task(client_node_.shard(), read_whole(*load_, topic, i), kHealedWithin);
      if (!read || !*read) {
        load_->history.violation(concat("H12 ", topic->partition(i), " cannot be read"));
        whole = false;
      }
    }
  }
  for (const auto& [group, topic] : groups_) {
    if (topic->deleting) continue;
    const std::int64_t deadline_ns = now_ns() + kHealedWithin;
    bool known = false;
    while (!known && now_ns() < deadline_ns) {
      const auto answer = world_.try_run_task(client_node_.shard(),
                                              check_commits(*load_, group, topic), kHealedWithin);
      known = answer && *answer;
      if (!known) world_.run_for(200 * kMillisecond);
    }
    if (!known) load_->history.violation(concat("H12 ", group, " does not tell its offsets"));
  }
  return whole;
}

/// Everything is well again: what was begun must end soon, and every partition take a record.
void Scenario::heal() {
  clear_faults();
  if (!broker_->is_running()) bring_up();
  if (disk_failed_ && broker_->is_running()) {
    broker_->kill();
    ++crashes_;
    world_.run_for(2 * kMillisecond);
    disk_failed_ = false;
    if (std::exchange(sync_failed_, false)) lose_relaxed();
    bring_up();
  }
  if (failed()) return;
  const std::int64_t healed_ns = now_ns();
  for (const Topic& topic : load_->topics) {
    if (topic->deleting || !topic->created) continue;
    for (std::int32_t i = 0; i < topic->partitions; ++i) {
      Client& client = clients_.emplace_back();
      client.producer = std::make_unique<SimProducer>(*load_, next_producer_++, topic, i,
                                                      ProducerOptions{.records_max = 1});
      spawn(client.producer->run());
    }
  }
  world_.run_for(300 * kMillisecond);
  load_->stopping = true;
  const bool ended =
      world_.run_until([&] { return load_->running == 0; }, healed_ns + kHealedWithin);
  if (!ended) {
    load_->history.violation(
        concat("H12 ", load_->running, " clients have not ended 30 s after healing"));
    return;
  }
  for (const Client& client : clients_) {
    if (client.producer != nullptr && !client.producer->settled()) {
      load_->history.violation("H12 a producer is not answered");
    }
  }
  say(concat("healed in ", (now_ns() - healed_ns) / kMillisecond, " ms"));
}

void Scenario::check_everything() {
  const auto whole = world_.try_run_task(client_node_.shard(), metadata_is_whole(*load_));
  if (!whole || !*whole) load_->history.violation("H12 metadata is not whole");
  read_everything();
  if (failed()) return;
  // A clean stop and a start: nothing has moved.
  const std::string problem = broker_->stop();
  if (!problem.empty()) load_->history.violation(concat("stop: ", problem));
  say("stopped");
  bring_up();
  if (failed()) return;
  read_everything();
}

Outcome Scenario::run() {
  bring_up();
  if (!failed()) make_topics();
  if (!failed()) {
    start_clients();
    const std::uint64_t phases = 1 + rng_.below(4);
    for (std::uint64_t i = 0; i < phases && !failed(); ++i) phase();
    if (!failed()) heal();
    if (!failed()) check_everything();
  }
  for (const std::string& violation : load_->history.violations()) say(violation);
  say(concat(load_->history.records_sent(), " sent, ", load_->history.records_acknowledged(),
             " acknowledged, ", load_->history.records_seen(), " seen"));
  return {load_->history.violations(),
          world_.trace_hash(),
          load_->history.records_sent(),
          load_->history.records_acknowledged(),
          load_->history.records_seen(),
          crashes_,
          now_ns()};
}

Outcome run_scenario(std::uint64_t seed, engine::Logger& logger, bool verbose) {
  // Never destroyed: clients and dead brokers may wait in it for ever. A batch of seeds is a
  // process of its own, which ends soon.
  auto* const scenario = new Scenario(seed, logger, verbose);
  static std::vector<Scenario*> all;
  all.push_back(scenario);
  return scenario->run();
}

}  // namespace keelson::test
