// plugins/offsets/record_replay.h: turns the batches of the internal topic into records, in order.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "engine/error.h"
#include "engine/log/record_batch.h"
#include "engine/types.h"
#include "plugins/offsets/group_records.h"

namespace keelson::offsets {

/// Records of a transaction count when its commit marker comes, and never after an abort. Records
/// of types this version does not know are counted and passed over.
class RecordReplay {
 public:
  using Apply = std::move_only_function<void(GroupRecord record)>;

  explicit RecordReplay(Apply apply) : apply_(std::move(apply)) {}

  /// Takes the whole batches at the front of `bytes`, as a log holds them, up to `until`
  /// (exclusive); a batch cut off at the end is left. Batches below next_offset() are passed over:
  /// reading a range twice is harmless.
  /// Errors: corrupt: a batch or a record of a known type that cannot be read; what came before it
  /// was applied.
  [[nodiscard]] engine::Result<void> feed(engine::Bytes bytes, engine::Offset until);

  /// Behind the last batch taken.
  engine::Offset next_offset() const { return next_offset_; }
  /// The caller knows that below `offset` nothing is left to read.
  void advance_to(engine::Offset offset) {
    if (next_offset_ < offset) next_offset_ = offset;
  }
  std::uint64_t unknown_records() const { return unknown_records_; }
  /// An open transaction has an offset for this partition.
  bool is_unstable(const std::string& group_id, const std::string& topic,
                   std::int32_t partition) const {
    return unstable_.contains({group_id, topic, partition});
  }

 private:
  using OffsetName = std::tuple<std::string, std::string, std::int32_t>;

  engine::Result<void> take(const engine::log::BatchHeader& header, engine::Bytes batch);
  void hold(std::int64_t producer_id, GroupRecord record);
  void end_transaction(std::int64_t producer_id, bool committed);

  Apply apply_;
  engine::Offset next_offset_{0};
  std::uint64_t unknown_records_ = 0;
  std::unordered_map<std::int64_t, std::vector<GroupRecord>> open_transactions_;
  std::map<OffsetName, std::uint32_t> unstable_;  // by how many records
};

}  // namespace keelson::offsets
