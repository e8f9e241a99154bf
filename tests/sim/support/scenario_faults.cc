// What befalls the broker of a scenario.
#include <utility>

#include "engine/logger.h"
#include "tests/sim/support/scenario.h"

namespace keelson::test {

using engine::concat;
using engine::io::FaultAction;
using engine::io::FaultPlan;
using engine::io::OpKind;

namespace {

constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kWallJumpsMsMax = 8 * 3'600'000;  // producers are forgotten after a day

}  // namespace

/// A quarter of the phases has each kind.
void Scenario::draw_faults() {
  FaultPlan& plan = broker_->node().faults();
  plan = {};
  if (rng_.below(4) == 0) {
    plan.short_read_ppm = plan.short_write_ppm = 300'000;
    plan.short_receive_ppm = plan.short_send_ppm = 300'000;
    say("faults: short transfers");
  }
  if (rng_.below(4) == 0) {
    plan.disk_delay_max_ns = rng_.between(1, 30) * kMillisecond;
    say("faults: a slow disk");
  }
  if (rng_.below(6) == 0) {
    plan.stall_ppm = 5'000;
    plan.stall_max_ns = rng_.between(100, 5'000) * kMillisecond;
    say("faults: stalls");
  }
  if (rng_.below(4) == 0) {
    constexpr OpKind kKinds[] = {
        OpKind::write,    OpKind::sync_data, OpKind::read,     OpKind::rename, OpKind::open,
        OpKind::sync_dir, OpKind::truncate,  OpKind::allocate, OpKind::unlink, OpKind::any_disk};
    const OpKind kind = kKinds[rng_.below(std::size(kKinds))];
    const std::uint64_t nth = 1 + rng_.below(200);
    broker_->node().fail_nth(kind, nth);
    disk_failed_ = true;
    if (kind == OpKind::sync_data || kind == OpKind::write || kind == OpKind::any_disk ||
        kind == OpKind::sync_dir) {
      sync_failed_ = true;
    }
    say(concat("faults: EIO on operation ", nth, " of kind ", static_cast<int>(kind)));
  }
  if (rng_.below(6) == 0) {
    auto& disk = broker_->node().disk();
    const auto left = static_cast<std::uint64_t>(rng_.between(0, 4 << 20));
    disk.set_total_bytes(disk.total_bytes() - disk.free_bytes() + left);
    say(concat("faults: ", left, " bytes left on the disk"));
  }
}

void Scenario::clear_faults() {
  broker_->node().faults() = {};
  broker_->node().disk().set_total_bytes(std::uint64_t{64} << 30);
  world_.network().partition(broker_->node(), client_node_, false);
}

/// Something short.
void Scenario::disturb() {
  switch (rng_.below(8)) {
    case 0:
      say("connections are reset");
      world_.network().reset_connections(broker_->node(), client_node_);
      return;
    case 1:
      say("the link is cut");
      world_.network().partition(broker_->node(), client_node_, true);
      world_.run_for(rng_.between(1, 2'000) * kMillisecond);
      world_.network().partition(broker_->node(), client_node_, false);
      return;
    case 2: {
      const std::int64_t by_ms = rng_.between(-3'600'000, 3'600'000);
      if (std::abs(wall_jumped_ms_ + by_ms) > kWallJumpsMsMax) return;
      wall_jumped_ms_ += by_ms;
      say(concat("the wall clock jumps by ", by_ms, " ms"));
      broker_->node().clock().jump_wall_ms(by_ms);
      return;
    }
    case 3:
      say("the process is paused");
      world_.pause_node(broker_->node(), true);
      world_.run_for(rng_.between(1, 8'000) * kMillisecond);
      world_.pause_node(broker_->node(), false);
      return;
    default: administer(); return;
  }
}

/// Relaxed topics promise nothing of what was not synced.
void Scenario::lose_relaxed() {
  ++load_->losses;
  for (const Topic& topic : load_->topics) {
    if (!topic->relaxed) continue;
    for (std::int32_t i = 0; i < topic->partitions; ++i) {
      load_->history.lost_power(topic->partition(i));
      load_->history.forget_commits(topic->partition(i));
    }
  }
}

void Scenario::lose_power() {
  say("power cut");
  broker_->power_cut();
  ++crashes_;
  world_.run_for(2 * kMillisecond);  // answers that were on the wire
  lose_relaxed();
}

void Scenario::end_process() {
  const std::uint64_t how = rng_.below(10);
  if (how < 5) {
    lose_power();
  } else if (how < 9 || !broker_->is_serving() || disk_failed_) {
    say("kill -9");
    broker_->kill();
    ++crashes_;
    world_.run_for(2 * kMillisecond);
    if (sync_failed_) {
      // What a failed sync dropped may be gone from the cache as well.
      if (rng_.coin()) broker_->node().disk().drop_cache();
      lose_relaxed();
    }
  } else {
    say("SIGTERM");
    const std::string problem = broker_->stop();
    if (!problem.empty()) load_->history.violation(concat("stop: ", problem));
  }
  disk_failed_ = false;
  sync_failed_ = false;
}

/// Starts until it serves, with a crash in the middle now and then.
void Scenario::bring_up() {
  const bool calm = crashes_ == 0;
  while (!calm && rng_.below(3) == 0) {
    broker_->begin_start();
    world_.run_for(rng_.between(0, 60) * kMillisecond);
    if (rng_.coin()) {
      lose_power();
    } else {
      say("kill -9 in the start");
      broker_->kill();
      ++crashes_;
    }
  }
  const std::int64_t begun_ns = now_ns();
  if (broker_->start()) {
    say(concat("serves after ", (now_ns() - begun_ns) / kMillisecond, " ms"));
    return;
  }
  load_->history.violation(concat("H12 the broker does not start: ", broker_->start_error()));
}

void Scenario::phase() {
  draw_faults();
  const std::uint64_t disturbances = rng_.below(4);
  for (std::uint64_t i = 0; i <= disturbances && !failed(); ++i) {
    world_.run_for(rng_.between(20, 600) * kMillisecond);
    if (i < disturbances) disturb();
  }
  if (failed()) return;
  end_process();
  clear_faults();
  world_.run_for(rng_.between(0, 300) * kMillisecond);
  if (!failed()) bring_up();
}

}  // namespace keelson::test
