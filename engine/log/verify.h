// engine/log/verify.h: reads a data directory or one log's directory whole and says what is wrong.
//
// For tools: offline, changes no byte, believes no file. Keelson's directories and Kafka's alike.
// The directory must be at rest: a broker that writes meanwhile makes false findings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/error.h"
#include "engine/io/file.h"
#include "engine/io/shard.h"
#include "engine/task.h"
#include "engine/types.h"

namespace keelson::engine::log {

/// What a finding is about.
enum class FindingKind : std::uint8_t {
  unreadable,          // the system refused to read a file
  directory,           // what a data directory holds, or lacks
  meta_properties,     // meta.properties
  checkpoint,          // a checkpoint file, or what it says of a log
  partition_metadata,  // the topic id
  manifest,            // keelson.manifest, or what it says of a segment
  segment,             // a file missing, cut, too long, or in nobody's list
  batch,               // bytes that are no batch, or not those that were written
  offsets,             // offsets or epochs that do not continue
  integrity,           // integrity entries and what they say of the batches
  offset_index,
  time_index,
  transaction_index,
  leader_epochs,
  producer_snapshot,
};
/// "offset_index" and so on. Never null.
std::string_view to_string(FindingKind kind);

struct Finding {
  FindingKind kind{};
  /// Nothing is wrong: worth knowing, or mended by the next start. Not counted as a finding.
  bool is_note = false;
  std::string log_name;  // of the log's directory; empty for the data directory's own files
  std::string file;      // within that directory; empty where it is none in particular
  std::optional<std::uint64_t> position_bytes;
  std::optional<Offset> offset;
  std::string text;  // one sentence
};

struct VerifyProgress {
  std::string_view log_name;
  std::uint64_t bytes_done = 0;  // of .log files
  std::uint64_t bytes_total = 0;
};

/// Called on the shard's thread, in the order of the walk; must not block for long.
class VerifyObserver {
 public:
  virtual ~VerifyObserver() = default;
  virtual void on_finding(const Finding& finding) = 0;
  /// At least once per 8 MiB read.
  virtual void on_progress(const VerifyProgress& progress) = 0;
};

struct VerifyOptions {
  bool records = false;  // decompress the batches and read every record
};

struct VerifySummary {
  std::uint64_t logs = 0;
  std::uint64_t segments = 0;
  std::uint64_t batches = 0;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;  // of batches
  std::uint64_t findings = 0;
  std::uint64_t notes = 0;
};

/// What a directory is, by its files' names.
enum class DirectoryKind : std::uint8_t { data_directory, log, neither };
/// Errors: not_found, io.
[[nodiscard]] Task<Result<DirectoryKind>> classify_directory(io::Shard& shard, std::string path);

/// Takes the lock of the data directory `path` (for a log: of the directory it is in) as a broker
/// does, without making its file; it holds until the File is closed. No file where there is none
/// to lock or it may not be opened for writing. Errors: locked: a broker serves the directory.
[[nodiscard]] Task<Result<io::File>> lock_at_rest(io::Shard& shard, std::string path);

/// Walks the directory. What is wrong inside goes to `observer`, which outlives the task.
/// Errors: not_found: no such directory. invalid_argument: neither kind of directory. io: it
/// cannot be listed.
[[nodiscard]] Task<Result<VerifySummary>> verify_directory(io::Shard& shard, std::string path,
                                                           VerifyOptions options,
                                                           VerifyObserver& observer);

}  // namespace keelson::engine::log
