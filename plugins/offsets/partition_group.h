// plugins/offsets/partition_group.h: one group as its partition keeps it. Private to this folder.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/timer_queue.h"
#include "plugins/offsets/partition_coordinator.h"

namespace keelson::offsets {

/// The host of a ClassicGroup, beside the group's offsets.
struct PartitionCoordinator::Group final : GroupHost {
  Group(PartitionCoordinator& owner, const std::string& group_id)
      : owner(owner), classic(group_id, *this, owner.parts_.settings.classic) {}
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
  OffsetTable offsets;
  bool has_record = false;               // a durable group record
  std::uint64_t record_hash = 0;         // of that record; 0 without
  std::uint32_t writes_under_way = 0;    // of group records; the group stays until they end
  std::map<TimerName, DueTimer> timers;  // armed ones
};

}  // namespace keelson::offsets
