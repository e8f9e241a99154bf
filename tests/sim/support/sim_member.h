// tests/sim/support/sim_member.h: a member of a classic consumer group that reads and commits.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/support/workload.h"

namespace keelson::test {

struct MemberOptions {
  std::int32_t session_timeout_ms = 6'000;
  std::int32_t rebalance_timeout_ms = 5'000;
  std::int64_t commit_every_ms = 100;
};

/// Joins, reads what it is assigned of one topic, commits ever larger offsets; over again after
/// every rebalance or lost connection, until Workload::stopping.
class SimMember {
 public:
  SimMember(Workload& load, std::string group, std::string name, Topic topic,
            MemberOptions options);
  engine::Task<void> run();

 private:
  engine::Task<bool> join();
  engine::Task<bool> sync(std::string leader, std::string protocol, std::vector<std::string> all);
  engine::Task<bool> fetch_commits();
  engine::Task<bool> read_some();
  engine::Task<bool> commit();
  engine::Task<bool> heartbeat();
  engine::Task<void> leave();
  /// Whether the member can go on; a rebalance or a lost place among the rest.
  bool stays(std::int16_t error, const char* what);

  Workload& load_;
  const std::string group_;
  const Topic topic_;
  const MemberOptions options_;
  SimClient client_;
  std::string member_id_;
  std::int32_t generation_ = -1;
  std::map<std::int32_t, std::int64_t> positions_;  // of the assigned partitions
  std::map<std::int32_t, std::int64_t> committed_;  // what this member knows
};

/// Reads the group's committed offsets of the topic and tells the history. False: no answer.
engine::Task<bool> check_commits(Workload& load, std::string group, Topic topic);

}  // namespace keelson::test
