// tests/sim/support/history.h: what clients did and saw, and whether a log may have done that.
//
// Every record carries a value that is never used twice. Times are the clients' (one machine).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace keelson::test {

/// A record: the so-manieth of a producer, who numbers from 0 in each partition.
struct RecordId {
  std::uint32_t producer = 0;
  std::uint64_t number = 0;
  auto operator<=>(const RecordId&) const = default;
};

/// "<producer>:<number>:" and text that follows from both.
std::string make_value(RecordId id, std::size_t padding_bytes);
std::optional<RecordId> read_value(std::string_view value);

/// A partition of one incarnation of a topic: "<topic id>-<partition>" or what the test likes.
using PartitionName = std::string;

/// Checks H1 to H5, H9 and the watermarks as things happen; H1 whole in final_log().
class History {
 public:
  enum class Promise : std::uint8_t {
    idempotent,  // one copy, in order
    plain,       // copies where the producer tried again
  };
  struct SeenRecord {
    std::int64_t offset = 0;
    std::string value;
  };

  // What producers do.
  void sending(const PartitionName& partition, RecordId id, std::string value, Promise promise);
  /// `offset` is -1 where the broker did not say.
  void acknowledged(const PartitionName& partition, RecordId id, std::int64_t offset);
  /// The producer may send it again under another identity: copies are fair from here on.
  void forget_idempotence(const PartitionName& partition, std::uint32_t producer);
  /// An idempotent producer was refused where all it had acknowledged must be known.
  void sequence_refused(const PartitionName& partition, std::uint32_t producer);

  // What readers see.
  struct Floors {
    std::int64_t high_watermark = 0;
    std::int64_t log_start = 0;
  };
  /// Take it before a request whose answer tells watermarks.
  Floors floors(const PartitionName& partition) const;
  void told(const PartitionName& partition, Floors before, std::int64_t high_watermark,
            std::int64_t log_start);
  void told_end(const PartitionName& partition, Floors before, std::int64_t high_watermark);
  void told_start(const PartitionName& partition, Floors before, std::int64_t log_start);
  /// A reader that asked for `expected` got this record.
  void seen(const PartitionName& partition, std::int64_t expected, const SeenRecord& record);

  // What may be taken away.
  /// DeleteRecords was asked for.
  void deleting_below(const PartitionName& partition, std::int64_t offset);
  void retention_on(const PartitionName& partition);
  /// Un-synced data may be gone: what is at which offset is open again.
  void lost_power(const PartitionName& partition);

  // Committed offsets of a group whose members commit ever larger ones.
  void committing(const std::string& group, const PartitionName& partition, std::int64_t offset);
  void committed(const std::string& group, const PartitionName& partition, std::int64_t offset);
  std::int64_t committed_floor(const std::string& group, const PartitionName& partition) const;
  /// `offset` is -1 for none.
  void fetched_commit(const std::string& group, const PartitionName& partition,
                      std::int64_t floor_before, std::int64_t offset);
  /// The partition lost records: members start over lower.
  void forget_commits(const PartitionName& partition);

  /// The partition read from start to end when all was quiet.
  void final_log(const PartitionName& partition, std::int64_t log_start, std::int64_t end,
                 const std::vector<SeenRecord>& records);

  void violation(std::string text);
  const std::vector<std::string>& violations() const { return violations_; }
  std::size_t records_sent() const { return records_sent_; }
  std::size_t records_acknowledged() const { return records_acknowledged_; }
  std::size_t records_seen() const { return records_seen_; }

 private:
  struct Record {
    std::size_t value_hash = 0;
    bool acknowledged = false;
    std::int64_t offset = -1;  // where it is known to be
  };
  struct Partition {
    std::map<RecordId, Record> records;
    std::map<std::int64_t, RecordId> at;  // what stands at an offset, for ever
    std::set<std::uint32_t> plain_producers;
    Floors floors;
    std::int64_t deletable_below = 0;
    bool retention = false;
  };
  struct Commits {
    std::int64_t floor = -1;
    std::set<std::int64_t> tried;
  };

  void place(const PartitionName& name, Partition& partition, std::int64_t offset, RecordId id);
  bool check_value(const PartitionName& name, const Partition& partition, const SeenRecord& record,
                   RecordId& id);

  std::map<PartitionName, Partition> partitions_;
  std::map<std::pair<std::string, PartitionName>, Commits> commits_;
  std::vector<std::string> violations_;
  std::size_t records_sent_ = 0;
  std::size_t records_acknowledged_ = 0;
  std::size_t records_seen_ = 0;
};

}  // namespace keelson::test
