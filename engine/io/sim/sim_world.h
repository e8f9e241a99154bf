// engine/io/sim/sim_world.h: simulated machines, their disks and the network between them.
//
// Everything runs on the caller's thread and depends on the seed alone. Time is virtual: it moves
// on by a microsecond or so with each turn of a shard, and jumps to the next timer or completion
// when no shard has work.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/backend.h"
#include "engine/io/cross_shard.h"
#include "engine/io/shard.h"
#include "engine/io/sim/fault_plan.h"
#include "engine/io/sim/sim_disk.h"
#include "engine/io/sim/sim_event.h"
#include "engine/io/sim/sim_network.h"
#include "engine/io/sim/sim_rng.h"
#include "engine/logger.h"

namespace keelson::engine::io {

class SimBackend;
class SimWorld;

/// The clock of one machine: may drift, and its wall time may jump.
class SimClock final : public Clock {
 public:
  explicit SimClock(SimWorld& world) : world_(world) {}
  std::int64_t now_ns() const override;
  std::int64_t wall_ms() const override;

  /// Runs faster (> 0) or slower than the world from now on. |drift_ppm| < 1,000,000.
  void set_drift_ppm(std::int64_t drift_ppm);
  void jump_wall_ms(std::int64_t by_ms) { wall_offset_ms_ += by_ms; }
  /// The first moment of the world at which now_ns() >= `local_ns`.
  std::int64_t world_ns_at(std::int64_t local_ns) const;
  void start_at(std::int64_t local_ns);

 private:
  SimWorld& world_;
  std::int64_t base_local_ns_ = 0;
  std::int64_t base_world_ns_ = 0;
  std::int64_t drift_ppm_ = 0;
  std::int64_t wall_offset_ms_ = 0;
};

enum class NodeState : std::uint8_t { running, killed, powered_off };

/// One machine. Made by SimWorld::start_node(); lives as long as the world.
class SimNode {
 public:
  SimNode(SimWorld& world, std::uint32_t index, std::string name);
  ~SimNode();

  const std::string& name() const { return name_; }
  /// Its address: "10.0.0.1" for the first node, and so on. Loopback and 0.0.0.0 work as well.
  const std::string& host() const { return host_; }
  std::uint32_t index() const { return index_; }
  NodeState state() const { return state_; }

  /// While running.
  Shard& shard(std::uint32_t index = 0);
  const ShardGroup& group() const { return *process_->group; }

  SimDisk& disk() { return disk_; }
  SimClock& clock() { return clock_; }
  FaultPlan& faults() { return faults_; }
  /// Operations of a kind submitted since the node was made or reset_counts().
  std::uint64_t count(OpKind kind) const { return counts_[static_cast<std::size_t>(kind)]; }
  void reset_counts() { counts_ = {}; }
  /// The n-th operation of `kind` from now on (from 1).
  void fail_nth(OpKind kind, std::uint64_t nth, int sys_errno = EIO,
                FaultAction action = FaultAction::fail, std::string path_contains = {});
  /// Open files and sockets; opening more is EMFILE.
  void set_descriptors_max(std::size_t count) { descriptors_max_ = count; }
  std::size_t descriptors_open() const;

 private:
  friend class SimWorld;
  friend class SimBackend;
  friend class SimNetwork;

  struct Descriptor {
    enum class Kind : std::uint8_t { free, file, socket } kind = Kind::free;
    InodeId inode = 0;
    std::string path;
    bool write = false;
    bool direct = false;
    SocketId socket = 0;
  };
  struct ShardPlace {
    std::unique_ptr<SimRng> rng;
    std::unique_ptr<SimBackend> backend;
    std::unique_ptr<Shard> shard;
  };
  /// What a process is made of; stays where it is when the process dies.
  struct Process {
    std::uint64_t incarnation = 0;
    bool alive = true;
    std::unique_ptr<ShardGroup> group;
    std::vector<ShardPlace> shards;
  };

  int add_descriptor(Descriptor descriptor);  // -EMFILE where there is no room
  Descriptor* descriptor(int fd);

  SimWorld& world_;
  const std::uint32_t index_;
  const std::string name_;
  const std::string host_;
  NodeState state_ = NodeState::running;
  bool paused_ = false;
  SimDisk disk_;
  SimClock clock_;
  FaultPlan faults_;
  SimRng rng_;
  std::array<std::uint64_t, kOpKinds> counts_{};
  std::uint64_t next_write_number_ = 1;
  std::vector<std::uint64_t> unreaped_writes_;
  std::vector<Descriptor> descriptors_;
  std::size_t descriptors_max_ = 1 << 20;
  std::map<InodeId, int> locks_;
  std::uint16_t next_port_ = 32768;
  std::unique_ptr<Process> process_;
};

class SimWorld {
 public:
  explicit SimWorld(std::uint64_t seed);
  /// Processes with unfinished tasks, dead or running, are moved to a place that stays reachable
  /// until the program ends: their frames can be neither resumed nor destroyed.
  ~SimWorld();
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;

