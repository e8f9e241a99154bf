// tests/sim/support/sim_broker.h: the reference broker as a process on a simulated machine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/sim/sim_world.h"
#include "plugins/registry/assembly.h"
#include "plugins/registry/registry.h"

namespace keelson::test {

/// One machine with a broker on it, or with what a crash left of it. Made and used between turns
/// of the world. What a dead process held is never freed: its tasks point there for ever.
class SimBroker {
 public:
  /// `settings` are as after --set; the data directory and the listener are added.
  SimBroker(engine::io::SimWorld& world, engine::Logger& logger, std::uint32_t shards,
            std::vector<std::string> settings);
  ~SimBroker();
  SimBroker(const SimBroker&) = delete;

  engine::io::SimNode& node() { return node_; }
  static constexpr std::uint16_t kPort = 9092;

  /// Begins the start of a process; runs nothing. The machine has none running.
  void begin_start();
  /// Whether the process is up and serves.
  bool is_serving() const;
  /// What refused the start; empty where nothing has.
  std::string start_error() const;
  /// True where it serves within `limit_ns` of virtual time.
  bool start(std::int64_t limit_ns = 60'000'000'000);

  /// SIGTERM: drains, stops, ends the process. The problem found, empty where all is well: too
  /// slow, or something left behind on any shard.
  std::string stop(std::int64_t drain_ns = 30'000'000'000);
  void kill();
  void power_cut();
  bool is_running() const { return process_ != nullptr; }

 private:
  struct Process;

  void abandon();

  engine::io::SimWorld& world_;
  engine::Logger& logger_;
  const std::uint32_t shards_;
  const std::vector<std::string> settings_;
  engine::io::SimNode& node_;
  bool first_ = true;
  std::shared_ptr<Process> process_;
};

}  // namespace keelson::test
