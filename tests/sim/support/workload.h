// tests/sim/support/workload.h: what the simulated clients of a scenario share.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/shard.h"
#include "engine/io/sim/sim_rng.h"
#include "engine/uuid.h"
#include "plugins/registry/api_error.h"
#include "tests/sim/support/history.h"
#include "tests/sim/support/sim_client.h"

namespace keelson::test {

/// One incarnation of a topic.
struct SimTopic {
  std::string name;
  engine::Uuid id;
  std::int32_t partitions = 1;
  bool relaxed = false;
  bool created = false;  // a client was told so
  bool deleting = false;

  PartitionName partition(std::int32_t index) const {
    return engine::to_string(id) + "-" + std::to_string(index);
  }
};
using Topic = std::shared_ptr<SimTopic>;

struct Workload {
  Workload(engine::io::Shard& shard, engine::io::Endpoint broker, std::uint64_t seed)
      : shard(shard), broker(std::move(broker)), rng(seed) {}

  engine::io::Shard& shard;
  const engine::io::Endpoint broker;
  engine::io::SimRng rng;
  History history;
  std::vector<Topic> topics;
  bool stopping = false;  // finish what was begun, begin nothing
  std::size_t running = 0;
  // Grows when relaxed topics lose power: answers to what was asked before say nothing any more.
  std::uint64_t losses = 0;
  std::int64_t wall_base_ms = 1'700'000'000'000;

  std::int64_t timestamp_ms() const { return wall_base_ms + shard.clock().now_ns() / 1'000'000; }
  engine::Task<void> pause(std::int64_t low_ms, std::int64_t high_ms) {
    const std::int64_t wait_ms = rng.between(low_ms, high_ms);
    co_await shard.sleep_for_ms(wait_ms);
  }
};

/// Kafka's error codes as responses carry them.
constexpr std::int16_t code(ApiErrc error) { return static_cast<std::int16_t>(error); }
/// Whether a client tries again after it, on a broker that starts, stops or has a full disk.
bool is_transient(std::int16_t error);

}  // namespace keelson::test
