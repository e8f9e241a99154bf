#include "engine/log/data_directory.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/log/checkpoint_file.h"
#include "engine/log/file_removal.h"
#include "engine/log/manifest.h"
#include "engine/log/meta_properties.h"
#include "engine/log/partition_metadata.h"
#include "engine/log/serving_mark.h"

namespace keelson::engine::log {
namespace {

constexpr std::string_view kLockName = ".lock";
constexpr std::string_view kMarkName = "keelson.properties";
constexpr std::string_view kMetaName = "meta.properties";
constexpr std::string_view kCleanStopName = ".kafka_cleanshutdown";
constexpr std::string_view kRecoveryName = "recovery-point-offset-checkpoint";
constexpr std::string_view kStartName = "log-start-offset-checkpoint";
constexpr std::string_view kReplicationName = "replication-offset-checkpoint";
constexpr std::string_view kCleanerName = "cleaner-offset-checkpoint";

constexpr std::size_t kSmallFileBytesMax = std::size_t{1} << 20;
constexpr std::size_t kCheckpointBytesMax = std::size_t{64} << 20;
constexpr std::int64_t kLockWaitMs = 250;
constexpr std::int64_t kLockRetryMs = 10;

// Our marker carries the broker epoch that Kafka never has, so that it can be told from Kafka's.
constexpr std::string_view kOurCleanStop = "{\"version\":0,\"brokerEpoch\":-1}";

/// What stands before ".<32 hex digits><ending>", and nothing where `name` is not of that form.
std::optional<std::string_view> before_digits(std::string_view name, std::string_view ending) {
  constexpr std::size_t kDigits = 32;
  if (!name.ends_with(ending)) return std::nullopt;
  name.remove_suffix(ending.size());
  if (name.size() < kDigits + 2 || name[name.size() - kDigits - 1] != '.') return std::nullopt;
  const std::string_view digits = name.substr(name.size() - kDigits);
  if (digits.find_first_not_of("0123456789abcdef") != std::string_view::npos) return std::nullopt;
  return name.substr(0, name.size() - kDigits - 1);
}

/// It will be emptied.
bool is_deleted_name(std::string_view name) { return before_digits(name, "-delete").has_value(); }

class Directory final : public DataDirectory {
 public:
  Directory(io::Shard& shard, std::string path) : shard_(shard), path_(std::move(path)) {}

  Task<Result<void>> start();

  const std::string& path() const override { return path_; }
  const DirectoryScan& scan() const override { return scan_; }
  std::string path_of(std::string_view log_name) const override {
    return concat(path_, "/", log_name);
  }
  Task<Result<void>> leave() override;
  Task<Result<void>> claim(DirectoryIdentity identity) override;
  Task<Result<void>> begin_serving() override;
  OpenHints hints_for(std::string_view log_name) const override;
  Task<Result<Uuid>> read_topic_id(std::string log_name) override;
  Task<Result<std::string>> take_back(std::string stray) override;
  Task<Result<void>> write_checkpoints(
      const std::map<std::string, Checkpoint>& by_log_name) override;
  Task<Result<void>> finish(const std::map<std::string, Checkpoint>& by_log_name) override;

 private:
  Task<Result<void>> make_path(std::string path);
  Task<Result<void>> take_lock();
  Task<Result<void>> look_around();
  Task<Result<std::optional<std::string>>> read_small(std::string_view name);
  Task<Result<std::map<std::string, Offset>>> read_checkpoint(std::string_view name);
  Task<Result<void>> write_checkpoint(std::string_view name, std::map<std::string, Offset> offsets);
  Task<Result<void>> remove_deleted(std::string name);
  void warn(std::string line) const {
    shard_.logger().write(LogLevel::warning, "log", path_ + ": " + line);
  }

