#include "engine/log/verify.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "engine/log/checkpoint_file.h"
#include "engine/log/data_directory.h"
#include "engine/log/manifest.h"
#include "engine/log/meta_properties.h"
#include "engine/log/segment.h"
#include "engine/log/serving_mark.h"
#include "engine/log/verify_log.h"

namespace keelson::engine::log {
namespace {

// As data_directory.cc has them.
constexpr std::string_view kMetaName = "meta.properties";
constexpr std::string_view kMarkName = "keelson.properties";
constexpr std::string_view kCleanStopName = ".kafka_cleanshutdown";
constexpr std::string_view kOurCleanStop = "{\"version\":0,\"brokerEpoch\":-1}";

constexpr std::size_t kSmallFileBytesMax = std::size_t{1} << 20;
constexpr std::size_t kCheckpointBytesMax = std::size_t{64} << 20;

using Offsets = std::map<std::string, Offset>;  // by log name

/// "a/b/" -> "a/b"; "." and ".." as they are.
std::string without_slash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

std::string name_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

bool is_segment_name(std::string_view name) {
  return name.ends_with(".log") && parse_segment_stem(name.substr(0, name.size() - 4));
}

/// The files of a data directory that are no log's.
class DirectoryVerify {
 public:
  DirectoryVerify(io::Shard& shard, VerifyReport& report, std::string path, bool silent)
      : shard_(shard), report_(report), path_(std::move(path)), silent_(silent) {}

  /// False where the directory is none that holds logs.
  Task<bool> read();
  LogContextFacts facts_for(const std::string& log_name) const;
  const std::vector<std::string>& log_names() const { return log_names_; }
  /// Names in checkpoints that no log has.
  void check_names();

 private:
  Task<std::optional<std::string>> read_file(std::string_view name, std::size_t bytes_max);
  Task<void> read_state();
  Task<Offsets> read_checkpoint(std::string_view name);
  void find(FindingKind kind, std::string_view file, std::string text, bool is_note = false) {
    if (silent_) return;
    report_.add({kind, is_note, {}, std::string(file), {}, {}, std::move(text)});
  }

