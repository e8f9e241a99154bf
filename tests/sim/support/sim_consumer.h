// tests/sim/support/sim_consumer.h: a consumer without a group, and what all readers share.
#pragma once

#include <map>
#include <vector>

#include "plugins/kafka/messages/fetch.h"
#include "tests/sim/support/workload.h"

namespace keelson::test {

/// Decodes what a fetch brought from `position` on, tells the history, and returns the position
/// behind it. `kept` gets the records where it is not null.
std::int64_t read_fetched(History& history, const PartitionName& name, std::int64_t position,
                          const engine::SliceList& batches,
                          std::vector<History::SeenRecord>* kept = nullptr);

/// ListOffsets of one partition; nothing where no answer, or an error, came.
engine::Task<std::optional<std::int64_t>> list_offset(Workload& load, SimClient& client,
                                                      Topic topic, std::int32_t partition,
                                                      std::int64_t timestamp_ms);

/// Where a reader goes on that was told OFFSET_OUT_OF_RANGE at `position`; nothing where unknown
/// yet. Tells the history where the broker had no right to say so.
engine::Task<std::optional<std::int64_t>> find_place(Workload& load, SimClient& client, Topic topic,
                                                     std::int32_t partition, std::int64_t position);

/// The whole partition, for History::final_log(). False where it cannot be read now.
engine::Task<bool> read_whole(Workload& load, Topic topic, std::int32_t partition);

struct ConsumerOptions {
  bool session = true;
  std::int32_t max_wait_ms = 100;
  std::int32_t partition_bytes_max = 4096;
};

/// Reads all partitions of a topic from the start, until Workload::stopping.
class SimConsumer {
 public:
  SimConsumer(Workload& load, std::string name, Topic topic, ConsumerOptions options);
  engine::Task<void> run();

 private:
  kafka::messages::FetchRequest make_request();
  engine::Task<void> take(kafka::messages::FetchResponse response,
                          std::map<std::int32_t, History::Floors> before);

  Workload& load_;
  const Topic topic_;
  const ConsumerOptions options_;
  SimClient client_;
  std::int32_t session_id_ = 0;
  std::int32_t session_epoch_ = 0;
  std::map<std::int32_t, std::int64_t> positions_;  // -1: not known
  std::map<std::int32_t, std::int64_t> told_;       // what the session knows
};

}  // namespace keelson::test
