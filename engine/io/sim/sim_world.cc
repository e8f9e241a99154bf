#include "engine/io/sim/sim_world.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

#include "engine/io/sim/sim_backend.h"

namespace keelson::engine::io {
namespace {

constexpr std::int64_t kTurnNsMin = 200;
constexpr std::int64_t kTurnNsMax = 2'000;
constexpr std::int64_t kWallStartMs = 1'767'225'600'000;  // 2026-01-01
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMillion = 1'000'000;

bool later(const SimEvent& left, const SimEvent& right) {
  if (left.at_ns != right.at_ns) return left.at_ns > right.at_ns;
  if (left.tie != right.tie) return left.tie > right.tie;
  return left.sequence > right.sequence;
}

}  // namespace

std::int64_t SimClock::now_ns() const {
  const std::int64_t passed_ns = world_.now_ns() - base_world_ns_;
  if (drift_ppm_ == 0) return base_local_ns_ + passed_ns;
  return base_local_ns_ + static_cast<std::int64_t>(static_cast<__int128>(passed_ns) *
                                                    (kMillion + drift_ppm_) / kMillion);
}

std::int64_t SimClock::wall_ms() const {
  return kWallStartMs + world_.now_ns() / kMillion + wall_offset_ms_;
}

void SimClock::set_drift_ppm(std::int64_t drift_ppm) {
  assert(drift_ppm > -kMillion && drift_ppm < kMillion);
  base_local_ns_ = now_ns();
  base_world_ns_ = world_.now_ns();
  drift_ppm_ = drift_ppm;
}

void SimClock::start_at(std::int64_t local_ns) {
  base_local_ns_ = local_ns;
  base_world_ns_ = world_.now_ns();
}

std::int64_t SimClock::world_ns_at(std::int64_t local_ns) const {
  if (local_ns <= base_local_ns_) return base_world_ns_;
  const __int128 ahead = local_ns - base_local_ns_;
  const __int128 rate = kMillion + drift_ppm_;
  const __int128 at = base_world_ns_ + (ahead * kMillion + rate - 1) / rate;
  return at > kNever ? kNever : static_cast<std::int64_t>(at);
}

SimNode::SimNode(SimWorld& world, std::uint32_t index, std::string name)
    : world_(world),
      index_(index),
      name_(std::move(name)),
      host_("10.0." + std::to_string((index + 1) / 256) + "." + std::to_string((index + 1) % 256)),
      clock_(world),
      rng_(world.rng_.next()) {}

SimNode::~SimNode() = default;

Shard& SimNode::shard(std::uint32_t index) {
  assert(state_ == NodeState::running);
  return *process_->shards.at(index).shard;
}

void SimNode::fail_nth(OpKind kind, std::uint64_t nth, int sys_errno, FaultAction action,
                       std::string path_contains) {
  NthFault fault;
  fault.kind = kind;
  fault.nth = nth;
  fault.action = action;
  fault.sys_errno = sys_errno;
  fault.path_contains = std::move(path_contains);
  faults_.nth.push_back(std::move(fault));
}

std::size_t SimNode::descriptors_open() const {
  return static_cast<std::size_t>(std::count_if(
      descriptors_.begin(), descriptors_.end(),
      [](const Descriptor& descriptor) { return descriptor.kind != Descriptor::Kind::free; }));
}

int SimNode::add_descriptor(Descriptor descriptor) {
  std::size_t fd = 0;
  while (fd < descriptors_.size() && descriptors_[fd].kind != Descriptor::Kind::free) ++fd;
  if (fd >= descriptors_max_) return -EMFILE;
  if (fd == descriptors_.size()) descriptors_.emplace_back();
  descriptors_[fd] = std::move(descriptor);
  return static_cast<int>(fd);
}

SimNode::Descriptor* SimNode::descriptor(int fd) {
  if (fd < 0 || static_cast<std::size_t>(fd) >= descriptors_.size()) return nullptr;
  Descriptor& descriptor = descriptors_[static_cast<std::size_t>(fd)];
  return descriptor.kind == Descriptor::Kind::free ? nullptr : &descriptor;
}

SimWorld::SimWorld(std::uint64_t seed)
    : seed_(seed), rng_(seed), net_rng_(rng_.next()), network_(*this) {}

SimWorld::~SimWorld() {
  // Shards and frames refer to what they were given, so all of it stays where tasks live.
  struct Buried {
    std::vector<std::unique_ptr<SimNode::Process>> processes;
  };
  static auto& graveyard = *new Buried;
  for (auto& node : nodes_) {
    if (node->process_ != nullptr) dead_.push_back(std::move(node->process_));
  }
  for (auto& process : dead_) {
    process->alive = false;
    const bool idle = std::all_of(
        process->shards.begin(), process->shards.end(),
        [](const SimNode::ShardPlace& place) { return place.shard->live_tasks() == 0; });
    if (!idle) graveyard.processes.push_back(std::move(process));
  }
}

SimNode& SimWorld::start_node(const std::string& name, std::uint32_t shard_count) {
  const std::uint32_t index = static_cast<std::uint32_t>(nodes_.size());
  nodes_.push_back(std::make_unique<SimNode>(*this, index, name));
  SimNode& node = *nodes_.back();
  node.clock_.start_at(rng_.between(1'000'000'000, 1'000'000'000'000'000));
  start_process(node, shard_count);
  return node;
}

void SimWorld::start_process(SimNode& node, std::uint32_t shard_count) {
  assert(shard_count > 0);
  auto process = std::make_unique<SimNode::Process>();
  process->incarnation = next_incarnation_++;
  process->group = std::make_unique<ShardGroup>();
  for (std::uint32_t i = 0; i < shard_count; ++i) {
    SimNode::ShardPlace place;
    place.rng = std::make_unique<SimRng>(rng_.next());
    place.backend = std::make_unique<SimBackend>(*this, node, *process, i);
    place.shard = std::make_unique<Shard>(
        i, shard_count, ShardParts{*place.backend, node.clock_, *place.rng, *logger_});
    process->group->add(*place.shard);
    process->shards.push_back(std::move(place));
  }
  process->group->connect();
  node.process_ = std::move(process);
  node.state_ = NodeState::running;
  for (auto& place : node.process_->shards) make_runnable(*place.backend);
  trace(0x01, node.index_, shard_count);
}

void SimWorld::kill_node(SimNode& node) { end_process(node, /*power_lost=*/false); }
void SimWorld::power_cut(SimNode& node) { end_process(node, /*power_lost=*/true); }

void SimWorld::end_process(SimNode& node, bool power_lost) {
  assert(node.state_ == NodeState::running || power_lost);
  trace(power_lost ? 0x03 : 0x02, node.index_);
  if (node.process_ != nullptr) {
    node.process_->alive = false;
    std::vector<std::uint32_t> under_way;
    for (std::uint32_t i = 0; i < pending_.size(); ++i) {
      const PendingOp& pending = *pending_[i];
      if (pending.state == PendingOp::State::free) continue;
      if (&pending.backend->process_ == node.process_.get()) under_way.push_back(i);
    }
    // What was submitted happened or not, in any order.
    for (std::size_t i = under_way.size(); i > 1; --i) {
      std::swap(under_way[i - 1], under_way[node.rng_.below(i)]);
    }
    for (const std::uint32_t index : under_way) {
      PendingOp& pending = *pending_[index];
      const bool may_apply =
          pending.state == PendingOp::State::submitted || pending.state == PendingOp::State::hung;
      const bool on_disk = pending.fs_operation != nullptr ||
                           pending.operation->code == OpCode::write ||
                           pending.operation->code == OpCode::sync_data;
      if (may_apply && on_disk && node.rng_.coin()) pending.backend->apply(pending);
    }
    network_.process_ended(node, power_lost);
    for (const std::uint32_t index : under_way) free_pending(index);
    std::erase_if(runnable_,
                  [&](SimBackend* backend) { return &backend->process_ == node.process_.get(); });
    dead_.push_back(std::move(node.process_));
  }
  node.descriptors_.clear();
  node.locks_.clear();
  node.unreaped_writes_.clear();
  node.disk_.process_gone();
  if (power_lost) node.disk_.power_cut(node.rng_);
  node.state_ = power_lost ? NodeState::powered_off : NodeState::killed;
  node.paused_ = false;
}

void SimWorld::restart_node(SimNode& node, std::uint32_t shard_count) {
  assert(node.state_ != NodeState::running);
  if (node.state_ == NodeState::powered_off) {
    node.clock_.start_at(rng_.between(1'000'000'000, 60'000'000'000));  // booted again
  }
  start_process(node, shard_count);
  network_.release_held(node);
}

void SimWorld::pause_node(SimNode& node, bool paused) {
  assert(node.state_ == NodeState::running);
  trace(0x04, node.index_, paused ? 1 : 0);
  node.paused_ = paused;
  for (auto& place : node.process_->shards) {
    if (paused) {
      std::erase(runnable_, place.backend.get());
      place.backend->runnable_ = false;
    } else {
      make_runnable(*place.backend);
    }
  }
}

void SimWorld::trace(std::uint64_t kind, std::uint64_t first, std::uint64_t second) {
  trace_.add(static_cast<std::uint64_t>(now_ns_) ^ (kind << 56));
  trace_.add(first);
  trace_.add(second);
}

std::uint32_t SimWorld::new_pending() {
  if (free_pending_.empty()) {
    free_pending_.push_back(static_cast<std::uint32_t>(pending_.size()));
    pending_.push_back(std::make_unique<PendingOp>());
  }
  const std::uint32_t index = free_pending_.back();
  free_pending_.pop_back();
  ++pending_[index]->generation;
  pending_[index]->order = next_sequence_++;
  return index;
}

void SimWorld::free_pending(std::uint32_t index) {
  PendingOp& pending = *pending_[index];
  pending.state = PendingOp::State::free;
  ++pending.generation;
  pending.operation = nullptr;
  pending.fs_operation = nullptr;
  free_pending_.push_back(index);
}

void SimWorld::complete(std::uint32_t index, std::int64_t result) {
  PendingOp& pending = *pending_[index];
  assert(pending.state != PendingOp::State::free && pending.state != PendingOp::State::done);
  pending.state = PendingOp::State::done;
  pending.result = result;
  pending.backend->done_.push_back(index);
  make_runnable(*pending.backend);
}

void SimWorld::make_runnable(SimBackend& backend) {
  if (backend.runnable_ || backend.node_.paused_) return;
  backend.runnable_ = true;
  runnable_.push_back(&backend);
}

void SimWorld::wake_all() {
  for (auto& node : nodes_) {
    if (node->state_ != NodeState::running) continue;
    for (auto& place : node->process_->shards) make_runnable(*place.backend);
  }
}

void SimWorld::at(std::int64_t at_ns, std::move_only_function<void()> action) {
  const std::uint64_t number = next_sequence_++;
  actions_.emplace(number, std::move(action));
  schedule_event(
      SimEvent{.at_ns = std::max(at_ns, now_ns_), .code = EventCode::action, .subject = number});
}

void SimWorld::schedule_event(SimEvent event) {
  event.sequence = next_sequence_++;
  events_.push_back(event);
  std::push_heap(events_.begin(), events_.end(), later);
}

void SimWorld::fire(const SimEvent& event) {
  switch (event.code) {
    case EventCode::action: {
      const auto found = actions_.find(event.subject);
      std::move_only_function<void()> action = std::move(found->second);
      actions_.erase(found);
      action();
      wake_all();
      return;
    }
    case EventCode::apply:
    case EventCode::connect_timeout: {
      const std::uint32_t index = static_cast<std::uint32_t>(event.subject);
      PendingOp& pending = *pending_[index];
      if (pending.generation != event.detail) return;
      if (event.code == EventCode::connect_timeout) {
        if (pending.state != PendingOp::State::parked) return;
        network_.arrive(event);
        return;
      }
      if (pending.state != PendingOp::State::submitted) return;
      trace(0x10, pending.order);
      const bool on_disk =
          pending.fs_operation != nullptr || pending.operation->code <= OpCode::sync_data;
      if (on_disk) {
        complete(index, pending.backend->apply(pending));
        return;
      }
      SimNode::Descriptor* const socket = pending.backend->node_.descriptor(pending.operation->fd);
      if (socket == nullptr) {
        complete(index, -EBADF);
      } else if (socket->kind != SimNode::Descriptor::Kind::socket) {
        complete(index, -ENOTSOCK);
      } else if (pending.fault == FaultAction::fail) {
        complete(index, -pending.fault_errno);
      } else {
        network_.apply(index, socket->socket);
      }
      return;
    }
    default: network_.arrive(event);
  }
}

void SimWorld::run_shard(SimBackend& backend) {
  trace(0x30, backend.process_.incarnation, backend.index_);
  Shard& shard = *backend.process_.shards[backend.index_].shard;
  shard.inbox().awake();
  now_ns_ += rng_.between(kTurnNsMin, kTurnNsMax);
  in_turn_ = true;
  std::size_t worked = backend.poll(0);
  worked += shard.turn() ? 1 : 0;
  in_turn_ = false;
  if (worked > 0 || !shard.inbox().prepare_to_sleep()) return;
  if (!backend.done_.empty() || !backend.runnable_) return;
  backend.runnable_ = false;
  std::erase(runnable_, &backend);
  if (const auto deadline_ns = shard.next_deadline_ns()) {
    next_timer_ns_ = std::min(next_timer_ns_, backend.node_.clock_.world_ns_at(*deadline_ns));
  }
}

/// Wakes the shards with due timers or work that others gave them, and finds the next timer.
void SimWorld::wake_due() {
  next_timer_ns_ = kNever;
  for (auto& node : nodes_) {
    if (node->state_ != NodeState::running || node->paused_) continue;
    for (auto& place : node->process_->shards) {
      const auto deadline_ns = place.shard->next_deadline_ns();
      if (deadline_ns) {
        const std::int64_t at_ns = node->clock_.world_ns_at(*deadline_ns);
        if (at_ns <= now_ns_) {
          make_runnable(*place.backend);
        } else {
          next_timer_ns_ = std::min(next_timer_ns_, at_ns);
        }
      }
      if (place.shard->has_ready()) make_runnable(*place.backend);
    }
  }
}

void SimWorld::fire_due() {
  while (!events_.empty() && events_.front().at_ns <= now_ns_) {
    std::pop_heap(events_.begin(), events_.end(), later);
    const SimEvent event = events_.back();
    events_.pop_back();
    fire(event);
  }
}

void SimWorld::sleep_in_poll(SimBackend& backend, std::optional<std::int64_t> deadline_ns) {
  const std::int64_t until_ns =
      deadline_ns ? backend.node_.clock_.world_ns_at(*deadline_ns) : kNever;
  if (until_ns <= now_ns_) return;
  while (!std::exchange(backend.woken_, false) && backend.done_.empty() && now_ns_ < until_ns) {
    std::int64_t next_ns = until_ns;
    if (!events_.empty()) next_ns = std::min(next_ns, events_.front().at_ns);
    if (next_ns == kNever) return;  // nothing could ever end the sleep
    now_ns_ = std::max(now_ns_, next_ns);
    fire_due();
  }
}

bool SimWorld::step(std::int64_t until_ns) {
  fire_due();
  if (next_timer_ns_ <= now_ns_) wake_due();
  if (!runnable_.empty()) {
    run_shard(*runnable_[rng_.below(runnable_.size())]);
    return true;
  }
  wake_due();
  if (!runnable_.empty()) return true;
  std::int64_t next_ns = next_timer_ns_;
  if (!events_.empty()) next_ns = std::min(next_ns, events_.front().at_ns);
  if (next_ns > until_ns) {
    now_ns_ = std::max(now_ns_, until_ns);
    return next_ns != kNever;
  }
  now_ns_ = std::max(now_ns_, next_ns);
  return true;
}

}  // namespace keelson::engine::io
