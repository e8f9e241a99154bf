// tests/sim/support/scenario.h: one seed: a broker, its clients, and what befalls them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/support/sim_admin.h"
#include "tests/sim/support/sim_broker.h"
#include "tests/sim/support/sim_consumer.h"
#include "tests/sim/support/sim_member.h"
#include "tests/sim/support/sim_producer.h"
#include "tests/sim/support/workload.h"

namespace keelson::test {

struct Outcome {
  std::vector<std::string> violations;
  std::uint64_t trace_hash = 0;
  std::size_t sent = 0;
  std::size_t acknowledged = 0;
  std::size_t seen = 0;
  std::size_t crashes = 0;
  std::int64_t virtual_ns = 0;
};

/// Everything follows from the seed. `verbose` tells the course on stderr.
Outcome run_scenario(std::uint64_t seed, engine::Logger& logger, bool verbose);

/// The course of one seed; see run_scenario().
class Scenario {
 public:
  Scenario(std::uint64_t seed, engine::Logger& logger, bool verbose);
  Outcome run();

 private:
  struct Client {
    std::unique_ptr<SimProducer> producer;
    std::unique_ptr<SimConsumer> consumer;
    std::unique_ptr<SimMember> member;
  };

  std::vector<std::string> broker_settings();
  void say(const std::string& line);
  bool failed() const { return !load_->history.violations().empty(); }
  std::int64_t now_ns() const { return world_.now_ns(); }

  // Clients and topics.
  void make_topics();
  void start_clients();
  void start_producer(Topic topic, std::int32_t partition);
  void spawn(engine::Task<void> task);
  static engine::Task<void> counted(Workload& load, engine::Task<void> task);
  TopicSettings topic_settings(bool relaxed);
  /// One thing an administrator does.
  void administer();
  static engine::Task<void> recreate(Scenario& self, Topic old);

  // What befalls (scenario_faults.cc).
  void phase();
  void draw_faults();
  void clear_faults();
  void disturb();
  void end_process();
  void bring_up();
  void lose_power();
  void lose_relaxed();

  // The end.
  void heal();
  void check_everything();
  bool read_everything();

  const std::uint64_t seed_;
  const bool verbose_;
  engine::io::SimWorld world_;
  engine::io::SimRng rng_;
  engine::io::SimNode& client_node_;
  std::unique_ptr<SimBroker> broker_;
  std::unique_ptr<Workload> load_;
  std::vector<Client> clients_;
  std::vector<std::pair<std::string, Topic>> groups_;
  std::uint32_t next_producer_ = 1;
  std::uint32_t next_topic_ = 0;
  std::size_t crashes_ = 0;
  std::int64_t wall_jumped_ms_ = 0;
  bool disk_failed_ = false;  // an injected error may have put a log out of service
  bool sync_failed_ = false;
};

}  // namespace keelson::test
