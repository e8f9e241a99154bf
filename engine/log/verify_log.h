// engine/log/verify_log.h: verifies one log's directory; for verify.cc.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/io/shard.h"
#include "engine/log/manifest.h"
#include "engine/log/transactions.h"
#include "engine/log/verify.h"
#include "engine/task.h"

namespace keelson::engine::log {

/// Counts what is found and passes it on.
class VerifyReport {
 public:
  explicit VerifyReport(VerifyObserver& observer) : observer_(observer) {}

  void add(Finding finding) {
    ++(finding.is_note ? summary.notes : summary.findings);
    observer_.on_finding(finding);
  }
  void progress(std::string_view log_name, std::uint64_t bytes_read) {
    bytes_done_ += bytes_read;
    if (bytes_done_ - bytes_told_ < kStepBytes) return;
    bytes_told_ = bytes_done_;
    observer_.on_progress({log_name, bytes_done_, bytes_total});
  }

  VerifySummary summary;
  std::uint64_t bytes_total = 0;

 private:
  static constexpr std::uint64_t kStepBytes = std::uint64_t{8} << 20;

  VerifyObserver& observer_;
  std::uint64_t bytes_done_ = 0;
  std::uint64_t bytes_told_ = 0;
};

/// What the data directory says of a log.
struct LogContextFacts {
  std::optional<bool> clean_stop;  // nothing where there is no data directory around the log
  bool other_writer = false;  // Kafka served it since Keelson did: manifest and entries are old
  bool compacted = false;     // offsets may have gaps
  std::optional<Offset> recovery_point;
  std::optional<Offset> log_start_offset;
  std::optional<Offset> high_watermark;
};

/// The batches of one leader epoch. Compaction may leave a gap before the next.
struct EpochRun {
  LeaderEpoch epoch;
  Offset start_offset;
  Offset end_offset;  // behind the last
};

/// What one log's files have in common while they are walked. Used by LogVerify and SegmentVerify.
struct LogWalk {
  io::Shard& shard;
  VerifyReport& report;
  VerifyOptions options;
  std::string dir;
  std::string name;
  LogContextFacts facts;

  std::set<std::string> files;
  std::optional<Manifest> manifest;  // sound, and not out of date
  std::optional<LogIdentity> identity;
  bool clean = true;  // stopped properly: files hold all there is

  // Filled by the walk.
  Offset next_offset;                  // behind the last batch seen
  LeaderEpoch epoch = kNoLeaderEpoch;  // of that batch
  std::vector<EpochRun> epochs;        // by the batches
  struct LastBatch {
    Offset last_offset;
    std::int32_t last_sequence = kNoSequence;
  };
  std::unordered_map<std::int64_t, LastBatch> producers;
  static constexpr std::size_t kProducersMax = 2'000'000;
  bool producers_complete = true;
  Transactions transactions;
  Offset first_there;              // of the first segment file
  bool transactions_known = true;  // nothing before was damaged

  std::string path(std::string_view file) const { return concat(dir, "/", file); }
  void find(FindingKind kind, std::string_view file, std::string text,
            std::optional<std::uint64_t> position_bytes = {}, std::optional<Offset> offset = {}) {
    report.add({kind, false, name, std::string(file), position_bytes, offset, std::move(text)});
  }
  void note(FindingKind kind, std::string_view file, std::string text,
            std::optional<std::uint64_t> position_bytes = {}, std::optional<Offset> offset = {}) {
    report.add({kind, true, name, std::string(file), position_bytes, offset, std::move(text)});
  }
  /// A finding after a clean stop; else a note, for the next start mends it.
  void find_if_clean(FindingKind kind, std::string_view file, std::string text) {
    if (clean) return find(kind, file, std::move(text));
    note(kind, file, std::move(text) + "; the next start mends it");
  }
  void unreadable(std::string_view file, const Error& error) {
    find(FindingKind::unreadable, file,
         concat("cannot be read: ", to_string(error.code), ", errno ", error.sys_errno));
  }
  /// A file's content; nothing, and a finding, where it is too large or the system fails.
  Task<std::optional<std::string>> read(std::string file, std::size_t bytes_max);
};

class LogVerify {
 public:
  /// `names`: the files in the log's directory.
  LogVerify(io::Shard& shard, VerifyReport& report, VerifyOptions options, std::string dir,
            std::string name, LogContextFacts facts, std::set<std::string> names);

  Task<void> run();

 private:
  Task<void> read_manifest();
  Task<void> check_identity();
  void check_names();
  Task<void> begin_transactions();
  Task<void> walk_segments();
  void check_missing(const ManifestSegment& listed);
  Task<void> check_epochs();
  Task<void> check_snapshots();
  Task<void> check_snapshot(std::string file, Offset offset);
  void check_facts();

  LogWalk walk_;
  std::map<Offset, std::string> segments_;
  Offset log_start_offset_;
};

}  // namespace keelson::engine::log