  io::Shard& shard_;
  const std::string path_;
  io::File lock_;
  DirectoryScan scan_;
  MetaProperties properties_;
  bool made_lock_ = false;  // the file was not there before
  bool has_mark_ = false;
  bool has_marker_file_ = false;
  bool other_writer_ = false;
  std::map<std::string, Offset> recovery_points_;
  std::map<std::string, Offset> start_offsets_;
  std::map<std::string, Offset> first_dirty_;  // as in the file
};

Task<Result<void>> Directory::start() {
  const Result<void> made = co_await make_path(path_);
  if (!made) co_return made;
  const Result<io::FileStat> lock_before = co_await io::stat(shard_, path_of(kLockName));
  made_lock_ = !lock_before;
  const Result<void> locked = co_await take_lock();
  if (!locked) co_return locked;
  const Result<void> looked = co_await look_around();
  if (!looked) co_return looked;
  Result<std::map<std::string, Offset>> recovery = co_await read_checkpoint(kRecoveryName);
  if (!recovery) co_return std::unexpected(recovery.error());
  recovery_points_ = std::move(*recovery);
  Result<std::map<std::string, Offset>> starts = co_await read_checkpoint(kStartName);
  if (!starts) co_return std::unexpected(starts.error());
  start_offsets_ = std::move(*starts);
  Result<std::map<std::string, Offset>> dirty = co_await read_checkpoint(kCleanerName);
  if (!dirty) co_return std::unexpected(dirty.error());
  first_dirty_ = std::move(*dirty);
  co_return Result<void>{};
}

/// The directory and those above it that are missing.
Task<Result<void>> Directory::make_path(std::string path) {
  std::vector<std::string> missing;
  while (true) {
    const Result<io::FileStat> stat = co_await io::stat(shard_, path);
    if (stat && stat->is_dir) break;
    if (stat) co_return fail(Errc::already_exists);
    if (stat.error().code != Errc::not_found) co_return std::unexpected(stat.error());
    missing.push_back(path);
    std::string above = io::parent_of(path);
    if (above == path) break;
    path = std::move(above);
  }
  for (; !missing.empty(); missing.pop_back()) {
    const Result<void> made = co_await io::make_dir(shard_, missing.back());
    if (!made && made.error().code != Errc::already_exists) co_return made;
    const Result<void> synced = co_await io::sync_dir(shard_, io::parent_of(missing.back()));
    if (!synced) co_return synced;
  }
  co_return Result<void>{};
}

Task<Result<void>> Directory::take_lock() {
  Result<io::File> file = co_await io::File::open(shard_, path_of(kLockName),
                                                  io::OpenFlags{.write = true, .create = true});
  if (!file) co_return std::unexpected(file.error());
  lock_ = std::move(*file);
  const std::int64_t until_ns = shard_.clock().now_ns() + kLockWaitMs * 1'000'000;
  while (true) {
    const Result<void> locked = co_await lock_.lock();
    if (locked || locked.error().code != Errc::locked) co_return locked;
    if (shard_.clock().now_ns() >= until_ns) co_return locked;
    co_await shard_.sleep_for_ms(kLockRetryMs);
  }
}

Task<Result<std::optional<std::string>>> Directory::read_small(std::string_view name) {
  Result<std::string> content = co_await io::read_file(shard_, path_of(name), kSmallFileBytesMax);
  if (content) co_return std::move(*content);
  if (content.error().code == Errc::not_found) co_return std::nullopt;
  if (content.error().code == Errc::invalid_argument) co_return std::string();  // absurdly large
  co_return std::unexpected(content.error());
}

Task<Result<void>> Directory::look_around() {
  const Result<std::vector<io::DirEntry>> entries = co_await io::list_dir(shard_, path_);
  if (!entries) co_return std::unexpected(entries.error());
  bool anything = false;
  for (const io::DirEntry& entry : *entries) {
    if (entry.name == kLockName || entry.name == "lost+found") continue;
    if (entry.name == concat(kMarkName, ".tmp")) continue;  // claim() came no further
    anything = true;
    if (!entry.is_dir) continue;
    auto& names = parse_log_name(entry.name) ? scan_.log_names : scan_.unknown_names;
    names.push_back(entry.name);
  }
  const Result<std::optional<std::string>> meta = co_await read_small(kMetaName);
  if (!meta) co_return std::unexpected(meta.error());
  if (*meta) {
    Result<MetaProperties> parsed = parse_meta_properties(**meta);
    if (parsed) {
      properties_ = std::move(*parsed);
      scan_.identity =
          DirectoryIdentity{properties_.cluster_id.value_or(""), properties_.node_id.value_or(-1),
                            properties_.directory_id.value_or("")};
    } else {
      warn("meta.properties is garbled");
    }
  }
  const Result<std::optional<std::string>> mark = co_await read_small(kMarkName);
  if (!mark) co_return std::unexpected(mark.error());
  const Result<std::optional<std::string>> stop = co_await read_small(kCleanStopName);
  if (!stop) co_return std::unexpected(stop.error());
  has_mark_ = mark->has_value();
  has_marker_file_ = stop->has_value();
  if (has_mark_) {
    scan_.origin = DirectoryOrigin::keelson;
  } else if (scan_.identity) {
    scan_.origin = DirectoryOrigin::kafka;
  } else {
    scan_.origin = anything ? DirectoryOrigin::foreign : DirectoryOrigin::empty;
  }
  const bool stopped = has_mark_ && **mark == kStoppedMark;
  const Result<std::optional<std::string>> quorum = co_await read_small(kQuorumStateName);
  if (!quorum) co_return std::unexpected(quorum.error());
  const bool kafka_ran = has_mark_ && kafka_served_since(**mark, *quorum);
  const bool ours = has_marker_file_ && **stop == kOurCleanStop;
  if (!has_mark_) {
    scan_.clean_stop = has_marker_file_;
  } else {
    other_writer_ = stopped ? !ours : (has_marker_file_ && !ours) || kafka_ran;
    scan_.clean_stop = has_marker_file_ && (!ours || stopped);
    if (other_writer_) warn("Apache Kafka has served this directory since; its files count");
  }
  co_return Result<void>{};
}

Task<Result<std::map<std::string, Offset>>> Directory::read_checkpoint(std::string_view name) {
  std::map<std::string, Offset> offsets;
  const Result<std::string> content =
      co_await io::read_file(shard_, path_of(name), kCheckpointBytesMax);
  if (!content && content.error().code == Errc::not_found) co_return std::move(offsets);
  if (!content && content.error().code == Errc::io) co_return std::unexpected(content.error());
  const Result<std::vector<CheckpointEntry>> entries =
      content ? parse_checkpoints(*content) : fail(Errc::corrupt);
  if (!entries) {
    warn(concat(name, " is garbled and counts as absent"));
    co_return std::move(offsets);
  }
  for (const CheckpointEntry& entry : *entries) {
    offsets[format_log_name(entry.topic, entry.partition)] = entry.offset;
  }
  co_return std::move(offsets);
}

Task<Result<void>> Directory::write_checkpoint(std::string_view name,
                                               std::map<std::string, Offset> offsets) {
  std::vector<CheckpointEntry> entries;
  for (const auto& [log_name, offset] : offsets) {
    const std::optional<LogName> parsed = parse_log_name(log_name);
    if (parsed) entries.push_back({parsed->topic, parsed->partition, offset});
  }
  co_return co_await io::replace_file(shard_, path_of(name), encode_checkpoints(entries));
}

/// The lock is held until the object goes, so nobody else took the file for theirs.
Task<Result<void>> Directory::leave() {
  if (!std::exchange(made_lock_, false)) co_return Result<void>{};
  co_return co_await io::unlink(shard_, path_of(kLockName));
}

/// Our mark first: a crash between the two must not leave what looks as if Kafka had made it.
Task<Result<void>> Directory::claim(DirectoryIdentity identity) {
  if (!has_mark_) {
    const Result<void> marked =
        co_await io::replace_file(shard_, path_of(kMarkName), std::string(kStoppedMark));
    if (!marked) co_return marked;
    has_mark_ = true;
  }
  if (scan_.identity) co_return Result<void>{};
  properties_.cluster_id = identity.cluster_id;
  properties_.node_id = identity.node_id;
  properties_.directory_id = identity.directory_id;
  const Result<void> written =
      co_await io::replace_file(shard_, path_of(kMetaName), encode_meta_properties(properties_));
  if (written) scan_.identity = std::move(identity);
  co_return written;
}

/// First "serving", then the marker goes: a crash between the two counts as unclean.
Task<Result<void>> Directory::begin_serving() {
  const Result<std::optional<std::string>> quorum = co_await read_small(kQuorumStateName);
  if (!quorum) co_return std::unexpected(quorum.error());
  const Result<void> marked =
      co_await io::replace_file(shard_, path_of(kMarkName), serving_mark(*quorum));
  if (!marked) co_return marked;
  const Result<void> gone = co_await io::unlink(shard_, path_of(kCleanStopName));
  if (!gone && gone.error().code != Errc::not_found) co_return gone;
  const Result<void> synced = co_await io::sync_dir(shard_, path_);
  if (!synced) co_return synced;
  for (const std::string& name : scan_.unknown_names) {
    if (!is_deleted_name(name)) continue;
    const Result<void> removed = co_await remove_deleted(name);
    if (!removed) warn(concat("could not remove ", name));
  }
  co_return Result<void>{};
}

/// What an interrupted deletion left of a log.
Task<Result<void>> Directory::remove_deleted(std::string name) {
  io::Event at_once(shard_);  // nobody is served yet
  at_once.set();
  co_return co_await remove_directory(shard_, path_of(name), at_once);
}

OpenHints Directory::hints_for(std::string_view log_name) const {
  OpenHints hints;
  hints.clean_stop = scan_.clean_stop;
  hints.other_writer = other_writer_;
  const std::string name(log_name);
  if (const auto found = recovery_points_.find(name); found != recovery_points_.end()) {
    hints.recovery_point = found->second;
  }
  if (const auto found = start_offsets_.find(name); found != start_offsets_.end()) {
    hints.log_start_offset = found->second;
  }
  if (const auto found = first_dirty_.find(name); found != first_dirty_.end()) {
    hints.first_dirty = found->second;
  }
  return hints;
}

Task<Result<Uuid>> Directory::read_topic_id(std::string log_name) {
  const std::string dir = path_of(log_name);
  const Result<std::string> metadata =
      co_await io::read_file(shard_, dir + "/partition.metadata", kSmallFileBytesMax);
  if (!metadata && metadata.error().code == Errc::io) co_return std::unexpected(metadata.error());
  std::optional<Uuid> first;
  if (metadata) {
    const Result<Uuid> parsed = parse_partition_metadata(*metadata);
    if (parsed) first = *parsed;
  }
  const Result<std::string> content =
      co_await io::read_file(shard_, concat(dir, "/", kManifestName), kManifestBytesMax);
  if (!content && content.error().code == Errc::io) co_return std::unexpected(content.error());
  std::optional<Uuid> second;
  if (content) {
    const Result<Manifest> manifest = decode_manifest(*content);
    if (manifest) second = manifest->identity.id;
  }
  if (first && second && *first != *second) co_return fail(Errc::corrupt);
  if (first) co_return *first;
  if (second) co_return *second;
  co_return fail(Errc::not_found);
}

Task<Result<std::string>> Directory::take_back(std::string stray) {
  constexpr std::size_t kNameBytesMax = 255;  // Kafka cuts the topic where the whole is longer
  const std::optional<std::string_view> before = before_digits(stray, "-stray");
  const std::optional<LogName> parsed = before ? parse_log_name(*before) : std::nullopt;
  if (!parsed || stray.size() >= kNameBytesMax) co_return fail(Errc::invalid_argument);
  const std::string name(*before);
  const Result<io::FileStat> there = co_await io::stat(shard_, path_of(name));
  if (there) co_return fail(Errc::already_exists);
  if (there.error().code != Errc::not_found) co_return std::unexpected(there.error());

  const std::string dir = path_of(stray);
  const Result<std::string> metadata =
      co_await io::read_file(shard_, dir + "/partition.metadata", kSmallFileBytesMax);
  const Result<std::string> content =
      co_await io::read_file(shard_, concat(dir, "/", kManifestName), kManifestBytesMax);
  if (!metadata || !content) co_return fail(Errc::corrupt);
  const Result<Uuid> id = parse_partition_metadata(*metadata);
  const Result<Manifest> manifest = decode_manifest(*content);
  if (!id || !manifest || manifest->identity != LogIdentity{*id, parsed->partition}) {
    co_return fail(Errc::corrupt);
  }
  const Result<void> renamed = co_await io::rename(shard_, dir, path_of(name));
  if (!renamed) co_return std::unexpected(renamed.error());
  const Result<void> synced = co_await io::sync_dir(shard_, path_);
  if (!synced) co_return std::unexpected(synced.error());
  std::erase(scan_.unknown_names, stray);
  scan_.log_names.insert(std::ranges::upper_bound(scan_.log_names, name), name);
  co_return name;
}

Task<Result<void>> Directory::write_checkpoints(
    const std::map<std::string, Checkpoint>& by_log_name) {
  std::map<std::string, Offset> recovery;
  std::map<std::string, Offset> starts;
  std::map<std::string, Offset> replication;
  std::map<std::string, Offset> dirty;
  for (const auto& [name, checkpoint] : by_log_name) {
    recovery[name] = checkpoint.recovery_point;
    if (!checkpoint.start_is_segment_base) starts[name] = checkpoint.log_start_offset;
    replication[name] = checkpoint.high_watermark;
    if (checkpoint.first_dirty) dirty[name] = *checkpoint.first_dirty;
  }
  const Result<void> first = co_await write_checkpoint(kRecoveryName, std::move(recovery));
  if (!first) co_return first;
  const Result<void> second = co_await write_checkpoint(kStartName, std::move(starts));
  if (!second) co_return second;
  const Result<void> third = co_await write_checkpoint(kReplicationName, std::move(replication));
  if (!third || dirty == first_dirty_) co_return third;
  const Result<void> fourth = co_await write_checkpoint(kCleanerName, dirty);
  if (fourth) first_dirty_ = std::move(dirty);
  co_return fourth;
}

Task<Result<void>> Directory::finish(const std::map<std::string, Checkpoint>& by_log_name) {
  const Result<void> written = co_await write_checkpoints(by_log_name);
  if (!written) co_return written;
  // The marker first: "stopped" without it would say that Kafka took it away.
  const Result<void> marked =
      co_await io::replace_file(shard_, path_of(kCleanStopName), std::string(kOurCleanStop));
  if (!marked) co_return marked;
  co_return co_await io::replace_file(shard_, path_of(kMarkName), std::string(kStoppedMark));
}

}  // namespace

std::optional<LogName> parse_log_name(std::string_view name) {
  const std::size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash == 0) return std::nullopt;
  const std::string_view digits = name.substr(dash + 1);
  std::int32_t partition = 0;
  const auto [end, problem] =
      std::from_chars(digits.data(), digits.data() + digits.size(), partition);
  if (problem != std::errc{} || end != digits.data() + digits.size() || partition < 0) {
    return std::nullopt;
  }
  if (digits != std::to_string(partition)) return std::nullopt;  // "-007" is no partition
  return LogName{std::string(name.substr(0, dash)), partition};
}

std::string format_log_name(std::string_view topic, std::int32_t partition) {
  return concat(topic, "-", partition);
}

Task<Result<std::unique_ptr<DataDirectory>>> DataDirectory::open(io::Shard& shard,
                                                                 std::string path) {
  auto directory = std::make_unique<Directory>(shard, std::move(path));
  const Result<void> started = co_await directory->start();
  if (!started) co_return std::unexpected(started.error());
  co_return std::unique_ptr<DataDirectory>(std::move(directory));
}

}  // namespace keelson::engine::log