  std::uint64_t seed() const { return seed_; }
  std::int64_t now_ns() const { return now_ns_; }
  SimRng& rng() { return rng_; }
  SimNetwork& network() { return network_; }
  /// Everything decided so far; equal for two runs of a seed.
  std::uint64_t trace_hash() const { return trace_.value(); }
  void set_logger(Logger& logger) { logger_ = &logger; }

  /// A machine with a process of `shard_count` shards. `name` is new.
  SimNode& start_node(const std::string& name, std::uint32_t shard_count = 1);
  /// Never from a task of that node; from another node's only through at().
  /// kill -9: the page cache stays; what was submitted and not reaped happened or not.
  void kill_node(SimNode& node);
  /// Un-synced bytes and directory entries are lost by seed; peers hear nothing.
  void power_cut(SimNode& node);
  /// A new process over the same disk; after kill_node() or power_cut().
  void restart_node(SimNode& node, std::uint32_t shard_count = 1);
  /// SIGSTOP and SIGCONT: the node runs nothing, the world goes on.
  void pause_node(SimNode& node, bool paused);

  /// Runs `action` between two turns, at `at_ns` of the world or as soon as possible.
  void at(std::int64_t at_ns, std::move_only_function<void()> action);

  /// One decision: a turn of a shard or the next event. False where nothing is left to happen.
  bool step(std::int64_t until_ns);
  /// Runs until `predicate()` or the world's time `deadline_ns`; what the predicate says then.
  template <class Predicate>
  bool run_until(Predicate predicate, std::int64_t deadline_ns) {
    wake_all();
    while (!predicate()) {
      if (now_ns_ >= deadline_ns || !step(deadline_ns)) return predicate();
    }
    return true;
  }
  void run_for(std::int64_t nanoseconds) {
    run_until([] { return false; }, now_ns_ + nanoseconds);
  }

  /// Spawns `task` on `shard` and runs the world until it ends; nothing where it has not within
  /// `limit_ns` of virtual time (it goes on then, or its node died).
  template <class T>
  std::optional<T> try_run_task(Shard& shard, Task<T> task,
                                std::int64_t limit_ns = 3'600'000'000'000) {
    auto outcome = std::make_shared<std::optional<T>>();
    shard.spawn(store_result(std::move(task), outcome));
    run_until([&] { return outcome->has_value(); }, now_ns_ + limit_ns);
    return std::move(*outcome);
  }
  /// The same for tasks that must end.
  template <class T>
  T run_task(Shard& shard, Task<T> task, std::int64_t limit_ns = 3'600'000'000'000) {
    std::optional<T> outcome = try_run_task(shard, std::move(task), limit_ns);
    assert(outcome.has_value());
    return std::move(*outcome);
  }
  void run_task(Shard& shard, Task<void> task, std::int64_t limit_ns = 3'600'000'000'000) {
    const bool ended = run_task(shard, then_true(std::move(task)), limit_ns);
    assert(ended);
  }

 private:
  friend class SimBackend;
  friend class SimNetwork;
  friend class SimNode;

  template <class T>
  static Task<void> store_result(Task<T> task, std::shared_ptr<std::optional<T>> outcome) {
    outcome->emplace(co_await task);
  }
  static Task<bool> then_true(Task<void> task) {
    co_await task;
    co_return true;
  }

  void schedule_event(SimEvent event);
  void fire(const SimEvent& event);
  void start_process(SimNode& node, std::uint32_t shard_count);
  void end_process(SimNode& node, bool power_lost);
  void run_shard(SimBackend& backend);
  void fire_due();
  void sleep_in_poll(SimBackend& backend, std::optional<std::int64_t> deadline_ns);
  void make_runnable(SimBackend& backend);
  void wake_all();
  void wake_due();
  void trace(std::uint64_t kind, std::uint64_t first, std::uint64_t second = 0);

  PendingOp& pending(std::uint32_t index) { return *pending_[index]; }
  std::uint32_t new_pending();
  void free_pending(std::uint32_t index);
  /// Hands a result to the shard that waits for it.
  void complete(std::uint32_t index, std::int64_t result);

  const std::uint64_t seed_;
  SimRng rng_;
  SimRng net_rng_;
  TraceHash trace_;
  NullLogger null_logger_;
  Logger* logger_ = &null_logger_;
  std::int64_t now_ns_ = 0;
  std::int64_t next_timer_ns_ = 0;  // no sleeping shard has a timer due before this
  bool in_turn_ = false;
  std::uint64_t next_sequence_ = 0;
  std::uint64_t next_incarnation_ = 1;
  std::vector<SimEvent> events_;  // a heap
  std::vector<std::unique_ptr<PendingOp>> pending_;
  std::vector<std::uint32_t> free_pending_;
  std::map<std::uint64_t, std::move_only_function<void()>> actions_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  std::vector<std::unique_ptr<SimNode::Process>> dead_;
  std::vector<SimBackend*> runnable_;
  SimNetwork network_;
};

}  // namespace keelson::engine::io