  io::Shard& shard_;
  VerifyReport& report_;
  const std::string path_;
  const bool silent_;  // one log is asked for: only what concerns it matters
  std::set<std::string> files_;
  std::vector<std::string> log_names_;
  bool clean_stop_ = false;
  bool other_writer_ = false;
  Offsets recovery_points_;
  Offsets log_starts_;
  Offsets high_watermarks_;
  Offsets cleaned_;
};

Task<bool> DirectoryVerify::read() {
  const Result<std::vector<io::DirEntry>> entries = co_await io::list_dir(shard_, path_);
  if (!entries) co_return false;
  for (const io::DirEntry& entry : *entries) {
    if (!entry.is_dir) {
      files_.insert(entry.name);
    } else if (parse_log_name(entry.name)) {
      log_names_.push_back(entry.name);
    } else if (entry.name != "lost+found") {
      find(FindingKind::directory, entry.name, "is not a log; brokers leave it alone", true);
    }
  }
  const bool known =
      files_.contains(std::string(kMetaName)) || files_.contains(std::string(kMarkName));
  if (!known && silent_) co_return false;
  co_await read_state();
  recovery_points_ = co_await read_checkpoint("recovery-point-offset-checkpoint");
  log_starts_ = co_await read_checkpoint("log-start-offset-checkpoint");
  high_watermarks_ = co_await read_checkpoint("replication-offset-checkpoint");
  cleaned_ = co_await read_checkpoint("cleaner-offset-checkpoint");
  co_return true;
}

Task<std::optional<std::string>> DirectoryVerify::read_file(std::string_view name,
                                                            std::size_t bytes_max) {
  const std::string file(name);
  if (!files_.contains(file)) co_return std::nullopt;
  Result<std::string> content = co_await io::read_file(shard_, concat(path_, "/", file), bytes_max);
  if (content) co_return std::move(*content);
  find(FindingKind::unreadable, file,
       content.error().code == Errc::invalid_argument
           ? std::string("is larger than any that a broker writes")
           : concat("cannot be read: errno ", content.error().sys_errno));
  co_return std::nullopt;
}

Task<void> DirectoryVerify::read_state() {
  const std::optional<std::string> meta = co_await read_file(kMetaName, kSmallFileBytesMax);
  if (!meta && !files_.contains(std::string(kMetaName))) {
    find(FindingKind::meta_properties, kMetaName, "is missing");
  } else if (meta && !parse_meta_properties(*meta)) {
    find(FindingKind::meta_properties, kMetaName, "is garbled");
  }
  const std::optional<std::string> mark = co_await read_file(kMarkName, kSmallFileBytesMax);
  const std::optional<std::string> stop = co_await read_file(kCleanStopName, kSmallFileBytesMax);
  if (mark && !mark->starts_with(kServingMark) && *mark != kStoppedMark) {
    find(FindingKind::directory, kMarkName, "is garbled");
  }
  // Who stopped last, and how: the same reasoning as when a broker opens the directory.
  const bool ours = stop && *stop == kOurCleanStop;
  const bool stopped = mark && *mark == kStoppedMark;
  const std::optional<std::string> quorum =
      co_await read_file(kQuorumStateName, kSmallFileBytesMax);
  const bool kafka_ran = mark && kafka_served_since(*mark, quorum);
  other_writer_ = mark && (stopped ? !ours : (stop && !ours) || kafka_ran);
  clean_stop_ = stop && (!mark || !ours || stopped);
  if (!clean_stop_) {
    find(FindingKind::directory, kCleanStopName,
         "is not there: the last stop was not clean, or a broker runs", true);
  }
}

Task<Offsets> DirectoryVerify::read_checkpoint(std::string_view name) {
  Offsets offsets;
  const std::optional<std::string> content = co_await read_file(name, kCheckpointBytesMax);
  if (!content) co_return std::move(offsets);
  const Result<std::vector<CheckpointEntry>> entries = parse_checkpoints(*content);
  if (!entries) {
    find(FindingKind::checkpoint, name, "is garbled");
    co_return std::move(offsets);
  }
  for (const CheckpointEntry& entry : *entries) {
    offsets[format_log_name(entry.topic, entry.partition)] = entry.offset;
  }
  co_return std::move(offsets);
}

LogContextFacts DirectoryVerify::facts_for(const std::string& log_name) const {
  const auto look_up = [&](const Offsets& offsets) {
    const auto found = offsets.find(log_name);
    return found == offsets.end() ? std::nullopt : std::optional(found->second);
  };
  LogContextFacts facts;
  facts.clean_stop = clean_stop_;
  facts.other_writer = other_writer_;
  facts.compacted = cleaned_.contains(log_name);
  facts.recovery_point = look_up(recovery_points_);
  facts.log_start_offset = look_up(log_starts_);
  facts.high_watermark = look_up(high_watermarks_);
  return facts;
}

void DirectoryVerify::check_names() {
  const std::set<std::string> known(log_names_.begin(), log_names_.end());
  for (const auto& [name, offset] : recovery_points_) {
    if (known.contains(name)) continue;
    // Topics may be deleted between two checkpoints; a record there is another matter.
    find(FindingKind::checkpoint, "recovery-point-offset-checkpoint",
         concat("names ", name, ", up to offset ", offset.value(), ", which is not there"),
         offset == Offset{0} || !clean_stop_);
  }
}

struct FoundLog {
  std::string dir;
  std::string name;
  LogContextFacts facts;
  std::set<std::string> files;
};

/// The names in a log's directory, and the size of its .log files added to the total.
Task<Result<std::set<std::string>>> list_log(io::Shard& shard, std::string dir,
                                             VerifyReport& report) {
  const Result<std::vector<io::DirEntry>> entries = co_await io::list_dir(shard, dir);
  if (!entries) co_return std::unexpected(entries.error());
  std::set<std::string> names;
  for (const io::DirEntry& entry : *entries) {
    if (entry.is_dir) continue;
    names.insert(entry.name);
    if (!is_segment_name(entry.name)) continue;
    const Result<io::FileStat> stat = co_await io::stat(shard, concat(dir, "/", entry.name));
    if (stat) report.bytes_total += stat->size_bytes;
  }
  co_return std::move(names);
}

Task<Result<std::vector<FoundLog>>> find_logs(io::Shard& shard, std::string path, bool one_log,
                                              VerifyReport& report) {
  std::vector<FoundLog> logs;
  if (one_log) {
    Result<std::set<std::string>> names = co_await list_log(shard, path, report);
    if (!names) co_return std::unexpected(names.error());
    LogContextFacts facts;
    DirectoryVerify around(shard, report, io::parent_of(path), true);
    const bool known = co_await around.read();
    if (known) facts = around.facts_for(name_of(path));
    logs.push_back({path, name_of(path), facts, std::move(*names)});
    co_return std::move(logs);
  }
  DirectoryVerify directory(shard, report, path, false);
  const bool listed = co_await directory.read();
  if (!listed) co_return fail(Errc::io);
  directory.check_names();
  for (const std::string& name : directory.log_names()) {
    const std::string dir = concat(path, "/", name);
    Result<std::set<std::string>> names = co_await list_log(shard, dir, report);
    if (!names) {
      report.add({FindingKind::unreadable,
                  false,
                  name,
                  {},
                  {},
                  {},
                  concat("the directory cannot be listed: errno ", names.error().sys_errno)});
      continue;
    }
    logs.push_back({dir, name, directory.facts_for(name), std::move(*names)});
  }
  co_return std::move(logs);
}

}  // namespace

std::string_view to_string(FindingKind kind) {
  switch (kind) {
    case FindingKind::unreadable: return "unreadable";
    case FindingKind::directory: return "directory";
    case FindingKind::meta_properties: return "meta_properties";
    case FindingKind::checkpoint: return "checkpoint";
    case FindingKind::partition_metadata: return "partition_metadata";
    case FindingKind::manifest: return "manifest";
    case FindingKind::segment: return "segment";
    case FindingKind::batch: return "batch";
    case FindingKind::offsets: return "offsets";
    case FindingKind::integrity: return "integrity";
    case FindingKind::offset_index: return "offset_index";
    case FindingKind::time_index: return "time_index";
    case FindingKind::transaction_index: return "transaction_index";
    case FindingKind::leader_epochs: return "leader_epochs";
    case FindingKind::producer_snapshot: return "producer_snapshot";
  }
  std::unreachable();
}

Task<Result<DirectoryKind>> classify_directory(io::Shard& shard, std::string path) {
  const Result<std::vector<io::DirEntry>> entries =
      co_await io::list_dir(shard, without_slash(std::move(path)));
  if (!entries) co_return std::unexpected(entries.error());
  DirectoryKind kind = DirectoryKind::neither;
  for (const io::DirEntry& entry : *entries) {
    if (entry.is_dir) {
      if (parse_log_name(entry.name)) kind = DirectoryKind::data_directory;
    } else if (entry.name == kMetaName || entry.name == kMarkName) {
      co_return DirectoryKind::data_directory;
    } else if (is_segment_name(entry.name) || entry.name == kManifestName) {
      co_return DirectoryKind::log;
    }
  }
  co_return kind;
}

Task<Result<io::File>> lock_at_rest(io::Shard& shard, std::string path) {
  const std::string root = without_slash(std::move(path));
  const Result<DirectoryKind> kind = co_await classify_directory(shard, root);
  const bool is_log = kind && *kind == DirectoryKind::log;
  const std::string file = concat(is_log ? root + "/.." : root, "/.lock");
  Result<io::File> lock = co_await io::File::open(shard, file, io::OpenFlags{.write = true});
  if (!lock) co_return io::File();
  const Result<void> locked = co_await lock->lock();
  if (!locked && locked.error().code == Errc::locked) co_return std::unexpected(locked.error());
  co_return std::move(*lock);
}

Task<Result<VerifySummary>> verify_directory(io::Shard& shard, std::string path,
                                             VerifyOptions options, VerifyObserver& observer) {
  const std::string root = without_slash(std::move(path));
  const Result<DirectoryKind> kind = co_await classify_directory(shard, root);
  if (!kind) co_return std::unexpected(kind.error());
  if (*kind == DirectoryKind::neither) co_return fail(Errc::invalid_argument);
  VerifyReport report(observer);
  const bool one_log = *kind == DirectoryKind::log;
  Result<std::vector<FoundLog>> logs = co_await find_logs(shard, root, one_log, report);
  if (!logs) co_return std::unexpected(logs.error());
  for (FoundLog& log : *logs) {
    LogVerify verify(shard, report, options, log.dir, log.name, log.facts, std::move(log.files));
    co_await verify.run();
  }
  co_return report.summary;
}

}  // namespace keelson::engine::log
