#include "coordination/memory/coordinator_memory.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace keelson::coordination {

using engine::Errc;
using engine::Result;
using engine::Task;

CoordinatorMemory::CoordinatorMemory(engine::io::Shard& shard, std::shared_ptr<MemoryStore> store,
                                     Hostility hostility)
    : shard_(shard),
      store_(std::move(store)),
      hostility_(hostility),
      gate_(shard),
      lease_deadline_ns_(std::numeric_limits<std::int64_t>::max()) {}

CoordinatorMemory::~CoordinatorMemory() = default;

Task<void> CoordinatorMemory::stop() {
  co_await gate_.close();
  end_lease();
  hub_.close();
}

void CoordinatorMemory::end_lease() {
  std::vector<KeyWrite> removals;
  for (const auto& [key, version] : leased_) {
    const std::optional<KeyValue> now = store_->map.get(key);
    if (now && now->version == version) removals.push_back(KeyWrite{.key = key, .value = {}});
  }
  leased_.clear();
  if (!removals.empty()) tell(store_->map.apply(removals));
}

bool CoordinatorMemory::chance(std::uint32_t ppm) {
  return ppm != 0 && shard_.rng().next() % 1'000'000 < ppm;
}

Task<void> CoordinatorMemory::delay() {
  if (!chance(hostility_.delay_ppm)) co_return;
  const auto span_ms =
      static_cast<std::uint64_t>(std::max<std::int64_t>(hostility_.delay_max_ms, 1));
  const auto wait_ms = static_cast<std::int64_t>(shard_.rng().next() % span_ms);
  co_await shard_.yield();
  co_await shard_.sleep_for_ms(wait_ms);
}

Task<Result<std::vector<KeyValue>>> CoordinatorMemory::list(std::string prefix) {
  if (!gate_.enter()) co_return engine::fail(Errc::closed);
  const engine::io::Gate::Pass pass{gate_};
  co_await delay();
  if (chance(hostility_.read_error_ppm)) co_return engine::fail(Errc::timed_out);
  co_return store_->map.list(prefix);
}

Task<Result<std::optional<KeyValue>>> CoordinatorMemory::get(std::string key) {
  if (!gate_.enter()) co_return engine::fail(Errc::closed);
  const engine::io::Gate::Pass pass{gate_};
  co_await delay();
  if (chance(hostility_.read_error_ppm)) co_return engine::fail(Errc::timed_out);
  co_return store_->map.get(key);
}

Task<Result<KeyVersion>> CoordinatorMemory::commit(std::vector<Compare> compares,
                                                   std::vector<KeyWrite> writes) {
  if (!gate_.enter()) co_return engine::fail(Errc::closed);
  const engine::io::Gate::Pass pass{gate_};
  co_await delay();
  const Result<void> acceptable = store_->map.check(compares, writes);
  if (!acceptable) co_return std::unexpected(acceptable.error());
  if (chance(hostility_.conflict_ppm)) co_return engine::fail(Errc::conflict);
  if (chance(hostility_.unknown_not_applied_ppm)) co_return engine::fail(Errc::outcome_unknown);

  const std::vector<KeyEvent> events = store_->map.apply(writes);
  const KeyVersion version = store_->map.version();
  ++commits_;
  for (const KeyWrite& write : writes) {
    std::erase_if(leased_, [&](const auto& held) { return held.first == write.key; });
    if (write.value && write.leased) leased_.emplace_back(write.key, version);
  }
  tell(events);
  co_await delay();
  if (chance(hostility_.unknown_applied_ppm)) co_return engine::fail(Errc::outcome_unknown);
  co_return version;
}

std::unique_ptr<Coordinator::Watch> CoordinatorMemory::watch(std::string prefix,
                                                             WatchCallback callback) {
  return hub_.watch(std::move(prefix), std::move(callback));
}

void CoordinatorMemory::tell(std::vector<KeyEvent> events) {
  if (hub_.empty() && pending_.empty()) return;
  const bool coalesce = chance(hostility_.event_coalesce_ppm);
  const bool late = coalesce || chance(hostility_.event_late_ppm);
  if (coalesce) {
    // Older notices of the same keys are swallowed: the last one tells all.
    std::erase_if(pending_, [&](const KeyEvent& old) {
      return std::any_of(events.begin(), events.end(),
                         [&](const KeyEvent& event) { return event.key == old.key; });
    });
  }
  pending_.insert(pending_.end(), events.begin(), events.end());
  if (!late && !teller_runs_) {
    flush_events();
  } else if (!teller_runs_ && gate_.enter()) {
    teller_runs_ = true;
    shard_.spawn(tell_later(*this));
  }
}

void CoordinatorMemory::flush_events() {
  const std::vector<KeyEvent> now = std::exchange(pending_, {});
  if (now.empty()) return;
  hub_.tell(now);
  if (chance(hostility_.event_twice_ppm)) hub_.tell(now);
}

Task<void> CoordinatorMemory::tell_later(CoordinatorMemory& self) {
  const engine::io::Gate::Pass pass{self.gate_};
  const std::uint64_t turns = 1 + self.shard_.rng().next() % 8;
  for (std::uint64_t turn = 0; turn < turns; ++turn) co_await self.shard_.yield();
  self.teller_runs_ = false;
  self.flush_events();
}

}  // namespace keelson::coordination
