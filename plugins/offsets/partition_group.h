// plugins/offsets/partition_group.h: one group as its partition keeps it. Private to this folder.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/timer_queue.h"
#include "plugins/offsets/partition_coordinator.h"

namespace keelson::offsets {

/// The host of a ClassicGroup, beside the group's offsets; or of a ConsumerGroup, and then the
/// classic one is there but empty.
struct PartitionCoordinator::Group final : GroupHost {
  Group(PartitionCoordinator& owner, const std::string& group_id)
      : owner(owner),
        classic(group_id, *this, owner.parts_.settings.classic),
        turn(owner.parts_.shard, 1) {}
  ~Group() override {
    for (auto& [name, timer] : timers) owner.parts_.shard.timers().disarm(timer);
  }

  struct DueTimer : engine::io::Timer {
    Group* group = nullptr;
    GroupTimer kind{};
    std::string member_id;
  };
  using TimerName = std::pair<GroupTimer, std::string>;

  void answer(RequestId request, JoinGroupAnswer answer) override;
  void answer(RequestId request, SyncGroupAnswer answer) override;
  void arm(GroupTimer kind, const std::string& member_id, std::int64_t delay_ms) override;
  void disarm(GroupTimer kind, const std::string& member_id) override;
  void persist(ClassicGroupState state, std::move_only_function<void(ApiErrc)> done) override;
  std::string new_uuid() override;
  std::int64_t wall_ms() override { return owner.parts_.shard.clock().wall_ms(); }

  PartitionCoordinator& owner;
  ClassicGroup classic;
  std::unique_ptr<ConsumerGroup> consumer;
  OffsetTable offsets;
  bool has_record = false;               // a durable group record
  std::uint32_t writes_under_way = 0;    // of group records; the group stays until they end
  std::map<TimerName, DueTimer> timers;  // armed ones

  // Steps of a ConsumerGroup, and changes of the group's kind, are made one after the other.
  engine::io::Semaphore turn;
  std::uint32_t visitors = 0;  // those that have or wait for their turn; the group stays
  bool doubtful = false;       // a write failed and may yet be in the log
  // A write is under way, or in doubt, that makes another kind of group of this one.
  bool becomes_consumer = false;
  bool becomes_classic = false;

  void forget_timers() {
    for (auto& [name, timer] : timers) owner.parts_.shard.timers().disarm(timer);
    timers.clear();
  }

  /// Keeps the group while it waits, and gives the turn back at the end of a scope.
  class Visit {
   public:
    explicit Visit(Group& group) : group_(group) { ++group_.visitors; }
    Visit(const Visit&) = delete;
    ~Visit() {
      if (has_turn_) group_.turn.give(1);
      --group_.visitors;
      group_.owner.sweep(std::string(group_.classic.group_id()));
    }
    /// Call at once after the turn was taken.
    void begin() { has_turn_ = true; }

   private:
    Group& group_;
    bool has_turn_ = false;
  };
};

}  // namespace keelson::offsets
