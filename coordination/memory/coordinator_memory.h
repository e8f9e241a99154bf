// coordination/memory/coordinator_memory.h: a coordinator for tests, as kind or as hostile as told.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "coordination/store/versioned_map.h"
#include "coordination/store/watch_hub.h"
#include "engine/io/shard.h"
#include "engine/io/sync.h"
#include "plugins/registry/coordinator.h"

namespace keelson::coordination {

/// What a real store may do to its users, in parts per million of the calls it fits, drawn from the
/// shard's Rng. All off: a store that answers at once.
struct Hostility {
  std::uint32_t conflict_ppm = 0;             // refused, though every compare holds
  std::uint32_t unknown_applied_ppm = 0;      // outcome_unknown, and it was written
  std::uint32_t unknown_not_applied_ppm = 0;  // outcome_unknown, and it was not
  std::uint32_t read_error_ppm = 0;           // timed_out from list and get
  std::uint32_t delay_ppm = 0;                // answers in a later turn, up to delay_max_ms
  std::uint32_t event_late_ppm = 0;           // told some turns later; never before older ones
  std::uint32_t event_twice_ppm = 0;
  std::uint32_t event_coalesce_ppm = 0;  // late, and of a key's writes only the last is told
  std::int64_t delay_max_ms = 20;
};

/// What several coordinators see: the store of one simulated cluster. One shard.
struct MemoryStore {
  VersionedMap map;
};

class CoordinatorMemory final : public Coordinator {
 public:
  /// A second one over the same `store` is the same process started again, or another process; each
  /// tells its watchers only of its own writes.
  CoordinatorMemory(engine::io::Shard& shard, std::shared_ptr<MemoryStore> store,
                    Hostility hostility = {});
  ~CoordinatorMemory() override;

  /// The lease ends: keys written as leased through this coordinator are gone.
  engine::Task<void> stop() override;

  [[nodiscard]] engine::Task<engine::Result<std::vector<KeyValue>>> list(
      std::string prefix) override;
  [[nodiscard]] engine::Task<engine::Result<std::optional<KeyValue>>> get(std::string key) override;
  [[nodiscard]] engine::Task<engine::Result<KeyVersion>> commit(
      std::vector<Compare> compares, std::vector<KeyWrite> writes) override;
  [[nodiscard]] std::unique_ptr<Watch> watch(std::string prefix, WatchCallback callback) override;
  std::int64_t lease_deadline_ns() const override { return lease_deadline_ns_; }

  // For tests.
  void set_hostility(Hostility hostility) { hostility_ = hostility; }
  void set_lease_deadline_ns(std::int64_t deadline_ns) { lease_deadline_ns_ = deadline_ns; }
  /// Ends the lease now, as a store does that heard nothing of its holder.
  void end_lease();
  std::uint64_t commits() const { return commits_; }

 private:
  bool chance(std::uint32_t ppm);
  engine::Task<void> delay();
  void tell(std::vector<KeyEvent> events);
  void flush_events();
  static engine::Task<void> tell_later(CoordinatorMemory& self);

  engine::io::Shard& shard_;
  const std::shared_ptr<MemoryStore> store_;
  Hostility hostility_;
  WatchHub hub_;
  engine::io::Gate gate_;
  std::vector<KeyEvent> pending_;  // events not yet told, oldest first
  bool teller_runs_ = false;
  std::int64_t lease_deadline_ns_;
  std::uint64_t commits_ = 0;
  std::vector<std::pair<std::string, KeyVersion>> leased_;  // key, version of our write
};

}  // namespace keelson::coordination
