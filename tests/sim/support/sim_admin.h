// tests/sim/support/sim_admin.h: what administrators do to topics.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/sim/support/workload.h"

namespace keelson::test {

using TopicSettings = std::vector<std::pair<std::string, std::string>>;

/// Tries until the topic is there; its id is then in `topic`. False where `deadline_ns` passed.
engine::Task<bool> create_topic(Workload& load, Topic topic, TopicSettings settings,
                                std::int64_t deadline_ns);
/// Marks it, then tries until it is gone.
engine::Task<bool> delete_topic(Workload& load, Topic topic, std::int64_t deadline_ns);
/// One try each.
engine::Task<void> delete_records(Workload& load, Topic topic, std::int32_t partition,
                                  std::int64_t offset);
engine::Task<void> alter_topic(Workload& load, Topic topic, std::string setting, std::string value);
/// True where the broker leads every partition of the topics and says so.
engine::Task<bool> metadata_is_whole(Workload& load);

}  // namespace keelson::test
