// engine/log/data_directory.h: a broker's data directory as a whole: lock, identity, checkpoints.
//
// Laid out as Kafka's, so that either opens what the other left (engine/FORMAT.md). Each log is a
// sub-directory with a name the caller chooses ("orders-3"); what Keelson adds are files only.
// One shard's thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/io/file.h"
#include "engine/io/shard.h"
#include "engine/log/log.h"
#include "engine/task.h"

namespace keelson::engine::log {

/// meta.properties, as Kafka writes it (version 1). Unknown lines are kept.
struct DirectoryIdentity {
  std::string cluster_id;
  std::int32_t node_id = -1;
  std::string directory_id;  // base64 uuid
};

enum class DirectoryOrigin : std::uint8_t {
  empty,    // nothing in it: made now
  keelson,  // ours
  kafka,    // Apache Kafka wrote it; serve it only when told to adopt
  foreign,  // files, but no sign of either: refuse
};

/// What open() found, before anything was changed.
struct DirectoryScan {
  DirectoryOrigin origin = DirectoryOrigin::empty;
  std::optional<DirectoryIdentity> identity;
  bool clean_stop = false;
  std::vector<std::string> log_names;      // sub-directories that are logs, sorted
  std::vector<std::string> unknown_names;  // neither; left alone and reported
};

/// `name` split at its last '-': nothing where that is no partition number.
struct LogName {
  std::string topic;
  std::int32_t partition = 0;
};
std::optional<LogName> parse_log_name(std::string_view name);
std::string format_log_name(std::string_view topic, std::int32_t partition);

class DataDirectory {
 public:
  /// Makes `path` where it is missing, takes its lock (tries for 250 ms: a killed process's ring
  /// may hold the file for a moment) and scans it. Changes nothing else.
  /// Errors: locked: another process serves it. io.
  [[nodiscard]] static Task<Result<std::unique_ptr<DataDirectory>>> open(io::Shard& shard,
                                                                         std::string path);
  virtual ~DataDirectory() = default;

  virtual const std::string& path() const = 0;
  virtual const DirectoryScan& scan() const = 0;
  virtual std::string path_of(std::string_view log_name) const = 0;

  /// Not to be served after all, and nothing was claimed: removes what open() left.
  [[nodiscard]] virtual Task<Result<void>> leave() = 0;
  /// Writes meta.properties where there is none, and our own mark. Call before any log is made.
  [[nodiscard]] virtual Task<Result<void>> claim(DirectoryIdentity identity) = 0;
  /// Removes the clean-stop marker, durably. Call before any log is opened for writing.
  [[nodiscard]] virtual Task<Result<void>> begin_serving() = 0;
  /// Checkpoints for one log, from Kafka's checkpoint files. Damaged files count as absent and are
  /// reported once in the log.
  virtual OpenHints hints_for(std::string_view log_name) const = 0;

  /// The partition's topic id by partition.metadata; where that is gone or garbled, by our second
  /// copy in the log's manifest. Errors: not_found in neither, corrupt where the two differ.
  [[nodiscard]] virtual Task<Result<Uuid>> read_topic_id(std::string log_name) = 0;

  /// A folder "<log>.<32 hex digits>-stray", as Kafka puts a partition aside that it does not know,
  /// gets its name back: where partition.metadata and the manifest agree that it is that partition,
  /// and nothing else has the name. The log is in scan() afterwards. Its name.
  /// Errors: invalid_argument: no such folder name. already_exists. corrupt: not proven. io.
  [[nodiscard]] virtual Task<Result<std::string>> take_back(std::string stray) = 0;

  struct Checkpoint {
    Offset recovery_point;
    Offset log_start_offset;
    Offset high_watermark;
    bool start_is_segment_base = true;  // then log-start-offset-checkpoint leaves it out, as Kafka
    std::optional<Offset> first_dirty = std::nullopt;  // of a log that was compacted
  };
  /// Replaces recovery-point-offset-, log-start-offset- and replication-offset-checkpoint, and,
  /// where it changed, cleaner-offset-checkpoint.
  [[nodiscard]] virtual Task<Result<void>> write_checkpoints(
      const std::map<std::string, Checkpoint>& by_log_name) = 0;
  /// After every log was closed cleanly: checkpoints, then .kafka_cleanshutdown, synced.
  [[nodiscard]] virtual Task<Result<void>> finish(
      const std::map<std::string, Checkpoint>& by_log_name) = 0;
};

}  // namespace keelson::engine::log
